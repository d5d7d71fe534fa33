"""The autoscaler's two halves on multi-host TPU slices, without a cluster: pods are written down by hand."""

from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from tests.support.polling import eventually
from tests.support.simulated_gke import Gke, Start, slice_pool, tpu_pool

from mistral_operator.sandbox.gke.pools import Instance, PodRef
from mistral_operator.sandbox.gke.scale_down import ScaleDown
from mistral_operator.sandbox.gke.scale_up import ScaleUp
from mistral_operator.sandbox.gke.scenario import Stock

AUTO = {"autoscaling": {"enabled": True, "max_node_count": 4, "location_policy": "ANY"}, "initial_node_count": 0}
PENDING = {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]}
TOO_FEW = "pod didn't trigger scale-up: 1 multi-host TPU slice(s) without a pending Pod for every node"


@dataclass
class Notebook:
    """In place of the event writer, and of the autoscaler's taint on nodes: `occupied` has those that a pod came to."""

    told: list[tuple[str, str, str]] = field(default_factory=list)
    occupied: set[str] = field(default_factory=set)
    unmarked: list[str] = field(default_factory=list)

    def on_pod(self, pod: PodRef, kind: str, reason: str, message: str) -> None:
        self.told.append((pod.name, reason, message))

    def on_node(self, name: str, kind: str, reason: str, message: str) -> None:
        self.told.append((name, reason, message))

    async def mark(self, instance: Instance) -> bool:
        return instance.name not in self.occupied

    async def unmark(self, instance: Instance) -> None:
        self.unmarked.append(instance.name)

    def names(self, reason: str) -> list[str]:
        return sorted(name for name, given, _ in self.told if given == reason)


@dataclass
class World:
    """A simulated GKE, pods and both halves."""

    gke: Gke
    notes: Notebook = field(default_factory=Notebook)
    pods: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        api, notes = self.gke.api, cast("Any", self.notes)
        self.up = ScaleUp(api.cloud, notes, api.pace, self.pods)
        self.down = ScaleDown(api.cloud, notes, notes, api.pace, self.pods)

    def add_pods(self, count: int, chips: int = 4, topology: str = "4x4", prefix: str = "p") -> None:
        """Pods that the scheduler found no place for."""
        for number in range(count):
            name = f"{prefix}{number}"
            self.pods[f"ns/{name}"] = {
                "metadata": {"namespace": "ns", "name": name, "uid": name},
                "spec": {
                    "containers": [{"name": "c", "resources": {"limits": {"google.com/tpu": str(chips)}}}],
                    "nodeSelector": {"cloud.google.com/gke-tpu-topology": topology},
                    "tolerations": [{"key": "google.com/tpu", "operator": "Exists"}],
                },
                "status": PENDING,
            }

    def bind(self, name: str, node: str) -> None:
        self.pods[f"ns/{name}"]["spec"]["nodeName"] = node


@pytest.fixture
async def world(gke: Gke) -> World:
    """With an autoscaled slice of four hosts, none there."""
    await gke.done(await gke.create(**slice_pool(**AUTO)))
    return World(gke)


async def test_a_slice_waits_for_as_many_pods_as_it_has_hosts(world: World) -> None:
    world.add_pods(3)
    world.up.scan()
    assert world.notes.told == [(f"p{number}", "NotTriggerScaleUp", TOO_FEW) for number in range(3)]
    assert not world.gke.api.cloud.pools["mm-pool"].instances
    world.add_pods(4)
    world.up.scan()
    assert world.notes.names("TriggeredScaleUp") == ["p0", "p1", "p2", "p3"]
    assert world.notes.told[-1][2].endswith(" 0->4 (max: 4)}]")
    # On their way, so nothing more is asked for.
    world.up.scan()
    await eventually(lambda: len(world.gke.nodes_of()) == 4, message="the whole slice")
    assert world.gke.api.cloud.pools["mm-pool"].size() == 4


