"""A model on reserved or flex-start machines: what its status says while it waits for them."""

from datetime import timedelta
from typing import Any

import pytest
from tests.support.world import SETTINGS, World, autoscaler_event, make_model

from mistral_operator.api.names import SHAPE_LABEL

ZONES = ["us-central1-a"]
RESERVED = {
    "machineType": "g2-standard-8",
    "consumption": "Reservation",
    "reservation": "team-gpus",
    "zones": ZONES,
}
ON_DEMAND = {"machineType": "g2-standard-8"}
PATH = "projects/p/zones/us-central1-a/reservations/team-gpus"
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
            "gcloud compute reservations update team-gpus --zone us-central1-a --project p --vm-count COUNT",
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


def rolling(world: World) -> dict[str, Any]:
    found: dict[str, Any] = world.deployment["spec"]["strategy"]["rollingUpdate"]
    return found


def replicas_on(world: World) -> str:
    """The way in which the machines that replicas ask for are bought."""
    shape = world.deployment["spec"]["template"]["spec"]["nodeSelector"][SHAPE_LABEL]
    return str(world.claims[shape]["spec"]["consumption"])


def test_a_full_reservation_is_left_for_the_next_rung_and_climbed_back_to_beside_what_serves() -> None:
    world = World(model=make_model(capacity={"options": [RESERVED, ON_DEMAND]}))
    world.step()
    world.provision()
    pod = world.start_pod(node="")
    world.events = [autoscaler_event(pod, "FailedScaleUp", FULL, "2026-11-23T12:00:00Z")]
    world.step()
    assert replicas_on(world) == "Reservation", "its zone has its turn first"
    world.now += timedelta(seconds=SETTINGS.ladder.zone_patience_s)
    world.step()
    world.step()
    assert replicas_on(world) == "OnDemand"
    del world.pods["chat-0"]
    world.provision()
    world.start_pod("chat-1")
    world.make_ready("chat-1")
    world.step()
    assert world.condition("Ready")["status"] == "True"
    first = world.model["status"]["capacity"]["options"][0]
    assert (first["state"], first["reason"]) == ("Exhausted", "ReservationExhausted")
    world.now += timedelta(seconds=2 * max(SETTINGS.ladder.stockout_cooldown_s, SETTINGS.ladder.return_interval_s))
    world.step()
    world.step()
    assert replicas_on(world) == "Reservation"
    assert rolling(world) == {"maxSurge": 1, "maxUnavailable": 0}, "what serves goes last"


def test_a_missing_reservation_is_no_stock_out_to_wait_for() -> None:
    world = World(model=make_model(capacity={"options": [RESERVED, ON_DEMAND]}))
    world.step()
    world.provision()
    world.events = [autoscaler_event(world.start_pod(node=""), "FailedScaleUp", "GCE error RESERVATION_NOT_FOUND")]
    world.step()
    world.step()
    assert replicas_on(world) == "OnDemand"
    assert world.model["status"]["capacity"]["options"][0]["state"] == "Refused"


def test_within_a_reservation_a_replica_goes_before_the_next_one_comes() -> None:
    world = World(model=make_model(capacity={"options": [RESERVED]}))
    world.step()
    world.provision()
    world.start_pod()
    world.make_ready()
    world.step()
    world.change(engine={"contextLength": 4096})
    world.step()
    assert len(world.revisions) == 2
    assert rolling(world) == {"maxSurge": 0, "maxUnavailable": 1}


def test_two_reservations_of_the_same_machine_are_two_rungs() -> None:
    options = [RESERVED, {**RESERVED, "reservation": "projects/other/reservations/team-gpus"}]
    world = World(model=make_model(capacity={"options": options}))
    world.step()
    names = [rung["name"] for rung in world.model["status"]["capacity"]["options"]]
    assert names == [
        "g2-standard-8-reservation-us-central1-a-of-team-gpus",
        "g2-standard-8-reservation-us-central1-a-of-projects/other/reservations/team-gpus",
    ]
