"""The claim reconciler: one pool for each need, none for no need, whatever happens in between."""

from dataclasses import replace

import pytest
from tests.support.claim_cases import NAME, POOL, QUOTA, STOCK_OUT, a_pool, bounds
from tests.support.claim_world import Crash, World

from mistral_operator.api.names import CLAIM_FINALIZER, CLAIM_RESOURCE_LABEL, SHAPE_LABEL
from mistral_operator.capacity.cloud import CloudPace
from mistral_operator.capacity.errors import classify
from mistral_operator.capacity.port import PoolStatus
from mistral_operator.cluster.errors import Conflict
from mistral_operator.cluster.kinds import CLAIM
from mistral_operator.cluster.store import Key

INCOMPATIBLE = "Cluster is running incompatible operation operation-1."


async def served() -> World:
    """A world with one model whose pool is there."""
    world = World()
    world.add_model()
    await world.settle()
    return world


async def test_a_model_gets_its_pool() -> None:
    world = await served()
    assert world.state == "Ready"
    assert world.pool is not None
    assert world.pool.bounds == bounds(2)
    assert world.pool.resource_labels[CLAIM_RESOURCE_LABEL] == NAME
    assert world.claim is not None
    assert world.claim["metadata"]["finalizers"] == [CLAIM_FINALIZER]


async def test_a_settled_claim_writes_nothing_and_reads_nothing_of_the_cluster() -> None:
    world = await served()
    writes, lists = world.cluster.writes, world.cluster.lists
    world.clock_s += 600
    await world.step()
    assert (world.cluster.writes, world.cluster.lists) == (writes, lists)


async def test_the_finalizer_is_there_before_the_first_call() -> None:
    world = World()
    world.add_model()
    world.kills.before = 2
    with pytest.raises(Crash):
        await world.step()
    assert world.claim is not None
    assert world.claim["metadata"]["finalizers"] == [CLAIM_FINALIZER]
    assert world.pool is None


async def test_another_model_makes_the_pool_grow_and_its_end_makes_it_shrink() -> None:
    world = await served()
    world.add_model("draft", scaling={"maxReplicas": 4})
    await world.settle()
    assert world.pool is not None
    assert world.pool.bounds == bounds(7)
    world.delete_model("draft")
    await world.settle()
    assert world.pool.bounds == bounds(2)


@pytest.mark.parametrize(
    ("spec", "nodes"),
    [
        ({}, 2),
        ({"replicas": 3}, 4),
        ({"replicas": 3, "scaling": {"maxReplicas": 5}}, 6),
        ({"replicas": 3, "rollout": {"strategy": "Recreate"}}, 3),
        ({"replicas": 0}, 1),
    ],
)
async def test_a_model_needs_nodes_for_its_replicas_and_one_more(spec: dict[str, object], nodes: int) -> None:
    world = World()
    world.add_model(**spec)
    await world.settle()
    assert world.pool is not None
    assert world.pool.bounds == bounds(nodes)


async def test_several_revisions_of_a_model_count_once() -> None:
    world = World()
    world.add_model()
    world.add_revision("chat", uid="uid-chat", name="chat-2")
    await world.settle()
    assert world.pool is not None
    assert world.pool.bounds == bounds(2)


async def test_the_last_model_takes_pool_and_claim_with_it() -> None:
    world = await served()
    world.delete_model()
    await world.settle()
    assert world.claim is None
    assert world.pool is None


async def test_a_cache_that_lags_behind_releases_nothing() -> None:
    world = await served()
    revision = next(key for kind, key in world.cluster.objects if kind.kind == "ControllerRevision")
    world.cluster.store[next(k for k, key in world.cluster.objects if key == revision)].remove(revision, 10**9)
    await world.step()
    assert world.claim is not None
    assert "deletionTimestamp" not in world.claim["metadata"]
    assert world.state == "Ready"


async def test_a_revision_whose_model_is_gone_holds_the_claim_and_is_named() -> None:
    world = await served()
    world.add_revision("ghost", uid="uid-of-a-former-ghost")
    world.delete_model()
    await world.step()
    assert world.claim is not None
    assert "team/ghost-1" in world.condition("InUse")["message"]
    assert world.pool is not None


async def test_the_claims_label_in_another_namespace_neither_raises_the_bounds_nor_holds_the_pool() -> None:
    world = await served()
    world.add_model("forger", namespace="other-team", replicas=500)
    world.add_revision("ghost", uid="uid-of-nobody", namespace="other-team")
    await world.settle()
    assert world.pool is not None
    assert world.pool.bounds == bounds(2)
    assert world.claim is not None
    assert [user["namespace"] for user in world.claim["status"]["users"]] == ["team"]
    world.delete_model()
    await world.settle()
    assert world.claim is None
    assert world.pool is None


async def test_a_later_model_of_the_same_name_is_another_one() -> None:
    world = World()
    world.add_model(uid="uid-new")
    world.add_revision("chat", uid="uid-old", name="chat-old")
    await world.settle()
    assert world.claim is not None
    assert [user["name"] for user in world.claim["status"]["users"]] == ["chat"]


async def test_a_claim_deleted_in_use_keeps_its_pool_until_its_models_go() -> None:
    world = await served()
    await world.cluster.delete(CLAIM, NAME)
    await world.settle()
    assert world.pool is not None
    assert world.condition("InUse")["reason"] == "DeletionWaitsForUsers"
    world.delete_model()
    await world.settle()
    assert world.claim is None
    assert world.pool is None


