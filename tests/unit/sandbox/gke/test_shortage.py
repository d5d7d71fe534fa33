"""Stock-outs, quotas and faults of the API."""

import pytest
from google.api_core import exceptions
from google.cloud import container_v1
from tests.support.polling import eventually
from tests.support.simulated_gke import Gke, Start, fixed_pool, l4_pool

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
