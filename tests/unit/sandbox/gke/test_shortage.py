"""Stock-outs, quotas and faults of the API."""

import pytest
from google.api_core import exceptions
from google.cloud import container_v1
from tests.support.polling import eventually, observe_for
from tests.support.simulated_gke import CLUSTER, Gke, Start, fixed_pool, flex_pool, l4_pool

from mistral_operator.sandbox.gke.events import failed_scale_up
from mistral_operator.sandbox.gke.scenario import Fault, Quota, Stock

Status = container_v1.NodePool.Status
Code = container_v1.StatusCondition.Code
EMPTY = {"nodes": 0, "machine_type": "g2-standard-12"}


async def test_a_fixed_pool_without_stock_ends_done_with_an_error(start: Start) -> None:
    gke = await start(stock=[EMPTY], delays_s={"resize_give_up": 100, "resize_retry": 50})
    operation = await gke.done(await gke.create(**fixed_pool(1)))
    assert operation.error.code == 8
    assert "[GCE_STOCKOUT]" in operation.error.message
    assert "does not have enough resources available to fulfill the request" in operation.error.message
    pool = await gke.pool()
    assert pool.status == Status.ERROR
    assert [c.code for c in pool.conditions] == [Code.GCE_STOCKOUT]
    assert [name for name in gke.nodes.there if "-mm-pool-" in name] == []


async def test_a_fixed_pool_with_some_stock_runs_with_error(start: Start) -> None:
    gke = await start(stock=[EMPTY | {"nodes": 1}], delays_s={"resize_give_up": 100, "resize_retry": 50})
    operation = await gke.done(await gke.create(**fixed_pool(2)))
    assert "Expected 2, running 1" in operation.error.message
    assert (await gke.pool()).status == Status.RUNNING_WITH_ERROR


async def test_stock_that_comes_in_time_is_taken(start: Start) -> None:
    gke = await start(stock=[EMPTY], delays_s={"resize_give_up": 10**6, "resize_retry": 50})
    operation = await gke.create(**fixed_pool(1))

    async def asked() -> bool:
        return (await gke.operation(operation.name)).status == container_v1.Operation.Status.RUNNING

    await eventually(asked)
    gke.api.warehouse.set_stock(Stock(nodes=1, zone="us-central1-a"))
    assert (await gke.done(operation)).error.code == 0
    assert (await gke.pool()).status == Status.RUNNING


async def test_quota_fails_at_once_and_spot_has_its_own(start: Start) -> None:
    gke = await start(quota=[{"limit": 1, "accelerator": "nvidia-l4", "mode": "on-demand"}])
    operation = await gke.done(await gke.create(**fixed_pool(2)))
    assert operation.error.message.startswith("Insufficient quota to satisfy the request")
    assert "Quota 'NVIDIA_L4_GPUS' exceeded.  Limit: 1.0 in region us-central1." in operation.error.message
    assert [c.code for c in (await gke.pool()).conditions] == [Code.GCE_QUOTA_EXCEEDED]
    spot = await gke.create(**fixed_pool(2, name="mm-spot", config={"spot": True}))
    assert (await gke.done(spot)).error.code == 0
    gke.api.warehouse.set_quota(Quota(limit=0, accelerator="nvidia-l4", mode="spot"))
    more = await gke.create(**fixed_pool(1, name="mm-more", config={"spot": True}))
    assert "PREEMPTIBLE_NVIDIA_L4_GPUS" in (await gke.done(more)).error.message


async def test_machines_that_are_rented_as_spot_only_have_no_stock_on_demand(start: Start) -> None:
    gke = await start(delays_s={"resize_give_up": 1, "resize_retry": 1})
    config = {
        "machine_type": "a3-highgpu-1g",
        "accelerators": [{"accelerator_type": "nvidia-h100-80gb", "accelerator_count": 1}],
        "gvnic": {"enabled": True},
    }
    assert "[GCE_STOCKOUT]" in (await gke.done(await gke.create(**fixed_pool(1, config=config)))).error.message
    spot = await gke.create(**fixed_pool(1, name="mm-spot", config=config | {"spot": True}))
    assert (await gke.done(spot)).error.code == 0


async def test_the_nth_call_fails_as_told(start: Start) -> None:
    gke = await start(faults=[{"rpc": "ListNodePools", "calls": [2], "code": "UNAVAILABLE", "message": "try later"}])
    await gke.names()
    with pytest.raises(exceptions.ServiceUnavailable, match="try later"):
        await gke.names()
    assert await gke.names() == ["default-pool"]


async def test_a_lost_response_took_effect(start: Start) -> None:
    gke = await start(faults=[{"rpc": "CreateNodePool", "code": "DEADLINE_EXCEEDED", "lost_response": True}])
    with pytest.raises(exceptions.DeadlineExceeded):
        await gke.create(**l4_pool())
    assert "mm-pool" in await gke.names()
    assert [(call.rpc, call.code) for call in gke.api.manager.calls][:1] == [("CreateNodePool", "DEADLINE_EXCEEDED")]