async def test_a_claim_wanted_again_during_its_release_is_made_anew() -> None:
    world = await served()
    world.delete_model()
    await world.step()
    await world.step()
    assert world.pool is not None
    assert world.pool.status is PoolStatus.STOPPING
    world.add_model("draft")
    for _ in range(10):
        world.clock_s += 10
        await world.step()
    assert world.claim is None, "the release ends first"
    world.apply_claim()
    await world.settle()
    assert world.state == "Ready"
    assert world.cloud.calls.count("create") == 2


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


async def test_a_pool_that_failed_is_deleted_and_made_again() -> None:
    world = World()
    world.cloud.fail_creates = [STOCK_OUT, STOCK_OUT]
    world.add_model()
    for _ in range(8):
        world.clock_s += await world.step() or 0
    assert world.condition()["reason"] == "StockedOut"
    assert STOCK_OUT in world.condition()["message"]
    await world.settle()
    assert world.state == "Ready"
    assert world.cloud.calls.count("create") == 3


async def test_a_failed_pool_with_nodes_is_left_alone() -> None:
    world = await served()
    assert world.pool is not None
    world.cloud.pools[POOL] = replace(world.pool, status=PoolStatus.ERROR)
    world.add_node()
    await world.settle(for_s=100)
    assert world.pool is not None
    assert "delete" not in world.cloud.calls
    assert world.state == "Failed"


async def test_nodes_are_believed_of_the_api_server_only() -> None:
    world = await served()
    assert world.pool is not None
    world.cloud.pools[POOL] = replace(world.pool, status=PoolStatus.ERROR)
    world.add_node()
    world.cluster.store[next(k for k, key in world.cluster.objects if key.name == "node-1")].remove(
        Key("", "node-1"), 10**9
    )
    world.clock_s += 10
    await world.step()
    assert "delete" not in world.cloud.calls


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


async def test_a_strangers_pool_is_neither_touched_nor_waited_for() -> None:
    world = World()
    world.cloud.pools[POOL] = stranger = a_pool(resource_labels={"team": "other"})
    world.add_model()
    await world.settle()
    assert world.state == "Refused"
    assert world.condition()["reason"] == "PoolNameTaken"
    world.delete_model()
    await world.settle()
    assert world.claim is None
    assert world.cloud.pools == {POOL: stranger}
    assert set(world.cloud.calls) == {"list"}


async def test_a_pool_of_ours_from_before_is_adopted() -> None:
    world = World()
    world.cloud.pools[POOL] = a_pool()
    world.add_model()
    await world.settle()
    assert world.state == "Ready"
    assert set(world.cloud.calls) == {"list"}


async def test_bounds_that_somebody_changed_are_put_right() -> None:
    world = await served()
    assert world.pool is not None
    world.cloud.pools[POOL] = replace(world.pool, bounds=bounds(9))
    world.clock_s += 60
    await world.settle()
    assert world.pool.bounds == bounds(2)


async def test_a_pool_that_somebody_deleted_is_made_again() -> None:
    world = await served()
    world.cloud.pools.clear()
    world.clock_s += 60
    await world.settle()
    assert world.state == "Ready"
    assert world.pool is not None


async def test_without_an_answer_a_ready_claim_stays_ready() -> None:
    world = await served()
    world.clock_s += 60
    world.cloud.refusals["list"] = [classify("UNAVAILABLE", "down")]
    await world.step()
    assert world.condition()["status"] == "True"
    assert world.condition("Degraded")["reason"] == "CloudUnavailable"
    await world.settle(for_s=30)
    assert world.condition("Degraded")["status"] == "False"


async def test_a_finalizer_that_changed_meanwhile_is_a_conflict_for_the_queue() -> None:
    world = World()
    world.add_model()
    assert world.claim is not None
    world.cluster.objects[CLAIM, Key("", NAME)]["metadata"]["resourceVersion"] = "999"
    with pytest.raises(Conflict):
        await world.step()
    assert world.cloud.calls == ["list"]


async def test_a_claim_that_is_gone_is_forgotten() -> None:
    world = World()
    assert await world.step() is None
    assert world.cloud.calls == []


async def test_other_finalizers_stay() -> None:
    world = World()
    world.add_model()
    await world.cluster.merge_patch(
        CLAIM,
        NAME,
        "",
        {"metadata": {"resourceVersion": str(world.cluster.version), "finalizers": ["example.com/audit"]}},
    )
    await world.settle()
    world.delete_model()
    for _ in range(12):
        world.clock_s += 10
        await world.step()
    assert world.pool is None
    assert world.claim is not None
    assert world.claim["metadata"]["finalizers"] == ["example.com/audit"]


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


async def test_one_list_serves_all_claims() -> None:
    world = World()
    names = [f"g2-standard-12-od-000000000{i}" for i in range(8)]
    for name in names:
        labels = {CLAIM_RESOURCE_LABEL: name}
        world.cloud.pools[f"mm-{name}"] = a_pool(
            name=f"mm-{name}", resource_labels=labels, node_labels={SHAPE_LABEL: name}
        )
        world.add_model(f"m-{name[-1]}", claim=name)
    for name in names:
        await world.reconciler.reconcile(name)
    assert world.cloud.calls.count("list") == 1
