"""Multi-host TPU slices are atomic: they come, break and go as one."""

from typing import Any

import pytest
from google.cloud import container_v1
from tests.support.polling import eventually, observe_for
from tests.support.simulated_gke import CLUSTER, Gke, Start, slice_pool, tpu_pool

from mistral_operator.sandbox.gke.pools import Instance, Pool
from mistral_operator.sandbox.gke.scenario import Quota, Stock

Status = container_v1.NodePool.Status
Code = container_v1.StatusCondition.Code
POOL = f"{CLUSTER}/nodePools/mm-pool"
THREE = {"nodes": 3, "machine_type": "ct6e-standard-4t"}
IMPATIENT = {"resize_give_up": 100, "resize_retry": 50}


def a_host(gke: Gke, number: int = 0) -> tuple[Pool, Instance]:
    pool = gke.api.cloud.pools["mm-pool"]
    return pool, list(pool.instances.values())[number]


def used(gke: Gke) -> Any:
    everything: Any = gke.api.warehouse.describe()["used"]
    return [entry for entry in everything if "ct6e" in entry["machine_type"]]


async def test_a_slice_comes_whole_and_with_all_chips(gke: Gke) -> None:
    assert (await gke.done(await gke.create(**slice_pool()))).error.code == 0
    assert [gke.nodes.there[name] for name in gke.nodes_of()] == ["with devices"] * 4
    pool = await gke.pool()
    assert (pool.status, pool.placement_policy.tpu_topology) == (Status.RUNNING, "4x4")


async def test_one_host_short_leaves_none(start: Start) -> None:
    gke = await start(stock=[THREE], delays_s=IMPATIENT)
    operation = await gke.done(await gke.create(**slice_pool()))
    assert operation.error.code == 8
    assert operation.error.message.startswith("Google Compute Engine: Not all instances running in IGM after ")
    assert "Expected 4, running 0, transitioning 4. Current errors: [GCE_STOCKOUT]" in operation.error.message
    pool = await gke.pool()
    assert (pool.status, [c.code for c in pool.conditions]) == (Status.ERROR, [Code.GCE_STOCKOUT])
    assert pool.conditions[0].message == operation.error.message
    assert (gke.nodes_of(), used(gke)) == ([], [])


async def test_nobody_sees_a_part_of_a_slice_while_stock_is_awaited(start: Start) -> None:
    gke = await start(stock=[THREE], delays_s={"resize_give_up": 10**6, "resize_retry": 20})
    operation = await gke.create(**slice_pool())
    pool = gke.api.cloud.pools["mm-pool"]
    attempts: set[str] = set()
    seen: list[Any] = []

    def tried_twice() -> bool:
        attempts.update(pool.instances)
        seen.extend([*gke.nodes_of(), *used(gke)])
        return len(attempts) > 4

    await eventually(tried_twice)
    assert seen == []
    gke.api.warehouse.set_stock(Stock(nodes=4, zone="us-central1-a"))
    assert (await gke.done(operation)).error.code == 0
    assert len(gke.nodes_of()) == 4


@pytest.mark.parametrize(
    ("spot", "name"), [(False, "TPUS_PER_TPU_FAMILY"), (True, "PREEMPTIBLE_TPU_V6E")], ids=["on demand", "spot"]
)
async def test_a_quota_counts_chips_and_fails_at_once(start: Start, spot: bool, name: str) -> None:
    gke = await start(quota=[{"limit": 15, "accelerator": "tpu-v6e-slice"}])
    operation = await gke.done(
        await gke.create(**slice_pool(config={"machine_type": "ct6e-standard-4t", "spot": spot}))
    )
    assert operation.error.message.startswith("Insufficient quota to satisfy the request: Not all instances running")
    assert f"Quota '{name}' exceeded.  Limit: 15.0 in region us-central1." in operation.error.message
    pool = await gke.pool()
    assert (pool.status, [c.code for c in pool.conditions]) == (Status.ERROR, [Code.GCE_QUOTA_EXCEEDED])
    assert (gke.nodes_of(), used(gke)) == ([], [])
    gke.api.warehouse.set_quota(Quota(limit=16, accelerator="tpu-v6e-slice"))
    resized = await gke.client.set_node_pool_size(request={"name": POOL, "node_count": 4})
    assert (await gke.done(resized)).error.code == 0
    pool = await gke.pool()
    assert (pool.status, list(pool.conditions), len(gke.nodes_of())) == (Status.RUNNING, [], 4)


