"""Models that come while the cluster autoscaler backs off from a scale-up that failed: that is all that they hear."""

from datetime import timedelta
from typing import Any

import pytest
from tests.support.world import SETTINGS, World, autoscaler_event, make_model

RULES = SETTINGS.ladder
BACKED_OFF = "pod didn't trigger scale-up: 3 in backoff after failed scale-up"
AMONG_OTHER_SHAPES = (
    "pod didn't trigger scale-up: 1 in backoff after failed scale-up, 3 node(s) didn't match Pod's node"
    " affinity/selector, 2 max node group size reached"
)
COMBINED = f"(combined from similar events): {BACKED_OFF}"
NO_GROUP = "pod didn't trigger scale-up: 3 node(s) didn't match Pod's node affinity/selector"
STOCKED_OUT = "Node scale up in zones us-central1-a associated with this pod failed: GCE out of resources"
L4 = {"accelerator": "l4", "devices": 1}
A100 = {"accelerator": "a100-40", "devices": 1}


def a_world(*options: dict[str, Any]) -> World:
    world = World(model=make_model(capacity={"options": list(options)}))
    world.step()
    world.provision()
    return world


def hear(world: World, *told: tuple[str, str]) -> None:
    """The model's pod has no node, and the cluster autoscaler says each of these, a second apart."""
    pod = world.pods.get("chat-0") or world.start_pod(node="")
    for reason, message in told:
        world.events.append(autoscaler_event(pod, reason, message, world.now.strftime("%Y-%m-%dT%H:%M:%SZ")))
        world.step()


def wait(world: World, seconds: float) -> None:
    world.now += timedelta(seconds=seconds)
    world.step()
    world.step()


def states(world: World) -> list[tuple[str, str | None]]:
    return [(rung["state"], rung.get("reason")) for rung in world.model["status"]["capacity"]["options"]]


@pytest.mark.parametrize("text", [BACKED_OFF, AMONG_OTHER_SHAPES, COMBINED])
def test_a_rung_is_left_after_the_patience_with_its_zones_and_not_after_the_deadline(text: str) -> None:
    world = a_world(L4, A100)
    patience_s = RULES.zone_patience_s * 3
    assert patience_s < RULES.deadline_s["OnDemand"] / 2
    hear(world, ("NotTriggerScaleUp", text))
    wait(world, patience_s / 2)
    assert [state for state, _ in states(world)] == ["Trying", "Next"], "another zone may have some"
    wait(world, patience_s / 2)
    assert states(world)[0] == ("Exhausted", "ScaleUpBackedOff")
    assert states(world)[1][0] == "Trying"
    assert text in world.model["status"]["capacity"]["options"][0]["message"]


def test_on_the_only_rung_the_condition_quotes_the_autoscaler_and_says_what_it_means() -> None:
    world = a_world(L4)
    hear(world, ("NotTriggerScaleUp", BACKED_OFF))
    wait(world, 2 * RULES.deadline_s["OnDemand"])
    capacity = world.condition("CapacityReady")
    assert (capacity["status"], capacity["reason"]) == ("False", "ScaleUpBackedOff")
    assert BACKED_OFF in capacity["message"]
    assert "most often because Google had none of these machines" in capacity["message"]
    assert "spec.capacity.options" in capacity["message"]
    assert world.condition("Ready")["reason"] == "ScaleUpBackedOff"
    assert world.condition("Stalled")["status"] == "False", "GKE tries again by itself"


def test_a_stock_out_that_the_pod_itself_was_told_of_outweighs_the_backoff() -> None:
    world = a_world(L4, A100)
    failed, after = ("FailedScaleUp", STOCKED_OUT), ("NotTriggerScaleUp", BACKED_OFF)
    hear(world, failed, after)
    assert world.condition("CapacityReady")["reason"] == "StockedOut"
    assert STOCKED_OUT in world.condition("CapacityReady")["message"]


def test_the_patience_counts_on_when_the_backoff_ends_in_another_stock_out() -> None:
    world = a_world(L4, A100)
    hear(world, ("NotTriggerScaleUp", BACKED_OFF))
    wait(world, RULES.zone_patience_s * 3 / 2)
    hear(world, ("FailedScaleUp", STOCKED_OUT))
    assert [state for state, _ in states(world)] == ["Trying", "Next"]
    wait(world, RULES.zone_patience_s * 3 / 2)
    assert states(world)[0] == ("Exhausted", "StockedOut")


def test_no_group_for_the_pod_is_no_stock_out() -> None:
    world = a_world(L4, A100)
    hear(world, ("NotTriggerScaleUp", NO_GROUP))
    wait(world, RULES.zone_patience_s * 3)
    assert states(world)[0] == ("Trying", "NoScaleUp")
    assert world.condition("CapacityReady")["reason"] == "NoScaleUp"


def test_a_model_stays_when_the_backoff_is_over_and_machines_come() -> None:
    world = a_world(L4, A100)
    hear(world, ("NotTriggerScaleUp", BACKED_OFF), ("TriggeredScaleUp", "pod triggered scale-up"))
    assert world.condition("CapacityReady")["reason"] == "ScalingUp"
    wait(world, RULES.zone_patience_s * 3)
    assert states(world)[0] == ("Trying", "ScalingUp")