async def test_a_whole_slice_has_no_room_for_a_fifth_pod(world: World) -> None:
    world.add_pods(5)
    world.up.scan()
    assert world.gke.api.cloud.pools["mm-pool"].size() == 4
    assert [told for told in world.notes.told if told[0] == "p4"] == [
        ("p4", "NotTriggerScaleUp", "pod didn't trigger scale-up: 1 max node group size reached")
    ]


async def test_a_host_out_of_stock_fails_the_slice_for_every_pod(start: Start) -> None:
    gke = await start(stock=[{"nodes": 3}])
    await gke.done(await gke.create(**slice_pool(**AUTO)))
    world = World(gke)
    world.add_pods(4)
    world.up.scan()
    pool = gke.api.cloud.pools["mm-pool"]
    await eventually(lambda: len(world.notes.names("FailedScaleUp")) == 4, message="all four are told")
    assert "failed: GCE out of resources." in world.notes.told[-1][2]
    assert (pool.instances, gke.nodes_of()) == ({}, [])
    world.up.scan()
    assert world.notes.told[-1][2] == "pod didn't trigger scale-up: 1 in backoff after failed scale-up"
    assert not pool.repairing


async def test_a_slice_under_repair_is_left_to_gke(start: Start) -> None:
    gke = await start(delays_s={"resize_retry": 10**6})
    await gke.done(await gke.create(**slice_pool(**AUTO | {"initial_node_count": 4})))
    pool = gke.api.cloud.pools["mm-pool"]
    gke.api.warehouse.set_stock(Stock(nodes=0))
    await gke.api.lose(pool, next(iter(pool.instances.values())), gke.api.fleet.crash)
    await eventually(lambda: bool(pool.message.conditions), message="no stock for the repair")
    world = World(gke)
    world.add_pods(4)
    world.up.scan()
    assert world.notes.told[-1][2] == "pod didn't trigger scale-up: 1 not ready for scale-up"
    assert not pool.instances


@pytest.mark.parametrize(("chips", "grown"), [(8, "mm-one"), (4, "mm-two")])
async def test_one_topology_is_two_kinds_of_machine(gke: Gke, chips: int, grown: str) -> None:
    two = {"enabled": True, "max_node_count": 2, "location_policy": "ANY"}
    await gke.done(await gke.create(**tpu_pool(name="mm-one")))
    await gke.done(await gke.create(**slice_pool("2x4", hosts=0, name="mm-two", autoscaling=two)))
    world = World(gke)
    world.add_pods(2, chips=chips, topology="2x4")
    world.up.scan()
    sizes = {name: pool.size() for name, pool in gke.api.cloud.pools.items() if name.startswith("mm-")}
    assert sizes == {"mm-one": 0, "mm-two": 0} | {grown: 2}


async def test_a_slice_goes_when_no_host_is_used_and_not_before(start: Start) -> None:
    gke = await start(delays_s={"scale_down_unneeded": 0})
    await gke.done(await gke.create(**slice_pool(**AUTO | {"initial_node_count": 4})))
    world = World(gke)
    world.add_pods(1)
    pool = gke.api.cloud.pools["mm-pool"]
    world.bind("p0", gke.nodes_of()[0])
    world.down.scan()
    assert pool.size() == 4
    world.pods.clear()
    hosts = gke.nodes_of()
    world.down.scan()
    assert pool.size() == 0
    await eventually(lambda: not pool.instances, message="all gone")
    assert world.notes.names("ScaleDown") == hosts


async def test_a_pod_that_comes_at_the_last_moment_keeps_the_slice(start: Start) -> None:
    gke = await start(delays_s={"scale_down_unneeded": 0})
    await gke.done(await gke.create(**slice_pool(**AUTO | {"initial_node_count": 4})))
    world = World(gke)
    first, *others = gke.nodes_of()
    world.notes.occupied = {first}
    world.down.scan()
    await eventually(lambda: len(world.notes.unmarked) == 3, message="the others' taint is gone")
    pool = gke.api.cloud.pools["mm-pool"]
    await eventually(lambda: pool.size() == 4, message="it stays")
    assert (sorted(world.notes.unmarked), gke.nodes_of()) == (others, [first, *others])
    assert world.notes.names("ScaleDown") == []
