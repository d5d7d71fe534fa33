"""What users of GPUs and TPUs on GKE report as going wrong, one test for each symptom: what the status says of it, and
what is done. docs/when-gke-says-no.md lists them.
"""

import inspect
import re
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.support.claim_cases import (
    CHAT,
    NOW,
    POOL,
    SETTINGS,
    STOCK_OUT,
    a_claim,
    a_failure,
    a_finding,
    a_pool,
    bounds,
    pool_of,
)
from tests.support.world import CLUSTER, World, autoscaler_event, make_model

from mistral_operator.api.names import LEADER_ROLE, ROLE_LABEL, SHAPE_LABEL
from mistral_operator.capacity.claims.sync import sync_claim
from mistral_operator.capacity.claims.types import Call, ClaimOutcome, CreatePolicy, CreatePool, DeletePool, Seen
from mistral_operator.capacity.pools import NodeFacts, pool_spec, upkeep_of
from mistral_operator.capacity.port import PoolSpec, PoolStatus
from mistral_operator.capacity.provisioners.container_api import node_pool
from mistral_operator.core.ends import MAINTENANCE_LABEL

PAGE = Path(__file__).parents[2] / "docs" / "when-gke-says-no.md"
L4, A100 = {"accelerator": "l4", "devices": 1}, {"accelerator": "a100-40", "devices": 1}
SLICE = {"accelerator": "v6e", "topology": "4x4"}
TPU_SHAPE = {"machineType": "ct6e-standard-4t", "accelerator": {"type": "tpu-v6e-slice", "count": 4}}
Json = dict[str, Any]


def look(claim: Any = None, **seen: Any) -> ClaimOutcome:
    return sync_claim(claim or a_claim(), Seen(users=(CHAT,), **seen), SETTINGS, NOW)


def told(outcome: ClaimOutcome, kind: str = "Ready") -> tuple[str, str, str]:
    """Status, reason and message of one of the claim's conditions."""
    assert outcome.status is not None
    found = next(each for each in outcome.status["conditions"] if each["type"] == kind)
    return found["status"], found["reason"], found["message"]


def waiting(world: World, reason: str, words: str, pod: str = "chat-0") -> Json:
    """The model's CapacityReady while its pod has no node and the cluster autoscaler says why."""
    made = world.start_pod(pod, node="")
    world.events = [autoscaler_event(made, reason, words, world.now.strftime("%Y-%m-%dT%H:%M:%SZ"))]
    world.step()
    return world.condition("CapacityReady")


def planned(*options: Json, **spec: Any) -> World:
    world = World(model=make_model(capacity={"options": list(options)}, **spec))
    world.step()
    world.provision()
    return world


def serving(*options: Json, **spec: Any) -> World:
    world = planned(*options, **spec)
    world.start_pod()
    world.make_ready()
    world.step()
    return world


def slice_spec(number: int = 0) -> PoolSpec:
    terms = {"shape": {**TPU_SHAPE, "topology": "4x4", "hosts": 4}, "slice": {"group": "g", "number": number}}
    return pool_spec(a_claim(name=f"g-{number}", terms=terms), total_max=1, facts=NodeFacts(), zone="us-central1-a")


def test_pool_ends_in_error() -> None:
    outcome = look(pool=a_pool(PoolStatus.ERROR, says=[STOCK_OUT]))
    assert told(outcome)[:2] == ("False", "StockedOut")
    assert STOCK_OUT in told(outcome)[2]
    assert outcome.action == DeletePool(POOL, cause=a_finding(STOCK_OUT))


def test_autoscaler_backs_off() -> None:
    words = "pod didn't trigger scale-up: 1 in backoff after failed scale-up"
    found = waiting(planned(L4), "NotTriggerScaleUp", words)
    assert (found["status"], found["reason"]) == ("False", "ScaleUpBackedOff")
    assert words in found["message"]


def test_pool_is_created_for_very_long() -> None:
    world = planned(L4, A100)
    (claim,) = world.claims.values()
    claim["status"]["conditions"][0] |= {"status": "False", "reason": "PoolCreating", "message": "GKE is creating it."}
    world.step()
    assert world.condition("CapacityReady")["reason"] == "PoolCreating"
    world.now += timedelta(hours=1)
    world.step()
    world.step()
    first, second = world.model["status"]["capacity"]["options"]
    assert (first["state"], first["reason"]) == ("Exhausted", "PoolCreating")
    assert second["state"] == "Trying"


