"""What Config Connector's Events tell the adapter, with its stand-in and the simulated GKE."""

import pytest
from tests.support.claim_cases import POOL
from tests.support.config_connector import NAMESPACE, SLICE, SPEC, Stack, running_config_connector
from tests.support.polling import eventually
from tests.support.simulated_gke import CLUSTER

from mistral_operator.capacity.port import PoolSpec, PoolStatus
from mistral_operator.cluster.kinds import EVENT, NODE
from mistral_operator.planning.nodes import POOL_LABEL

NO_STOCK = {"machine_type": "ct6e-standard-4t", "nodes": 0}
STOCKED_OUT = {
    "rpc": "CreateNodePool",
    "calls": [1],
    "in_operation": True,
    "code": "RESOURCE_EXHAUSTED",
    "message": "[GCE_STOCKOUT] The zone does not have enough resources available.",
}


async def test_a_slice_without_stock_fails_although_config_connector_takes_it_over() -> None:
    """Its object is called up to date in the end, and the Events still say that GKE had no machines."""
    async with running_config_connector(stock=[NO_STOCK]) as stack:
        view = await stack.ended(await stack.pools.create_pool(SLICE))
        assert view.finding is not None
        assert view.finding.reason == "StockedOut"
        await eventually(lambda: _is_up_to_date(stack), message="the pool in status ERROR is called up to date")
        pool = await stack.find(POOL)
        assert pool is not None
        assert pool.status is PoolStatus.ERROR
        assert [finding.reason for finding in pool.findings] == ["StockedOut"]
        assert (await stack.pools.get_operation(view.name)).finding == view.finding


async def test_a_pool_that_was_made_after_a_stock_out_is_running() -> None:
    """The Event about the failure is there for an hour, and what it tells of is over."""
    unseen = {"rpc": "GetNodePool", "calls": list(range(2, 1000)), "code": "UNAVAILABLE", "message": "try again"}
    async with running_config_connector(faults=[STOCKED_OUT, unseen]) as stack:
        operation = await stack.pools.create_pool(SPEC)

        async def has_failed() -> bool:
            return any(event["reason"] == "UpdateFailed" for event in stack.events())

        await eventually(has_failed, message="the stock-out is told")
        await stack.gke.done(await stack.gke.client.delete_node_pool(name=f"{CLUSTER}/nodePools/{POOL}", retry=None))
        stack.gke.api.faults.clear()
        await eventually(lambda: _is_up_to_date(stack), message="Config Connector makes the pool anew")
        told = [(event["reason"], event["count"]) for event in stack.events()]
        assert {("Updating", 2), ("UpToDate", 1)} <= {*told}
        pool = await stack.find(POOL)
        assert pool is not None
        assert (pool.status, pool.findings) == (PoolStatus.RUNNING, ())
        assert (await stack.ended(operation)).finding is None


@pytest.mark.parametrize("spec", [SPEC, SLICE], ids=["autoscaled", "slice"])
async def test_a_pool_that_has_got_its_nodes_after_a_stock_out_is_running(spec: PoolSpec) -> None:
    """Stock came back to a pool that Config Connector had taken over. It stays so when the last node goes again."""
    async with running_config_connector(faults=[STOCKED_OUT]) as stack:
        await stack.pools.create_pool(spec)
        await eventually(lambda: _is_up_to_date(stack), message="the pool in status ERROR is called up to date")
        needed = spec.slice_hosts or 1
        for number in range(needed):
            pool = await stack.find(spec.name)
            assert pool is not None
            assert pool.status is PoolStatus.ERROR, f"with {number} nodes of {needed}"
            _add_node(stack, f"gke-{number}", spec.name)
            _add_node(stack, f"gke-other-{number}", "other")
        for _ in range(2):
            pool = await stack.find(spec.name)
            assert pool is not None
            assert (pool.status, pool.findings) == (PoolStatus.RUNNING, ())
            for number in range(needed):
                stack.objects.by_path.pop(NODE.path(name=f"gke-{number}"), None)


async def test_an_event_of_somebody_else_changes_nothing() -> None:
    """Even if it was written before the pool was ready; only the source tells it from one of Config Connector's."""
    async with running_config_connector() as stack:
        await stack.make(SPEC)
        (event,) = [event for event in stack.events() if event["reason"] == "Updating"]
        message = f"Error waiting for creating GKE NodePool: {STOCKED_OUT['message']}"
        for name, component, status in (
            ("forged", "somebody", PoolStatus.RUNNING),
            ("own", "containernodepool-controller", PoolStatus.ERROR),
        ):
            source = {"source": {"component": component}, "reportingComponent": component}
            path = EVENT.path(namespace=NAMESPACE, name=name)
            stack.objects.put(path, {**event, "reason": "UpdateFailed", "message": message, **source})
            pool = await stack.find(POOL)
            assert pool is not None
            assert pool.status is status, name


async def _is_up_to_date(stack: Stack) -> bool:
    conditions = stack.objects.pool(POOL).get("status", {}).get("conditions", ())
    return any(condition["reason"] == "UpToDate" for condition in conditions)


def _add_node(stack: Stack, name: str, pool: str) -> None:
    metadata = {"name": name, "labels": {POOL_LABEL: pool}}
    stack.objects.make(NODE.path(name=name), {"metadata": metadata})
