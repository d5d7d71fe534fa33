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
from mistral_operator.capacity.clouds import Clouds
from mistral_operator.capacity.errors import CloudError
from mistral_operator.capacity.orphans import AT_WORK
from mistral_operator.capacity.pools import is_surely_own, pool_name
from mistral_operator.capacity.port import PoolView
from mistral_operator.cluster.client import ListResult
from mistral_operator.cluster.kinds import CLAIM, NODE, Kind
from mistral_operator.cluster.store import Key, Store
from mistral_operator.planning.types import Provisioner

log = logging.getLogger(__name__)


class Lists(Protocol):
    """What is needed of `cluster.client.ApiClient`: nothing is believed of a cache."""

    async def list(self, kind: Kind, namespace: str = "", *, label_selector: str = "") -> ListResult:
        """Objects of a kind as they are now."""
        ...


class OrphanWatch:
    """Names claims that aren't there though a pool was made for them, to whoever works on claims of those names."""

    def __init__(
        self, store: Store, clouds: Clouds, *, found: Callable[[str], None], count: Callable[[float], None]
    ) -> None:
        """`found` is called with each name, `count` with how many there are."""
        self._store = store
        self._clouds = clouds
        self._found = found
        self._count = count

    async def run(self, interval_s: float) -> None:
        """Looks now and then until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(interval_s)

    async def look(self) -> None:
        """One look at the pools of each provisioner; what can't be listed now hides no other's."""
        named, complete = set[str](), True
        for provisioner, cloud in self._clouds.items():
            try:
                named |= {pool.resource_labels.get(CLAIM_RESOURCE_LABEL, "") for pool in await cloud.list()} - {""}
            except CloudError as error:
                log.warning("%s: pools can't be listed, so none that lost its claim is found: %s", provisioner, error)
                complete = False
        missing = [name for name in sorted(named) if self._store[CLAIM].meta(Key("", name)) is None]
        if complete:
            self._count(len(missing))
        for name in missing:
            self._found(name)


class OrphanedPools:
    """Deletes pools without a claim. Forgetting everything costs only time: two looks are needed again."""

    def __init__(self, client: Lists, clouds: Clouds, settings: ClaimSettings, now: Callable[[], datetime]) -> None:
        self._client = client
        self._clouds = clouds
        self._settings = settings
        self._now = now
        self._missing_since: dict[tuple[Provisioner, str], datetime] = {}
        """Whose pool, claim → when it was first seen that the claim isn't there, though its pool is."""

    def forget(self, claim: str) -> None:
        """The claim is there."""
        for provisioner in self._clouds:
            self._missing_since.pop((provisioner, claim), None)

    async def release(self, claim: str) -> float | None:
        """Do what is to be done about the pool of a claim that the store lacks; answers when to look again, if at all.

        Raises ApiError: without an answer of the API server no claim is missing.
        """
        waits = [await self._release(claim, provisioner, cloud) for provisioner, cloud in self._clouds.items()]
        return min((wait_s for wait_s in waits if wait_s is not None), default=None)

    async def _release(self, claim: str, provisioner: Provisioner, cloud: CloudPools) -> float | None:
        name, place = pool_name(claim), (provisioner, claim)
        try:
            operation = await cloud.follow(name, None)
            pool = await cloud.find(name) if operation is None else None
        except CloudError as error:
            log.info("Whether node pool %s is left over is unknown: %s", name, error)
            return self._settings.resync_s
        if operation is not None:
            return self._settings.slowest_poll_s
        if pool is None or pool.resource_labels.get(CLAIM_RESOURCE_LABEL) != claim:
            cloud.forget(name)
            self._missing_since.pop(place, None)
            return None
        if pool.status in AT_WORK:
            return self._settings.unsettled_s
        if await self._is_there(claim) or await self._must_stay(claim, pool):
            self._missing_since.pop(place, None)
            return None
        return await self._delete(place, name, cloud)

    async def _delete(self, place: tuple[Provisioner, str], name: str, cloud: CloudPools) -> float:
        since = self._missing_since.setdefault(place, self._now())
        wait_s = self._settings.orphan_after_s - (self._now() - since).total_seconds()
        if wait_s > 0:
            log.warning("Node pool %s has lost its claim; it is deleted if that is still so in %.0f s", name, wait_s)
            return wait_s
        log.warning("Node pool %s lost its claim %s at %s and is deleted", name, place[1], since)
        begun = await cloud.delete(name, cause=None)
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
