"""Down the ladder when a rung has no capacity, and back up when a better one has some again."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.support.world import SETTINGS, World, autoscaler_event, make_model

RULES = SETTINGS.ladder
STOCKED_OUT = "Node scale up in zones us-central1-a associated with this pod failed: GCE out of resources"
L4 = {"accelerator": "l4", "devices": 1}
A100 = {"accelerator": "a100-40", "devices": 1}
V6E = {"accelerator": "v6e", "devices": 1}


def a_world(*options: dict[str, Any], **spec: Any) -> World:
    capacity = {"options": list(options or (L4, A100)), **spec.pop("capacity", {})}
    world = World(model=make_model(capacity=capacity, **spec))
    world.step()
    world.provision()
    return world


def a_world_that_converts() -> World:
    return a_world(
        {"accelerator": "v5e", "topology": "2x2"},
        {"accelerator": "v6e", "topology": "2x2"},
        model="mistral-7b-v0.1",
        engine={"type": "JetStreamMaxText", "image": "registry.example/maxtext:v1"},
        weights={"cache": {"mode": "Bucket", "uri": "gs://weights/cache"}},
        serviceAccountName="converter",
        allowExperimental=True,
    )


def wait(world: World, seconds: float) -> None:
    world.now += timedelta(seconds=seconds)


def fail_to_scale_up(world: World, pod: str = "chat-0", message: str = STOCKED_OUT) -> None:
    """The pod has no node, and the cluster autoscaler says why."""
    made = world.start_pod(pod, node="")
    world.events.append(autoscaler_event(made, "FailedScaleUp", message, world.now.strftime("%Y-%m-%dT%H:%M:%SZ")))
    world.step()


def exhaust(world: World, pod: str = "chat-0") -> None:
    """Until the stock-out is believed, and the model has moved on; the Deployment's controller removes the pod."""
    fail_to_scale_up(world, pod)
    wait(world, RULES.zone_patience_s * 3)
    assert world.step().requeue_after_s == 0, "what is to be left is left at once"
    world.step()
    del world.pods[pod]
    world.provision()
    world.step()


def rungs(world: World) -> list[tuple[str, str]]:
    return [(rung["name"], rung["state"]) for rung in world.model["status"]["capacity"]["options"]]


def machine(world: World) -> str:
    """The machine that the replicas ask for, by their accelerator."""
    selector = world.deployment["spec"]["template"]["spec"]["nodeSelector"]
    return selector.get("cloud.google.com/gke-accelerator") or selector["cloud.google.com/gke-tpu-accelerator"]


def serve(world: World, pod: str) -> None:
    world.start_pod(pod)
    world.make_ready(pod)
    world.step()


def test_a_stock_out_leads_to_the_next_rung_with_a_claim_and_a_revision_of_its_own() -> None:
    world = a_world()
    before = world.revisions[0]
    fail_to_scale_up(world)
    assert machine(world) == "nvidia-l4", "the zones have their turn first"
    assert [state for _, state in rungs(world)] == ["Trying", "Next"]
    wait(world, RULES.zone_patience_s * 3)
    world.step()
    outcome = world.step()
    assert machine(world) == "nvidia-tesla-a100"
    assert world.deployment["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": "100%"}
    assert [claim["spec"]["shape"]["machineType"] for claim in outcome.claims] == ["a2-highgpu-1g"]
    del world.pods["chat-0"]
    outcome = world.step()
    assert [ref.name for ref in outcome.prune] == [before["metadata"]["name"]], "its claim is let go with it"
    assert len(world.revisions) == 1
    first, second = world.model["status"]["capacity"]["options"]
    assert (first["state"], first["reason"]) == ("Exhausted", "StockedOut")
    assert STOCKED_OUT in first["message"]
    assert datetime.fromisoformat(first["retryAfter"]) > world.now
    assert second["state"] == "Trying"


def test_the_story_tells_which_rung_was_left_and_why() -> None:
    world = a_world()
    fail_to_scale_up(world)
    wait(world, RULES.zone_patience_s * 3)
    outcome = world.step()
    left = next(note for note in outcome.events if note.reason == "RungLeft")
    assert left.type == "Warning"
    assert left.message.startswith("g2-standard-8-ondemand is left. StockedOut: ")
    assert [e["reason"] for e in world.model["status"]["timeline"]][-1] == "RungLeft"
    assert not any(note.reason == "RungLeft" for note in world.step().events), "it is told once"


