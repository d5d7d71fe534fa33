"""One model from the first look to ready, through `sync` alone."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from tests.support.changed_catalogue import DEARER, FLAG, change_catalogue
from tests.support.world import World, autoscaler_event, make_model

from mistral_operator.status.findings import format_time


def test_a_new_model_gets_a_revision_first_then_what_serves_it() -> None:
    world = World()
    outcome = world.step()
    assert [m["kind"] for m in outcome.manifests] == [
        "ControllerRevision",
        "Service",
        "Deployment",
        "PodDisruptionBudget",
    ]
    assert [claim["kind"] for claim in outcome.claims] == ["NodePoolClaim"]
    assert world.condition("Accepted")["status"] == "True"
    assert world.condition("Ready")["status"] == "False"
    assert world.model["status"]["summary"]["ready"] == "0/1"


def test_pods_select_the_claim_and_never_a_pool() -> None:
    world = World()
    world.step()
    claim = next(iter(world.claims))
    selector = world.deployment["spec"]["template"]["spec"]["nodeSelector"]
    assert selector["serving.mistral-operator.dev/shape"] == claim
    assert world.claim_of(world.revisions[0]) == claim
    assert "cloud.google.com/gke-nodepool" not in selector
    assert len(claim) <= 37


def test_it_is_ready_only_when_a_replica_answers() -> None:
    world = World()
    world.step()
    world.provision()
    world.start_pod()
    world.step()
    assert world.condition("CapacityReady")["status"] == "True"
    assert world.condition("Ready")["status"] == "False"
    world.make_ready()
    world.step()
    assert world.condition("Ready") | {"lastTransitionTime": ""} == {
        "type": "Ready",
        "status": "True",
        "reason": "Serving",
        "message": "1 of 1 replicas answer.",
        "lastTransitionTime": "",
        "observedGeneration": 1,
    }
    assert world.condition("Reconciling")["status"] == "False"
    phases = [entry["reason"] for entry in world.model["status"]["timeline"]]
    assert phases == ["Planned", "ClaimPending", "NodePoolReady", "NodesReady", "Started", "Serving"]


def test_the_same_inputs_give_the_same_outcome_and_a_settled_status_stays() -> None:
    world = World()
    world.step()
    world.provision()
    world.start_pod()
    world.make_ready()
    world.step()
    settled = world.step().status
    assert world.decide() == world.decide()
    assert world.step().status == settled
    assert world.decide().events == ()
    assert world.decide().prune == ()


def test_a_lost_status_is_made_again_and_nothing_else_changes() -> None:
    world = World()
    world.step()
    world.provision()
    world.start_pod()
    world.make_ready()
    before = world.step()
    del world.model["status"]
    after = world.step()
    assert after.manifests == before.manifests
    assert after.claims == before.claims
    assert {c["type"]: c["reason"] for c in after.status["conditions"]} == {
        c["type"]: c["reason"] for c in before.status["conditions"]
    }


def test_a_changed_catalogue_or_operator_changes_no_running_pod_template() -> None:
    world = World()
    before = world.step()
    changed = replace(world.settings, operator_version="9.9.9")
    catalogue = change_catalogue(world.catalogue)
    other = World(model=world.model, children=world.children, claims=world.claims, catalogue=catalogue)
    other.settings = changed
    after = other.step()
    assert after.manifests == before.manifests
    assert after.claims == before.claims
    assert other.model["status"]["plan"]["chosen"] == world.model["status"]["plan"]["chosen"]
    fresh = World(catalogue=catalogue, settings=changed)
    fresh.step()
    old, new = (each.deployment["spec"]["template"]["spec"]["containers"][0] for each in (world, fresh))
    assert new["image"] == "example.com/vllm-gpu:v99" != old["image"]
    assert FLAG in new["args"]
    assert FLAG not in old["args"]
    costs = [float(each.model["status"]["plan"]["chosen"]["hourlyCost"]) for each in (world, fresh)]
    assert costs[1] == pytest.approx(DEARER * costs[0])
    overheads = [each.model["status"]["plan"]["chosen"]["memoryPerDevice"]["overhead"] for each in (world, fresh)]
    assert overheads == ["1.5 GiB", "2.0 GiB"]


def test_another_default_image_changes_no_running_pod_template() -> None:
    world = World()
    before = world.step()
    world.settings = replace(world.settings, images={**world.settings.images, "vllm-gpu": "example.com/vllm:new"})
    assert world.step().manifests == before.manifests


def test_another_spec_makes_a_new_revision_and_keeps_the_old_one_while_its_pods_run() -> None:
    world = World()
    world.step()
    world.start_pod("chat-old")
    world.make_ready()
    world.step()
    old = world.revisions[0]["metadata"]["name"]
    world.change(engine={"contextLength": 4096})
    outcome = world.step()
    assert [r["revision"] for r in world.revisions] == [1, 2]
    assert outcome.prune == ()
    assert world.condition("Ready")["status"] == "True"
    assert world.condition("WorkloadReady")["reason"] in {"RollingOut", "Starting"}
    del world.pods["chat-old"]
    world.start_pod("chat-new")
    world.make_ready()
    assert [ref.name for ref in world.step().prune] == [old]
    assert [r["revision"] for r in world.revisions] == [2]


def test_while_the_hardware_changes_each_pod_costs_what_its_own_revision_does() -> None:
    world = World(model=make_model(capacity={"options": [{"machineType": "g2-standard-8"}]}))
    world.step()
    world.start_pod("chat-old")
    world.step()
    old = Decimal(world.model["status"]["cost"]["hourly"])
    world.change(capacity={"options": [{"machineType": "g2-standard-16"}]})
    world.step()
    assert Decimal(world.model["status"]["cost"]["hourly"]) == old, "nothing of the new hardware is there yet"
    world.start_pod("chat-new")
    world.step()
    new = Decimal(world.model["status"]["plan"]["chosen"]["hourlyCost"])
    assert new > old
    assert Decimal(world.model["status"]["cost"]["hourly"]) == old + new
    assert world.model["status"]["summary"]["hourlyCost"] == world.model["status"]["cost"]["hourly"]
    world.revisions[0]["data"]["plan"]["options"] = "in another way"
    world.step()
    assert world.model["status"]["cost"]["hourly"] == "unknown", "what the old pod costs isn't known any more"


def test_going_back_to_an_earlier_spec_uses_its_revision_again_as_the_newest() -> None:
    world = World()
    world.step()
    world.start_pod("chat-first")
    template = world.deployment["spec"]["template"]
    world.change(engine={"contextLength": 4096})
    world.step()
    world.start_pod("chat-second")
    world.change(engine={})
    world.step()
    assert world.deployment["spec"]["template"] == template
    assert [r["revision"] for r in world.revisions] == [2, 3]


def test_scaling_changes_replicas_and_no_revision() -> None:
    world = World()
    world.step()
    world.change(replicas=3)
    world.step()
    assert world.deployment["spec"]["replicas"] == 3
    assert len(world.revisions) == 1


@pytest.mark.parametrize(("spec", "reason"), [({"replicas": 0}, "ScaledToZero"), ({"suspend": True}, "Suspended")])
def test_nothing_wanted_is_said_as_such(spec: dict[str, object], reason: str) -> None:
    world = World(model=make_model(**spec))
    world.step()
    assert world.deployment["spec"]["replicas"] == 0
    assert world.condition("Ready")["reason"] == reason
    assert world.condition("Ready")["status"] == ("True" if reason == "ScaledToZero" else "False")


def test_a_spend_limit_caps_the_replicas_and_says_so() -> None:
    world = World(model=make_model(replicas=4, capacity={"maxHourlyCost": "2.00"}))
    world.step()
    price = float(world.model["status"]["plan"]["chosen"]["hourlyCost"])
    assert world.deployment["spec"]["replicas"] == int(2.00 / price) < 4
    assert world.condition("Degraded")["reason"] == "HourlyCostLimit"


def test_a_refused_edit_keeps_what_runs() -> None:
    world = World()
    before = world.step()
    world.change(model="no-such-model")
    after = world.step()
    assert world.condition("Accepted") | {"message": ""} == world.condition("Accepted") | {
        "message": "",
        "status": "False",
        "reason": "UnknownModel",
    }
    assert after.manifests == before.manifests
    assert after.prune == ()


def test_a_stock_out_in_the_autoscalers_events_is_quoted() -> None:
    world = World()
    world.step()
    world.provision()
    pod = world.start_pod(node="")
    world.events = [
        autoscaler_event(pod, "TriggeredScaleUp", "pod triggered scale-up", "2026-11-23T12:00:01Z"),
        autoscaler_event(pod, "FailedScaleUp", "GCE out of resources in us-central1-a", "2026-11-23T12:00:05Z"),
        autoscaler_event(pod, "NotTriggerScaleUp", "1 in backoff after failed scale-up", "2026-11-23T12:00:09Z"),
    ]
    world.step()
    capacity = world.condition("CapacityReady")
    assert (capacity["status"], capacity["reason"]) == ("False", "StockedOut")
    assert "GCE out of resources in us-central1-a" in capacity["message"]
    assert world.condition("Ready")["reason"] == "StockedOut"


def test_a_strangers_revision_is_not_ours() -> None:
    world = World()
    world.step()
    stolen = world.revisions[0]
    stolen["metadata"]["ownerReferences"][0]["uid"] = "someone-else"
    outcome = world.decide()
    assert outcome.prune == ()
    assert outcome.manifests[0]["revision"] == 1


def _namesake(world: World, *, age_s: int = 600, **spec: object) -> World:
    """The model made anew under its name, while the garbage collector has not come to the earlier one's objects."""
    successor = World(model=make_model(**spec), pods=world.pods, now=world.now)
    successor.model["metadata"] |= {"uid": "another", "creationTimestamp": format_time(world.now)}
    for pod in world.pods.values():
        pod["metadata"]["creationTimestamp"] = format_time(world.now - timedelta(seconds=age_s))
    return successor


