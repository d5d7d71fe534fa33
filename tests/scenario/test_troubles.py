"""What a model says when something is wrong: the pod's or the cloud's own words, and what to write instead."""

from dataclasses import replace
from typing import Any

import pytest
from tests.support.world import CLUSTER, World, autoscaler_event, make_model

ONE_RUNG = {"options": [{"machineType": "g2-standard-8"}]}


def _world_with_pod(**spec: Any) -> World:
    world = World(model=make_model(**spec))
    world.step()
    world.provision()
    world.start_pod()
    return world


def _container(world: World, **container: Any) -> None:
    world.pods["chat-0"]["status"]["containerStatuses"] = [{"name": "vllm", "restartCount": 0, **container}]
    world.step()


def test_a_missing_token_secret_is_said_with_the_command_that_makes_it() -> None:
    token = {"huggingFace": {"tokenSecretRef": {"name": "hf", "key": "token"}}}
    world = _world_with_pod(weights=token)
    waiting = {"reason": "CreateContainerConfigError", "message": 'secret "hf" not found'}
    _container(world, state={"waiting": waiting})
    weights = world.condition("WeightsReady")
    assert (weights["status"], weights["reason"]) == ("False", "TokenSecretMissing")
    assert 'secret "hf" not found' in weights["message"]
    assert "kubectl -n team-a create secret generic hf --from-file=token=" in weights["message"]
    assert world.condition("Ready")["reason"] == "TokenSecretMissing"
    assert world.condition("Stalled")["status"] == "True"


