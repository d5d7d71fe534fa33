"""Successors for replicas whose nodes are going to end: flex-start runs, host maintenance, shutdowns."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.support.world import CLUSTER, SETTINGS, World, make_class, make_model

from mistral_operator.planning.serialize import plan_from_dict
from mistral_operator.planning.types import ClusterProfile, Provisioner

WEEK = timedelta(days=7)
LEAD = timedelta(seconds=SETTINGS.ladder.successor_lead_s)
MAINTENANCE = "cloud.google.com/scheduled-maintenance-time"
SHUTDOWN = {"key": "cloud.google.com/impending-node-termination", "effect": "NoSchedule"}
COST = "controller.kubernetes.io/pod-deletion-cost"
FLEX = {"accelerator": "l4", "devices": 1, "consumption": "FlexStart"}
L4 = {"accelerator": "l4", "devices": 1}


def serving(*option: dict[str, Any], replicas: int = 1, cluster: ClusterProfile = CLUSTER, **spec: Any) -> World:
    """A model that serves, each replica on a node of its own that has just come."""
    capacity = {"options": list(option or (FLEX,)), **spec.pop("capacity", {})}
    world = World(model=make_model(capacity=capacity, replicas=replicas, **spec), cluster=cluster)
    world.step()
    world.provision()
    for index in range(replicas):
        add_replica(world, f"chat-{index}")
    world.step()
    return world


def add_replica(world: World, name: str, node: str = "", *, ready: bool = True) -> None:
    node = node or f"node-of-{name}"
    if node not in world.machines:
        world.set_machine(node)
    world.start_pod(name, node=node)
    if ready:
        world.make_ready(name)


def lead(world: World) -> timedelta:
    """Before the end by so much a successor is begun."""
    plan = plan_from_dict(world.revisions[-1]["data"]["plan"])
    return max(LEAD, timedelta(seconds=SETTINGS.ladder.successor_margin * plan.chosen.startup.total_s))


def wanted(world: World) -> int:
    return int(world.deployment["spec"]["replicas"])


def marked(world: World) -> set[str]:
    return {name for name, pod in world.pods.items() if pod["metadata"].get("annotations", {}).get(COST) == "-100"}


def announce_maintenance(world: World, node: str, after: timedelta) -> None:
    world.set_machine(node, labels={MAINTENANCE: str(int((world.now + after).timestamp()))})


def test_a_flex_start_node_has_its_successor_before_it_ends() -> None:
    world = serving()
    born = world.now
    outcome = world.step()
    assert wanted(world) == 1
    assert outcome.requeue_after_s is not None, "nobody else tells when it is time"
    woken = world.now + timedelta(seconds=outcome.requeue_after_s)
    assert timedelta(0) <= woken - (born + WEEK - lead(world)) <= timedelta(seconds=5)

    world.now = woken
    world.step()
    assert wanted(world) == 2
    assert marked(world) == {"chat-0"}, "marked before the workload is ever made smaller"
    assert world.condition("Ready")["status"] == "True"
    assert world.condition("Degraded")["status"] == "False"
    told = world.condition("WorkloadReady")
    assert (told["status"], told["reason"]) == ("True", "ReplicaEndsSoon")
    assert "Pod chat-0 is on node node-of-chat-0, which ends when its longest run is over" in told["message"]
    assert "A successor is being started" in told["message"]
    assert world.condition("Reconciling")["status"] == "True"

    add_replica(world, "chat-1", ready=False)
    world.step()
    assert wanted(world) == 2, "a successor that doesn't answer yet replaces nobody"
    world.make_ready("chat-1")
    world.step()
    assert wanted(world) == 1
    assert "Its successor answers" in world.condition("WorkloadReady")["message"]
    del world.pods["chat-0"], world.machines["node-of-chat-0"]
    world.step()
    assert wanted(world) == 1
    assert world.condition("WorkloadReady")["reason"] == "ReplicasReady"
    assert world.condition("Reconciling")["status"] == "False"
    told_once = [each["reason"] for each in world.model["status"]["timeline"]].count("ReplicaEndsSoon")
    assert told_once == 1


def test_a_spot_node_that_shuts_down_has_its_successor_at_once() -> None:
    world = serving(L4 | {"consumption": "Spot"}, replicas=2)
    world.set_machine("node-of-chat-1", taints=[SHUTDOWN])
    world.step()
    assert wanted(world) == 3
    assert marked(world) == {"chat-1"}
    assert "is being shut down" in world.condition("WorkloadReady")["message"]


def test_announced_maintenance_counts_once_it_is_near_and_is_forgotten_when_it_is_called_off() -> None:
    world = serving(L4)
    announce_maintenance(world, "node-of-chat-0", timedelta(days=1))
    outcome = world.step()
    assert wanted(world) == 1
    assert outcome.requeue_after_s == pytest.approx((timedelta(days=1) - lead(world)).total_seconds(), abs=2)
    announce_maintenance(world, "node-of-chat-0", lead(world))
    world.step()
    assert (wanted(world), marked(world)) == (2, {"chat-0"})
    world.set_machine("node-of-chat-0")
    world.step()
    assert (wanted(world), marked(world)) == (1, set())


def test_an_end_that_never_came_is_not_waited_for() -> None:
    world = serving(L4)
    announce_maintenance(world, "node-of-chat-0", -timedelta(hours=2))
    world.step()
    assert wanted(world) == 1


@pytest.mark.parametrize("label", ["soon", "-5", "1" * 30])
def test_a_label_that_is_no_time_says_nothing(label: str) -> None:
    world = serving(L4)
    world.set_machine("node-of-chat-0", labels={MAINTENANCE: label})
    world.step()
    assert wanted(world) == 1


def test_replicas_that_end_together_are_replaced_one_after_the_other_and_none_lands_on_an_emptied_node() -> None:
    world = serving(replicas=2)
    world.step()
    world.now += WEEK - lead(world)
    world.step()
    assert wanted(world) == 3, "one machine more at a time"
    assert "So do 1 more" in world.condition("WorkloadReady")["message"]
    add_replica(world, "chat-2")
    world.step()
    assert wanted(world) == 2
    del world.pods["chat-0"]  # The Deployment's controller removes one that is marked; its node is still there.
    outcome = world.step()
    assert wanted(world) == 2, "the next successor would land on the emptied node, which ends as well"
    assert "when the node of the one before it has been removed" in world.condition("WorkloadReady")["message"]
    assert outcome.requeue_after_s is not None
    assert outcome.requeue_after_s <= 30
    del world.machines["node-of-chat-0"]
    world.step()
    assert wanted(world) == 3
    add_replica(world, "chat-3")
    world.step()
    del world.pods["chat-1"], world.machines["node-of-chat-1"]
    world.step()
    assert wanted(world) == 2
    assert world.condition("WorkloadReady")["reason"] == "ReplicasReady"


def test_no_successor_is_begun_for_an_emptied_node_that_only_the_taint_of_its_class_closes() -> None:
    """The pods tolerate GKE's taint on the nodes of their ComputeClass."""
    cluster = replace(CLUSTER, provisioners=tuple(Provisioner))
    world = serving(FLEX, replicas=2, cluster=cluster, capacity={"provisioner": "ComputeClass"})
    (claim,) = world.claims
    taint = {"key": "cloud.google.com/compute-class", "value": f"mm-{claim}", "effect": "NoSchedule"}
    for name in ("node-of-chat-0", "node-of-chat-1"):
        world.set_machine(name, labels={"cloud.google.com/gke-flex-start": "true"}, taints=[taint])
    world.step()
    world.now += WEEK - lead(world)
    world.step()
    assert wanted(world) == 3
    add_replica(world, "chat-2")
    world.step()
    del world.pods["chat-0"]
    world.step()
    assert wanted(world) == 2, "the next successor would land on the emptied node, which ends as well"
    del world.machines["node-of-chat-0"]
    world.step()
    assert wanted(world) == 3


