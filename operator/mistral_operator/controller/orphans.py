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
from mistral_operator.capacity.claims.types import ClaimSettings
from mistral_operator.capacity.errors import CloudError
from mistral_operator.capacity.orphans import AT_WORK
from mistral_operator.capacity.policies import lost_claim
from mistral_operator.capacity.pools import is_surely_own, pool_name
from mistral_operator.capacity.port import PoolView
from mistral_operator.capacity.provisioners.cloud import CloudPools
from mistral_operator.capacity.provisioners.clouds import Clouds
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
        self,
        store: Store,
        clouds: Clouds,
        *,
        found: Callable[[str], None],
        count: Callable[[float], None],
        cluster_uid: str = "",
        count_policies: Callable[[float], None] = lambda _: None,
    ) -> None:
        """`found` is called with each name, `count` and `count_policies` with how many there are. Without
        the cluster's uid no workload policy is sure to be ours.
        """
        self._store = store
        self._clouds = clouds
        self._cluster_uid = cluster_uid
        self._found = found
        self._count = count
        self._count_policies = count_policies

    async def run(self, interval_s: float) -> None:
        """Looks now and then until cancelled."""
        while True:
            await self.look()
            await self.look_at_policies()
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
        missing = self._find_missing(named)
        if complete:
            self._count(len(missing))
        for name in missing:
            self._found(name)

    async def look_at_policies(self) -> None:
        """The same for workload policies, which only some clusters have."""
        lost = set[str]()
        for provisioner, cloud in self._clouds.items():
            try:
                lost |= {lost_claim(policy, self._cluster_uid) for policy in await cloud.list_policies()} - {""}
            except CloudError as error:
                # An identity that may not list them has most often never made one.
                log.info("%s: workload policies can't be listed: %s", provisioner, error)
                return
        missing = self._find_missing(lost)
        self._count_policies(len(missing))
        for name in missing:
            self._found(name)

    def _find_missing(self, claims: set[str]) -> list[str]:
        return [name for name in sorted(claims) if self._store[CLAIM].meta(Key("", name)) is None]


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
            if pool is None and await self._has_lost_policy(claim, cloud):
                return await self._delete_policy(place, name, cloud)
            cloud.forget(name)
            self._missing_since.pop(place, None)
            return None
        if pool.status in AT_WORK:
            return self._settings.unsettled_s
        if await self._is_there(claim) or await self._must_stay(claim, pool):
            self._missing_since.pop(place, None)
            return None
        return await self._delete(place, pool, cloud)

    async def _delete(self, place: tuple[Provisioner, str], pool: PoolView, cloud: CloudPools) -> float:
        if wait_s := self._patience_s(place, f"Node pool {pool.name}"):
            return wait_s
        begun = await cloud.delete(pool.name, cause=None, uid=pool.uid)
        return self._settings.fastest_poll_s if begun else self._settings.resync_s

    async def _delete_policy(self, place: tuple[Provisioner, str], name: str, cloud: CloudPools) -> float:
        """After the pool, of which nothing is left."""
        if wait_s := self._patience_s(place, f"Workload policy {name}"):
            return wait_s
        deleted = await cloud.delete_policy(name)
        return self._settings.fastest_poll_s if deleted else self._settings.resync_s

    def _patience_s(self, place: tuple[Provisioner, str], what: str) -> float:
        """Seconds until what has lost its claim may be deleted; 0 once it may."""
        since = self._missing_since.setdefault(place, self._now())
        wait_s = self._settings.orphan_after_s - (self._now() - since).total_seconds()
        if wait_s > 0:
            log.warning("%s has lost its claim; it is deleted if that is still so in %.0f s", what, wait_s)
            return wait_s
        log.warning("%s lost its claim %s at %s and is deleted", what, place[1], since)
        return 0.0

    async def _has_lost_policy(self, claim: str, cloud: CloudPools) -> bool:
        """Asked anew, but only of a policy that was there when all were listed: few claims ever have one."""
        name = pool_name(claim)
        if not cloud.has_listed_policy(name):
            return False
        try:
            policy = await cloud.find_policy(name)
        except CloudError as error:
            log.info("Whether workload policy %s is left over is unknown: %s", name, error)
            return False
        lost = policy is not None and lost_claim(policy, self._settings.place.uid) == claim
        return lost and not await self._is_there(claim)

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
