"""Answers of the cloud that get lost, refuse or come late, and operations that can or can't be followed."""

import pytest
from tests.support.claim_cases import POOL, QUOTA, a_pool
from tests.support.claim_world import World

from mistral_operator.capacity.errors import classify
from mistral_operator.capacity.provisioners.cloud import CloudPace
from mistral_operator.cluster.kinds import CLAIM
from mistral_operator.cluster.store import Key

INCOMPATIBLE = "Cluster is running incompatible operation operation-1."


async def served() -> World:
    """A world with one model whose pool is there."""
    world = World()
    world.add_model()
    await world.settle()
    return world


@pytest.mark.parametrize("call", ["create", "delete"])
async def test_an_answer_that_got_lost_leads_to_the_same_end(call: str) -> None:
    world = World()
    world.cloud.lost[call] = 1
    world.add_model()
    await world.settle(for_s=120)
    assert world.state == "Ready"
    assert world.cloud.calls.count("create") == 1
    world.delete_model()
    await world.settle(for_s=120)
    assert world.claim is None
    assert world.pool is None


async def test_a_claim_waits_for_a_create_whose_answer_got_lost_before_it_goes() -> None:
    world = World()
    world.cloud.refusals["create"] = [classify("UNAVAILABLE", "socket closed")]
    world.add_model()
    await world.step()
    world.delete_model()
    await world.step()
    await world.step()
    assert world.claim is not None
    assert "no answer" in world.condition()["message"]
    await world.settle()
    assert world.claim is None


@pytest.mark.parametrize("late_s", [1, 20, 70])
async def test_a_pool_that_comes_late_of_a_create_without_an_answer_goes_with_its_claim(late_s: float) -> None:
    world = World()
    world.cloud.late_creates = [late_s]
    world.add_model()
    await world.step()
    world.delete_model()
    await world.settle()
    assert world.claim is None
    world.clock_s += 300
    assert await world.cloud.list_pools() == ()


async def test_a_create_that_was_refused_in_words_is_not_waited_for() -> None:
    world = await served()
    world.delete_model()
    await world.settle()
    world.clock_s += 100
    world.cloud.refusals["create"] = [classify("RESOURCE_EXHAUSTED", QUOTA)]
    world.add_model("draft")
    await world.step()
    world.delete_model("draft")
    await world.step()
    await world.step()
    assert world.claim is None


async def test_the_time_in_which_a_pool_may_still_come_begins_with_the_first_look() -> None:
    """A standby is made long before it leads, and its predecessor may have died while it waited for an answer."""
    world = World()
    world.clock_s += 1000
    assert world.cloud_pools.unheard_s(POOL) == world.pace.unheard_s
    world.clock_s += world.pace.unheard_s - 1
    assert world.cloud_pools.unheard_s(POOL) == 1
    world.cloud.pools[POOL] = a_pool()
    await world.cloud_pools.find(POOL)
    assert world.cloud_pools.unheard_s(POOL) == 0


async def test_an_operation_that_can_not_be_read_for_a_moment_is_followed_on() -> None:
    world = World()
    world.cloud.refusals["get"] = [classify("UNAVAILABLE", "down"), classify("FAILED_PRECONDITION", INCOMPATIBLE)]
    world.add_model()
    for _ in range(2):
        await world.step()
        assert world.condition()["reason"] == "PoolCreating"
        assert world.claim is not None
        assert world.claim["status"]["operation"]["type"] == "CREATE_NODE_POOL"
    await world.settle()
    assert world.state == "Ready"


async def test_operations_that_must_not_be_read_are_told_and_hold_up_nobody() -> None:
    world = World(pace=CloudPace(change_interval_s=0.0, max_operations=2))
    words = 'Required "container.operations.get" permission(s).'
    world.cloud.refusals["get"] = [classify("PERMISSION_DENIED", words) for _ in range(9)]
    names = [f"g2-standard-12-od-000000000{i}" for i in range(3)]
    for name in names:
        world.add_model(f"m-{name[-1]}", claim=name)
    for name in names:
        await world.reconciler.reconcile(name)
    assert len(world.cloud.pools) == 3
    blind = world.cluster.objects[CLAIM, Key("", names[0])]["status"]["conditions"][0]
    assert blind["reason"] == "PermissionDenied"
    assert words in blind["message"]
    world.cloud.refusals.clear()
    for _ in range(20):
        for name in names:
            await world.reconciler.reconcile(name)
        world.clock_s += 5
    assert {world.cluster.objects[CLAIM, Key("", name)]["status"]["state"] for name in names} == {"Ready"}


