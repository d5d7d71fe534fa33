"""Workload policies through the Compute Engine API: with the simulated one, its faults, and servers that misbehave."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import google.auth
import pytest
from aiohttp import web
from tests.support.polling import eventually
from tests.support.simulated_gke import PaperNodes

from mistral_operator.capacity.errors import (
    AlreadyExistsError,
    CloudError,
    InUseError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    QuotaExceededError,
    UnavailableError,
)
from mistral_operator.capacity.policies import PolicySpec, PolicyState, PolicyView
from mistral_operator.capacity.port import PoolSpec, PoolStatus, PoolView
from mistral_operator.capacity.provisioners.compute_policies import ComputePolicies
from mistral_operator.capacity.provisioners.container_api import ContainerApi, node_pool
from mistral_operator.capacity.provisioners.google_rest import GoogleRest
from mistral_operator.sandbox.compute.server import ComputeApi as SimulatedCompute
from mistral_operator.sandbox.gke.scenario import parse_scenario
from mistral_operator.sandbox.gke.simulated import GkeApi

PROJECT, REGION = "sandbox-project", "us-central1"
RING = PolicySpec("mm-ring", "2x2x2", "made for a test")
SLICE = PoolSpec(
    name="mm-ring",
    machine_type="tpu7x-standard-4t",
    gpu=None,
    spot=False,
    locations=("us-central1-a",),
    bounds=None,
    node_labels={},
    resource_labels={},
    boot_disk_gb=200,
    slice_topology="2x2x2",
    slice_hosts=2,
    boot_disk="hyperdisk-balanced",
    placement_policy="mm-ring",
)


@asynccontextmanager
async def simulated(**scenario: Any) -> AsyncIterator[tuple[ComputePolicies, GkeApi]]:
    """The client on the simulated Compute Engine of a simulated GKE, which answers one policy a page."""
    async with GkeApi(parse_scenario(scenario), PaperNodes(), speed=2000) as gke:
        denied = frozenset(gke.cloud.scenario.denied_permissions)
        server = SimulatedCompute(gke.inventory, gke.faults, denied, page=1)
        await server.start()
        try:
            async with ComputePolicies(PROJECT, REGION, server.url, poll_s=0.01) as policies:
                yield policies, gke
        finally:
            await server.stop()


async def test_a_policy_comes_is_found_and_goes() -> None:
    async with simulated(workload_policies=[{"name": "ring"}]) as (policies, _):
        assert await policies.find_policy(RING.name) is None
        await policies.create_policy(RING)
        made = PolicyView(RING.name, PolicyState.READY, "HIGH_THROUGHPUT", "2x2x2", "made for a test")
        assert await policies.find_policy(RING.name) == made
        assert [policy.name for policy in await policies.list_policies()] == [RING.name, "ring"]
        with pytest.raises(AlreadyExistsError, match=f"resourcePolicies/{RING.name}' already exists"):
            await policies.create_policy(RING)
        await policies.delete_policy(RING.name)
        with pytest.raises(NotFoundError, match="was not found"):
            await policies.delete_policy(RING.name)


async def test_a_slice_of_tpu7x_stands_by_its_policy_which_stays_while_it_does() -> None:
    """The operator's own two clients, one after the other, against GKE's rules and Compute Engine's."""
    async with (
        simulated() as (policies, gke),
        ContainerApi(project=PROJECT, location=REGION, cluster="sandbox", endpoint=f"http://{gke.address}") as pools,
    ):
        with pytest.raises(InvalidRequestError, match='Resource policy "mm-ring" was not found'):
            await pools.create_pool(SLICE)
        await policies.create_policy(RING)
        await pools.create_pool(SLICE)

        async def stands() -> PoolView | None:
            (pool,) = [pool for pool in await pools.list_pools() if pool.name == SLICE.name]
            return pool if pool.status is PoolStatus.RUNNING else None

        pool = await eventually(stands, message="the slice stands")
        assert (pool.placement_policy, pool.slice_topology) == ("mm-ring", "2x2x2")
        assert node_pool(SLICE).placement_policy.type_ == 0
        with pytest.raises(InUseError, match=r"already being used by 'projects/.*/instanceGroupManagers/gke-sandbox"):
            await policies.delete_policy(RING.name)
        await pools.delete_pool(SLICE.name)

        async def gone() -> bool:
            return all(pool.name != SLICE.name for pool in await pools.list_pools())

        await eventually(gone, message="the pool is gone")
        await policies.delete_policy(RING.name)


