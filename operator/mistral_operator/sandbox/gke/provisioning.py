"""Instance groups: they bring a pool to a size, and make machines again that were lost."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence

import grpc
from google.cloud import container_v1

from .errors import Failure
from .fleet import Fleet, Lack
from .pace import Pace
from .pools import Instance, Pool, PoolStatus
from .scenario import Scenario

Condition = container_v1.StatusCondition.Code
Strategy = container_v1.NodePoolUpdateStrategy
CANONICAL = {
    "RESERVATION_NOT_FOUND": grpc.StatusCode.NOT_FOUND,
    "RESERVATION_NOT_READY": grpc.StatusCode.FAILED_PRECONDITION,
    "RESERVATION_INCOMPATIBLE": grpc.StatusCode.INVALID_ARGUMENT,
    "INVALID_RESERVATION": grpc.StatusCode.INVALID_ARGUMENT,
    "CONDITION_NOT_MET": grpc.StatusCode.FAILED_PRECONDITION,
    "PERMISSIONS_ERROR": grpc.StatusCode.PERMISSION_DENIED,
}


class Provisioner:
    """Works on the cluster's pools through the fleet. A multi-host slice it makes whole or not at all."""

    def __init__(self, scenario: Scenario, pace: Pace, fleet: Fleet, pools: Mapping[str, Pool]) -> None:
        self._delays = scenario.delays_s
        self._pace = pace
        self._fleet = fleet
        self._pools = pools

    async def resize(self, pool: Pool, per_zone: int) -> Failure | None:
        """Bring every zone to this size; what can't be had until the time limit is a failure.

        The caller holds the pool's lock.
        """
        pool.repairing = False
        pool.target = per_zone
        began_s = self._pace.now_s()
        await self._remove(pool, _surplus(pool, per_zone))
        while missing := pool.missing():
            lacks = await self._order(pool, missing)
            if self._gives_up(lacks, began_s):
                if self._is_enough(pool):
                    break
                return _fall_short(pool, per_zone * len(pool.zones), self._pace.now_s() - began_s, lacks)
            if lacks:
                await self._pace.wait(min(self._delays.resize_retry, self._delays.resize_give_up))
            await self._remove(pool, _surplus(pool, per_zone))
        await _booted(pool)
        _succeed(pool)
        return None

    async def upgrade(self, pool: Pool, version: str, old: Sequence[Instance] | None = None) -> Failure | None:
        """Make machines again with this version, a slice as a whole; the caller holds the pool's lock.

        `old`: those that go, or else all with another version. Machines that only live for a while are left alone:
        those that follow them have the version.
        """
        pool.message.status = PoolStatus.RECONCILING
        pool.message.version = version
        if old is None:
            old = [i for i in pool.instances.values() if i.version != version]
        old = [instance for instance in old if instance.stays]
        settings = pool.message.upgrade_settings
        failure = None
        if settings.strategy != Strategy.SHORT_LIVED:
            surge, step = settings.max_surge, settings.max_surge + settings.max_unavailable
            if settings.strategy == Strategy.BLUE_GREEN:
                surge = step = len(old)
            if pool.slice_hosts:
                failure = await self._replace_slice(pool, old)
            else:
                failure = await self._replace(pool, old, max(1, step), surge)
        if failure is None and not pool.deleting:
            _succeed(pool)
        return failure

    async def _replace_slice(self, pool: Pool, old: Sequence[Instance]) -> Failure | None:
        """All hosts go, then all come; nobody else brings any meanwhile."""
        pool.repairing = True
        try:
            failure = await self._replace(pool, old, max(1, len(old)), 0)
        finally:
            pool.repairing = False
        if failure is None and old and not pool.is_whole:
            self._fleet.spawn(self.repair(pool))
        return failure

    async def _replace(self, pool: Pool, old: Sequence[Instance], step: int, surge: int) -> Failure | None:
        """Make machines again, `step` at a time; up to `surge` of each step come before those that they replace go."""
        expected = pool.size()
        for start in range(0, len(old), step):
            batch = [instance for instance in old[start : start + step] if instance.stays]
            zones = [instance.zone for instance in batch]
            if failure := await self._add(pool, zones[:surge], expected):
                return failure
            await self._remove(pool, batch)
            if failure := await self._add(pool, zones[surge:], expected):
                return failure
        # One that was lost meanwhile: there was a machine too many then, and nobody missed it.
        return None if pool.slice_hosts or pool.autoscaled else await self._add(pool, pool.missing(), expected)

    async def _add(self, pool: Pool, zones: Sequence[str], expected: int) -> Failure | None:
        """Machines in these zones, running; until the time limit it is tried again."""
        began_s, missing = self._pace.now_s(), list(zones)
        while missing and not pool.deleting:
            lacks = await self._order(pool, missing)
            if self._gives_up(lacks, began_s):
                return _fall_short(pool, expected, self._pace.now_s() - began_s, lacks)
            if lacks:
                missing = missing if pool.slice_hosts else [lack.instance.zone for lack in lacks]
                await self._pace.wait(min(self._delays.resize_retry, self._delays.resize_give_up))
            else:
                missing = []
        await _booted(pool)
        return None

    def _gives_up(self, lacks: Sequence[Lack], began_s: float) -> bool:
        """Some answers will not change; stock is asked for again and again."""
        waited_s = self._pace.now_s() - began_s
        return any(lack.shortage.lasts for lack in lacks) or (bool(lacks) and waited_s > self._delays.resize_give_up)

    async def refill(self, pool: Pool, zone: str) -> None:
        """An instance group of fixed size lost a machine: try until there is one again."""
        while self._exists(pool) and not pool.deleting and (pool.target is None or zone in pool.missing()):
            if not await self._order(pool, [zone]):
                return
            await self._pace.wait(self._delays.resize_retry)

    async def repair(self, pool: Pool) -> None:
        """A slice lost a host, and the others are of no use without it: all are made again until the slice is whole."""
        if pool.repairing:
            return  # whoever does it already will notice
        pool.repairing = True
        began_s = self._pace.now_s()
        while pool.repairing and self._exists(pool):
            async with pool.lock:
                if pool.repairing and not pool.deleting:
                    await self._make_again(pool, began_s)
            if pool.repairing:
                await self._pace.wait(self._delays.resize_retry)

    async def _make_again(self, pool: Pool, began_s: float) -> None:
        """One attempt to repair a slice; what comes in between while it waits, it leaves to the next attempt."""
        lacks: list[Lack] = []
        if not pool.is_whole:
            pool.message.status = PoolStatus.RECONCILING
            await self._remove(pool, list(pool.instances.values()))
            if pool.deleting:
                return
            lacks = await self._order(pool, pool.zones * pool.slice_hosts)
            await _booted(pool)
        if pool.deleting:
            return
        if lacks:
            _fall_short(pool, pool.slice_hosts, self._pace.now_s() - began_s, lacks)
        elif pool.is_whole:
            pool.repairing = False
            _succeed(pool)

    def _is_enough(self, pool: Pool) -> bool:
        """A best-effort pool is content with fewer machines; the rest follows once there is stock."""
        asked = pool.message.best_effort_provisioning
        if not asked.enabled or pool.size() < max(1, asked.min_provision_nodes):
            return False
        for zone in pool.missing():
            self._fleet.spawn(self.refill(pool, zone))
        return True

    def _exists(self, pool: Pool) -> bool:
        return self._pools.get(pool.name) is pool

    async def _order(self, pool: Pool, zones: Iterable[str]) -> list[Lack]:
        """One machine in each of these zones; what is lacking is off the pool's books again."""
        placed = [self._fleet.place(pool, zone) for zone in zones]
        together = [placed] if pool.slice_hosts else [[instance] for instance in placed]
        answers = await asyncio.gather(*(self._fleet.obtain(pool, instances) for instances in together))
        return [lack for answer in answers for lack in answer]

    async def _remove(self, pool: Pool, instances: Iterable[Instance]) -> None:
        await asyncio.gather(*(self._fleet.remove(pool, i, self._delays.drain_limit) for i in instances))