async def test_an_operation_ends_as_told(start: Start) -> None:
    fault = {"rpc": "CreateNodePool", "code": "INTERNAL", "message": "broken", "in_operation": True, "calls": [1]}
    gke = await start(faults=[fault])
    operation = await gke.done(await gke.create(**l4_pool()))
    assert (operation.error.code, operation.error.message) == (13, "broken")
    assert (await gke.pool()).status == Status.ERROR


async def test_chance_is_the_same_for_the_same_seed(start: Start) -> None:
    async def outcomes(seed: int) -> list[bool]:
        gke = await start(seed=seed, faults=[{"rpc": "GetCluster", "probability": 0.5}])
        found = [gke.api.faults.hit("GetCluster") is not None for _ in range(50)]
        assert not gke.api.faults.hit("ListNodePools")
        return found

    first = await outcomes(7)
    assert first == await outcomes(7)
    assert first != await outcomes(8)
    assert 5 < sum(first) < 45


async def test_faults_can_be_added_and_cleared(gke: Gke) -> None:
    gke.api.faults.add(Fault(code="PERMISSION_DENIED", message='Required "container.clusters.get" permission'))
    with pytest.raises(exceptions.PermissionDenied, match=r"container\.clusters\.get"):
        await gke.names()
    gke.api.faults.clear()
    assert await gke.names() == ["default-pool"]


async def test_a_quota_of_all_regions_counts_every_gpu(start: Start) -> None:
    gke = await start(gpus_all_regions=2)
    operation = await gke.done(await gke.create(**fixed_pool(3)))
    assert "Quota 'GPUS_ALL_REGIONS' exceeded.  Limit: 2.0 globally." in operation.error.message
    assert ((await gke.pool()).status, len(gke.nodes_of())) == (Status.RUNNING_WITH_ERROR, 2)


async def test_spot_and_flex_start_share_a_quota(start: Start) -> None:
    gke = await start(quota=[{"limit": 1, "mode": "preemptible"}])
    assert (await gke.done(await gke.create(**fixed_pool(1, config={"spot": True})))).error.code == 0
    await gke.done(await gke.create(**flex_pool(name="mm-flex")))
    pool = gke.api.cloud.pools["mm-flex"]
    (lack,) = await gke.api.fleet.obtain(pool, [gke.api.fleet.place(pool, "us-central1-a")])
    assert lack.shortage.text == "Quota 'PREEMPTIBLE_NVIDIA_L4_GPUS' exceeded.  Limit: 1.0 in region us-central1."
    assert (await gke.done(await gke.create(**fixed_pool(2, name="mm-own")))).error.code == 0


async def test_stock_is_counted_for_each_mode(start: Start) -> None:
    gke = await start(stock=[{"nodes": 5}, {"nodes": 0, "mode": "flex-start"}])
    await gke.done(await gke.create(**flex_pool()))
    pool = gke.api.cloud.pools["mm-pool"]
    (lack,) = await gke.api.fleet.obtain(pool, [gke.api.fleet.place(pool, "us-central1-a")])
    assert lack.shortage.code == "GCE_STOCKOUT"
    assert (await gke.done(await gke.create(**fixed_pool(1, name="mm-own")))).error.code == 0


async def test_best_effort_starts_with_what_there_is(start: Start) -> None:
    gke = await start(stock=[EMPTY | {"nodes": 1}], delays_s={"resize_give_up": 100, "resize_retry": 50})
    best_effort = {"enabled": True, "min_provision_nodes": 1}
    operation = await gke.done(await gke.create(**fixed_pool(3, best_effort_provisioning=best_effort)))
    assert operation.error.message == ""
    assert ((await gke.pool()).status, len(gke.nodes_of())) == (Status.RUNNING, 1)
    gke.api.warehouse.set_stock(Stock(nodes=9))
    await eventually(lambda: len(gke.nodes_of()) == 3, message="the rest follows")


async def test_best_effort_needs_its_minimum(start: Start) -> None:
    gke = await start(stock=[EMPTY | {"nodes": 1}], delays_s={"resize_give_up": 100, "resize_retry": 50})
    best_effort = {"enabled": True, "min_provision_nodes": 2}
    operation = await gke.done(await gke.create(**fixed_pool(3, best_effort_provisioning=best_effort)))
    assert "Expected 3, running 1" in operation.error.message


async def test_an_operation_that_is_stuck_ends_when_somebody_cancels_it(start: Start) -> None:
    gke = await start(faults=[{"rpc": "CreateNodePool", "calls": [1], "code": "", "stuck": True}])
    operation = await gke.create(**fixed_pool(1))
    await observe_for(0.2)  # longer than the whole creation would take
    assert (await gke.operation(operation.name)).status == container_v1.Operation.Status.RUNNING
    assert (await gke.pool()).status == Status.PROVISIONING
    name = f"projects/sandbox-project/locations/us-central1/operations/{operation.name}"
    await gke.client.cancel_operation(name=name)
    assert (await gke.done(operation)).error.message == "Operation was aborted."


