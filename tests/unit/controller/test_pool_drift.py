"""What the claim reconciler does about a pool that somebody changed: once, told once, and never under anybody's pod."""

from dataclasses import replace
from typing import Any

import pytest
from tests.support.claim_cases import NAME, POOL, SETTINGS
from tests.support.claim_world import Crash, Kills, World

from mistral_operator.api.names import SHAPE_LABEL
from mistral_operator.capacity.claims.drift import DriftPolicy
from mistral_operator.capacity.port import Taint
from mistral_operator.cluster.kinds import NODE, POD
from mistral_operator.controller.pool_pods import NODE_POOL_LABEL

REPLACES = replace(SETTINGS, drift=DriftPolicy.REPLACE)


async def settled(**world: Any) -> World:
    made = World(**world)
    made.add_model()
    await made.settle()
    return made


def change(world: World, **changes: Any) -> None:
    world.cloud.pools[POOL] = replace(world.cloud.pools[POOL], **changes)


def add_pod(world: World, **metadata: Any) -> None:
    labels = {SHAPE_LABEL: NAME, NODE_POOL_LABEL: POOL}
    world.cluster.put(
        NODE, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n", "uid": "n", "labels": labels}}
    )
    name = {"name": "p", "namespace": "others", "uid": "uid-p", **metadata}
    world.cluster.put(POD, {"apiVersion": "v1", "kind": "Pod", "metadata": name, "spec": {"nodeName": "n"}})


async def test_everything_is_put_right_and_each_thing_told_once() -> None:
    world = await settled()
    upkeep = world.cloud.pools[POOL].upkeep
    assert upkeep is not None
    before = world.cloud.pools[POOL]
    taint = Taint("team.example/mine", "", "NoExecute")
    change(world, node_labels={}, taints=(taint,), upkeep=replace(upkeep, auto_repair=False))
    await world.settle(for_s=120)
    assert world.cloud.pools[POOL] == before
    assert sorted(note["finding"] for note in world.told) == ["ManagementChanged", "NodeLabelsChanged", "TaintsAdded"]
    assert world.cloud.calls.count("mend") == 3
    assert world.condition()["reason"] == "PoolReady"
    assert world.condition("Degraded")["status"] == "False"


async def test_a_process_that_dies_while_it_mends_leaves_it_to_the_next() -> None:
    world = await settled(kills=Kills())
    change(world, node_labels={})
    world.kills.after = world.kills.effects + 1
    with pytest.raises(Crash):
        await world.settle(for_s=120)
    world.kills.disarm()
    world.start()
    await world.settle(for_s=120)
    assert world.cloud.pools[POOL].node_labels == {SHAPE_LABEL: NAME}
    assert world.cloud.calls.count("create") == 1


async def test_a_deleted_pool_is_made_again_once() -> None:
    world = await settled()
    del world.cloud.pools[POOL]
    await world.settle(for_s=120)
    assert POOL in world.cloud.pools
    assert [(note["finding"], note["done"]) for note in world.told] == [("PoolGone", "Replaced")]
    assert world.cloud.calls.count("create") == 2


@pytest.mark.parametrize(
    ("pod", "goes"),
    [
        (None, True),
        ({}, False),
        ({"ownerReferences": [{"kind": "DaemonSet", "uid": "d", "controller": True}]}, True),
        ({"annotations": {"kubernetes.io/config.mirror": "x"}}, True),
        ({"ownerReferences": [{"kind": "ReplicaSet", "uid": "r", "controller": True}]}, False),
    ],
)
async def test_another_pool_takes_the_place_of_one_that_differs_only_without_pods(pod: Any, goes: bool) -> None:
    world = await settled(settings=REPLACES)
    if pod is not None:
        add_pod(world, **pod)
    change(world, machine_type="g2-standard-4")
    await world.settle(for_s=200)
    there = world.cloud.pools[POOL].machine_type
    assert (there == "g2-standard-12") == goes
    assert [note["done"] for note in world.told] == ["Replaced" if goes else "Reported"]
    assert world.condition()["reason"] == ("PoolReady" if goes else "PoolDiffers")
