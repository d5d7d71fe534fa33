"""The adapter to Config Connector against its stand-in and the simulated GKE, without a control plane."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from tests.support.claim_cases import CHAT, DELETED, NOW, POOL, SETTINGS, a_claim, bounds
from tests.support.config_connector import NAMESPACE, PLACE, SLICE, SPEC, Objects, Stack, running_config_connector
from tests.support.polling import eventually

from mistral_operator.capacity.advice import advise
from mistral_operator.capacity.claims.sync import sync_claim
from mistral_operator.capacity.claims.types import DeletePool, Seen
from mistral_operator.capacity.errors import (
    AlreadyExistsError,
    CloudError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    ThrottledError,
    UnavailableError,
)
from mistral_operator.capacity.objects.node_pool import DELETION_POLICY
from mistral_operator.capacity.pools import differences, is_own
from mistral_operator.capacity.port import PoolStatus
from mistral_operator.capacity.provisioners.cloud import CloudPools
from mistral_operator.capacity.provisioners.config_connector import ConfigConnector, ConfigConnectorMissingError
from mistral_operator.cluster.client import ListResult
from mistral_operator.cluster.errors import ApiError, Forbidden, Invalid, NotFound, Throttled, Unreachable
from mistral_operator.cluster.kinds import CONTAINER_NODE_POOL, NODE

Start = Callable[..., Awaitable[Stack]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """`await start(**scenario)` gives the adapter, the objects, and the simulated GKE behind them."""
    async with AsyncExitStack() as stack:

        async def run(**scenario: Any) -> Stack:
            return await stack.enter_async_context(running_config_connector(**scenario))

        yield run


async def test_a_pool_comes_back_as_it_was_asked_for(start: Start) -> None:
    stack = await start()
    operation = await stack.pools.create_pool(SPEC)
    assert not operation.done
    pending = await stack.find(POOL)
    assert pending is not None
    assert (pending.status, pending.findings) == (PoolStatus.PROVISIONING, ())
    assert (await stack.ended(operation)).finding is None
    pool = await stack.find(POOL)
    assert pool is not None
    assert pool.status is PoolStatus.RUNNING
    assert differences(pool, a_claim()) == ()
    assert is_own(pool, a_claim())
    assert pool.bounds == bounds(2)
    made = await stack.gke.pool(POOL)
    (gpu,) = made.config.accelerators
    assert gpu.gpu_driver_installation_config.gpu_driver_version.name == "DEFAULT"
    assert (made.config.disk_size_gb, made.config.gcfs_config.enabled, made.max_pods_constraint.max_pods_per_node) == (
        SPEC.boot_disk_gb, True, 32
    )  # fmt: skip


async def test_the_name_is_taken_by_whomever(start: Start) -> None:
    stack = await start()
    await stack.make(SPEC)
    with pytest.raises(AlreadyExistsError):
        await stack.pools.create_pool(SPEC)


async def test_bounds_are_changed_in_gke(start: Start) -> None:
    stack = await start()
    await stack.make(SPEC)
    operation = await stack.pools.set_autoscaling(POOL, bounds(7))
    assert (await stack.ended(operation)).finding is None
    assert (await stack.gke.pool(POOL)).autoscaling.total_max_node_count == 7
    with pytest.raises(NotFoundError):
        await stack.pools.set_autoscaling("mm-absent", bounds(7))


async def test_a_pool_is_gone_once_gke_has_deleted_it(start: Start) -> None:
    stack = await start()
    await stack.make(SPEC)
    operation = await stack.pools.delete_pool(POOL)
    stopping = await stack.find(POOL)
    assert stopping is None or stopping.status is PoolStatus.STOPPING
    assert (await stack.ended(operation)).finding is None
    assert await stack.find(POOL) is None
    assert POOL not in await stack.gke.names()
    with pytest.raises(NotFoundError):
        await stack.pools.delete_pool(POOL)


async def test_an_object_that_abandons_its_pool_is_not_deleted(start: Start) -> None:
    """Or the pool would be paid for, and nobody would know it."""
    stack = await start()
    await stack.make(SPEC)
    keep = {"metadata": {"annotations": {DELETION_POLICY: "abandon"}}}
    await stack.objects.merge_patch(CONTAINER_NODE_POOL, POOL, NAMESPACE, keep)
    with pytest.raises(InvalidRequestError, match=r"abandon.*kubectl annotate --overwrite containernodepool"):
        await stack.pools.delete_pool(POOL)
    assert await stack.find(POOL) is not None


async def test_what_the_schema_lacks_is_refused_before_anything_is_made(start: Start) -> None:
    stack = await start()
    with pytest.raises(InvalidRequestError, match=r"has no flexStart and maxRunDuration.*write .*: ContainerAPI"):
        await stack.pools.create_pool(replace(SPEC, max_run_s=3600))
    assert stack.objects.by_path == {}


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"code": "PERMISSION_DENIED", "message": 'Required "container.clusters.update".'}, "PermissionDenied"),
        ({"code": "RESOURCE_EXHAUSTED", "message": "Insufficient regional quota to satisfy request"}, "QuotaExceeded"),
        ({"code": "INVALID_ARGUMENT", "message": "Machine type with name 'x' does not exist"}, "InvalidRequest"),
    ],
)
async def test_a_refusal_keeps_its_reason_and_google_s_words(start: Start, fault: dict[str, str], reason: str) -> None:
    stack = await start(faults=[{"rpc": "CreateNodePool", **fault, "probability": 1.0}])
    view = await stack.ended(await stack.pools.create_pool(SPEC))
    assert view.finding is not None
    assert (view.finding.reason, view.finding.speaker) == (reason, "Config Connector")
    assert fault["message"] in view.finding.text
    assert view.finding.text.startswith("Error ")
    pool = await stack.find(POOL)
    assert pool is not None
    assert (pool.status, pool.findings) == (PoolStatus.ERROR, (view.finding,))


async def test_a_busy_cluster_is_waited_for(start: Start) -> None:
    busy = {"code": "FAILED_PRECONDITION", "message": "Cluster is running incompatible operation operation-1."}
    stack = await start(faults=[{"rpc": "CreateNodePool", **busy, "calls": list(range(1, 20))}])
    operation = await stack.pools.create_pool(SPEC)

    async def told() -> bool:
        pool = await stack.find(POOL)
        return pool is not None and [f.reason for f in pool.findings] == ["ClusterBusy"]

    await eventually(told, message="the busy cluster is told")
    assert (await stack.ended(operation)).finding is None
    assert POOL in await stack.gke.names()


@pytest.mark.parametrize("reason", ["Unmanaged", "ManagementConflict", "DependencyNotFound", ""])
async def test_an_object_that_nobody_handles_holds_up_no_other_pool_and_is_let_go(reason: str) -> None:
    """Four of them would else take all the places for operations, and none could ever be deleted."""
    objects, moment = Objects(), datetime.now(UTC)
    adapter = ConfigConnector(objects, PLACE, now=lambda: moment)
    pools = CloudPools(adapter)
    assert await pools.create(SPEC)
    assert await pools.follow(POOL, None) is not None
    if reason:
        condition = {"type": "Ready", "status": "False", "reason": reason, "message": "nothing is done"}
        body = {**objects.pool(POOL), "status": {"conditions": [condition]}}
        objects.put(CONTAINER_NODE_POOL.path(namespace=NAMESPACE, name=POOL), body)
    else:
        moment += timedelta(seconds=61)
    assert await pools.follow(POOL, None) is None
    pool = next(iter(await adapter.list_pools()))
    assert pool.status is PoolStatus.PROVISIONING
    terms = {"provisioner": "ConfigConnector"}
    waiting = sync_claim(a_claim(terms=terms), Seen(users=(CHAT,), pool=pool), SETTINGS, NOW)
    assert waiting.status is not None
    assert waiting.status["conditions"][1]["reason"] == (reason or "ConfigConnectorSilent")
    released = sync_claim(a_claim(terms=terms, **DELETED), Seen(pool=pool), SETTINGS, NOW)
    assert released.action == DeletePool(POOL, cause=None, uid=pool.uid)
    by_gke = sync_claim(a_claim(**DELETED), Seen(pool=pool), SETTINGS, NOW)
    assert by_gke.action is None, "GKE refuses what isn't quiet"
    assert await pools.delete(POOL, cause=None)
    assert await pools.follow(POOL, None) is None
    assert await adapter.list_pools() == ()


async def test_a_whole_slice_is_running(start: Start) -> None:
    stack = await start(system_nodes=0)
    pool = await stack.make(SLICE)
    assert (pool.status, pool.slice_topology, pool.bounds) == (PoolStatus.RUNNING, "4x4", None)
    assert len(stack.gke.nodes.there) == 4


async def test_an_immutable_field_is_never_changed_and_the_pool_serves_on(start: Start) -> None:
    """Somebody edits the object: Config Connector refuses, the pool stays, and the claim tells the difference."""
    stack = await start()
    await stack.make(SPEC)
    edit = {"spec": {"nodeConfig": {"machineType": "g2-standard-48"}}}
    await stack.objects.merge_patch(CONTAINER_NODE_POOL, POOL, NAMESPACE, edit)

    async def told() -> bool:
        pool = await stack.find(POOL)
        return pool is not None and pool.status is PoolStatus.RUNNING_WITH_ERROR

    await eventually(told, message="the refused edit is told")
    pool = await stack.find(POOL)
    assert pool is not None
    assert [f.reason for f in pool.findings] == ["InvalidRequest"]
    assert "nodeConfig.0.MachineType" in pool.findings[0].text
    assert differences(pool, a_claim()) == ("machine type is g2-standard-48, not g2-standard-12",)
    assert (await stack.gke.pool(POOL)).config.machine_type == "g2-standard-12"
    operation = await stack.ended(await stack.pools.set_autoscaling(POOL, bounds(5)))
    assert operation.finding is not None


async def test_a_deletion_that_gke_refuses_is_told_and_tried_again(start: Start) -> None:
    refusal = {"code": "PERMISSION_DENIED", "message": 'Required "container.clusters.update" permission.'}
    stack = await start(faults=[{"rpc": "DeleteNodePool", **refusal, "calls": list(range(1, 20))}])
    await stack.make(SPEC)
    view = await stack.ended(await stack.pools.delete_pool(POOL))
    assert view.finding is not None
    assert view.finding.reason == "PermissionDenied"
    pool = await stack.find(POOL)
    assert pool is None or pool.findings == (view.finding,)

    async def gone() -> bool:
        return POOL not in await stack.gke.names() and await stack.find(POOL) is None

    await eventually(gone, message="the pool is deleted once GKE allows it")


async def test_an_operation_of_an_object_that_is_gone_is_forgotten(start: Start) -> None:
    stack = await start()
    with pytest.raises(NotFoundError):
        await stack.pools.get_operation(f"create/{POOL}/uid-9/1")
    assert (await stack.pools.get_operation(f"delete/{POOL}/uid-9/1")).done
    with pytest.raises(InvalidRequestError):
        await stack.pools.get_operation("operation-1700000000000-abcdef")


async def test_one_list_shows_all_pools_and_events_are_asked_only_of_young_ones(start: Start) -> None:
    stack = await start()
    await stack.make(SPEC)
    for hours, lists in ((0, ["list containernodepools", "list events"]), (2, ["list containernodepools"])):
        moment = datetime.now(UTC) + timedelta(hours=hours)
        later = ConfigConnector(stack.objects, PLACE, now=partial(_constant, moment))
        stack.objects.requests.clear()
        assert [pool.name for pool in await later.list_pools()] == [POOL]
        assert stack.objects.requests == lists


def _constant(moment: datetime) -> datetime:
    return moment


async def test_the_cluster_is_described_by_its_nodes(start: Start) -> None:
    """No call of Google's is needed for it."""
    stack = await start()
    for number, zone in enumerate(("us-central1-b", "us-central1-a", "us-central1-b")):
        labels = {"topology.kubernetes.io/zone": zone}
        stack.objects.make(NODE.path(name=f"gke-{number}"), {"metadata": {"name": f"gke-{number}", "labels": labels}})
    view = await stack.pools.describe_cluster()
    assert (view.zones, view.version, view.autopilot) == (("us-central1-a", "us-central1-b"), "1.36.3-gke.100", False)


