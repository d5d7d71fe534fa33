"""Pools that lost their claim: deleted when that is certain, left alone when anything speaks against it."""

from dataclasses import replace
from typing import Any

import pytest
from tests.support.claim_cases import NAME, POOL, SETTINGS, a_claim, a_pool, claim_body, pool_of
from tests.support.claim_world import Crash, World

from mistral_operator.api.names import CLUSTER_RESOURCE_LABEL, TENANT_RESOURCE_LABEL
from mistral_operator.capacity.errors import classify
from mistral_operator.capacity.pools import NodeFacts, pool_spec
from mistral_operator.capacity.port import PoolStatus, PoolView
from mistral_operator.cluster.client import ListResult
from mistral_operator.cluster.errors import NotFound
from mistral_operator.cluster.kinds import CLAIM, Kind
from mistral_operator.cluster.store import Key
from mistral_operator.controller.orphans import OrphanWatch

UID = "uid-of-kube-system"
SURE = replace(SETTINGS, place=replace(SETTINGS.place, uid=UID))
LATER_S = SURE.orphan_after_s + 1


def orphan(**changes: Any) -> PoolView:
    """What an operator of this cluster made for the claim."""
    return replace(pool_of(pool_spec(a_claim(), total_max=2, facts=NodeFacts(), cluster_uid=UID)), **changes)


def relabelled(**labels: str) -> PoolView:
    pool = orphan()
    return replace(
        pool, resource_labels={**pool.resource_labels, **{k.replace("_", "-"): v for k, v in labels.items()}}
    )


def world_with(pool: PoolView) -> World:
    world = World(settings=SURE)
    world.cloud.pools[POOL] = pool
    return world


async def look_twice(world: World) -> None:
    """Two looks apart, and time for what they begin."""
    for _ in range(2):
        for _ in range(6):
            await world.step()
            world.clock_s += 10
        world.clock_s += LATER_S


async def test_a_pool_whose_claim_lost_its_finalizer_by_force_goes_after_two_looks() -> None:
    world = World(settings=SURE)
    world.add_model()
    await world.settle()
    world.delete_model()
    world.cluster.remove(CLAIM, Key("", NAME))
    wait_s = await world.step()
    assert wait_s == SURE.orphan_after_s
    world.clock_s += wait_s - 1
    assert await world.step() == 1
    assert "delete" not in world.cloud.calls
    world.clock_s += 1
    await world.settle()
    assert world.cloud.pools == {}
    assert world.cloud.calls.count("delete") == 1


async def test_pools_that_no_claim_in_the_store_names_are_found() -> None:
    world = world_with(orphan())
    world.cloud.pools["default-pool"] = a_pool(name="default-pool", resource_labels={})
    found: list[str] = []
    counts: list[float] = []
    watch = OrphanWatch(
        world.cluster.store,
        world.clouds,
        cluster_uid=UID,
        found=found.append,
        count=counts.append,
        count_policies=lambda _: None,
    )
    await watch.look()
    assert (found, counts) == ([NAME], [1])
    world.apply_claim()
    await watch.look()
    assert (found, counts) == ([NAME], [1, 0])


@pytest.mark.parametrize(
    "pool",
    [
        a_pool(),
        relabelled(mistral_operator_cluster="uid-of-another-cluster"),
        relabelled(mistral_operator_claim="another-claim"),
        relabelled(mistral_operator_shape="0123456789"),
        relabelled(mistral_operator_tenant=""),
        orphan(machine_type="a3-highgpu-8g"),
        orphan(spot=True),
        orphan(locations=("us-central1-f",)),
        orphan(accelerators=()),
        orphan(node_labels={}),
        orphan(resource_labels={}),
        orphan(status=PoolStatus.RECONCILING),
    ],
)
async def test_a_pool_that_is_not_surely_this_clusters_own_is_left_alone(pool: PoolView) -> None:
    world = world_with(pool)
    await look_twice(world)
    assert world.cloud.pools == {POOL: pool}
    assert set(world.cloud.calls) == {"list"}


