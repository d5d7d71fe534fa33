"""Google's client against the simulated GKE, without Kubernetes."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from google.cloud import container_v1
from tests.support.claim_cases import POOL, a_claim, a_pool, bounds
from tests.support.polling import eventually
from tests.support.simulated_gke import Gke, running_gke

from mistral_operator.capacity.errors import (
    AlreadyExistsError,
    BusyError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    UnavailableError,
)
from mistral_operator.capacity.pools import NodeFacts, differences, is_own, pool_spec, upkeep_of
from mistral_operator.capacity.port import (
    Mend,
    OperationView,
    PoolSpec,
    PoolStatus,
    PoolView,
    SetExclusion,
    SetManagement,
    SetNodeLabels,
    SetResourceLabels,
    SetSize,
    SetTaints,
    SetUpgrades,
    SetVersion,
    StopAutoscaling,
    Taint,
    UpgradeHold,
)
from mistral_operator.capacity.provisioners.container_api import ContainerApi, node_pool
from mistral_operator.capacity.provisioners.container_repairs import mend_request

Start = Callable[..., Awaitable[tuple[ContainerApi, Gke]]]
SPEC = pool_spec(a_claim(), total_max=2, facts=NodeFacts(accelerator_memory_gib=24))
VERSION = "1.36.3-gke.1000000"
NEXT = "1.36.4-gke.1000000"
SLICE = replace(
    SPEC,
    machine_type="ct6e-standard-4t",
    gpu=None,
    locations=SPEC.locations[:1],
    bounds=None,
    slice_topology="2x4",
    slice_hosts=2,
    boot_disk="hyperdisk-balanced",
)


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """`await start(**scenario)` gives our client and the simulated GKE behind it."""
    async with AsyncExitStack() as stack:

        async def run(**scenario: Any) -> tuple[ContainerApi, Gke]:
            gke = await stack.enter_async_context(running_gke(**scenario))
            client = client_of(gke)
            return await stack.enter_async_context(client), gke

        yield run


def client_of(gke: Gke) -> ContainerApi:
    endpoint = f"http://{gke.api.address}"
    return ContainerApi(project="sandbox-project", location="us-central1", cluster="sandbox", endpoint=endpoint)


async def ended(client: ContainerApi, operation: OperationView) -> OperationView:
    async def done() -> OperationView | None:
        view = await client.get_operation(operation.name)
        return view if view.done else None

    return await eventually(done, message=f"{operation.name} is done")


async def find(client: ContainerApi, name: str = POOL) -> PoolView | None:
    return next((pool for pool in await client.list_pools() if pool.name == name), None)


async def test_only_what_gke_answered_counts_as_its_words(start: Start, unused_tcp_port: int) -> None:
    endpoint = f"http://127.0.0.1:{unused_tcp_port}"
    async with ContainerApi(project="p", location="us-central1", cluster="c", endpoint=endpoint) as nobody:
        with pytest.raises(UnavailableError, match="no answer from GKE: failed to connect to all addresses") as caught:
            await nobody.describe_cluster()
    assert not caught.value.finding.verbatim
    words = "The service is currently unavailable."
    client, _ = await start(faults=[{"rpc": "GetCluster", "code": "UNAVAILABLE", "message": words}])
    with pytest.raises(UnavailableError) as caught:
        await client.describe_cluster()
    assert (caught.value.text, caught.value.finding.verbatim) == (words, True)


async def test_the_cluster_is_described(start: Start) -> None:
    client, _ = await start()
    view = await client.describe_cluster()
    assert view.zones == ("us-central1-a", "us-central1-b", "us-central1-c")
    assert (view.version, view.release_channel) == (VERSION, "REGULAR")
    assert (view.exclusions, view.has_window) == ((), False)
    assert not view.autopilot


async def test_what_the_clusters_owners_say_of_upgrades_is_read(start: Start) -> None:
    launch = {"name": "launch", "ends": 3600, "scope": "NO_MINOR_UPGRADES"}
    client, gke = await start(release_channel="", speed=1, maintenance_exclusions=[launch])
    gke.api.cloud.maintenance.window.daily_maintenance_window.start_time = "03:00"
    view = await client.describe_cluster()
    (exclusion,) = view.exclusions
    assert (view.release_channel, view.has_window) == ("", True)
    assert (exclusion.name, exclusion.minor_only) == ("launch", True)
    assert exclusion.starts_at is not None
    assert exclusion.ends_at == exclusion.starts_at + timedelta(hours=1)


async def test_a_pool_comes_back_as_it_was_asked_for(start: Start) -> None:
    client, _ = await start()
    assert (await ended(client, await client.create_pool(SPEC))).finding is None
    pool = await find(client)
    assert pool is not None
    assert pool.status is PoolStatus.RUNNING
    assert pool.bounds == bounds(2)
    assert is_own(pool, a_claim())
    assert differences(pool, a_claim()) == ()
    assert pool == a_pool(version=VERSION)


async def test_bounds_change_and_the_pool_goes(start: Start) -> None:
    client, _ = await start()
    await ended(client, await client.create_pool(SPEC))
    await ended(client, await client.set_autoscaling(POOL, bounds(7)))
    pool = await find(client)
    assert pool is not None
    assert pool.bounds == bounds(7)
    await ended(client, await client.delete_pool(POOL))
    assert await find(client) is None


async def test_a_stranger_is_recognised(start: Start) -> None:
    client, _ = await start(foreign_pools=[{"name": POOL}])
    with pytest.raises(AlreadyExistsError, match=POOL):
        await client.create_pool(SPEC)
    pool = await find(client)
    assert pool is not None
    assert not is_own(pool, a_claim())


async def test_an_operation_that_is_done_may_have_failed(start: Start) -> None:
    stock_out = "[GCE_STOCKOUT] The zone does not have enough resources available."
    fault = {"rpc": "CreateNodePool", "code": "RESOURCE_EXHAUSTED", "message": stock_out, "in_operation": True}
    client, _ = await start(faults=[fault])
    operation = await ended(client, await client.create_pool(SPEC))
    assert operation.finding is not None
    assert operation.finding.reason == "StockedOut"
    assert operation.finding.text == stock_out


async def test_what_is_not_there_is_not_found(start: Start) -> None:
    client, _ = await start()
    with pytest.raises(NotFoundError):
        await client.delete_pool(POOL)
    with pytest.raises(NotFoundError):
        await client.get_operation("operation-0")


async def test_a_busy_pool_says_so(start: Start) -> None:
    client, _ = await start(speed=1)
    await client.create_pool(SPEC)
    with pytest.raises(BusyError, match="currently creating"):
        await client.delete_pool(POOL)


async def test_a_shape_that_does_not_exist_is_refused(start: Start) -> None:
    client, _ = await start()
    wrong = PoolSpec(**{**{name: getattr(SPEC, name) for name in PoolSpec.__slots__}, "machine_type": "g2-standard-5"})
    with pytest.raises(InvalidRequestError, match="g2-standard-5"):
        await client.create_pool(wrong)


@pytest.mark.parametrize("code", ["UNAVAILABLE", "INTERNAL", "DEADLINE_EXCEEDED"])
async def test_a_call_is_tried_once_and_its_outcome_may_be_unknown(start: Start, code: str) -> None:
    client, gke = await start(faults=[{"rpc": "CreateNodePool", "code": code, "lost_response": True}])
    with pytest.raises(UnavailableError) as caught:
        await client.create_pool(SPEC)
    assert caught.value.finding.outcome_unknown
    assert await find(client) is not None, "it took effect all the same"
    assert [call.rpc for call in gke.api.manager.calls].count("CreateNodePool") == 1


async def test_a_missing_right_is_told_in_the_clouds_words(start: Start) -> None:
    words = 'Required "container.clusters.get" permission(s) for "projects/sandbox-project".'
    client, _ = await start(faults=[{"rpc": "ListNodePools", "code": "PERMISSION_DENIED", "message": words}])
    with pytest.raises(PermissionDeniedError) as caught:
        await client.list_pools()
    assert caught.value.text == words


@pytest.mark.filterwarnings("ignore:Unrecognized .* enum value")
async def test_values_newer_than_the_client_in_somebodys_pool_blind_nobody(start: Start) -> None:
    client, gke = await start(foreign_pools=[{"name": "novel"}])
    await ended(client, await client.create_pool(SPEC))
    novel = gke.api.cloud.pools["novel"].message
    novel.status = 77
    novel.conditions.add(code=42, canonical_code=99, message="Something that Google invented since.")
    novel.config.accelerators.add(accelerator_type="nvidia-next", gpu_sharing_config={"gpu_sharing_strategy": 12})
    pool = await find(client, "novel")
    assert pool is not None
    assert pool.status is PoolStatus.UNKNOWN
    assert [finding.text for finding in pool.findings] == ["Something that Google invented since."]
    assert await find(client) == a_pool(version=VERSION)


@pytest.mark.filterwarnings("ignore:Unrecognized .* enum value")
async def test_an_operation_with_values_newer_than_the_client_can_be_followed(start: Start) -> None:
    client, gke = await start(speed=1)
    begun = await client.create_pool(SPEC)
    message = gke.api.operations.get(f"projects/p/locations/l/operations/{begun.name}")
    message.status = 55
    assert not (await client.get_operation(begun.name)).done
    message.status = container_v1.Operation.Status.DONE
    message.error.code = 99
    message.error.message = "Something that Google invented since."
    view = await client.get_operation(begun.name)
    assert view.done
    assert view.finding is not None
    assert view.finding.text == "Something that Google invented since."


async def test_nobody_listens() -> None:
    async with ContainerApi(project="p", location="us-central1", cluster="c", endpoint="http://127.0.0.1:9") as client:
        with pytest.raises(UnavailableError):
            await client.list_pools()


@pytest.mark.parametrize("endpoint", ["127.0.0.1:80", "https://127.0.0.1:80", "http://"])
async def test_an_endpoint_must_be_plain_http(endpoint: str) -> None:
    with pytest.raises(ValueError, match="write http://HOST:PORT"):
        ContainerApi(project="p", location="us-central1", cluster="c", endpoint=endpoint)


WANTED = upkeep_of(SPEC)
OTHERS = Taint("team.example/mine", "yes", "NoSchedule")


@pytest.mark.parametrize(
    ("mend", "read", "expected"),
    [
        (SetNodeLabels({"a": "b"}), lambda pool: pool.node_labels, {"a": "b"}),
        (SetTaints((OTHERS,)), lambda pool: pool.taints, (OTHERS,)),
        (SetTaints(()), lambda pool: pool.taints, ()),
        (SetResourceLabels({"team": "a"}), lambda pool: pool.resource_labels, {"team": "a"}),
        (SetManagement(replace(WANTED, auto_repair=False)), lambda pool: pool.upkeep.auto_repair, False),
        (SetUpgrades(replace(WANTED, max_surge=2)), lambda pool: pool.upkeep, replace(WANTED, max_surge=2)),
        (StopAutoscaling(), lambda pool: (pool.autoscaled, pool.bounds), (False, None)),
    ],
)
async def test_a_pool_is_put_right_while_it_lives(
    start: Start, mend: Mend, read: Callable[[PoolView], object], expected: object
) -> None:
    client, _ = await start()
    await ended(client, await client.create_pool(SPEC))
    assert (await ended(client, await client.mend_pool(POOL, mend))).finding is None
    pool = await find(client)
    assert pool is not None
    assert read(pool) == expected


async def test_a_size_is_set_again(start: Start) -> None:
    client, gke = await start()
    await ended(client, await client.create_pool(SPEC))
    assert (await ended(client, await client.mend_pool(POOL, SetSize(1)))).finding is None
    assert gke.api.cloud.pools[POOL].size() == len(SPEC.locations)


async def test_a_slice_takes_no_other_size_than_its_own(start: Start) -> None:
    client, gke = await start()
    assert (await ended(client, await client.create_pool(SLICE))).finding is None
    assert (await ended(client, await client.mend_pool(POOL, SetSize(0)))).finding is None
    with pytest.raises(InvalidRequestError, match="not a valid size of TPU pod slice"):
        await client.mend_pool(POOL, SetSize(1))
    assert (await ended(client, await client.mend_pool(POOL, SetSize(2)))).finding is None
    assert gke.api.cloud.pools[POOL].is_whole


def upgrade_everything(gke: Gke) -> None:
    gke.api.actions.do("upgrade", {"version": NEXT})


async def test_in_a_channel_an_excluded_slice_is_upgraded_by_us_alone(start: Start) -> None:
    client, gke = await start()
    free, held = replace(SLICE, name="mm-free"), replace(SLICE, hold=UpgradeHold.EXCLUSION)
    for spec in (free, held):
        assert (await ended(client, await client.create_pool(spec))).finding is None
    made = await find(client)
    assert made is not None
    assert made.upkeep == upkeep_of(held)
    upgrade_everything(gke)
    await eventually(lambda: gke.api.cloud.pools["mm-free"].message.version == NEXT, message="GKE upgrades the other")
    behind = await find(client)
    assert behind is not None
    assert behind.version == VERSION
    assert (await ended(client, await client.mend_pool(POOL, SetVersion(NEXT)))).finding is None
    assert {each.version for each in gke.api.cloud.pools[POOL].instances.values()} == {NEXT}


async def test_a_pool_of_before_is_excluded_later_and_let_go_again(start: Start) -> None:
    client, _ = await start()
    await ended(client, await client.create_pool(SLICE))
    for on in (True, False):
        await ended(client, await client.mend_pool(POOL, SetExclusion(on)))
        pool = await find(client)
        assert pool is not None
        assert pool.upkeep is not None
        assert pool.upkeep.excluded is on


async def test_outside_of_a_channel_upgrades_are_switched_off_instead(start: Start) -> None:
    client, _ = await start(release_channel="")
    with pytest.raises(InvalidRequestError, match="enrolled in a release channel"):
        await client.create_pool(replace(SLICE, hold=UpgradeHold.EXCLUSION))
    off = replace(SLICE, hold=UpgradeHold.SWITCHED_OFF)
    assert (await ended(client, await client.create_pool(off))).finding is None
    pool = await find(client)
    assert pool is not None
    assert pool.upkeep == upkeep_of(off)


async def test_in_a_channel_upgrades_cannot_be_switched_off(start: Start) -> None:
    client, _ = await start()
    off = replace(SLICE, hold=UpgradeHold.SWITCHED_OFF)
    words = "Auto_upgrade cannot be false when release_channel REGULAR is set"
    with pytest.raises(InvalidRequestError, match=words):
        await client.create_pool(off)
    await ended(client, await client.create_pool(SLICE))
    with pytest.raises(InvalidRequestError, match=words):
        await client.mend_pool(POOL, SetManagement(upkeep_of(off)))


def test_an_upgrade_asks_for_the_version_and_keeps_the_image() -> None:
    call, request = mend_request("pool", SetVersion(NEXT))
    assert call == "update_node_pool"
    assert type(request).to_dict(request, always_print_fields_with_no_presence=False) == {
        "name": "pool",
        "node_version": NEXT,
        "image_type": "COS_CONTAINERD",
    }
    made = node_pool(replace(SLICE, hold=UpgradeHold.EXCLUSION))
    policy = type(made.maintenance_policy).to_dict(made.maintenance_policy, preserving_proto_field_name=False)
    assert policy == {"exclusionUntilEndOfSupport": {"enabled": True}}
    assert "maintenance_policy" not in node_pool(SLICE)