@pytest.mark.parametrize("model", ["mistral-nemo-12b-2407", "mistral-7b-v0.3"])
def test_the_pods_of_an_earlier_model_of_that_name_are_not_its_own(model: str) -> None:
    """With another spec their revision differs; with the same one only their age does."""
    world = World()
    world.step()
    world.start_pod()
    world.make_ready()
    world.step()
    assert world.condition("Ready")["status"] == "True"
    successor = _namesake(world, model=model)
    for _ in range(2):
        successor.step()  # The second time with its own Service and Deployment.
        assert successor.condition("Ready")["status"] == "False"
        assert successor.model["status"].get("readyReplicas", 0) == 0
        assert successor.model["status"]["summary"]["ready"] == "0/1"
        assert successor.model["status"]["cost"]["hourly"] == "0.00"
    successor.start_pod("chat-1")["metadata"]["creationTimestamp"] = format_time(successor.now)
    successor.make_ready("chat-1")
    successor.step()
    assert successor.condition("Ready")["reason"] == "Serving"
    assert successor.model["status"]["readyReplicas"] == 1


def test_pods_of_a_retained_revision_and_of_a_workload_that_was_kept_are_its_own() -> None:
    world = World()
    world.model["metadata"]["creationTimestamp"] = format_time(world.now)
    world.step()
    world.start_pod()["metadata"]["creationTimestamp"] = format_time(world.now)
    world.make_ready()
    world.change(engine={"contextLength": 4096})
    world.step()
    world.step()
    assert world.condition("Ready")["reason"] == "Serving", "the revision before the newest is the model's own, too"
    kept = World()
    kept.step()
    kept.deployment["metadata"]["creationTimestamp"] = "2026-11-23T11:00:00Z"
    kept.start_pod()["metadata"]["creationTimestamp"] = "2026-11-23T11:00:01Z"
    kept.model["metadata"]["creationTimestamp"] = format_time(kept.now)
    kept.make_ready()
    kept.step()
    assert kept.condition("Ready")["reason"] == "Serving", "it has taken over a Deployment that is older than itself"