def _surplus(pool: Pool, per_zone: int) -> list[Instance]:
    """Instances beyond the size; half a slice is of no use, so all of it."""
    there = [i for i in pool.instances.values() if i.stays]
    if pool.slice_hosts and len(there) < per_zone:
        return there
    return [i for zone in pool.zones for i in [i for i in there if i.zone == zone][per_zone:]]


async def _booted(pool: Pool) -> None:
    """Wait for machines that are about to join."""
    tasks = [i.task for i in pool.instances.values() if i.task and not i.usable]
    await asyncio.gather(*tasks, return_exceptions=True)


def _succeed(pool: Pool) -> None:
    del pool.message.conditions[:]
    pool.message.status = PoolStatus.RUNNING
    pool.message.status_message = ""


def _fall_short(pool: Pool, expected: int, waited_s: float, lacks: Sequence[Lack]) -> Failure:
    """Note in the pool that it isn't as large as it should be, in Google's words."""
    first, running = lacks[0], pool.size()
    code = first.shortage.code
    text = (
        f"Not all instances running in IGM after {waited_s:.9f}s. Expected {expected}, running {running}, "
        f"transitioning {expected - running}. Current errors: [{code}]: "
        f"Instance '{first.instance.name}' creation failed: {first.shortage.text}"
    )
    if code == "GCE_QUOTA_EXCEEDED":
        text = f"Insufficient quota to satisfy the request: {text}"
    else:
        text = f"Google Compute Engine: {text}"
    failure = Failure(_canonical(code), text, code if code in Condition.__members__ else "UNKNOWN")
    pool.fail(failure)
    return failure


def _canonical(code: str) -> grpc.StatusCode:
    """google.rpc.Code: a reservation that can't be used is no lack of resources, one that is full is."""
    return CANONICAL.get(code, grpc.StatusCode.RESOURCE_EXHAUSTED)
