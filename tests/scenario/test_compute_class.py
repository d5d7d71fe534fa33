"""A model on ComputeClasses: GKE goes through the ways to buy one machine, the ladder from one class to the next."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from tests.support.world import CLUSTER, World, autoscaler_event, make_model

from mistral_operator.planning.types import Provisioner

GKE = replace(CLUSTER, provisioners=tuple(Provisioner))
SPOT = {"machineType": "g2-standard-8", "consumption": "Spot"}
L4 = {"machineType": "g2-standard-8"}
A100 = {"machineType": "a2-highgpu-1g"}
FLEX = {"machineType": "g2-standard-8", "consumption": "FlexStart"}
STOCK_OUT = "Node scale up in zones us-central1-a associated with this pod failed: GCE out of resources."
FIRST, SECOND = "g2-standard-8-spot-ondemand", "a2-highgpu-1g-ondemand"


def model_on(*options: dict[str, Any], replicas: int = 1, **capacity: Any) -> World:
    named = {"provisioner": "ComputeClass", "options": list(options), **capacity}
    world = World(model=make_model(capacity=named, replicas=replicas), cluster=GKE)
    world.step()
    world.provision()
    return world


def rungs(world: World) -> dict[str, str]:
    return {rung["name"]: rung["state"] for rung in world.model["status"]["capacity"]["options"]}


def test_pods_ask_for_the_class_and_for_nothing_that_its_priorities_decide() -> None:
    world = model_on(SPOT, L4)
    (claim,) = world.claims.values()
    pod = world.deployment["spec"]["template"]["spec"]
    name = claim["metadata"]["name"]
    assert pod["nodeSelector"] == {
        "cloud.google.com/compute-class": f"mm-{name}",
        "serving.mistral-operator.dev/shape": name,
    }
    assert {"key": "cloud.google.com/compute-class", "value": f"mm-{name}", "effect": "NoSchedule"} in pod[
        "tolerations"
    ]
    assert [claim["spec"]["consumption"], *(way["consumption"] for way in claim["spec"]["alternatives"])] == [
        "Spot",
        "OnDemand",
    ]
    assert pod["terminationGracePeriodSeconds"] < 30, "the spot node among them grants no more"


def test_gke_has_its_time_for_every_priority_before_the_class_is_left() -> None:
    world = model_on(SPOT, L4, A100)
    world.events = [autoscaler_event(world.start_pod(node=""), "FailedScaleUp", STOCK_OUT)]
    world.step()
    patience = timedelta(seconds=world.settings.ladder.zone_patience_s * len(CLUSTER.zones))
    world.now += patience + timedelta(seconds=1)
    world.step()
    assert rungs(world) == {FIRST: "Trying", SECOND: "Next"}, "on demand had no turn yet"
    world.now += patience
    world.step()
    world.step()
    assert rungs(world)[FIRST] == "Exhausted"
    assert {claim["spec"]["shape"]["machineType"] for claim in world.claims.values()} >= {"a2-highgpu-1g"}


def test_a_spend_limit_counts_the_dearest_priority() -> None:
    world = model_on(SPOT, L4, replicas=4, maxHourlyCost="1.00")
    assert world.deployment["spec"]["replicas"] == 1, "two of them would cost $1.71 once GKE buys on demand"


def test_the_summary_names_every_way_in_which_it_may_run() -> None:
    world = model_on(SPOT, L4)
    assert "g2-standard-8, Spot/OnDemand" in world.model["status"]["summary"]["hardware"]


def test_only_a_flex_start_node_of_a_class_has_an_end() -> None:
    for labels, replicas in (({}, 1), ({"cloud.google.com/gke-flex-start": "true"}, 2)):
        world = model_on(L4, FLEX)
        world.set_machine("node-1", labels=labels)
        world.start_pod("chat-0", node="node-1")
        world.make_ready("chat-0")
        world.step()
        world.now += timedelta(days=7, seconds=-60)
        world.step()
        assert world.deployment["spec"]["replicas"] == replicas, labels
