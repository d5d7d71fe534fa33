"""Node pools whose claim is gone: found by their labels, and deleted once it is certain that nobody needs them.

A finalizer keeps each claim until its pool has gone. But somebody may remove it by hand, or bring back the API server's
objects from a time before the claim.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from mistral_operator.api.names import CLAIM_LABEL, CLAIM_RESOURCE_LABEL, SHAPE_LABEL
from mistral_operator.capacity.claim_types import ClaimSettings
from mistral_operator.capacity.cloud import CloudPools
from mistral_operator.capacity.errors import CloudError
from mistral_operator.capacity.orphans import AT_WORK
from mistral_operator.capacity.pools import is_surely_own, pool_name
from mistral_operator.capacity.port import PoolView
from mistral_operator.cluster.client import ListResult
from mistral_operator.cluster.kinds import CLAIM, NODE, Kind
from mistral_operator.cluster.store import Key, Store

log = logging.getLogger(__name__)


class Lists(Protocol):
    """What is needed of `cluster.client.ApiClient`: nothing is believed of a cache."""

    async def list(self, kind: Kind, namespace: str = "", *, label_selector: str = "") -> ListResult:
        """Objects of a kind as they are now."""
        ...


class OrphanWatch:
    """Names claims that aren't there though a pool was made for them, to whoever works on claims of those names."""

    def __init__(
        self, store: Store, cloud: CloudPools, *, found: Callable[[str], None], count: Callable[[float], None]
    ) -> None:
        """`found` is called with each name, `count` with how many there are."""
        self._store = store
        self._cloud = cloud
        self._found = found
        self._count = count

    async def run(self, interval_s: float) -> None:
        """Looks now and then until cancelled."""
        while True:
            try:
                await self.look()
            except CloudError as error:
                log.warning("Node pools can't be listed, so none that lost its claim is found: %s", error)
            await asyncio.sleep(interval_s)

    async def look(self) -> None:
        """One look. Raises CloudError."""
        named = {pool.resource_labels.get(CLAIM_RESOURCE_LABEL, "") for pool in await self._cloud.list()} - {""}
        missing = [name for name in sorted(named) if self._store[CLAIM].meta(Key("", name)) is None]
        self._count(len(missing))
        for name in missing:
            self._found(name)


class OrphanedPools:
    """Deletes pools without a claim. Forgetting everything costs only time: two looks are needed again."""

    def __init__(self, client: Lists, cloud: CloudPools, settings: ClaimSettings, now: Callable[[], datetime]) -> None:
        self._client = client
        self._cloud = cloud
        self._settings = settings
        self._now = now
        self._missing_since: dict[str, datetime] = {}
        """Claim → when it was first seen that it isn't there, though its pool is."""

    def forget(self, claim: str) -> None:
        """The claim is there."""
        self._missing_since.pop(claim, None)

    async def release(self, claim: str) -> float | None:
        """Do what is to be done about the pool of a claim that the store lacks; answers when to look again, if at all.

        Raises ApiError: without an answer of the API server no claim is missing.
        """
        name = pool_name(claim)
        try:
            operation = await self._cloud.follow(name, None)
            pool = await self._cloud.find(name) if operation is None else None
        except CloudError as error:
            log.info("Whether node pool %s is left over is unknown: %s", name, error)
            return self._settings.resync_s
        if operation is not None:
            return self._settings.slowest_poll_s
        if pool is None or pool.resource_labels.get(CLAIM_RESOURCE_LABEL) != claim:
            self._cloud.forget(name)
            self.forget(claim)
            return None
        if pool.status in AT_WORK:
            return self._settings.unsettled_s
        if await self._is_there(claim) or await self._must_stay(claim, pool):
            self.forget(claim)
            return None
        return await self._delete(claim, name)

    async def _delete(self, claim: str, name: str) -> float:
        since = self._missing_since.setdefault(claim, self._now())
        wait_s = self._settings.orphan_after_s - (self._now() - since).total_seconds()
        if wait_s > 0:
            log.warning("Node pool %s has lost its claim; it is deleted if that is still so in %.0f s", name, wait_s)
            return wait_s
        log.warning("Node pool %s lost its claim %s at %s and is deleted", name, claim, since)
        begun = await self._cloud.delete(name, cause=None)
        return self._settings.fastest_poll_s if begun else self._settings.resync_s

    async def _is_there(self, claim: str) -> bool:
        """By a list, not a read: that a kind isn't served, which is no object's absence, fails only a list."""
        listed = await self._client.list(CLAIM)
        return any(found["metadata"]["name"] == claim for found in listed.items)

    async def _must_stay(self, claim: str, pool: PoolView) -> bool:
        """Reported each time: a person has to decide."""
        if not is_surely_own(pool, claim, self._settings.place.uid):
            log.warning(
                "Node pool %s names claim %s, which isn't there, but its labels don't prove that it was made by this"
                " cluster's operator as it is; left alone",
                pool.name,
                claim,
            )
            return True
        # A slice's nodes have their claim's name in another label than those of an ordinary pool.
        key = CLAIM_LABEL if CLAIM_LABEL in pool.node_labels else SHAPE_LABEL
        nodes = len((await self._client.list(NODE, label_selector=f"{key}={claim}")).items)
        if nodes:
            log.warning("Node pool %s has lost its claim; it stays while it has nodes (%d now)", pool.name, nodes)
        return nodes > 0