def test_the_token_reaches_the_pod_by_reference_only() -> None:
    world = World(model=make_model(weights={"huggingFace": {"tokenSecretRef": {"name": "hf", "key": "t"}}}))
    world.step()
    env = world.deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    token = next(variable for variable in env if variable["name"] == "HF_TOKEN")
    assert token == {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf", "key": "t"}}}


def test_refused_access_is_told_from_the_engines_last_words() -> None:
    world = _world_with_pod()
    ended = {"reason": "Error", "exitCode": 1, "message": "401 Client Error: Unauthorized for url"}
    _container(world, state={"waiting": {"reason": "CrashLoopBackOff"}}, lastState={"terminated": ended})
    assert world.condition("WeightsReady")["reason"] == "AccessRefused"
    assert "401 Client Error" in world.condition("Ready")["message"]


@pytest.mark.parametrize(
    ("container", "reason"),
    [
        ({"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}, "ImagePullFailed"),
        (
            {
                "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                "lastState": {"terminated": {"reason": "Error", "exitCode": 1, "message": "CUDA out of memory"}},
            },
            "OutOfMemory",
        ),
        (
            {"state": {"terminated": {"reason": "Error", "exitCode": 2, "message": "unrecognized arguments"}}},
            "CrashLooping",
        ),
        ({"state": {"running": {}}}, "Starting"),
    ],
)
def test_a_replica_that_does_not_start_explains_itself(container: dict[str, Any], reason: str) -> None:
    world = _world_with_pod()
    _container(world, **container)
    assert world.condition("WorkloadReady")["reason"] == reason
    assert world.condition("Ready")["status"] == "False"


def test_the_claims_own_trouble_is_the_models() -> None:
    world = World()
    world.step()
    world.start_pod(node="")
    claim = next(iter(world.claims.values()))
    words = "Insufficient quota NVIDIA_L4_GPUS in us-central1"
    claim["status"] = {
        "conditions": [{"type": "Ready", "status": "False", "reason": "QuotaExceeded", "message": words}]
    }
    world.step()
    assert world.condition("CapacityReady")["reason"] == "QuotaExceeded"
    assert words in world.condition("CapacityReady")["message"]


def test_one_missing_replica_degrades_and_stays_ready() -> None:
    world = World(model=make_model(replicas=2))
    world.step()
    world.provision()
    world.start_pod("chat-0")
    world.make_ready()
    world.start_pod("chat-1", node="")
    world.step()
    assert world.condition("Ready")["reason"] == "ServingPartially"
    assert world.condition("Degraded")["status"] == "True"
    assert world.condition("Reconciling")["status"] == "True"
    assert world.model["status"]["summary"]["ready"] == "1/2"


def test_a_terminating_replica_is_not_ready() -> None:
    world = _world_with_pod()
    world.make_ready()
    world.pods["chat-0"]["metadata"]["deletionTimestamp"] = "2026-11-23T12:00:00Z"
    world.step()
    assert world.condition("Ready")["status"] == "False"
    assert world.condition("EndpointReady")["reason"] == "NoReadyReplica"


@pytest.mark.parametrize("whose", ["nobody's", "a stranger's"])
def test_replicas_that_no_service_of_the_model_leads_to_make_it_not_ready(whose: str) -> None:
    world = _world_with_pod()
    world.make_ready()
    service = world.children.pop(("Service", "chat"))
    if whose == "a stranger's":
        del service["metadata"]["ownerReferences"]
        world.children["Service", "chat"] = service
    told = world.decide()
    conditions = {c["type"]: c for c in told.status["conditions"]}
    for kind in ("EndpointReady", "Ready"):
        assert (conditions[kind]["status"], conditions[kind]["reason"]) == ("False", "ServicePending")
    assert conditions["Reconciling"]["status"] == "True"
    assert "Serving" not in [entry["reason"] for entry in told.status["timeline"]]
    assert told.requeue_after_s == 0, "when the Service has been made, nothing but this look tells of that"
    world.children.pop(("Service", "chat"), None)
    world.step()
    world.step()
    assert world.condition("Ready")["reason"] == "Serving"
    assert world.decide().requeue_after_s is None


def test_an_autoscaler_without_metrics_says_so() -> None:
    world = World(model=make_model(scaling={"maxReplicas": 3}))
    world.step()
    world.step()
    assert ("HorizontalPodAutoscaler", "chat") in world.children
    target = world.children["HorizontalPodAutoscaler", "chat"]["spec"]["scaleTargetRef"]
    assert target["kind"] == "MistralModel"
    assert world.condition("AutoscalingReady")["reason"] == "NoMetricsAdapter"


def _autoscaled_world() -> World:
    world = World(model=make_model(scaling={"maxReplicas": 3}), cluster=replace(CLUSTER, custom_metrics=True))
    world.step()
    return world


@pytest.mark.parametrize("says", [None, "Unknown", "True"])
def test_an_autoscaler_is_active_only_when_it_says_so(says: str | None) -> None:
    world = _autoscaled_world()
    if says:
        condition = {"type": "ScalingActive", "status": says, "reason": "ValidMetricFound", "message": "…"}
        world.children["HorizontalPodAutoscaler", "chat"]["status"] = {"conditions": [condition]}
    world.step()
    found = world.condition("AutoscalingReady")
    wanted = ("True", "Active") if says == "True" else ("False", "WaitingForMetrics")
    assert (found["status"], found["reason"]) == wanted


def test_an_autoscaler_quotes_its_own_trouble() -> None:
    world = _autoscaled_world()
    trouble = {"type": "ScalingActive", "status": "False", "reason": "FailedGetPodsMetric", "message": "no metrics"}
    world.children["HorizontalPodAutoscaler", "chat"]["status"] = {"conditions": [trouble]}
    world.step()
    assert world.condition("AutoscalingReady")["reason"] == "FailedGetPodsMetric"


def test_leaving_out_scaling_removes_the_autoscaler() -> None:
    world = World(model=make_model(scaling={"maxReplicas": 3}))
    world.step()
    del world.model["spec"]["scaling"]
    assert [ref.kind for ref in world.step().prune] == ["HorizontalPodAutoscaler"]


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"upgradePolicy": "Auto"}, "spec.upgradePolicy: Auto"),
        ({"weights": {"gcs": {"uri": "gs://models/x"}}}, "spec.weights.gcs"),
        ({"weights": {"cache": {"mode": "Node"}}}, "spec.weights.cache.mode: Node"),
        ({"engine": {"adapters": [{"name": "a", "repository": "o/a"}]}}, "spec.engine.adapters"),
        ({"scaling": {"maxReplicas": 2, "autoscaler": "KEDA"}}, "spec.scaling.autoscaler: KEDA"),
        ({"scaling": {"maxReplicas": 2, "target": {"runningRequests": 4}}}, "spec.scaling.target.runningRequests"),
        ({"scaling": {"maxReplicas": 2, "scaleToZero": {"idleAfter": "10m"}}}, "spec.scaling.scaleToZero"),
        ({"rollout": {"canary": {"percent": 10, "hold": "5m"}}}, "spec.rollout.canary"),
        ({"endpoint": {"apiKeySecretRef": {"name": "k"}}}, "spec.endpoint.apiKeySecretRef"),
        ({"monitoring": {"mode": "PodMonitor"}}, "spec.monitoring.mode: PodMonitor"),
    ],
)
def test_a_field_that_is_not_built_yet_is_refused_by_name(spec: dict[str, Any], path: str) -> None:
    world = World(model=make_model(**spec))
    outcome = world.step()
    accepted = world.condition("Accepted")
    assert accepted["reason"] == "NotYetSupported"
    assert path in accepted["message"]
    assert outcome.manifests == outcome.claims == ()