async def test_an_operation_may_be_slow(start: Start) -> None:
    slow = {"rpc": "CreateNodePool", "calls": [1], "code": "", "operation_latency": 600}
    gke = await start(faults=[slow])
    operation = await gke.create(**fixed_pool(1))
    other = await gke.create(**fixed_pool(1, name="mm-quick"))
    assert (await gke.done(other)).error.code == 0
    assert (await gke.operation(operation.name)).status == container_v1.Operation.Status.RUNNING
    assert (await gke.done(operation)).error.code == 0


async def test_an_operation_may_report_an_error_although_its_work_is_done(start: Start) -> None:
    late = {"rpc": "CreateNodePool", "code": "INTERNAL", "message": "lost track", "in_operation": True}
    gke = await start(faults=[late | {"after_work": True}])
    operation = await gke.done(await gke.create(**fixed_pool(1)))
    assert operation.error.message == "lost track"
    assert ((await gke.pool()).status, len(gke.nodes_of())) == (Status.RUNNING, 1)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("ABORTED", exceptions.Aborted),
        ("UNAVAILABLE", exceptions.ServiceUnavailable),
        ("DEADLINE_EXCEEDED", exceptions.DeadlineExceeded),
        ("PERMISSION_DENIED", exceptions.PermissionDenied),
        ("RESOURCE_EXHAUSTED", exceptions.ResourceExhausted),
    ],
)
@pytest.mark.parametrize("lost", [True, False], ids=["lost", "refused"])
@pytest.mark.parametrize("rpc", ["set_node_pool_size", "delete_node_pool"])
async def test_every_writing_call_can_fail_or_get_lost(
    start: Start, code: str, error: type[Exception], lost: bool, rpc: str
) -> None:
    name = {"set_node_pool_size": "SetNodePoolSize", "delete_node_pool": "DeleteNodePool"}[rpc]
    gke = await start(faults=[{"rpc": name, "calls": [1], "code": code, "message": "no", "lost_response": lost}])
    await gke.done(await gke.create(**fixed_pool(1)))
    request: dict[str, object] = {"name": f"{CLUSTER}/nodePools/mm-pool"}
    if rpc == "set_node_pool_size":
        request["node_count"] = 0
    with pytest.raises(error):
        await getattr(gke.client, rpc)(request=request, retry=None)

    if not lost:
        await observe_for(0.1)
    else:
        await eventually(lambda: gke.nodes_of() == [], message="it took effect")
    assert len(gke.nodes_of()) == (0 if lost else 1)


@pytest.mark.parametrize(
    ("code", "condition", "number"),
    [
        ("IP_SPACE_EXHAUSTED", Code.UNKNOWN, 8),
        ("PERMISSIONS_ERROR", Code.UNKNOWN, 7),
        ("CONDITION_NOT_MET", Code.UNKNOWN, 9),
        ("ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS", Code.UNKNOWN, 8),
    ],
)
async def test_compute_engine_may_refuse_machines_for_other_reasons(
    start: Start, code: str, condition: Code, number: int
) -> None:
    error = {"code": code, "message": "no such luck", "zone": "us-central1-a"}
    gke = await start(instance_errors=[error], delays_s={"resize_give_up": 20, "resize_retry": 20})
    operation = await gke.done(await gke.create(**fixed_pool(1)))
    assert f"Current errors: [{code}]: Instance" in operation.error.message
    assert operation.error.message.endswith("creation failed: no such luck")
    pool = await gke.pool()
    assert (operation.error.code, [c.code for c in pool.conditions]) == (number, [condition])
    other = fixed_pool(1, name="mm-other") | {"locations": ["us-central1-b"]}
    assert (await gke.done(await gke.create(**other))).error.code == 0
    gke.api.warehouse.clear_errors()
    assert (await gke.done(await gke.create(**fixed_pool(1, name="mm-again")))).error.code == 0


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("ZONE_RESOURCE_POOL_EXHAUSTED", "GCE out of resources"),
        ("QUOTA_EXCEEDED", "GCE quota exceeded"),
        ("IP_SPACE_EXHAUSTED_WITH_DETAILS", "IP space exhausted"),
        ("PERMISSIONS_ERROR", "Internal error"),
    ],
)
def test_the_autoscaler_has_few_words_for_them(code: str, cause: str) -> None:
    assert f"failed: {cause}. Pod is at risk" in failed_scale_up(["us-central1-a"], [code])


async def test_a_pool_that_moves_to_a_zone_without_stock_says_so(start: Start) -> None:
    gke = await start(stock=[EMPTY | {"zone": "us-central1-b"}], delays_s={"resize_give_up": 1, "resize_retry": 1})
    await gke.done(await gke.create(**fixed_pool(1)))
    request = {"name": f"{CLUSTER}/nodePools/mm-pool", "locations": ["us-central1-b"]}
    operation = await gke.done(await gke.client.update_node_pool(request=request))
    assert "[GCE_STOCKOUT]" in operation.error.message
    assert ((await gke.pool()).status, gke.nodes_of()) == (Status.ERROR, [])
