"""Models that share a GPU, through `sync` alone: what a spend limit pays for, and what stays as it was."""

from typing import Any

import pytest
from tests.support.world import World, make_model

PRICE = 0.8536


def sharing(clients: int = 2, **limits: Any) -> dict[str, Any]:
    option = {"machineType": "g2-standard-8", "sharing": {"strategy": "TimeSharing", "clients": clients}}
    return {"options": [option], **limits}


def world_of(**spec: Any) -> World:
    world = World(model=make_model(model="ministral-3-3b-2512", allowExperimental=True, **spec))
    world.step()
    return world


@pytest.mark.parametrize(("limit", "replicas"), [("0.86", 2), ("1.70", 2), ("1.71", 4), ("9.00", 5)])
def test_a_spend_limit_pays_for_whole_machines_with_all_their_places(limit: str, replicas: int) -> None:
    world = world_of(replicas=5, capacity=sharing(maxHourlyCost=limit))
    assert world.deployment["spec"]["replicas"] == replicas
    assert (world.condition("Degraded")["reason"] == "HourlyCostLimit") == (replicas < 5)


def test_a_limit_below_one_machine_refuses_what_would_be_cheaper_only_beside_others() -> None:
    world = world_of(capacity=sharing(maxHourlyCost="0.50"))
    accepted = world.condition("Accepted")
    assert (accepted["status"], accepted["reason"]) == ("False", "NothingFits")
    assert "more than spec.capacity.maxHourlyCost: $0.50/h" in accepted["message"]


def test_models_that_share_in_the_same_way_have_one_claim() -> None:
    mine, other = world_of(capacity=sharing()), world_of(capacity=sharing(), replicas=3)
    assert list(mine.claims) == list(other.claims)
    shape = next(iter(mine.claims.values()))["spec"]["shape"]
    assert shape["sharing"] == {"strategy": "TimeSharing", "clients": 2}


def test_the_status_tells_what_a_replica_has_of_its_gpu() -> None:
    world = world_of(capacity=sharing())
    chosen = world.model["status"]["plan"]["chosen"]
    assert (chosen["part"], chosen["replicasPerNode"], chosen["devices"]) == ("1/2 of l4", 2, 1)
    assert "1/2 of l4" in world.model["status"]["summary"]["hardware"]


def test_sharing_is_planned_anew_when_it_is_asked_for() -> None:
    world = world_of(capacity={"options": [{"machineType": "g2-standard-8"}]})
    (before,) = world.claims
    world.change(capacity=sharing())
    world.step()
    assert set(world.claims) - {before}, "another way to use the GPU is another pool"


def test_replicas_on_one_machine_cost_it_once() -> None:
    world = world_of(capacity=sharing(), replicas=3)
    for index, node in enumerate(("node-1", "node-1", "node-2")):
        world.start_pod(f"chat-{index}", node=node)
    world.step()
    assert world.model["status"]["cost"]["hourly"] == "1.7072"