@pytest.mark.parametrize(
    "engine",
    [
        *({"extraArgs": [word]} for word in (
            "--port=9", "--max_model_len=9", "--max-model-len 9", "-tp", "-tp=4", "-q", "--trust_remote_code",
            "--hf-token=x", "--api_key=k", "--device-memory-utilization=0.99", "-dp", "--config=x.yaml", "--uds",
        )),
        {"extraArgs": ["--max-model-len", "4096"]},
        {"env": [{"name": "TMPDIR", "value": "/x"}]},
        {"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]},
    ],
)  # fmt: skip
def test_what_the_plan_decides_can_not_be_given_twice(engine: dict[str, Any]) -> None:
    world = World(model=make_model(engine=engine))
    outcome = world.step()
    assert world.condition("Accepted")["reason"] == "FieldConflict"
    assert outcome.manifests == ()


@pytest.mark.parametrize(
    ("spec", "reason", "words"),
    [
        ({"model": "mistral-7b-v0.4"}, "UnknownModel", "mistral-7b-v0.3"),
        ({"model": "codestral-22b-v0.1"}, "LicenseNotAccepted", "spec.license.accept"),
        (
            {"model": "mistral-small-3.2-24b-2506", "capacity": {"options": [{"accelerator": "l4", "devices": 1}]}},
            "NothingFits",
            "GiB",
        ),
    ],
)
def test_what_can_not_be_served_is_refused_and_nothing_is_made(spec: dict[str, Any], reason: str, words: str) -> None:
    world = World(model=make_model(**spec))
    outcome = world.step()
    accepted = world.condition("Accepted")
    assert (accepted["status"], accepted["reason"]) == ("False", reason)
    assert words in accepted["message"]
    assert outcome.manifests == outcome.claims == outcome.prune == ()
    assert world.condition("Stalled")["status"] == "True"


def test_an_event_is_noted_once_per_change_of_reason() -> None:
    world = World()
    first = world.step()
    assert [note.reason for note in first.events] == ["Planned"], "what a new model waits for is no change"
    assert world.step().events == ()
    world.provision()
    assert [note.reason for note in world.step().events] == ["WaitingForNodes"]


def test_arguments_of_the_users_own_are_taken() -> None:
    world = World(model=make_model(engine={"extraArgs": ["--enable-prefix-caching", "--tokenizer=x/y", "-O3"]}))
    world.step()
    assert world.condition("Accepted")["status"] == "True"
    assert world.deployment["spec"]["template"]["spec"]["containers"][0]["args"][-3:] == [
        "--enable-prefix-caching",
        "--tokenizer=x/y",
        "-O3",
    ]


def test_pods_that_the_api_server_refuses_are_told_from_the_deployment() -> None:
    world = World()
    world.step()
    world.provision()
    words = 'pods "chat-" is forbidden: error looking up service account team-a/nope: serviceaccount "nope" not found'
    failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": words}
    world.deployment["status"] = {"conditions": [failure]}
    world.step()
    for kind in ("CapacityReady", "WorkloadReady", "Ready"):
        assert world.condition(kind)["reason"] == "PodsRefused"
        assert words in world.condition(kind)["message"]
    assert world.condition("Stalled")["status"] == "True"


def test_a_secret_of_the_users_own_is_not_taken_for_the_token() -> None:
    world = _world_with_pod(weights={"huggingFace": {"tokenSecretRef": {"name": "hf"}}})
    waiting = {"reason": "CreateContainerConfigError", "message": 'secret "other" not found'}
    _container(world, state={"waiting": waiting})
    assert world.condition("WeightsReady")["reason"] == "WaitingForReplica"
    assert world.condition("Ready")["reason"] == "ContainerConfigError"


@pytest.mark.parametrize("words", ['File "core.py", line 403, in load', "token 401 is out of range"])
def test_a_number_alone_is_no_refused_access(words: str) -> None:
    world = _world_with_pod()
    ended = {"reason": "Error", "exitCode": 1, "message": words}
    _container(world, state={"waiting": {"reason": "CrashLoopBackOff"}}, lastState={"terminated": ended})
    assert world.condition("Ready")["reason"] == "CrashLooping"


def test_an_injected_container_says_nothing_of_the_model() -> None:
    world = _world_with_pod()
    world.pods["chat-0"]["status"]["containerStatuses"] = [
        {"name": "istio-proxy", "restartCount": 0, "state": {"running": {}}},
        {"name": "vllm", "restartCount": 0, "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no"}}},
    ]
    world.step()
    assert world.condition("Ready")["reason"] == "ImagePullFailed"