def test_operation_succeeds_though_nothing_runs() -> None:
    failed = a_failure(Call.CREATE, STOCK_OUT)
    outcome = look(failures=(failed,))
    assert told(outcome)[:2] == ("False", "StockedOut")
    assert told(outcome, "Degraded")[:2] == ("True", "StockedOut")
    world = planned(L4)
    world.start_pod(node="")
    world.step()
    assert world.condition("Ready")["status"] == "False", "a pool that stands is no replica that answers"


def test_another_operation_runs() -> None:
    busy = a_failure(Call.CREATE, "Cluster is running incompatible operation op-1.", code="FAILED_PRECONDITION")
    outcome = look(failures=(busy,))
    assert told(outcome)[:2] == ("False", "ClusterBusy")
    assert outcome.status is not None
    assert outcome.status["state"] == "Provisioning", "no failure: it is asked again"
    assert outcome.requeue_after_s == 30


def test_quota_is_missing() -> None:
    words = "GCE quota exceeded: Quota 'NVIDIA_L4_GPUS' exceeded.  Limit: 0.0 in region us-central1."
    found = waiting(planned(L4), "FailedScaleUp", words)
    assert (found["status"], found["reason"]) == ("False", "QuotaExceeded")
    assert "NVIDIA_L4_GPUS" in found["message"]
    assert "us-central1" in found["message"]


def test_tpu_topology_is_rejected() -> None:
    single = pool_spec(a_claim(terms={"shape": {**TPU_SHAPE, "topology": "2x2"}}), total_max=1, facts=NodeFacts())
    assert (single.slice_topology, node_pool(single).placement_policy.tpu_topology) == ("", "")
    whole = node_pool(slice_spec())
    assert (whole.placement_policy.tpu_topology, whole.initial_node_count) == ("4x4", 4)
    assert not whole.autoscaling.enabled
    refused = a_failure(Call.CREATE, "CONDITION_NOT_MET: Unsupported TPU configuration", code="FAILED_PRECONDITION")
    assert told(look(failures=(refused,)))[:2] == ("False", "InvalidRequest")


def test_placement_policy_is_not_supported() -> None:
    words = (
        "Creation of a managed instance group with tpu7x-standard-4t machine type with placement policy is not"
        " supported. Use workload policy instead."
    )
    outcome = look(pool=a_pool(PoolStatus.ERROR, says=[words]))
    assert told(outcome)[0] == "False"
    assert words in told(outcome)[2], "Google's own words, which say what it wants"
    shape = {**TPU_SHAPE, "machineType": "tpu7x-standard-4t", "topology": "2x2x2", "hosts": 2}
    placed = a_claim(
        name="g-0", terms={"shape": shape, "placement": "WorkloadPolicy", "slice": {"group": "g", "number": 0}}
    )
    outcome = look(placed)
    assert isinstance(outcome.action, CreatePolicy), "so the policy that it wants is made before the pool"
    assert outcome.action.spec.topology == "2x2x2"


def test_pod_is_never_scheduled_though_nodes_exist() -> None:
    world = planned(L4)
    (claim,) = world.claims
    spec = world.deployment["spec"]["template"]["spec"]
    assert spec["nodeSelector"][SHAPE_LABEL] == claim, "a label of our own, which the pool gives its nodes"
    unlabelled = look(pool=a_pool(node_labels={}))
    assert told(unlabelled)[:2] == ("False", "PoolRepairing")
    made = world.start_pod(node="")
    words = "0/3 nodes are available: 3 node(s) had untolerated taint."
    made["status"]["conditions"] = [{"type": "PodScheduled", "status": "False", "message": words}]
    world.step()
    assert words in world.condition("CapacityReady")["message"]


def test_pod_lands_on_another_slice() -> None:
    labels = [node_pool(slice_spec(number)).config.labels for number in (0, 1)]
    assert labels[0] != labels[1], "each slice's nodes say which one they are"
    assert labels[0][SHAPE_LABEL] == labels[1][SHAPE_LABEL]


