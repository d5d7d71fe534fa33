"""The claim reconciler: one pool for each need, none for no need, whatever happens in between."""

from dataclasses import replace

import pytest
from tests.support.claim_cases import NAME, POOL, STOCK_OUT, a_pool, bounds
from tests.support.claim_world import Crash, World

from mistral_operator.api.names import CLAIM_FINALIZER, CLAIM_RESOURCE_LABEL, SHAPE_LABEL
from mistral_operator.capacity.port import PoolStatus
from mistral_operator.cluster.errors import Conflict
from mistral_operator.cluster.kinds import CLAIM, JOB, NODE
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


async def test_no_place_in_line_is_looked_for_while_there_is_a_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    world = await served()
    asked: list[object] = []
    monkeypatch.setattr("mistral_operator.controller.claims.find_place_of", lambda *args: asked.append(args))
    await world.settle(for_s=120)
    assert asked == []
    del world.cloud.pools[POOL]
    await world.settle(for_s=120)
    assert asked


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


async def test_a_maximum_follows_the_limit_of_a_revision_and_the_nodes_that_go() -> None:
    world = World()
    world.add_model(replicas=3, most="3")
    for number in range(3):
        world.add_node(f"node-{number}")
    await world.settle()
    assert world.pool is not None
    assert world.pool.bounds == bounds(3)
    world.add_revision("chat", uid="uid-chat", most="1")
    maxima = []
    for number in range(3):
        await world.settle()
        maxima.append(world.pool.bounds)
        world.cluster.remove(NODE, Key("", f"node-{number}"))
    assert maxima == [bounds(3), bounds(2), bounds(1)]
    await world.settle()
    assert world.told == [], "nobody else has changed anything"
    world.add_revision("chat", uid="uid-chat")
    await world.settle()
    assert world.pool.bounds == bounds(4)
    lists = world.cluster.lists
    await world.settle(for_s=300)
    assert world.cluster.lists == lists, "nothing is read for it"


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


async def test_a_conversion_needs_a_node_beside_the_replicas_that_are_kept() -> None:
    world = World()
    world.add_model(rollout={"strategy": "Recreate"})
    await world.settle()
    assert world.pool is not None
    assert world.pool.bounds == bounds(1)
    owner = {"kind": "MistralModel", "name": "chat", "uid": "uid-chat", "controller": True}
    metadata = {"namespace": "other", "name": "chat-convert-1", "uid": "uid-job", "ownerReferences": [owner]}
    job = {"apiVersion": JOB.api_version, "kind": JOB.kind, "metadata": metadata}
    world.cluster.put(JOB, job)
    await world.settle()
    assert world.pool.bounds == bounds(1), "a Job in another namespace is not the model's"
    job = {**job, "metadata": {**metadata, "namespace": "team"}}
    world.cluster.put(JOB, job)
    await world.settle()
    assert world.pool.bounds == bounds(2)
    world.cluster.put(JOB, {**job, "status": {"conditions": [{"type": "Complete", "status": "True"}]}})
    await world.settle()
    assert world.pool.bounds == bounds(1)


async def test_a_revision_that_names_no_model_keeps_no_claim_from_its_work() -> None:
    world = await served()
    world.add_revision("", uid="uid-chat", name="forged")
    world.add_model("draft")
    await world.settle()
    assert world.pool is not None
    assert world.pool.bounds == bounds(4)


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


async def test_a_pool_that_failed_is_deleted_and_made_again() -> None:
    world = World()
    world.cloud.fail_creates = [STOCK_OUT, STOCK_OUT]
    world.add_model()
    while "delete" not in world.cloud.calls:
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
    assert world.cloud.calls == ["list"]
    assert world.cluster.lists == 0, "without a pool nobody asks who may need it"


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


async def test_a_claim_of_a_provisioner_that_was_switched_off_is_told_and_left_alone() -> None:
    world = World()
    world.add_model()
    await world.settle()
    before = len(world.cloud.calls)
    world.provisioners = ()
    world.start()
    assert await world.step() == world.settings.resync_s
    assert len(world.cloud.calls) == before
    claim = world.claim
    ready = next(found for found in claim["status"]["conditions"] if found["type"] == "Ready")
    assert ready["status"] == "True", "what runs goes on"
    assert ready["reason"] == "ProvisionerNotEnabled"
    assert "start it with --provisioner ContainerAPI" in ready["message"]