def test_foreign_words_can_not_steer_a_terminal() -> None:
    world = _world_with_pod()
    ended = {"reason": "Error", "exitCode": 1, "message": "\x1b[2J\x07gone\u202e"}
    _container(world, state={"waiting": {"reason": "CrashLoopBackOff"}}, lastState={"terminated": ended})
    assert "[2J gone" in world.condition("Ready")["message"]
    assert world.condition("Ready")["message"].isprintable()


def test_a_claim_that_is_deleted_while_its_pool_works_hides_no_stock_out() -> None:
    world = World()
    world.step()
    world.provision()
    pod = world.start_pod(node="")
    next(iter(world.claims.values()))["metadata"]["deletionTimestamp"] = "2026-11-23T12:00:00Z"
    world.events = [autoscaler_event(pod, "FailedScaleUp", "GCE out of resources")]
    world.step()
    assert world.condition("CapacityReady")["reason"] == "StockedOut"


def test_several_pending_pods_do_not_take_turns() -> None:
    world = World(model=make_model(replicas=2, capacity=ONE_RUNG))
    world.step()
    world.provision()
    first, second = world.start_pod("chat-0", node=""), world.start_pod("chat-1", node="")
    failed = autoscaler_event(first, "FailedScaleUp", "GCE quota exceeded", "2026-11-23T12:00:05Z")
    reasons = set()
    for at, reason in (("06", "TriggeredScaleUp"), ("07", "NotTriggerScaleUp"), ("08", "TriggeredScaleUp")):
        world.events = [failed, autoscaler_event(second, reason, "…", f"2026-11-23T12:00:{at}Z")]
        world.step()
        reasons.add(world.condition("CapacityReady")["reason"])
    assert reasons == {"QuotaExceeded"}


def test_events_of_the_same_moment_have_one_order() -> None:
    world = World(model=make_model(capacity=ONE_RUNG))
    world.step()
    world.provision()
    pod = world.start_pod(node="")
    events = [autoscaler_event(pod, reason, "GCE quota exceeded") for reason in ("FailedScaleUp", "TriggeredScaleUp")]
    for order in (events, events[::-1]):
        world.events = list(order)
        world.step()
        assert world.condition("CapacityReady")["reason"] == "QuotaExceeded"


def test_a_limit_that_pays_for_no_surge_replaces_in_place() -> None:
    world = World(model=make_model(capacity={"maxHourlyCost": "0.90"}))
    world.step()
    assert world.deployment["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}
    world.change(capacity={"maxHourlyCost": "2.00"})
    world.step()
    assert world.deployment["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


def test_a_limit_below_one_replica_stops_it_and_says_so() -> None:
    world = _world_with_pod()
    world.make_ready()
    world.change(capacity={"maxHourlyCost": "0.10"})
    del world.pods["chat-0"]
    world.step()
    assert world.deployment["spec"]["replicas"] == 0
    assert (world.condition("Ready")["status"], world.condition("Ready")["reason"]) == ("False", "HourlyCostLimit")