def test_the_second_of_two_that_end_together_is_begun_as_much_earlier_as_the_first_takes() -> None:
    world = serving(replicas=2)
    world.now += WEEK - 2 * lead(world)
    world.step()
    assert wanted(world) == 3


def test_limits_that_do_not_pay_for_a_successor_are_told() -> None:
    world = serving(L4, capacity={"maxHourlyCost": "1.00"})
    announce_maintenance(world, "node-of-chat-0", timedelta(0))
    world.step()
    assert wanted(world) == 1
    assert world.condition("Ready")["status"] == "True"
    degraded = world.condition("Degraded")
    assert (degraded["status"], degraded["reason"]) == ("True", "NoSuccessor")
    assert "the spend limits don't pay for one machine more" in degraded["message"]
    world.change(capacity={"options": [L4], "maxHourlyCost": "1.00", "maxSurgeHourlyCost": "1.00"})
    world.step()
    assert wanted(world) == 2


def test_recreate_and_a_class_that_allows_it_no_more_rule_a_successor_out() -> None:
    world = serving(L4, rollout={"strategy": "Recreate"})
    announce_maintenance(world, "node-of-chat-0", timedelta(0))
    world.step()
    assert wanted(world) == 1
    assert "Recreate" in world.condition("Degraded")["message"]
    world = serving(L4)
    world.classes["standard"] = make_class(limits={"accelerators": ["h100-80"]})
    announce_maintenance(world, "node-of-chat-0", timedelta(0))
    world.step()
    assert wanted(world) == 1
    assert world.condition("Degraded")["status"] == "True"


def test_a_roll_out_replaces_its_replicas_anyway() -> None:
    world = serving(L4)
    world.change(engine={"contextLength": 4096})
    announce_maintenance(world, "node-of-chat-0", timedelta(0))
    world.step()
    assert wanted(world) == 1
    assert marked(world) == set()


def test_scaling_goes_on_while_a_successor_is_started() -> None:
    world = serving(L4)
    announce_maintenance(world, "node-of-chat-0", timedelta(0))
    world.step()
    assert wanted(world) == 2
    world.change(replicas=3)
    world.step()
    assert wanted(world) == 4
    world.change(replicas=0)
    world.step()
    assert wanted(world) == 0
