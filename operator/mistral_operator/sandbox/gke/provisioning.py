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
        began_s = self._pace.now_s()
        await self._remove(pool, _surplus(pool, per_zone))
        while missing := [zone for zone in pool.zones for _ in range(per_zone - pool.size(zone))]:
            lacks = await self._order(pool, missing)
            waited_s = self._pace.now_s() - began_s
            # Quota is known at once; stock is asked for again and again.
            if any(lack.shortage.code == "GCE_QUOTA_EXCEEDED" for lack in lacks) or (
                lacks and waited_s > self._delays.resize_give_up
            ):
                return _fall_short(pool, per_zone, waited_s, lacks)
            if lacks:
                await self._pace.wait(min(self._delays.resize_retry, self._delays.resize_give_up))
            await self._remove(pool, _surplus(pool, per_zone))
        await _booted(pool)
        _succeed(pool)
        return None

    async def refill(self, pool: Pool, zone: str) -> None:
        """An instance group of fixed size lost a machine: try until there is one again."""
        while self._exists(pool) and not pool.deleting:
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


def _fall_short(pool: Pool, per_zone: int, waited_s: float, lacks: Sequence[Lack]) -> Failure:
    """Note in the pool that it isn't as large as it should be, in Google's words."""
    first, expected, running = lacks[0], per_zone * len(pool.zones), pool.size()
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
    pool.message.status = PoolStatus.RUNNING_WITH_ERROR if running else PoolStatus.ERROR
    pool.message.status_message = text
    del pool.message.conditions[:]
    pool.message.conditions.add(
        code=Condition[code], message=text, canonical_code=grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
    )
    return Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, text, code)
