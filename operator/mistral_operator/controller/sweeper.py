"""Finds node pools without a claim and deletes them when a person asks for it: what `sweep` does.

The running operator does the same by itself with more patience (`controller.orphans`). This works without one, and
also for pools that the operator leaves to a person because they have nodes.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from mistral_operator.capacity.errors import BusyError, CloudError, CloudFinding, NotFoundError
from mistral_operator.capacity.orphans import Orphan, find_unclaimed, judge_orphan
from mistral_operator.capacity.policies import PolicyView, WorkloadPolicies, find_unclaimed_policies
from mistral_operator.capacity.port import NodePools, OperationView, PoolView
from mistral_operator.cluster.errors import ApiError
from mistral_operator.cluster.kinds import CLAIM, NODE
from mistral_operator.controller.orphans import Lists
from mistral_operator.controller.pool_pods import NODE_POOL_LABEL


@dataclass(frozen=True, slots=True)
class Swept:
    """What became of one pool, or of one workload policy, that was to be deleted."""

    name: str
    deleted: bool
    finding: CloudFinding | None = None
    """The cloud's refusal."""
    kept: str = ""
    """Why it counts as still there, where that isn't the refusal alone."""


class Sweeper:
    """Works on one cluster."""

    def __init__(
        self,
        client: Lists,
        pools: NodePools,
        *,
        cluster_uid: str,
        price: Callable[[PoolView], Decimal | None],
        policies: WorkloadPolicies | None = None,
        poll_s: float = 2.0,
        patience_s: float = 900.0,
    ) -> None:
        """`patience_s`: for so long a busy cluster is asked again, and a deletion waited for.

        `policies` is None where Compute Engine isn't asked: then no policy is found.
        """
        self._client = client
        self._pools = pools
        self._uid = cluster_uid
        self._price = price
        self._policies = policies
        self._poll_s = poll_s
        self._patience_s = patience_s

    async def find(self) -> tuple[Orphan, ...]:
        """All pools that name a claim which isn't there, by name. Raises ApiError and CloudError."""
        # The pools first: a claim that is made in between counts, and its pool comes after it.
        pools = await self._pools.list_pools()
        listed = await self._client.list(CLAIM)
        claims = {found["metadata"]["name"] for found in listed.items}
        return tuple([await self._judge(pool) for pool in find_unclaimed(pools, claims)])

    async def find_policies(self) -> tuple[PolicyView, ...]:
        """Workload policies that were surely made here for a claim which isn't there, and have no pool, by name.

        Raises ApiError and CloudError.
        """
        if self._policies is None:
            return ()
        # In this order: a claim that is made in between counts, and its policy and pool come after it.
        policies, pools = await self._policies.list_policies(), await self._pools.list_pools()
        listed = await self._client.list(CLAIM)
        claims = {found["metadata"]["name"] for found in listed.items}
        return find_unclaimed_policies(policies, claims, pools, self._uid)

    async def delete_policy(self, name: str) -> Swept:
        """Delete one policy, if it still has neither claim nor pool; what fails is part of the answer."""
        try:
            if self._policies is None or all(policy.name != name for policy in await self.find_policies()):
                return Swept(name, deleted=False, kept="it has a claim or a node pool now, or is gone")
            await self._policies.delete_policy(name)
        except NotFoundError:
            return Swept(name, deleted=True)
        except ApiError as error:
            return Swept(name, deleted=False, kept=f"the API server says: {error}")
        except CloudError as error:
            return Swept(name, deleted=False, finding=error.finding)
        return Swept(name, deleted=True)

    async def delete(self, name: str, *, with_nodes: bool) -> Swept:
        """Delete one pool, if it still has no claim: everything is read again before each try. Waits for the end.

        What fails is part of the answer, so that the pools before it stay told of and those after it get their turn.
        """
        until = time.monotonic() + self._patience_s
        try:
            while True:
                kept = await self._why_keep(name, with_nodes=with_nodes)
                if kept:
                    return Swept(name, deleted=False, kept=kept)
                begun = await self._begin(name, until)
                if begun is not None:
                    return begun if isinstance(begun, Swept) else await self._end(name, begun)
                await asyncio.sleep(self._poll_s)
        except ApiError as error:
            return Swept(name, deleted=False, kept=f"the API server says: {error}")
        except CloudError as error:
            return Swept(name, deleted=False, finding=error.finding)

    async def _begin(self, name: str, until: float) -> OperationView | Swept | None:
        """The operation; what came of it when there is no pool to delete; None when GKE is to be asked again."""
        try:
            return await self._pools.delete_pool(name)
        except NotFoundError:
            return Swept(name, deleted=True)
        except BusyError:
            if time.monotonic() >= until:
                raise
            return None

    async def _why_keep(self, name: str, *, with_nodes: bool) -> str:
        orphan = next((found for found in await self.find() if found.pool.name == name), None)
        if orphan is None:
            return "it has a claim now, or is gone"
        return "" if orphan.may_go(with_nodes=with_nodes) else orphan.message

    async def _judge(self, pool: PoolView) -> Orphan:
        nodes = await self._client.list(NODE, label_selector=f"{NODE_POOL_LABEL}={pool.name}")
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
                    words = f"GKE began to delete it (operation {begun.name}), and what came of it can't be read"
                    return Swept(name, deleted=False, finding=error.finding, kept=words)
        return Swept(name, deleted=view.finding is None, finding=view.finding)
