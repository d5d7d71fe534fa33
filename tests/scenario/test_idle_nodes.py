"""Nodes that are there and have no replica: who pays for them in the status, until the cluster autoscaler has them."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.fleet import Fleet
from tests.support.world import CLUSTER, World, make_model

from mistral_operator.planning.types import Provisioner

PRICE = Decimal("0.8536")
"""US dollars an hour of a g2-standard-8 on demand, and half of it."""
HALF = "0.4268"
ON_DEMAND: dict[str, Any] = {"machineType": "g2-standard-8"}


def serving(*nodes: str, idle: int = 0, **given: Any) -> World:
    """A model with a ready replica on each of these nodes, and so many nodes more in its pool."""
    world = World(model=make_model(replicas=len(nodes), capacity={"options": [ON_DEMAND]}), **given)
    world.step()
    world.provision()
    add_nodes(world, *nodes, *(f"idle-{number}" for number in range(idle)))
    for node in nodes:
        world.start_pod(f"pod-on-{node}", node=node)
    world.make_ready()
    world.step()
    return world


def add_nodes(world: World, *nodes: str) -> None:
    """To the pool of its only claim."""
    (claim,) = world.claims
    world.nodes |= dict.fromkeys(nodes, claim)


def cost(world: World) -> dict[str, str | None]:
    told = world.model["status"]["cost"]
    assert world.model["status"]["summary"]["hourlyCost"] == told["hourly"]
    return {"hourly": told["hourly"], "idle": told.get("idle")}


def test_after_scaling_down_the_cost_falls_when_the_node_is_gone_and_not_before() -> None:
    world = serving("a", "b")
    assert cost(world) == {"hourly": "1.7072", "idle": None}
    world.change(replicas=1)
    world.step()
    del world.pods["pod-on-b"]
    world.step()
    assert cost(world) == {"hourly": "1.7072", "idle": "0.8536"}, "the node is still there"
    del world.nodes["b"]
    world.step()
    assert cost(world) == {"hourly": "0.8536", "idle": None}


def test_a_node_costs_from_when_it_is_there_also_before_its_pod_and_after_the_pod_was_evicted() -> None:
    world = serving("a", idle=1)
    world.change(replicas=2)
    world.step()
    assert cost(world) == {"hourly": "1.7072", "idle": "0.8536"}
    world.start_pod("pod-1", node="idle-0")
    world.step()
    assert cost(world) == {"hourly": "1.7072", "idle": None}, "the same, as it is the same node"
    world.pods["pod-1"]["status"] = {"phase": "Failed", "reason": "Evicted"}
    world.step()
    assert cost(world) == {"hourly": "1.7072", "idle": "0.8536"}


@pytest.mark.parametrize("spec", [{"replicas": 0}, {"suspend": True}])
def test_a_model_without_replicas_pays_until_its_last_node_is_gone(spec: dict[str, Any]) -> None:
    world = serving("a")
    world.change(**spec)
    world.step()
    world.pods.clear()
    world.step()
    assert cost(world) == {"hourly": "0.8536", "idle": "0.8536"}
    world.nodes.clear()
    world.step()
    assert cost(world) == {"hourly": "0.00", "idle": None}


def test_two_models_share_an_idle_node_of_their_pool() -> None:
    mine, other = serving("a", idle=1, neighbours=1, taken={"b"}), serving("b", idle=1, neighbours=1, taken={"a"})
    assert list(mine.claims) == list(other.claims)
    for world in (mine, other):
        add_nodes(world, "a", "b")
        world.step()
        assert cost(world) == {"hourly": "1.2804", "idle": HALF}
    assert sum(Decimal(world.model["status"]["cost"]["hourly"]) for world in (mine, other)) == 3 * PRICE


@settings(max_examples=25, deadline=None)
@given(busy=st.lists(st.integers(0, 3), min_size=1, max_size=7), idle=st.integers(0, 9))
def test_what_all_users_pay_together_is_what_the_pool_costs(busy: list[int], idle: int) -> None:
    """Each of several models has replicas on nodes of its own; each amount is rounded to a hundredth of a cent."""
    nodes = [[f"{user}-{number}" for number in range(count)] for user, count in enumerate(busy)]
    every = {node for own in nodes for node in own}
    paid = Decimal(0)
    for own in nodes:
        world = serving(*own, idle=idle, neighbours=len(busy) - 1, taken=every - set(own))
        add_nodes(world, *every)
        world.step()
        paid += Decimal(str(cost(world)["hourly"]))
    assert abs(paid - PRICE * (len(every) + idle)) <= len(busy) * Decimal("0.00005")


def test_where_no_price_is_known_it_stays_unknown() -> None:
    world = World(model=make_model(capacity={"options": [ON_DEMAND | {"consumption": "FlexStart"}]}))
    world.step()
    add_nodes(world, "idle-0")
    world.step()
    assert cost(world) == {"hourly": "unknown", "idle": "unknown"}


def test_an_idle_node_of_a_plan_that_cannot_be_read_has_no_known_price() -> None:
    world = serving("a")
    world.change(capacity={"options": [{"machineType": "g2-standard-16"}]})
    world.step()
    world.nodes["idle-0"] = world.claim_of(world.revisions[0])
    world.revisions[0]["data"]["plan"]["options"] = "in another way"
    world.step()
    assert cost(world) == {"hourly": "unknown", "idle": "unknown"}


def test_nodes_that_were_there_before_are_not_ours_to_pay_for() -> None:
    world = serving("a", idle=2)
    (claim,) = world.claims.values()
    claim["spec"]["provisioner"] = "Existing"
    world.step()
    assert cost(world) == {"hourly": "0.8536", "idle": None}


def test_of_a_compute_class_an_idle_node_counts_as_the_dearest_way() -> None:
    spot = ON_DEMAND | {"consumption": "Spot"}
    capacity = {"provisioner": "ComputeClass", "options": [spot, ON_DEMAND]}
    cluster = replace(CLUSTER, provisioners=tuple(Provisioner))
    world = World(model=make_model(capacity=capacity), cluster=cluster)
    world.step()
    add_nodes(world, "idle-0")
    world.step()
    assert cost(world) == {"hourly": "0.8536", "idle": "0.8536"}


def test_a_slice_is_paid_for_as_a_whole_whether_pods_are_on_its_nodes_or_not() -> None:
    slices = {"options": [{"accelerator": "v6e", "topology": "4x4"}]}
    world = World(model=make_model(model="mistral-small-3.2-24b-2506", capacity=slices, allowExperimental=True))
    world.step()
    ((name, claim),) = world.claims.items()
    assert "slice" in claim["spec"]
    add_nodes(world, *(f"{name}-host-{number}" for number in range(claim["spec"]["shape"]["hosts"])))
    world.provision()
    world.step()
    price = world.model["status"]["plan"]["chosen"]["hourlyCost"]
    assert cost(world) == {"hourly": price, "idle": None}


def test_a_spread_model_is_one_user_of_a_pool_that_two_of_its_parts_need() -> None:
    """Both parts are on the same way of buying the same machine, so on one claim."""
    world = World(model=make_model(replicas=2, capacity={"options": [ON_DEMAND | {"replicas": 1}, ON_DEMAND]}))
    world.step()
    assert len(world.revisions) == 2
    add_nodes(world, "idle-0")
    world.step()
    assert cost(world) == {"hourly": "0.8536", "idle": "0.8536"}


def test_an_idle_node_takes_nothing_of_a_classs_budget() -> None:
    """It may be the very node on which the replica that waits would be."""
    fleet = Fleet(maxTotalHourlyCost="1.00")
    fleet.add("a")
    fleet.serve("a")
    world = fleet.worlds["a"]
    add_nodes(world, *(pod["spec"]["nodeName"] for pod in world.pods.values()))
    world.change(replicas=0)
    fleet.look("a")
    world.pods.clear()
    fleet.add("b")
    fleet.look("a", "b")
    assert world.model["status"]["cost"]["idle"] == "0.8536"
    assert fleet.replicas() == {"a": 0, "b": 1}
