"""A model on reserved or flex-start machines: what its status says while it waits for them."""

from typing import Any

import pytest
from tests.support.world import World, autoscaler_event, make_model

ZONES = ["us-central1-a"]
RESERVED = {"accelerator": "l4", "consumption": "Reservation", "reservation": "team-gpus", "zones": ZONES}
PATH = "projects/p/zones/z/reservations/team-gpus"
FULL = f"Specified reservation '{PATH}' does not have available resources for the request."


def waiting(option: dict[str, Any], reason: str, words: str) -> World:
    """A model whose only pod has no node, and what the cluster autoscaler says of it."""
    world = World(model=make_model(capacity={"options": [option]}))
    world.step()
    world.provision()
    world.events = [autoscaler_event(world.start_pod(node=""), reason, words)]
    world.step()
    return world


@pytest.mark.parametrize(
    ("words", "reason", "command"),
    [
        (
            "GCE error RESERVATION_NOT_FOUND",
            "ReservationNotFound",
            "gcloud compute reservations list --project sandbox",
        ),
        (
            FULL,
            "ReservationExhausted",
            "gcloud compute reservations update team-gpus --zone z --project p --vm-count COUNT",
        ),
    ],
)
def test_what_a_reservation_lacks_is_quoted_with_the_command_that_mends_it(
    words: str, reason: str, command: str
) -> None:
    condition = waiting(RESERVED, "FailedScaleUp", words).condition("CapacityReady")
    assert (condition["status"], condition["reason"]) == ("False", reason)
    assert words in condition["message"]
    assert command in condition["message"]


def test_the_status_says_how_capacity_is_bought() -> None:
    world = waiting({"accelerator": "l4", "consumption": "FlexStart"}, "TriggeredScaleUp", "pod triggered scale-up")
    status = world.model["status"]
    assert "FlexStart" in status["summary"]["hardware"]
    assert status["plan"]["chosen"]["consumption"] == "FlexStart"
    assert world.condition("CapacityReady")["reason"] == "ScalingUp"
    assert world.condition("Stalled")["status"] == "False", "it waits for as long as Google takes"


def test_going_from_on_demand_to_a_reservation_is_another_claim_beside_the_first() -> None:
    world = World(model=make_model(capacity={"options": [{"accelerator": "l4"}]}))
    world.step()
    world.provision()
    world.start_pod()
    world.make_ready()
    world.step()
    before = set(world.claims)
    world.change(capacity={"options": [RESERVED]})
    world.step()
    added = {name: claim["spec"] for name, claim in world.claims.items() if name not in before}
    assert before < set(world.claims), "the running replica keeps its pool"
    assert [spec["reservation"] for spec in added.values()] == ["team-gpus"]