@pytest.mark.parametrize("code", ["INVALID_ARGUMENT", "NOT_FOUND"])
async def test_an_operation_of_another_place_is_dropped_and_the_pool_looked_at(code: str) -> None:
    world = await served()
    assert world.claim is not None
    recorded = {"name": "operation-of-another-location", "type": "CREATE_NODE_POOL"}
    world.cluster.put(CLAIM, {**world.claim, "status": {**world.claim["status"], "operation": recorded}})
    world.start()
    world.cloud.refusals["get"] = [classify(code, "Operation is in another location.")]
    await world.settle()
    assert world.state == "Ready"
    assert "operation" not in world.claim["status"]


@pytest.mark.parametrize(
    ("text", "code", "reason"),
    [
        (INCOMPATIBLE, "FAILED_PRECONDITION", "ClusterBusy"),
        ("Too many operations: cluster hits the concurrent operations quota", "RESOURCE_EXHAUSTED", "ClusterBusy"),
        ("The service is currently unavailable.", "UNAVAILABLE", "CloudUnavailable"),
        (QUOTA, "RESOURCE_EXHAUSTED", "QuotaExceeded"),
        ("Required permission", "PERMISSION_DENIED", "PermissionDenied"),
    ],
)
async def test_a_refused_create_is_told_and_repeated(text: str, code: str, reason: str) -> None:
    world = World()
    world.cloud.refusals["create"] = [classify(code, text) for _ in range(3)]
    world.add_model()
    await world.step()
    assert world.condition()["reason"] == reason
    assert text in world.condition()["message"]
    await world.settle()
    assert world.state == "Ready"
    assert world.condition("Degraded")["status"] == "False"
    assert world.cloud.calls.count("create") == 4


async def test_a_new_process_finds_its_operation_again() -> None:
    world = World()
    world.cloud.polls = 5
    world.add_model()
    await world.step()
    assert world.claim is not None
    operation = world.claim["status"]["operation"]["name"]
    world.start()
    await world.step()
    assert world.cloud.calls == ["list", "create", "get", "get"]
    assert world.claim["status"]["operation"] == {"name": operation, "type": "CREATE_NODE_POOL"}
    await world.settle()
    assert world.claim is not None
    assert "operation" not in world.claim["status"]


async def test_without_an_answer_a_ready_claim_stays_ready() -> None:
    world = await served()
    world.clock_s += 60
    world.cloud.refusals["list"] = [classify("UNAVAILABLE", "down")]
    await world.step()
    assert world.condition()["status"] == "True"
    assert world.condition("Degraded")["reason"] == "CloudUnavailable"
    await world.settle(for_s=30)
    assert world.condition("Degraded")["status"] == "False"


async def test_so_many_operations_at_once_and_no_more() -> None:
    world = World(pace=CloudPace(change_interval_s=0.0, max_operations=2))
    world.cloud.polls = 5
    names = [f"g2-standard-12-od-000000000{i}" for i in range(4)]
    for name in names:
        world.add_model(f"m-{name[-1]}", claim=name)
    for name in names:
        await world.reconciler.reconcile(name)
    assert len(world.cloud.pools) == 2
    waiting = world.cluster.objects[CLAIM, Key("", names[-1])]
    assert waiting["status"]["conditions"][0]["reason"] == "WaitsForTurn"
    for _ in range(40):
        for name in names:
            await world.reconciler.reconcile(name)
        world.clock_s += 5
    assert len(world.cloud.pools) == 4
    assert world.cloud.calls.count("create") == 4
