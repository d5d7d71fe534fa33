"""What happens to machines: they expire, their hosts are maintained, they are upgraded."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import container_v1
from tests.support.polling import eventually, observe_for
from tests.support.simulated_gke import CLUSTER, Gke, Start, fixed_pool, flex_pool, slice_pool

POOL = f"{CLUSTER}/nodePools/mm-pool"
NEXT = "1.36.4-gke.1000000"
AUTO = {"management": {"auto_upgrade": True}}
NO_RESERVATION = {"consume_reservation_type": "NO_RESERVATION"}
Status = container_v1.NodePool.Status
Type = container_v1.Operation.Type


def flex_slice(seconds: int) -> dict[str, Any]:
    """A slice that the autoscaler brings, for so long."""
    config = {
        "machine_type": "ct6e-standard-4t",
        "flex_start": True,
        "reservation_affinity": NO_RESERVATION,
        "max_run_duration": {"seconds": seconds},
    }
    bounds = {"enabled": True, "max_node_count": 4, "location_policy": "ANY"}
    return slice_pool(hosts=0, config=config, autoscaling=bounds)


async def scale_up(gke: Gke, nodes: int = 1) -> None:
    """What the autoscaler does: so many machines at once."""
    pool = gke.api.cloud.pools["mm-pool"]
    instances = [gke.api.fleet.place(pool, "us-central1-a") for _ in range(nodes)]
    assert await gke.api.fleet.obtain(pool, instances) == []
    await eventually(lambda: len(gke.nodes_of()) == nodes, message="its nodes")


def versions(gke: Gke, pool: str = "mm-pool") -> set[str]:
    return {instance.version for instance in gke.api.cloud.pools[pool].instances.values()}


async def upgraded(gke: Gke, pool: str = "mm-pool", nodes: int = 2) -> None:
    async def settled() -> bool:
        message = gke.api.cloud.pools[pool].message
        return versions(gke, pool) == {NEXT} and len(gke.nodes_of(pool)) == nodes and message.status == Status.RUNNING

    await eventually(settled, message=f"{pool} has the new version")


def kinds(gke: Gke) -> list[str]:
    return [Type(operation.operation_type).name for operation in gke.api.operations]


async def test_flex_start_machines_end_with_a_notice_and_nobody_replaces_them(gke: Gke) -> None:
    await gke.done(await gke.create(**flex_pool(config={"max_run_duration": {"seconds": 600}})))
    await scale_up(gke)
    (name,) = gke.nodes_of()
    await eventually(lambda: gke.nodes_of() == [], message="its time is over")
    assert gke.nodes.warned == [name]
    await observe_for(0.1)
    assert (gke.nodes_of(), (await gke.pool()).status) == ([], Status.RUNNING)
    assert {q.usage for q in gke.api.inventory.quotas("us-central1")} == {0}


async def test_a_flex_start_slice_ends_as_one(gke: Gke) -> None:
    await gke.done(await gke.create(**flex_slice(600)))
    await scale_up(gke, 4)
    await eventually(lambda: gke.nodes_of() == [], message="its time is over")
    assert not gke.api.cloud.pools["mm-pool"].repairing


async def test_a_flex_start_slice_that_lost_a_host_goes_and_makes_room(gke: Gke) -> None:
    await gke.done(await gke.create(**flex_slice(10**5)))
    await scale_up(gke, 4)
    pool = gke.api.cloud.pools["mm-pool"]
    await gke.api.lose(pool, next(iter(pool.instances.values())), gke.api.fleet.crash)
    assert (gke.nodes_of(), pool.room("us-central1-a"), pool.repairing) == ([], 4, False)


async def test_machines_of_a_fixed_size_that_expire_are_replaced(gke: Gke) -> None:
    await gke.done(await gke.create(**fixed_pool(1, config={"spot": True, "max_run_duration": {"seconds": 600}})))
    (first,) = gke.nodes_of()
    await eventually(lambda: gke.nodes_of() and first not in gke.nodes_of(), message="another one")
    assert first in gke.nodes.warned


async def test_a_host_is_maintained_after_it_was_announced_and_the_node_drained(start: Start) -> None:
    gke = await start(delays_s={"maintenance_notice": 400})
    await gke.done(await gke.create(**fixed_pool(1)))
    (name,) = gke.nodes_of()
    gke.api.actions.do("maintain", {"node": name})
    await eventually(lambda: gke.nodes.announced == [name])
    assert gke.nodes.impending == []
    await eventually(lambda: gke.nodes_of() and name not in gke.nodes_of(), message="another machine")
    assert (gke.nodes.impending, gke.nodes.drained, gke.nodes.warned) == ([name], [name], [])


async def test_maintenance_of_one_host_makes_a_slice_again(gke: Gke) -> None:
    await gke.done(await gke.create(**slice_pool()))
    before = gke.nodes_of()
    gke.api.actions.do("maintain", {"pool": "mm-pool"})

    async def made_again() -> bool:
        return len(gke.nodes_of()) == 4 and not set(before) & set(gke.nodes_of())

    await eventually(made_again)


async def test_an_upgrade_reaches_the_pools_that_want_it(start: Start) -> None:
    gke = await start()
    for name, changes in (("mm-pool", AUTO), ("mm-kept", {})):
        await gke.done(await gke.create(**fixed_pool(2, name=name, **changes)))
    kept = gke.nodes_of("mm-kept")
    gke.api.actions.do("upgrade", {"version": NEXT})
    await upgraded(gke)
    assert gke.nodes_of("mm-kept") == kept
    cluster = await gke.client.get_cluster(name=CLUSTER)
    assert cluster.current_master_version == NEXT
    assert (await gke.pool()).version == NEXT
    assert kinds(gke)[-2:] == ["UPGRADE_MASTER", "AUTO_UPGRADE_NODES"]


@pytest.mark.parametrize(
    ("settings", "most", "least"),
    [
        ({}, 5, 4),
        ({"max_surge": 2}, 6, 4),
        ({"max_surge": 0, "max_unavailable": 1}, 4, 3),
        ({"max_surge": 1, "max_unavailable": 2}, 5, 2),
        ({"strategy": "BLUE_GREEN"}, 8, 4),
    ],
    ids=["default", "surge 2", "unavailable 1", "both", "blue-green"],
)
async def test_an_upgrade_keeps_to_its_settings(start: Start, settings: dict[str, Any], most: int, least: int) -> None:
    gke = await start(speed=500)
    changes = {"upgrade_settings": settings} if settings else {}
    await gke.done(await gke.create(**fixed_pool(4, **changes)))
    before, seen = gke.nodes_of(), set()
    operation = await gke.client.update_node_pool(request={"name": POOL, "node_version": "1.36.1-gke.1"})

    async def watched() -> bool:
        seen.add(gke.api.cloud.pools["mm-pool"].size())
        return (await gke.operation(operation.name)).status == container_v1.Operation.Status.DONE

    await eventually(watched, interval_s=0.002, message="the upgrade ends")
    assert (max(seen), min(seen)) == (most, least)
    assert len(gke.nodes_of()) == 4
    assert not set(before) & set(gke.nodes_of())
    assert versions(gke) == {"1.36.1-gke.1"}
    assert kinds(gke)[-1] == "UPGRADE_NODES"


async def test_a_machine_that_is_lost_during_an_upgrade_is_not_missing_in_the_end(start: Start) -> None:
    gke = await start(speed=500)
    await gke.done(await gke.create(**fixed_pool(3)))
    pool = gke.api.cloud.pools["mm-pool"]
    operation = await gke.client.update_node_pool(request={"name": POOL, "node_version": "1.36.1-gke.1"})
    await eventually(lambda: pool.size() == 4, interval_s=0.002, message="the surge")
    await gke.api.lose(pool, list(pool.instances.values())[2], gke.api.fleet.crash)
    assert (await gke.done(operation)).error.message == ""
    await eventually(lambda: len(gke.nodes_of()) == 3 == pool.size(), message="three again")
    assert versions(gke) == {"1.36.1-gke.1"}


async def test_an_upgrade_brings_no_machine_back_that_the_autoscaler_removed(gke: Gke) -> None:
    bounds = {"enabled": True, "max_node_count": 4}
    await gke.done(await gke.create(**fixed_pool(3) | {"autoscaling": bounds}))
    pool = gke.api.cloud.pools["mm-pool"]
    await gke.api.fleet.remove(pool, next(iter(pool.instances.values())))
    await gke.done(await gke.client.update_node_pool(request={"name": POOL, "node_version": "1.36.1-gke.1"}))
    assert len(gke.nodes_of()) == 2


async def test_an_autoscaled_slice_stays_one_during_its_upgrade(start: Start) -> None:
    gke = await start(speed=500)
    bounds = {"enabled": True, "max_node_count": 4, "location_policy": "ANY"}
    await gke.done(await gke.create(**slice_pool(autoscaling=bounds)))
    pool, closed = gke.api.cloud.pools["mm-pool"], []
    operation = await gke.client.update_node_pool(request={"name": POOL, "node_version": "1.36.1-gke.1"})

    async def watched() -> bool:
        closed.extend([pool.repairing] if pool.size() == 0 else [])
        return (await gke.operation(operation.name)).status == container_v1.Operation.Status.DONE

    await eventually(watched, interval_s=0.002, message="the upgrade ends")
    assert (all(closed), bool(closed), pool.repairing, len(gke.nodes_of())) == (True, True, False, 4)


async def test_a_slice_is_upgraded_as_a_whole(start: Start) -> None:
    gke = await start(speed=500)
    await gke.done(await gke.create(**slice_pool(upgrade_settings={"max_unavailable": 1})))
    before, mixed = set(gke.nodes_of()), []
    operation = await gke.client.update_node_pool(request={"name": POOL, "node_version": "1.36.1-gke.1"})

    async def watched() -> bool:
        now = set(gke.nodes_of())
        mixed.extend([now] if now & before and now - before else [])
        return (await gke.operation(operation.name)).status == container_v1.Operation.Status.DONE

    await eventually(watched, interval_s=0.002)
    assert (mixed, versions(gke), len(gke.nodes_of())) == ([], {"1.36.1-gke.1"}, 4)
    assert set(gke.nodes.drained) == before


async def test_an_upgrade_without_stock_for_its_surge_keeps_the_machines(start: Start) -> None:
    gke = await start(
        stock=[{"nodes": 2, "machine_type": "g2-standard-12"}], delays_s={"resize_give_up": 1, "resize_retry": 1}
    )
    await gke.done(await gke.create(**fixed_pool(2)))
    before = gke.nodes_of()
    request = {"name": POOL, "node_version": "1.36.1-gke.1"}
    operation = await gke.done(await gke.client.update_node_pool(request=request))
    assert "[GCE_STOCKOUT]" in operation.error.message
    assert (gke.nodes_of(), (await gke.pool()).status) == (before, Status.RUNNING_WITH_ERROR)


async def test_flex_start_machines_are_not_upgraded_the_next_ones_are(gke: Gke) -> None:
    await gke.done(await gke.create(**flex_pool(**AUTO)))
    await scale_up(gke)
    before = gke.nodes_of()
    gke.api.actions.do("upgrade", {"version": NEXT})

    async def noted() -> bool:
        return (await gke.pool()).version == NEXT

    await eventually(noted)
    assert gke.nodes_of() == before
    pool = gke.api.cloud.pools["mm-pool"]
    assert gke.api.fleet.place(pool, "us-central1-a").version == NEXT


@pytest.mark.parametrize("scope", ["NO_UPGRADES", "NO_MINOR_OR_NODE_UPGRADES", "NO_MINOR_UPGRADES"])
async def test_an_exclusion_holds_upgrades_up_as_far_as_it_says(start: Start, scope: str) -> None:
    gke = await start(maintenance_exclusions=[{"name": "freeze", "ends": 10**6, "scope": scope}])
    await gke.done(await gke.create(**fixed_pool(1, **AUTO)))
    before = gke.nodes_of()
    gke.api.actions.do("upgrade", {"version": NEXT})
    if scope == "NO_MINOR_UPGRADES":
        await upgraded(gke, nodes=1)
        return
    if scope == "NO_MINOR_OR_NODE_UPGRADES":
        await eventually(lambda: gke.api.cloud.scenario.version == NEXT, message="the control plane has it")
    await observe_for(0.3)
    assert gke.nodes_of() == before
    assert ("UPGRADE_MASTER" in kinds(gke)) == (scope != "NO_UPGRADES")
    request = {"name": CLUSTER, "maintenance_policy": {}}
    await gke.done(await gke.client.set_maintenance_policy(request=request))
    await upgraded(gke, nodes=1)


async def test_exclusions_are_set_by_call_and_hold_up_minor_upgrades(gke: Gke) -> None:
    now = datetime.now(UTC)
    window = {
        "start_time": now - timedelta(hours=1),
        "end_time": now + timedelta(hours=1),
        "maintenance_exclusion_options": {"scope": "NO_MINOR_UPGRADES"},
    }
    policy = {"window": {"maintenance_exclusions": {"slices": window}}}
    await gke.done(await gke.client.set_maintenance_policy(request={"name": CLUSTER, "maintenance_policy": policy}))
    cluster = await gke.client.get_cluster(name=CLUSTER)
    assert list(cluster.maintenance_policy.window.maintenance_exclusions) == ["slices"]
    gke.api.actions.do("upgrade", {"version": "1.37.0-gke.1"})
    await observe_for(0.2)
    assert "UPGRADE_MASTER" not in kinds(gke)


async def test_a_pool_may_exclude_itself(gke: Gke) -> None:
    held = {"maintenance_policy": {"exclusion_until_end_of_support": {"enabled": True}}}
    await gke.done(await gke.create(**fixed_pool(1, name="mm-held", **AUTO, **held)))
    await gke.done(await gke.create(**fixed_pool(1, **AUTO)))
    before = gke.nodes_of("mm-held")
    gke.api.actions.do("upgrade", {"version": NEXT})
    await upgraded(gke, nodes=1)
    assert gke.nodes_of("mm-held") == before


async def test_nothing_else_runs_while_the_control_plane_is_upgraded(start: Start) -> None:
    gke = await start(speed=100)
    gke.api.actions.do("upgrade", {"version": NEXT})
    await eventually(lambda: "UPGRADE_MASTER" in kinds(gke))
    (operation,) = gke.api.operations
    with pytest.raises(
        exceptions.FailedPrecondition, match=f"Cluster is running incompatible operation {operation.name}"
    ):
        await gke.create(**fixed_pool(1))
