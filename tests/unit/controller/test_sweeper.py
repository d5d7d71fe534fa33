"""`sweep`: what it finds, and what it must not delete whatever happens meanwhile."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from tests.support.claim_cases import NAME, POOL, a_claim, a_pool, claim_body, pool_of
from tests.support.claim_world import FakeCloud, FakeCluster, Kills

from mistral_operator.api.names import CLUSTER_RESOURCE_LABEL, SHAPE_RESOURCE_LABEL
from mistral_operator.capacity.errors import CloudError, classify
from mistral_operator.capacity.orphans import OrphanReason, price_node
from mistral_operator.capacity.pools import NodeFacts, pool_spec
from mistral_operator.capacity.port import OperationView, PoolStatus, PoolView
from mistral_operator.catalogue.load import load_catalogue
from mistral_operator.cluster.client import ListResult
from mistral_operator.cluster.errors import ApiError
from mistral_operator.cluster.kinds import CLAIM, NODE
from mistral_operator.controller.sweeper import Sweeper

UID = "uid-of-kube-system"
PRICE = Decimal("0.70")


def orphan(**changes: Any) -> PoolView:
    """What an operator of this cluster made for the claim."""
    return replace(pool_of(pool_spec(a_claim(), total_max=2, facts=NodeFacts(), cluster_uid=UID)), **changes)


class World:
    """A cloud and a cluster in memory, and the sweeper on them."""

    def __init__(self, *pools: PoolView, uid: str = UID) -> None:
        kills = Kills()
        self.cloud = FakeCloud(kills, clock=lambda: 0.0, pools={pool.name: pool for pool in pools})
        self.cluster = FakeCluster(kills)
        self.sweeper = Sweeper(
            self.cluster, self.cloud, cluster_uid=uid, price=lambda _: PRICE, poll_s=0.0, patience_s=5.0
        )

    def add_node(self, name: str = "node-1", pool: str = POOL) -> None:
        labels = {"cloud.google.com/gke-nodepool": pool}
        self.cluster.put(NODE, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}})


async def test_a_pool_without_a_claim_is_found_with_its_nodes_and_what_they_cost() -> None:
    world = World(orphan(), a_pool(name="default-pool", resource_labels={}))
    world.add_node()
    world.add_node("node-2")
    world.add_node("node-3", pool="default-pool")
    (found,) = await world.sweeper.find()
    assert (found.pool.name, found.claim, found.nodes) == (POOL, NAME, 2)
    assert (found.hourly_cost, found.reason) == (2 * PRICE, OrphanReason.HAS_NODES)


async def test_an_empty_pool_costs_nothing_and_may_go() -> None:
    world = World(orphan())
    (found,) = await world.sweeper.find()
    assert (found.hourly_cost, found.reason) == (0, OrphanReason.UNUSED)
    swept = await world.sweeper.delete(POOL, with_nodes=False)
    assert swept.deleted
    assert world.cloud.pools == {}


async def test_a_pool_whose_claim_is_there_is_no_orphan_even_while_the_claim_goes() -> None:
    world = World(orphan())
    world.cluster.put(CLAIM, claim_body(NAME, deletionTimestamp="2026-11-23T11:59:00Z"))
    assert await world.sweeper.find() == ()


async def test_a_claim_that_appears_after_the_question_saves_its_pool() -> None:
    world = World(orphan())
    assert len(await world.sweeper.find()) == 1
    world.cluster.put(CLAIM, claim_body())
    swept = await world.sweeper.delete(POOL, with_nodes=True)
    assert not swept.deleted
    assert "has a claim now" in swept.kept
    assert world.cloud.calls.count("delete") == 0


async def test_nodes_that_appear_after_the_question_save_their_pool() -> None:
    world = World(orphan())
    world.add_node()
    swept = await world.sweeper.delete(POOL, with_nodes=False)
    assert (swept.deleted, swept.kept) == (False, "pods may run on its nodes")
    assert POOL in world.cloud.pools


async def test_a_pool_with_nodes_goes_only_when_that_is_asked_for() -> None:
    world = World(orphan())
    world.add_node()
    assert (await world.sweeper.delete(POOL, with_nodes=True)).deleted
    assert world.cloud.pools == {}


def relabelled(key: str, value: str) -> PoolView:
    return orphan(resource_labels={**orphan().resource_labels, key: value})


@pytest.mark.parametrize(
    ("pool", "why"),
    [
        (relabelled(CLUSTER_RESOURCE_LABEL, "uid-of-another"), "is uid-of-another, and this cluster's uid is"),
        (relabelled(CLUSTER_RESOURCE_LABEL, ""), "is absent, and this cluster's uid is"),
        (relabelled(SHAPE_RESOURCE_LABEL, "0123456789"), "aren't what the operator gave it"),
        (orphan(name="renamed"), "aren't what the operator gave it"),
        (orphan(machine_type="a3-highgpu-8g"), "aren't what the operator gave it"),
    ],
)
async def test_what_is_not_proven_is_listed_and_never_deleted(pool: PoolView, why: str) -> None:
    world = World(pool)
    (found,) = await world.sweeper.find()
    assert found.reason is OrphanReason.NOT_PROVEN
    assert why in found.message
    assert not (await world.sweeper.delete(pool.name, with_nodes=True)).deleted
    assert "delete" not in world.cloud.calls


async def test_without_the_clusters_uid_nothing_is_deleted() -> None:
    world = World(orphan(), uid="")
    (found,) = await world.sweeper.find()
    assert "uid can't be read" in found.message
    assert not found.may_go(with_nodes=True)


async def test_a_pool_that_gke_works_on_is_left_to_it() -> None:
    world = World(orphan(status=PoolStatus.RECONCILING))
    assert not (await world.sweeper.delete(POOL, with_nodes=True)).deleted
    assert "delete" not in world.cloud.calls


async def test_a_busy_cluster_is_asked_again() -> None:
    world = World(orphan())
    busy = classify("FAILED_PRECONDITION", "Cluster is running incompatible operation operation-1.")
    world.cloud.refusals["delete"] = [busy, busy]
    assert (await world.sweeper.delete(POOL, with_nodes=False)).deleted
    assert world.cloud.calls.count("delete") == 3


async def test_a_claim_that_appears_while_the_cluster_is_busy_saves_its_pool() -> None:
    world = World(orphan())
    busy = classify("FAILED_PRECONDITION", "Cluster is running incompatible operation operation-1.")

    class BusyOnce(FakeCloud):
        async def delete_pool(self, name: str, uid: str = "") -> OperationView:
            world.cluster.put(CLAIM, claim_body())
            raise busy

    cloud = BusyOnce(Kills(), clock=lambda: 0.0, pools=world.cloud.pools)
    sweeper = Sweeper(world.cluster, cloud, cluster_uid=UID, price=lambda _: None, poll_s=0.0, patience_s=5.0)
    swept = await sweeper.delete(POOL, with_nodes=True)
    assert (swept.deleted, swept.kept) == (False, "it has a claim now, or is gone")


async def test_a_look_at_the_deletion_that_fails_is_repeated() -> None:
    world = World(orphan())
    world.cloud.refusals["get"] = [classify("UNAVAILABLE", "socket closed")]
    assert (await world.sweeper.delete(POOL, with_nodes=False)).deleted
    assert world.cloud.pools == {}


async def test_a_refusal_is_quoted_and_the_pool_counts_as_kept() -> None:
    world = World(orphan())
    words = 'Required "container.clusters.update" permission(s) for the cluster.'
    world.cloud.refusals["delete"] = [classify("PERMISSION_DENIED", words)]
    swept = await world.sweeper.delete(POOL, with_nodes=False)
    assert not swept.deleted
    assert swept.finding is not None
    assert (swept.finding.reason, swept.finding.text) == ("PermissionDenied", words)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        ("list", classify("UNAVAILABLE", "The service is currently unavailable."), ""),
        ("get", classify("PERMISSION_DENIED", 'Required "container.operations.get"'), "GKE began to delete it"),
        ("get", classify("NOT_FOUND", "Not found: operation-1"), "GKE began to delete it (operation "),
    ],
)
async def test_a_failure_is_told_of_its_pool_and_not_raised(call: str, error: CloudError, words: str) -> None:
    world = World(orphan())
    world.cloud.refusals[call] = [error]
    swept = await world.sweeper.delete(POOL, with_nodes=False)
    assert (swept.deleted, swept.finding) == (False, error.finding)
    assert words in swept.kept


async def test_an_api_server_that_fails_is_told_of_its_pool_and_not_raised() -> None:
    world = World(orphan())

    class Failing(FakeCluster):
        async def list(self, *_: Any, **__: Any) -> ListResult:
            raise ApiError(503, "ServiceUnavailable", "etcd has no leader")

    sweeper = Sweeper(Failing(Kills()), world.cloud, cluster_uid=UID, price=lambda _: None, poll_s=0.0)
    swept = await sweeper.delete(POOL, with_nodes=False)
    assert (swept.deleted, swept.kept) == (False, "the API server says: etcd has no leader (503 ServiceUnavailable)")
    assert POOL in world.cloud.pools


async def test_a_deletion_that_takes_longer_than_patience_is_not_called_done() -> None:
    world = World(orphan())
    world.cloud.polls = 10**6
    hasty = Sweeper(world.cluster, world.cloud, cluster_uid=UID, price=lambda _: None, poll_s=0.0, patience_s=0.0)
    swept = await hasty.delete(POOL, with_nodes=False)
    assert not swept.deleted
    assert "still deleting it (operation" in swept.kept


async def test_a_pool_that_somebody_else_deleted_meanwhile_is_gone_all_the_same() -> None:
    world = World(orphan())
    world.cloud.refusals["delete"] = [classify("NOT_FOUND", f"Not found: {POOL}")]
    assert (await world.sweeper.delete(POOL, with_nodes=False)).deleted


def test_a_node_has_the_catalogues_price_unless_the_settings_have_another() -> None:
    known = load_catalogue()
    assert price_node(orphan(), known, {}) == Decimal("1.0004")
    assert price_node(orphan(spot=True), known, {}) == Decimal("0.5624")
    assert price_node(orphan(), known, {"g2-standard-12": {"OnDemand": Decimal(2)}}) == Decimal(2)
    assert price_node(orphan(machine_type="n2-standard-8"), known, {}) is None