QUOTA = "Quota 'RESOURCE_POLICIES' exceeded.  Limit: 10.0 in region us-central1."


@pytest.mark.parametrize(
    ("fault", "kind", "there"),
    [
        ({"code": "PERMISSION_DENIED", "message": "Required 'x' permission"}, PermissionDeniedError, False),
        ({"code": "QUOTA_EXCEEDED", "message": QUOTA, "in_operation": True}, QuotaExceededError, False),
        ({"code": "UNAVAILABLE", "message": "backendError", "lost_response": True}, UnavailableError, True),
    ],
)
async def test_a_refusal_is_told_whether_it_comes_at_once_or_in_the_operation(
    fault: dict[str, Any], kind: type[CloudError], there: bool
) -> None:
    if "in_operation" in fault:
        fault = {**fault, "code": "RESOURCE_EXHAUSTED"}
    async with simulated(faults=[{"rpc": "compute.resourcePolicies.insert", "calls": [1], **fault}]) as (policies, _):
        with pytest.raises(kind, match=fault["message"].split("(")[0]):
            await policies.create_policy(RING)
        assert (await policies.find_policy(RING.name) is not None) is there


async def test_a_permission_that_nobody_has_is_named() -> None:
    async with simulated(denied_permissions=["compute.resourcePolicies.create"]) as (policies, _):
        with pytest.raises(PermissionDeniedError, match=r"Required 'compute\.resourcePolicies\.create' permission for"):
            await policies.create_policy(RING)


async def test_what_is_no_workload_policy_is_refused_by_the_stand_in() -> None:
    async with simulated() as (_, gke):
        rest = GoogleRest(gke.compute.url)
        url = f"{gke.compute.url}/compute/v1/projects/{PROJECT}/regions/{REGION}/resourcePolicies"
        with pytest.raises(InvalidRequestError, match="only workload policies"):
            await rest.send("POST", url, json={"name": "x", "groupPlacementPolicy": {}})
        with pytest.raises(InvalidRequestError, match="'FAST' is not one of HIGH_THROUGHPUT"):
            await rest.send("POST", url, json={"name": "x", "workloadPolicy": {"type": "FAST"}})
        await rest.close()


async def test_an_operation_that_does_not_end_is_not_waited_for_forever() -> None:
    async def run_on(_: web.Request) -> web.Response:
        return web.json_response({"name": "operation-1", "status": "RUNNING"})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", run_on)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    try:
        endpoint = f"http://{host}:{port}"
        async with ComputePolicies(PROJECT, REGION, endpoint, settle_s=0.05, poll_s=0.01) as policies:
            with pytest.raises(UnavailableError, match="operation-1 of Compute Engine was not done") as caught:
                await policies.create_policy(RING)
    finally:
        await runner.cleanup()
    assert caught.value.finding.outcome_unknown
    assert not caught.value.verbatim


async def test_a_token_that_has_run_out_is_asked_for_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = iter(["first", "second"])
    credentials = SimpleNamespace(token="", valid=False)

    def refresh(_: Any) -> None:
        credentials.token, credentials.valid = next(tokens), True

    credentials.refresh = refresh
    monkeypatch.setattr(google.auth, "default", lambda scopes: (credentials, PROJECT))
    rest = GoogleRest()
    for _ in range(2):
        await rest.log_in()
    assert rest.headers["Authorization"] == "Bearer first"
    credentials.valid = False
    await rest.log_in()
    assert rest.headers["Authorization"] == "Bearer second"