def test_gpu_driver_is_missing() -> None:
    config = node_pool(pool_spec(a_claim(), total_max=1, facts=NodeFacts())).config
    installed = config.accelerators[0].gpu_driver_installation_config.gpu_driver_version.name
    assert installed in ("DEFAULT", "LATEST"), "said always, because GKE's own default depends on its version"


def test_cuda_fails_after_a_node_upgrade() -> None:
    world = serving(L4)
    words = "RuntimeError: The NVIDIA driver on your system is too old"
    world.pods["chat-0"]["status"] |= {
        "conditions": [{"type": "Ready", "status": "False"}],
        "containerStatuses": [
            {
                "name": "vllm",
                "ready": False,
                "restartCount": 4,
                "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                "lastState": {"terminated": {"exitCode": 1, "reason": "Error", "message": words}},
            }
        ],
    }
    world.step()
    assert world.condition("Ready")["status"] == "False"
    assert words in world.condition("WorkloadReady")["message"]


def test_reserved_capacity_is_not_used_or_lost() -> None:
    claim = a_claim(consumption="Reservation", terms={"reservation": "gpus"})
    spec = pool_spec(claim, total_max=1, facts=NodeFacts())
    upkeep = upkeep_of(spec)
    assert (upkeep.max_surge, upkeep.max_unavailable) == (0, 1), "no upgrade takes a machine that isn't reserved"
    full = a_failure(Call.CREATE, "RESERVATION_CAPACITY_EXCEEDED: projects/p/zones/us-central1-a/reservations/gpus")
    status, reason, message = told(look(claim, failures=(full,)))
    assert (status, reason) == ("False", "ReservationExhausted")
    assert "gcloud compute reservations describe" in message
    grown = replace(pool_of(spec), bounds=bounds(2), upkeep=replace(upkeep, max_surge=1))
    assert told(look(claim, pool=grown))[1] == "PoolRepairing"


def test_nodes_are_drained_for_maintenance() -> None:
    world = serving(L4, replicas=2)
    world.start_pod("chat-1", node="node-2")
    world.make_ready()
    world.step()
    assert ("PodDisruptionBudget", "chat") in world.children
    soon = str(int((world.now + timedelta(minutes=10)).timestamp()))
    world.set_machine("node-1", labels={MAINTENANCE_LABEL: soon})
    world.step()
    assert world.condition("WorkloadReady")["reason"] == "ReplicaEndsSoon"
    assert world.deployment["spec"]["replicas"] == 3, "a successor is started before the machine goes"
    world.pods["chat-0"]["metadata"]["deletionTimestamp"] = "2026-11-23T12:05:00Z"
    world.step()
    assert world.condition("Ready")["status"] == "True"
    assert (world.condition("Degraded")["status"], world.condition("Degraded")["reason"]) == ("True", "ReplicasMissing")


def test_spot_machine_is_reclaimed() -> None:
    world = serving({**L4, "consumption": "Spot"})
    del world.pods["chat-0"]
    world.start_pod("chat-1", node="")
    world.step()
    assert world.condition("Ready")["status"] == "False"
    assert world.condition("CapacityReady")["reason"] == "WaitingForNodes"
    assert world.condition("Stalled")["status"] == "False"


def test_flex_start_node_ends() -> None:
    terms = {"maxRunDurationSeconds": 86_400}
    spec = pool_spec(a_claim(consumption="FlexStart", terms=terms), total_max=1, facts=NodeFacts())
    message = node_pool(spec)
    assert message.config.max_run_duration.total_seconds() == 86_400
    assert message.upgrade_settings.strategy.name == "SHORT_LIVED"
    world = serving({**L4, "consumption": "FlexStart"})
    world.set_machine("node-1", born=world.now)
    world.now += timedelta(days=6, hours=23, minutes=50)
    world.step()
    assert world.condition("WorkloadReady")["reason"] == "ReplicaEndsSoon"
    assert world.deployment["spec"]["replicas"] == 2, "a successor is started before its time is over"
    del world.pods["chat-0"]
    world.start_pod("chat-1", node="")
    world.step()
    assert world.condition("CapacityReady")["reason"] == "WaitingForNodes"


