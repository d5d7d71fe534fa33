"""Finds node pools without a claim and deletes them when a person asks for it: what `sweep` does.

The running operator does the same by itself with more patience (`controller.orphans`). This works without one, and
also for pools that the operator leaves to a person because they have nodes.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from mistral_operator.capacity.errors import BusyError, CloudError, CloudFinding, NotFoundError
from mistral_operator.capacity.orphans import Orphan, find_unclaimed, judge_orphan
from mistral_operator.capacity.port import NodePools, OperationView, PoolView
from mistral_operator.cluster.kinds import CLAIM, NODE
from mistral_operator.controller.orphans import Lists

_NODE_POOL: Final = "cloud.google.com/gke-nodepool"
"""GKE's own label of each node."""


@dataclass(frozen=True, slots=True)
class Swept:
    """What became of one pool that was to be deleted."""

    name: str
    deleted: bool
    finding: CloudFinding | None = None
    """The cloud's refusal."""
    kept: str = ""
    """Why it is still there without one."""


class Sweeper:
    """Works on one cluster. Raises ApiError and CloudError where nothing can be found out."""

    def __init__(
        self,
        client: Lists,
        pools: NodePools,
        *,
        cluster_uid: str,
        price: Callable[[PoolView], Decimal | None],
        poll_s: float = 2.0,
        patience_s: float = 900.0,
    ) -> None:
        """`patience_s`: for so long a busy cluster is asked again, and a deletion waited for."""
        self._client = client
        self._pools = pools
        self._uid = cluster_uid
        self._price = price
        self._poll_s = poll_s
        self._patience_s = patience_s

    async def find(self) -> tuple[Orphan, ...]:
        """All pools that name a claim which isn't there, by name."""
        # The pools first: a claim that is made in between counts, and its pool comes after it.
        pools = await self._pools.list_pools()
        listed = await self._client.list(CLAIM)
        claims = {found["metadata"]["name"] for found in listed.items}
        return tuple([await self._judge(pool) for pool in find_unclaimed(pools, claims)])

    async def delete(self, name: str, *, with_nodes: bool) -> Swept:
        """Delete one pool, if it still has no claim: everything is read again before each try. Waits for the end."""
        until = time.monotonic() + self._patience_s
        while True:
            kept = await self._why_keep(name, with_nodes=with_nodes)
            if kept:
                return Swept(name, deleted=False, kept=kept)
            try:
                return await self._end(name, await self._pools.delete_pool(name))
            except NotFoundError:
                return Swept(name, deleted=True)
            except CloudError as error:
                if not isinstance(error, BusyError) or time.monotonic() >= until:
                    return Swept(name, deleted=False, finding=error.finding)
            await asyncio.sleep(self._poll_s)

    async def _why_keep(self, name: str, *, with_nodes: bool) -> str:
        orphan = next((found for found in await self.find() if found.pool.name == name), None)
        if orphan is None:
            return "it has a claim now, or is gone"
        return "" if orphan.may_go(with_nodes=with_nodes) else orphan.message

    async def _judge(self, pool: PoolView) -> Orphan:
        nodes = await self._client.list(NODE, label_selector=f"{_NODE_POOL}={pool.name}")
        price = self._price(pool)
        return judge_orphan(pool, nodes=len(nodes.items), cluster_uid=self._uid, node_price=price)

    async def _end(self, name: str, begun: OperationView) -> Swept:
        """What came of the operation; a look at it that fails is repeated."""
        until = time.monotonic() + self._patience_s
        view = begun
        while not view.done:
            if time.monotonic() >= until:
                return Swept(name, deleted=False, kept=f"GKE is still deleting it (operation {begun.name})")
            await asyncio.sleep(self._poll_s)
            try:
                view = await self._pools.get_operation(begun.name)
            except CloudError as error:
                # GKE forgets an operation only long after its end.
                if not error.retryable or isinstance(error, NotFoundError):
                    raise
        return Swept(name, deleted=view.finding is None, finding=view.finding)