async def test_a_slice_goes_as_one(gke: Gke) -> None:
    await gke.done(await gke.create(**slice_pool()))
    await gke.done(await gke.client.set_node_pool_size(request={"name": POOL, "node_count": 0}))
    assert (gke.nodes_of(), used(gke)) == ([], [])
    await gke.done(await gke.client.set_node_pool_size(request={"name": POOL, "node_count": 4}))
    await gke.done(await gke.client.delete_node_pool(name=POOL))
    assert await gke.names() == ["default-pool"]
    assert (gke.nodes_of(), used(gke)) == ([], [])


@pytest.mark.parametrize("way", ["reclaim", "crash", "break_down"])
async def test_a_lost_host_has_the_whole_slice_made_again(start: Start, way: str) -> None:
    gke = await start(speed=100)
    await gke.done(await gke.create(**slice_pool()))
    before = gke.nodes_of()
    pool, host = a_host(gke)
    gke.api.fleet.spawn(gke.api.lose(pool, host, getattr(gke.api.fleet, way)))

    async def status(wanted: Status) -> bool:
        return (await gke.pool()).status == wanted

    await eventually(lambda: status(Status.RECONCILING), message="GKE works on it")
    await eventually(lambda: status(Status.RUNNING), message="it is whole again")
    assert len(gke.nodes_of()) == 4
    assert not set(before) & set(gke.nodes_of())
    assert set(gke.nodes.drained) == set(before) - {host.name}
    assert used(gke)[0]["nodes"] == 4
    assert (gke.nodes.failed, gke.nodes.warned) == (
        [host.name] if way == "break_down" else [],
        [host.name] if way == "reclaim" else [],
    )


async def test_a_repair_without_stock_says_so_and_is_tried_again(start: Start) -> None:
    gke = await start(delays_s={"resize_retry": 50})
    await gke.done(await gke.create(**slice_pool()))
    gke.api.warehouse.set_stock(Stock(**THREE))
    await gke.api.lose(*a_host(gke), gke.api.fleet.crash)

    async def failed() -> bool:
        pool = await gke.pool()
        return pool.status == Status.ERROR and [c.code for c in pool.conditions] == [Code.GCE_STOCKOUT]

    await eventually(failed, message="no stock")
    assert gke.nodes_of() == []
    assert "Expected 4, running 0, transitioning 4" in (await gke.pool()).conditions[0].message
    gke.api.warehouse.set_stock(Stock(nodes=4))

    async def repaired() -> bool:
        pool = await gke.pool()
        return pool.status == Status.RUNNING and not pool.conditions and len(gke.nodes_of()) == 4

    await eventually(repaired, message="the slice is back")


async def test_another_size_or_a_deletion_ends_a_repair(start: Start) -> None:
    gke = await start(delays_s={"resize_retry": 50})
    for name in ("mm-resized", "mm-deleted"):
        await gke.done(await gke.create(**slice_pool(name=name)))
    gke.api.warehouse.set_stock(Stock(nodes=0))
    for name in ("mm-resized", "mm-deleted"):
        pool = gke.api.cloud.pools[name]
        await gke.api.lose(pool, next(iter(pool.instances.values())), gke.api.fleet.crash)
    resized = f"{CLUSTER}/nodePools/mm-resized"
    await gke.done(await gke.client.set_node_pool_size(request={"name": resized, "node_count": 0}))
    await gke.done(await gke.client.delete_node_pool(name=f"{CLUSTER}/nodePools/mm-deleted"))
    assert await gke.names() == ["default-pool", "mm-resized"]
    gke.api.warehouse.set_stock(Stock(nodes=100))
    resized_pool = gke.api.cloud.pools["mm-resized"]
    assert not resized_pool.repairing
    await observe_for(0.1)  # four attempts, were there any
    assert (gke.nodes_of("mm-resized"), gke.nodes_of("mm-deleted"), used(gke)) == ([], [], [])
    assert (await gke.pool("mm-resized")).status == Status.RUNNING


