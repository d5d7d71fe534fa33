"""Claims whose slices are placed by a workload policy, with crashes, lost answers and strangers on the way."""

from dataclasses import replace
from typing import Any

import pytest
from tests.support.claim_cases import SETTINGS, claim_body
from tests.support.claim_world import FakeCloud, FakeCluster, World
from tests.support.fake_policies import FakePolicies
from tests.support.kills import Crash, Kills
from tests.unit.capacity.test_policies import GROUP, NAME, POOL, STRANGER, TERMS, UID, a_policy, a_slice

from mistral_operator.api.names import CLAIM_LABEL, SHAPE_LABEL
from mistral_operator.capacity.errors import classify
from mistral_operator.cluster.kinds import CLAIM, NODE, REVISION
from mistral_operator.cluster.store import Key
from mistral_operator.controller.orphans import OrphanWatch
from mistral_operator.controller.sweeper import Sweeper
from mistral_operator.manifests.slices import SLICES_ANNOTATION

SURE = replace(SETTINGS, place=replace(SETTINGS.place, uid=UID))
LATER_S = SURE.orphan_after_s + 1


class Placed(World):
    """A world whose one claim is of a slice that a policy places."""

    name = NAME

    def apply_claim(self, name: str = NAME) -> None:
        if (CLAIM, Key("", NAME)) not in self.cluster.objects:
            self.cluster.put(CLAIM, claim_body(NAME, terms=TERMS, finalizers=[]))

    def serve(self) -> None:
        """A model that needs the slice."""
        self.add_model(claim=GROUP)
        key = next(key for kind, key in self.cluster.objects if kind == REVISION)
        revision = self.cluster.objects[REVISION, key]
        annotations = {SLICES_ANNOTATION: "0"}
        metadata = {
            **revision["metadata"],
            "annotations": annotations,
            "labels": {**revision["metadata"]["labels"], CLAIM_LABEL: GROUP},
        }
        self.cluster.put(REVISION, {**revision, "metadata": metadata})
        labels = {SHAPE_LABEL: GROUP, CLAIM_LABEL: NAME}
        for host in ("host-1", "host-2"):
            node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": host, "labels": labels}}
            self.cluster.put(NODE, node)

    @property
    def claim(self) -> Any:
        return self.cluster.objects.get((CLAIM, Key("", NAME)))

    async def step(self) -> float | None:
        return await self.reconciler.reconcile(NAME)


def a_world(**kills: int) -> Placed:
    world = Placed(kills=Kills(**kills), settings=SURE)
    world.serve()
    return world


async def killed(world: Placed) -> bool:
    try:
        await world.settle(for_s=60)
    except Crash:
        return True
    finally:
        world.kills.disarm()
    return False


async def test_policy_then_pool_and_back_the_other_way_round() -> None:
    world = a_world()
    await world.settle()
    assert world.state == "Ready"
    assert world.cloud.pools[POOL].placement_policy == POOL
    assert list(world.policies.policies) == [POOL]
    asked = len(world.policies.calls)
    await world.settle(for_s=600)
    assert len(world.policies.calls) == asked, "a slice that stands asks nothing of Compute Engine"
    world.delete_model()
    await world.settle()
    assert (world.claim, world.cloud.pools, world.policies.policies) == (None, {}, {})


@pytest.mark.parametrize("where", ["before", "after"])
@pytest.mark.parametrize("effect", range(1, 6))
@pytest.mark.parametrize("deleted", [False, True], ids=["served", "deleted meanwhile"])
async def test_killed_anywhere_on_the_way_there(where: str, effect: int, deleted: bool) -> None:
    world = a_world(**{where: effect})
    assert await killed(world)
    if deleted:
        world.delete_model()
    world.start()
    await world.settle(for_s=60)
    if not deleted:
        assert world.state == "Ready"
        assert (list(world.cloud.pools), list(world.policies.policies)) == ([POOL], [POOL])
        world.delete_model()
        await world.settle(for_s=60)
    assert (world.claim, world.cloud.pools, world.policies.policies) == (None, {}, {})


@pytest.mark.parametrize("where", ["before", "after"])
@pytest.mark.parametrize("effect", range(1, 6))
async def test_killed_anywhere_on_the_way_back(where: str, effect: int) -> None:
    world = a_world()
    await world.settle()
    setattr(world.kills, where, world.kills.effects + effect)
    world.delete_model()
    assert await killed(world)
    world.start()
    await world.settle(for_s=60)
    assert (world.claim, world.cloud.pools, world.policies.policies) == (None, {}, {})


@pytest.mark.parametrize("call", ["create", "delete"])
async def test_an_answer_that_got_lost_leads_to_the_same_end(call: str) -> None:
    world = a_world()
    world.policies.lost[call] = 1
    await world.settle(for_s=120)
    assert world.state == "Ready"
    world.delete_model()
    await world.settle(for_s=120)
    assert (world.claim, world.cloud.pools, world.policies.policies) == (None, {}, {})


