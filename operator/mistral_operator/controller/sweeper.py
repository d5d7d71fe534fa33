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
        """Delete one pool, if it still has no claim: everything is read again first. Waits for the end."""
        orphan = next((found for found in await self.find() if found.pool.name == name), None)
        if orphan is None:
            return Swept(name, deleted=False, kept="it has a claim now, or is gone")
        if not orphan.may_go(with_nodes=with_nodes):
            return Swept(name, deleted=False, kept=orphan.message)
        try:
            ended = await self._end(await self._begin(name))
        except NotFoundError:
            return Swept(name, deleted=True)
        except CloudError as error:
            return Swept(name, deleted=False, finding=error.finding)
        waiting = "" if ended.done else f"GKE is still deleting it (operation {ended.name})"
        return Swept(name, deleted=ended.done and ended.finding is None, finding=ended.finding, kept=waiting)

    async def _judge(self, pool: PoolView) -> Orphan:
        nodes = await self._client.list(NODE, label_selector=f"{_NODE_POOL}={pool.name}")
        price = self._price(pool)
        return judge_orphan(pool, nodes=len(nodes.items), cluster_uid=self._uid, node_price=price)

    async def _begin(self, name: str) -> OperationView:
        until = time.monotonic() + self._patience_s
        while True:
            try:
                return await self._pools.delete_pool(name)
            except BusyError:
                if time.monotonic() >= until:
                    raise
            await asyncio.sleep(self._poll_s)

    async def _end(self, begun: OperationView) -> OperationView:
        """The operation when it is done; as it stands when that takes longer than patience has it."""
        until = time.monotonic() + self._patience_s
        view = begun
        while not view.done and time.monotonic() < until:
            await asyncio.sleep(self._poll_s)
            view = await self._pools.get_operation(begun.name)
        return view