def test_flex_start_pod_is_stuck() -> None:
    world = planned({**L4, "consumption": "FlexStart"})
    found = waiting(world, "TriggeredScaleUp", "pod triggered scale-up")
    assert (found["status"], found["reason"]) == ("False", "ScalingUp")
    annotations = world.deployment["spec"]["template"]["metadata"].get("annotations") or {}
    assert not [key for key in annotations if "provisioning-request" in key], "its pods hang on no request"


def test_replicas_moved_to_a_dearer_tier() -> None:
    world = planned(L4, A100)
    waiting(world, "FailedScaleUp", "Node scale up failed: GCE out of resources")
    world.now += timedelta(hours=1)
    world.step()
    world.step()
    del world.pods["chat-0"]
    world.provision()
    world.start_pod("chat-1")
    world.make_ready("chat-1")
    world.step()
    assert world.condition("Ready")["status"] == "True"
    degraded = world.condition("Degraded")
    assert (degraded["status"], degraded["reason"]) == ("True", "OnLowerRung")
    assert "US dollars an hour" in degraded["message"]


def test_autoscaler_has_no_metric() -> None:
    world = World(model=make_model(scaling={"maxReplicas": 3}), cluster=replace(CLUSTER, custom_metrics=True))
    world.step()
    trouble = {"type": "ScalingActive", "status": "False", "reason": "FailedGetPodsMetric", "message": "no metrics"}
    world.children["HorizontalPodAutoscaler", "chat"]["status"] = {"conditions": [trouble]}
    world.step()
    found = world.condition("AutoscalingReady")
    assert (found["status"], "no metrics" in found["message"]) == ("False", True)


def test_tpu_fails_to_initialize() -> None:
    world = planned({"accelerator": "v6e", "devices": 1}, allowExperimental=True)
    pod = world.deployment["spec"]["template"]["spec"]
    assert [container["name"] for container in pod["containers"]] == ["vllm"], "nothing beside the engine asks the TPU"
    assert pod["containers"][0]["livenessProbe"]["httpGet"]["path"] == "/health"
    assert not [env for env in pod["containers"][0]["env"] if "MONITORING" in env["name"]]


def test_fault_of_one_slice_restarts_everything() -> None:
    world = World(
        model=make_model("mix", model="mixtral-8x7b", replicas=2, allowExperimental=True, capacity={"options": [SLICE]})
    )
    world.step()
    claims = sorted(world.claims)
    assert len(claims) == 2, "each replica has a slice, and so a pool, of its own"
    world.provision()
    world.step()
    for index, claim in enumerate(claims):
        world.make_ready(*world.start_group(f"mix-slices-{index}", claim))
    world.step()
    leaders = [name for name, pod in world.pods.items() if pod["metadata"]["labels"][ROLE_LABEL] == LEADER_ROLE]
    assert len(leaders) == 2
    for name in [name for name in world.pods if name.startswith("mix-slices-0")]:
        del world.pods[name]
    world.step()
    assert world.condition("Ready")["status"] == "True", "the other slice serves on"
    assert world.condition("Degraded")["status"] == "True"


def test_addresses_run_out() -> None:
    exhausted = a_failure(Call.CREATE, "IP_SPACE_EXHAUSTED")
    status, reason, message = told(look(failures=(exhausted,)))
    assert (status, reason) == ("False", "AddressesExhausted")
    assert "gcloud container clusters describe" in message
    assert node_pool(slice_spec()).max_pods_constraint.max_pods_per_node == 32


def test_too_many_node_pools() -> None:
    worlds = [World(model=make_model(name, capacity={"options": [L4]})) for name in ("chat", "draft")]
    for world in worlds:
        world.step()
    assert list(worlds[0].claims) == list(worlds[1].claims), "models of one shape share a pool"
    crowd = tuple(replace(CHAT, name=f"m{number}") for number in range(200))
    action = sync_claim(a_claim(), Seen(users=crowd), SETTINGS, NOW).action
    assert isinstance(action, CreatePool)
    assert action.spec.bounds is not None
    assert action.spec.bounds.total_max == 400


def test_the_page_lists_just_these() -> None:
    own = {
        name for name, _ in inspect.getmembers(sys.modules[__name__], inspect.isfunction) if name.startswith("test_")
    }
    listed = re.findall(r"`(test_\w+)`", PAGE.read_text(encoding="utf-8"))
    assert sorted(listed) == sorted(own - {"test_the_page_lists_just_these"})