async def test_two_lost_hosts_are_one_repair(gke: Gke) -> None:
    await gke.done(await gke.create(**slice_pool()))
    pool = gke.api.cloud.pools["mm-pool"]
    for host in list(pool.instances.values())[:2]:
        gke.api.fleet.spawn(gke.api.lose(pool, host, gke.api.fleet.crash))

    async def whole() -> bool:
        return not pool.repairing and pool.is_whole

    await eventually(whole)
    assert (len(gke.nodes_of()), used(gke)[0]["nodes"]) == (4, 4)


async def test_a_host_lost_during_creation_is_not_missing_in_the_end(start: Start) -> None:
    gke = await start(speed=200)
    operation = await gke.create(**slice_pool())
    pool = gke.api.cloud.pools["mm-pool"]

    async def booting() -> bool:
        return any(instance.state == "BOOTING" for instance in pool.instances.values())

    await eventually(booting)
    await gke.api.lose(*a_host(gke), gke.api.fleet.crash)
    assert (await gke.done(operation)).error.code == 0

    async def whole() -> bool:
        return not pool.repairing and pool.is_whole and (await gke.pool()).status == Status.RUNNING

    await eventually(whole)
    assert (len(gke.nodes_of()), used(gke)[0]["nodes"]) == (4, 4)


async def test_a_change_during_a_repair_leaves_the_right_status(start: Start) -> None:
    gke = await start(speed=200)
    await gke.done(await gke.create(**slice_pool()))
    await gke.api.lose(*a_host(gke), gke.api.fleet.crash)
    labels = {"name": POOL, "labels": {"labels": {"x": "y"}}}
    assert (await gke.done(await gke.client.update_node_pool(request=labels))).error.code == 0

    async def runs() -> bool:
        return (await gke.pool()).status == Status.RUNNING and len(gke.nodes_of()) == 4

    await eventually(runs)


async def test_a_lost_machine_of_a_single_host_pool_comes_back_alone(gke: Gke) -> None:
    await gke.done(await gke.create(**tpu_pool(autoscaling={}, initial_node_count=2)))
    pool, host = a_host(gke)
    (other,) = set(gke.nodes_of()) - {host.name}
    await gke.api.lose(pool, host, gke.api.fleet.break_down)
    await eventually(lambda: len(gke.nodes_of()) == 2, message="two again")
    assert other in gke.nodes_of()
    assert host.name not in gke.nodes_of()
    assert (await gke.pool()).status == Status.RUNNING


async def test_foreign_slices_are_there_from_the_start(start: Start) -> None:
    shape = {"machine_type": "ct6e-standard-4t", "topology": "2x4", "nodes": 2, "zones": ["us-central1-a"]}
    foreign = [{"name": "theirs", "max_nodes": 2, **shape}, {"name": "single", "machine_type": "ct5lp-hightpu-1t"}]
    gke = await start(foreign_pools=foreign)
    pool = await gke.pool("theirs")
    assert (pool.status, pool.placement_policy.tpu_topology) == (Status.RUNNING, "2x4")
    assert (pool.autoscaling.max_node_count, pool.autoscaling.total_max_node_count) == (2, 0)
    assert [gke.nodes.there[name] for name in gke.nodes_of("theirs")] == ["with devices"] * 2


async def test_a_scenario_breaks_a_machine(start: Start) -> None:
    gke = await start(host_errors=[{"after": 5}])
    await gke.done(await gke.create(**slice_pool()))
    pool = gke.api.cloud.pools["mm-pool"]
    await eventually(lambda: gke.nodes.failed, message="the host error")
    assert "-mm-pool-" in gke.nodes.failed[0]

    async def whole() -> bool:
        return gke.nodes.failed[0] not in gke.nodes_of() and not pool.repairing and pool.is_whole

    await eventually(whole)