@pytest.mark.parametrize(("behind_s", "ready"), [(4, "True"), (6, "False")])
def test_the_clocks_of_api_servers_may_differ_by_some_seconds(behind_s: int, ready: str) -> None:
    world = World()
    world.step()
    world.start_pod()
    world.make_ready()
    again = _namesake(world, age_s=behind_s)
    again.step()
    again.step()
    assert again.condition("Ready")["status"] == ready


def test_the_timeline_tells_each_step_of_the_capacity_once() -> None:
    world = World()
    world.step()
    (claim,) = world.claims.values()
    for reason, message in (("PoolCreating", "GKE is creating it."), ("StockedOut", "none"), ("PoolCreating", "again")):
        ready = {"type": "Ready", "status": "False", "reason": reason, "message": message}
        claim["status"] = {"state": "Provisioning", "conditions": [ready]}
        world.step()
    world.provision()
    world.step()
    world.start_pod()
    world.make_ready()
    world.step()
    told = [entry["reason"] for entry in world.model["status"]["timeline"]]
    assert told[0] == "Planned"
    assert [told.count(step) for step in ("PoolCreating", "StockedOut", "NodePoolReady", "NodesReady")] == [1, 1, 1, 1]
    assert told.index("PoolCreating") < told.index("StockedOut") < told.index("NodesReady")
    assert world.decide().status["timeline"] == world.model["status"]["timeline"], "looking again adds nothing"


def test_the_timeline_tells_what_somebody_did_to_the_node_pool() -> None:
    world = World()
    world.step()
    world.provision()
    world.step()
    (claim,) = world.claims.values()
    note = {"time": "2026-11-23T12:01:00Z", "finding": "TaintsAdded", "message": "a taint", "done": "Repaired"}
    before = note | {"time": "2026-11-01T00:00:00Z", "message": "of another model's time"}
    claim["status"]["drift"] = [before, note]
    world.step()
    told = [entry for entry in world.model["status"]["timeline"] if entry["reason"] == "TaintsAdded"]
    assert [(entry["time"], entry["message"]) for entry in told] == [
        (note["time"], f"{claim['metadata']['name']}: a taint. Repaired.")
    ]
    assert world.decide().status["timeline"] == world.model["status"]["timeline"]
