"""Node pools that name a claim which isn't there: what is known of each, and whether it may be deleted. Pure."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final

from mistral_operator.api.names import CLAIM_RESOURCE_LABEL, CLUSTER_RESOURCE_LABEL, PROVISIONER_RESOURCE_LABEL
from mistral_operator.capacity.claims.node_facts import Prices
from mistral_operator.capacity.pools import consumption_of, is_surely_own
from mistral_operator.capacity.port import PoolStatus, PoolView
from mistral_operator.catalogue.accelerator import find_price
from mistral_operator.catalogue.types import Catalogue

AT_WORK: Final = (PoolStatus.PROVISIONING, PoolStatus.RECONCILING, PoolStatus.STOPPING)
"""GKE would refuse to delete such a pool, or deletes it already."""


class OrphanReason(StrEnum):
    """What is found about a pool without a claim."""

    UNUSED = "Unused"
    HAS_NODES = "HasNodes"
    AT_WORK = "AtWork"
    NOT_PROVEN = "NotProven"


@dataclass(frozen=True, slots=True)
class Orphan:
    """A pool that names a claim which isn't there."""

    pool: PoolView
    claim: str
    nodes: int
    """Node objects of the pool in the API server."""
    node_price: Decimal | None
    """US dollars an hour of one node; None when no price is known."""
    reason: OrphanReason
    message: str

    @property
    def hourly_cost(self) -> Decimal | None:
        """US dollars an hour of the nodes that are there; None when there are some and no price is known."""
        if not self.nodes:
            return Decimal(0)
        return None if self.node_price is None else self.node_price * self.nodes

    def may_go(self, *, with_nodes: bool) -> bool:
        """Whether a person who asks for it may delete the pool."""
        return self.reason is OrphanReason.UNUSED or (with_nodes and self.reason is OrphanReason.HAS_NODES)


def find_unclaimed(pools: Iterable[PoolView], claims: Collection[str]) -> tuple[PoolView, ...]:
    """The pools with a claim's label whose claim isn't among `claims`, by name. Strangers' pools have no such label."""
    named = (pool for pool in pools if pool.resource_labels.get(CLAIM_RESOURCE_LABEL))
    found = (pool for pool in named if pool.resource_labels[CLAIM_RESOURCE_LABEL] not in claims)
    return tuple(sorted(found, key=lambda pool: pool.name))


def judge_orphan(pool: PoolView, *, nodes: int, cluster_uid: str, node_price: Decimal | None) -> Orphan:
    """What may become of a pool that `find_unclaimed` found. Without the cluster's uid nothing is proven."""
    claim = pool.resource_labels[CLAIM_RESOURCE_LABEL]
    reason, message = _judge(pool, claim, nodes, cluster_uid)
    return Orphan(pool, claim, nodes, node_price, reason, message)


def _judge(pool: PoolView, claim: str, nodes: int, cluster_uid: str) -> tuple[OrphanReason, str]:
    if not is_surely_own(pool, claim, cluster_uid):
        return OrphanReason.NOT_PROVEN, _why_not_proven(pool, cluster_uid)
    if pool.status in AT_WORK:
        return OrphanReason.AT_WORK, f"GKE is at work on it: {pool.status}"
    if nodes:
        return OrphanReason.HAS_NODES, "pods may run on its nodes"
    return OrphanReason.UNUSED, "no claim, and no node"


def _why_not_proven(pool: PoolView, cluster_uid: str) -> str:
    if not cluster_uid:
        return "this cluster's uid can't be read (namespace kube-system), so nothing proves whose pool it is"
    keeper = pool.resource_labels.get(PROVISIONER_RESOURCE_LABEL)
    if keeper:
        return f"{keeper} keeps it, and would make it again: delete its object, `kubectl get containernodepools -A`"
    owner = pool.resource_labels.get(CLUSTER_RESOURCE_LABEL, "")
    if owner != cluster_uid:
        return f"its label {CLUSTER_RESOURCE_LABEL} is {owner or 'absent'}, and this cluster's uid is {cluster_uid}"
    return "its name, labels or shape aren't what the operator gave it"


def price_node(pool: PoolView, catalogue: Catalogue, prices: Prices) -> Decimal | None:
    """US dollars an hour of one node of the pool; `prices` come before the catalogue's."""
    mode = consumption_of(pool).value
    own = find_price(prices.get(pool.machine_type, {}), mode)
    if own is not None:
        return own
    known = catalogue.machine(pool.machine_type)
    return find_price(known[1].prices, mode) if known else None