def test_what_is_served_on_a_lower_rung_is_ready_and_degraded() -> None:
    world = a_world()
    exhaust(world)
    serve(world, "chat-1")
    assert world.condition("Ready")["status"] == "True"
    degraded = world.condition("Degraded")
    assert (degraded["status"], degraded["reason"]) == ("True", "OnLowerRung")
    assert "rung 2 of 2, a2-highgpu-1g-ondemand, at " in degraded["message"]
    assert STOCKED_OUT in degraded["message"]
    assert "It is tried again after 2026-11-23T" in degraded["message"]
    assert [state for _, state in rungs(world)] == ["Exhausted", "Active"]
    assert "a100" in world.model["status"]["summary"]["hardware"]


def served_below(**spec: Any) -> World:
    world = a_world(**spec)
    exhaust(world)
    serve(world, "chat-1")
    wait(world, RULES.return_interval_s)
    return world


def test_it_returns_to_the_better_rung_beside_what_serves() -> None:
    world = served_below()
    world.step()
    assert machine(world) == "nvidia-l4"
    assert world.deployment["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert world.condition("Ready")["status"] == "True"
    assert len(world.claims) == 2, "the capacity of what serves is kept"
    world.provision()
    serve(world, "chat-2")
    del world.pods["chat-1"]
    world.step()
    assert [state for _, state in rungs(world)] == ["Active", "Next"]
    assert world.condition("Degraded")["status"] == "False"
    assert len(world.revisions) == 1
    assert world.decide().requeue_after_s is None, "on the best rung time changes nothing"


def test_a_return_that_finds_nothing_touches_nothing_that_serves() -> None:
    world = served_below()
    serving = next(r for r in world.revisions if r["metadata"]["labels"])["metadata"]["name"]
    world.step()
    exhaust(world, "chat-2")
    assert machine(world) == "nvidia-tesla-a100"
    assert [r["metadata"]["name"] for r in world.revisions] == [serving]
    assert [state for _, state in rungs(world)] == ["Exhausted", "Active"]
    assert "chat-1" in world.pods
    wait(world, RULES.return_interval_s / 2)
    world.step()
    assert machine(world) == "nvidia-tesla-a100"


@pytest.mark.parametrize(
    "spec",
    [
        {"rollout": {"strategy": "Recreate"}},
        {"capacity": {"maxHourlyCost": "4.00"}},
        {"capacity": {"maxSurgeHourlyCost": "0.50"}},
    ],
)
def test_it_stays_below_where_the_better_one_could_not_be_built_beside_it(spec: dict[str, Any]) -> None:
    world = served_below(**spec)
    world.step()
    assert machine(world) == "nvidia-tesla-a100"
    assert world.condition("Ready")["status"] == "True"


def test_a_surge_limit_pays_for_the_return() -> None:
    world = served_below(capacity={"maxHourlyCost": "4.00", "maxSurgeHourlyCost": "1.00"})
    world.step()
    assert machine(world) == "nvidia-l4"


def test_a_missing_quota_stops_the_rung_and_not_the_model() -> None:
    world = a_world()
    fail_to_scale_up(world, message="GCE quota exceeded: NVIDIA_L4_GPUS")
    world.step()
    assert machine(world) == "nvidia-tesla-a100"
    first = world.model["status"]["capacity"]["options"][0]
    assert (first["state"], first["reason"]) == ("Refused", "QuotaExceeded")


def test_a_ladder_from_gpu_to_tpu_changes_engine_image_and_flags() -> None:
    world = a_world(L4, V6E, allowExperimental=True)
    gpu = world.deployment["spec"]["template"]["spec"]["containers"][0]
    exhaust(world)
    tpu = world.deployment["spec"]["template"]["spec"]["containers"][0]
    assert machine(world) == "tpu-v6e-slice"
    assert tpu["image"] != gpu["image"]
    assert "google.com/tpu" in tpu["resources"]["limits"]
    assert "nvidia.com/gpu" not in tpu["resources"]["limits"]


def test_pods_that_the_api_server_refuses_are_no_lack_of_machines() -> None:
    world = a_world()
    refused = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: pods"}
    world.deployment["status"] = {"conditions": [refused]}
    world.step()
    assert world.condition("CapacityReady")["reason"] == "PodsRefused"
    wait(world, RULES.deadline_s["OnDemand"])
    world.step()
    world.step()
    assert machine(world) == "nvidia-l4"


def test_a_conversion_may_take_longer_than_a_rung_is_tried() -> None:
    world = a_world_that_converts()
    world.start_converter()
    world.step()
    assert world.condition("CapacityReady")["reason"] == "WaitingForReplica"
    before = rungs(world)[0][0]
    wait(world, RULES.deadline_s["OnDemand"])
    world.step()
    world.step()
    assert rungs(world)[0] == (before, "Active")


def test_a_changed_spec_begins_at_the_first_rung_again() -> None:
    world = a_world()
    exhaust(world)
    world.change(engine={"contextLength": 4096})
    world.step()
    assert machine(world) == "nvidia-l4"
    assert [state for _, state in rungs(world)] == ["Trying", "Next"]


def test_a_lost_status_leaves_the_model_where_it_is() -> None:
    world = a_world()
    exhaust(world)
    serve(world, "chat-1")
    pinned = [revision["metadata"]["name"] for revision in world.revisions]
    del world.model["status"]
    world.step()
    assert machine(world) == "nvidia-tesla-a100"
    assert [revision["metadata"]["name"] for revision in world.revisions] == pinned
    assert [state for _, state in rungs(world)] == ["Next", "Active"]


def test_two_rungs_of_one_machine_are_told_apart_by_their_zones() -> None:
    world = a_world({**L4, "zones": ["us-central1-a"]}, {**L4, "zones": ["us-central1-b"]})
    names = [name for name, _ in rungs(world)]
    assert names == ["g2-standard-8-ondemand-us-central1-a", "g2-standard-8-ondemand-us-central1-b"]
    exhaust(world)
    assert [state for _, state in rungs(world)] == ["Exhausted", "Trying"]
    (claim,) = (claim for name, claim in world.claims.items() if name in str(world.deployment))
    assert claim["spec"]["zones"] == ["us-central1-b"]


def test_looking_again_changes_nothing() -> None:
    world = a_world()
    exhaust(world)
    first, second = world.decide(), world.decide()
    assert first == second
    world.model["status"] = first.status
    assert world.decide().status == first.status


def test_a_rung_that_can_not_be_planned_any_more_is_no_reason_to_spin() -> None:
    world = a_world(A100, L4, capacity={"maxHourlyCost": "4.00"})
    exhaust(world)
    world.change(capacity={"options": [A100, L4], "maxHourlyCost": "1.00"})
    wait(world, RULES.return_interval_s)
    fail_to_scale_up(world, "chat-1")
    wait(world, RULES.zone_patience_s * 3)
    waits = [world.step().requeue_after_s for _ in range(8)]
    assert all(waits[3:]), f"it rests: {waits}"
    first = world.model["status"]["capacity"]["options"][0]
    assert first["state"] == "Refused"
    assert "retryAfter" in first, "the limit may be raised again"


def test_a_failed_return_leads_back_to_what_serves_and_not_to_what_can_not_stand_beside_it() -> None:
    middle = {"accelerator": "a100-80", "devices": 1}
    world = a_world(L4, middle, A100, capacity={"maxHourlyCost": "7.00"})
    exhaust(world)
    exhaust(world, "chat-1")
    serve(world, "chat-2")
    assert machine(world) == "nvidia-tesla-a100"
    wait(world, RULES.return_interval_s)
    world.step()
    assert machine(world) == "nvidia-l4"
    exhaust(world, "chat-3")
    assert machine(world) == "nvidia-tesla-a100"
    assert world.deployment["spec"]["replicas"] == 1


def test_a_rung_on_which_some_replicas_load_is_not_left_for_one_that_finds_no_node() -> None:
    world = a_world(replicas=3)
    world.start_pod("chat-1")
    world.start_pod("chat-2")
    fail_to_scale_up(world, message="GCE quota exceeded")
    wait(world, RULES.deadline_s["OnDemand"])
    world.step()
    world.step()
    assert machine(world) == "nvidia-l4"
    assert [state for _, state in rungs(world)] == ["Active", "Next"]


def test_a_return_that_gets_nodes_and_never_answers_is_given_up() -> None:
    world = served_below()
    world.step()
    world.provision()
    world.start_pod("chat-2")
    world.step()
    assert [state for _, state in rungs(world)] == ["Active", "Active"]
    wait(world, 3 * 3600)
    world.step()
    world.step()
    assert machine(world) == "nvidia-tesla-a100"
    assert rungs(world)[0][1] == "Exhausted"
    assert world.condition("Ready")["status"] == "True"


def test_replicas_on_two_rungs_are_degraded() -> None:
    world = served_below(replicas=2)
    world.step()
    world.provision()
    serve(world, "chat-2")
    degraded = world.condition("Degraded")
    assert (degraded["status"], degraded["reason"]) == ("True", "OnLowerRung")
    assert degraded["message"].startswith("Served partly on rung 2 of 2")


def test_it_says_why_it_does_not_return() -> None:
    world = served_below(rollout={"strategy": "Recreate"})
    world.step()
    assert "It is not tried while this serves" in world.condition("Degraded")["message"]


def test_a_conversion_on_a_lower_rung_is_not_broken_off_for_a_return() -> None:
    world = a_world_that_converts()
    waiting = world.start_converter(node="")
    stocked_out = autoscaler_event(waiting, "FailedScaleUp", STOCKED_OUT, world.now.strftime("%Y-%m-%dT%H:%M:%SZ"))
    world.events.append(stocked_out)
    world.step()
    wait(world, RULES.zone_patience_s * 3)
    world.step()
    world.step()
    assert [state for _, state in rungs(world)] == ["Exhausted", "Trying"]
    del world.pods["convert-0"]
    world.provision()
    world.start_converter("convert-1")
    world.step()
    job = next(child for child in world.children.values() if child["kind"] == "Job")
    wait(world, 2 * RULES.return_interval_s)
    for _ in range(3):
        world.step()
    assert next(child for child in world.children.values() if child["kind"] == "Job") == job


def test_a_better_rung_that_pays_for_fewer_replicas_is_not_tried() -> None:
    world = a_world(A100, L4, replicas=4, capacity={"maxHourlyCost": "4.00", "maxSurgeHourlyCost": "15.00"})
    exhaust(world)
    for number in range(4):
        serve(world, f"chat-{number + 1}")
    wait(world, RULES.return_interval_s)
    world.step()
    assert machine(world) == "nvidia-l4"
    assert world.deployment["spec"]["replicas"] == 4


def test_what_is_known_of_the_rungs_survives_a_crash_before_the_status_was_written() -> None:
    world = a_world()
    before = world.revisions[0]["metadata"]["name"]
    exhaust(world)
    world.model["status"]["plan"]["revision"] = before
    assert before not in [revision["metadata"]["name"] for revision in world.revisions]
    world.step()
    assert [state for _, state in rungs(world)] == ["Exhausted", "Trying"]


def test_a_slice_without_pods_on_nodes_is_given_up_with_its_rung() -> None:
    """Nobody pays for two rungs: neither its groups nor its claim wait for machines any more."""
    slices = {"accelerator": "v6e", "topology": "4x4"}
    gpus = {"machineType": "a2-ultragpu-8g"}
    world = a_world(slices, gpus, model="mixtral-8x7b", allowExperimental=True)
    (claim,) = world.claims.values()
    told = {"type": "Ready", "status": "False", "reason": "StockedOut", "message": "no slice"}
    claim["status"] = {"state": "Failed", "conditions": [told]}
    world.step()
    wait(world, RULES.zone_patience_s * 3)
    world.step()
    outcome = world.step()
    assert ("LeaderWorkerSet", "chat-slices") not in world.children
    assert "Deployment" in {child["kind"] for child in world.children.values()}
    assert [item["spec"]["shape"]["machineType"] for item in outcome.claims] == ["a2-ultragpu-8g"]