async def test_without_the_clusters_uid_nothing_is_deleted() -> None:
    """Nor is it with a pool that was made while the uid wasn't known."""
    world = World(settings=SETTINGS)
    world.cloud.pools[POOL] = relabelled(mistral_operator_cluster="")
    await look_twice(world)
    assert POOL in world.cloud.pools


async def test_a_pool_with_nodes_stays_until_they_have_gone() -> None:
    world = world_with(orphan())
    world.add_node()
    world.cluster.store[next(kind for kind, key in world.cluster.objects if key.name == "node-1")].remove(
        Key("", "node-1"), 10**9
    )
    await look_twice(world)
    assert POOL in world.cloud.pools, "pods may serve there, whatever the store knows"
    world.cluster.objects.clear()
    await look_twice(world)
    assert world.cloud.pools == {}


async def test_a_claim_that_only_the_store_lacks_keeps_its_pool() -> None:
    world = world_with(orphan())
    world.apply_claim()
    world.cluster.store[CLAIM].remove(Key("", NAME), 10**9)
    await look_twice(world)
    assert POOL in world.cloud.pools


@pytest.mark.parametrize("seen_by_the_store", [False, True])
async def test_a_claim_that_comes_back_between_the_looks_begins_the_count_anew(seen_by_the_store: bool) -> None:
    world = world_with(orphan())
    await world.step()
    world.clock_s += LATER_S
    world.cluster.put(CLAIM, claim_body())
    if not seen_by_the_store:
        world.cluster.store[CLAIM].remove(Key("", NAME), 10**9)
    world.add_model()
    await world.step()
    world.delete_model()
    world.cluster.remove(CLAIM, Key("", NAME))
    assert await world.step() == SURE.orphan_after_s
    assert POOL in world.cloud.pools


async def test_while_claims_can_not_be_listed_none_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """So the API server answers while the definition of claims is away: that means nothing for the claims."""
    world = world_with(orphan())

    async def refuse(kind: Kind, namespace: str = "", *, label_selector: str = "") -> ListResult:
        raise NotFound(404, "NotFound", "the server could not find the requested resource")

    monkeypatch.setattr(world.cluster, "list", refuse)
    for _ in range(2):
        with pytest.raises(NotFound):
            await world.step()
        world.clock_s += LATER_S
    assert POOL in world.cloud.pools


async def test_while_gke_does_not_answer_nothing_is_decided_and_it_is_asked_again() -> None:
    world = world_with(orphan())
    world.cloud.refusals["list"] = [classify("UNAVAILABLE", "down")]
    assert await world.step() == SURE.resync_s
    world.clock_s += SURE.resync_s
    await look_twice(world)
    assert world.cloud.pools == {}


@pytest.mark.parametrize("where", ["before", "after"])
async def test_killed_while_it_deletes_the_next_process_ends_it(where: str) -> None:
    world = world_with(orphan())
    await world.step()
    world.clock_s += LATER_S
    setattr(world.kills, where, 1)
    with pytest.raises(Crash):
        await world.step()
    world.kills.disarm()
    world.start()
    await look_twice(world)
    assert (world.cloud.pools, world.claim) == ({}, None)


async def test_a_lost_answer_to_the_delete_is_no_harm() -> None:
    world = world_with(orphan())
    world.cloud.lost["delete"] = 1
    await look_twice(world)
    await look_twice(world)
    assert world.cloud.pools == {}
    assert world.cloud.calls.count("delete") == 1


@pytest.mark.parametrize(("settings", "expected"), [(SURE, UID), (SETTINGS, None)])
async def test_pools_are_made_with_the_clusters_uid_if_it_is_known(settings: Any, expected: str | None) -> None:
    world = World(settings=settings)
    world.add_model()
    await world.settle()
    assert world.pool is not None
    assert world.pool.resource_labels.get(CLUSTER_RESOURCE_LABEL) == expected
    assert world.pool.resource_labels[TENANT_RESOURCE_LABEL] == "team"