async def test_a_strangers_policy_is_never_touched() -> None:
    world = a_world()
    world.policies.policies[POOL] = STRANGER
    await world.step()
    assert (world.state, world.cloud.pools) == ("Refused", {})
    world.delete_model()
    await world.settle(for_s=120)
    assert world.claim is None
    assert world.policies.policies == {POOL: STRANGER}
    assert {"create", "delete"}.isdisjoint(world.policies.calls)


async def test_a_policy_of_ours_that_places_something_else_is_told_until_it_is_free() -> None:
    world = a_world()
    world.policies.policies[POOL] = a_policy(topology="2x2x4")
    other = replace(a_slice(), name="of-somebody")
    world.cloud.pools["of-somebody"] = other
    await world.step()
    assert world.claim["status"]["conditions"][0]["reason"] == "PolicyInUse"
    del world.cloud.pools["of-somebody"]
    await world.settle(for_s=120)
    assert world.state == "Ready"
    assert world.policies.policies[POOL].topology == "2x2x2"


async def test_without_compute_engine_the_claim_says_so() -> None:
    world = a_world()
    world.cloud_pools._policies = None
    await world.step()
    assert "Compute Engine isn't known" in world.claim["status"]["conditions"][0]["message"]
    assert world.cloud.pools == {}


async def test_a_policy_that_lost_its_claim_is_counted_and_deleted_after_two_looks() -> None:
    world = Placed(settings=SURE)
    world.policies.policies = {POOL: a_policy(), "ring": STRANGER}
    counts: list[float] = []
    found: list[str] = []
    watch = OrphanWatch(
        world.cluster.store,
        world.clouds,
        cluster_uid=UID,
        found=found.append,
        count=lambda _: None,
        count_policies=counts.append,
    )
    assert await world.step() is None, "nobody has listed them yet, so none is asked for"
    await watch.look_at_policies()
    assert (counts, found) == ([1], [NAME])
    assert await world.step() == SURE.orphan_after_s
    world.clock_s += LATER_S
    await world.step()
    assert list(world.policies.policies) == ["ring"]
    await watch.look_at_policies()
    assert counts == [1, 0]


async def test_a_pool_and_its_policy_that_lost_their_claim_go_one_after_the_other() -> None:
    world = Placed(settings=SURE)
    world.cloud.pools = {POOL: a_slice()}
    world.policies.policies = {POOL: a_policy()}
    await world.cloud_pools.list_policies()
    await world.step()
    world.clock_s += LATER_S
    await world.settle(for_s=LATER_S)
    assert (world.cloud.pools, world.policies.policies) == ({}, {})


async def test_a_claim_whose_policy_could_never_be_looked_at_goes_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = a_world()
    world.policies.refusals["get"] = [classify("PERMISSION_DENIED", "no") for _ in range(1000)]
    for _ in range(5):
        await world.step()
        world.clock_s += 5
    assert world.condition()["reason"] == "PermissionDenied"
    world.delete_model("chat")
    await world.settle(for_s=LATER_S)
    assert (world.claim, world.cloud.pools, world.policies.policies) == (None, {}, {})
    assert f"workload policy {POOL} may not be looked at" in caplog.text


async def test_who_may_not_list_policies_is_left_in_peace() -> None:
    world = Placed(settings=SURE)
    world.policies.refusals["list"] = [classify("PERMISSION_DENIED", "no")]
    counts: list[float] = []
    watch = OrphanWatch(
        world.cluster.store,
        world.clouds,
        cluster_uid=UID,
        found=lambda _: None,
        count=lambda _: None,
        count_policies=counts.append,
    )
    await watch.look_at_policies()
    assert counts == []


async def test_sweep_deletes_a_policy_only_while_it_has_neither_claim_nor_pool() -> None:
    kills = Kills()
    cloud, cluster = FakeCloud(kills, clock=lambda: 0.0), FakeCluster(kills)
    policies = FakePolicies(kills, policies={POOL: a_policy(), "ring": STRANGER})
    sweeper = Sweeper(cluster, cloud, cluster_uid=UID, price=lambda _: None, policies=policies)
    assert await sweeper.find_policies() == (a_policy(),)
    cluster.put(CLAIM, claim_body(NAME, terms=TERMS))
    assert "has a claim" in (await sweeper.delete_policy(POOL)).kept
    cluster.remove(CLAIM, Key("", NAME))
    policies.refusals["delete"] = [classify("PERMISSION_DENIED", "no")]
    refused = await sweeper.delete_policy(POOL)
    assert refused.finding is not None
    assert refused.finding.reason == "PermissionDenied"
    assert (await sweeper.delete_policy(POOL)).deleted
    assert list(policies.policies) == ["ring"]
    assert not (await sweeper.delete_policy("ring")).deleted