@pytest.mark.parametrize(
    ("refused", "expected"),
    [
        (NotFound(404, "NotFound", "the server could not find the requested resource"), ConfigConnectorMissingError),
        (NotFound(404, "NotFound", 'namespaces "cloud" not found'), ConfigConnectorMissingError),
        (Forbidden(403, "Forbidden", "containernodepools is forbidden"), PermissionDeniedError),
        (Invalid(422, "Invalid", "admission webhook denied the request"), InvalidRequestError),
        (Throttled(429, "TooManyRequests", "slow down"), ThrottledError),
        (Unreachable(0, "Unreachable", "connection refused"), UnavailableError),
    ],
)
async def test_what_the_api_server_refuses_is_told_as_its_own_words(
    monkeypatch: pytest.MonkeyPatch, refused: ApiError, expected: type[CloudError]
) -> None:
    objects = Objects()

    async def refuse(*_: object, **__: object) -> ListResult:
        raise refused

    monkeypatch.setattr(objects, "list", refuse)
    monkeypatch.setattr(objects, "create", refuse)
    pools = ConfigConnector(objects, PLACE)
    with pytest.raises(expected) as caught:
        await pools.create_pool(SPEC)
    assert refused.message in caught.value.text
    assert not caught.value.verbatim
    assert "gcloud" not in advise(caught.value.finding, PLACE.cluster)
    with pytest.raises(expected):
        await pools.list_pools()
