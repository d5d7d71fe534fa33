"""The life of virtual machines: asked for, in stock or not, booted, joined as nodes, removed."""

import asyncio
import itertools
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

from .pace import Pace
from .pools import Instance, InstanceState, PodRef, Pool, instance_name
from .scenario import Scenario
from .shortage import Shortage
from .stock import Warehouse
from .template import shows_devices

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Lack:
    """An instance without a machine, and why."""

    instance: Instance
    shortage: Shortage


class NodePort(Protocol):
    """The cluster's side of a machine. Every call retries until it succeeds."""

    async def join(self, pool: Pool, instance: Instance) -> None:
        """The machine's kubelet registers its node, Ready, without GPUs or TPU chips."""

    async def show_devices(self, pool: Pool, instance: Instance) -> None:
        """Driver or device plugin run: the node has GPUs or TPU chips now."""

    async def relabel(self, pool: Pool, instance: Instance) -> None:
        """The pool's labels or taints changed in place."""

    async def announce(self, instance: Instance, at_s: float) -> None:
        """Its host is maintained at this time (Unix seconds): the node says so."""

    async def impend(self, instance: Instance) -> None:
        """The machine goes down once its pods are gone: its node takes no more of them."""

    async def warn(self, instance: Instance, grace_s: float) -> None:
        """The machine goes down soon: its node stops taking pods, and its pods get so many real seconds to end."""

    async def fail(self, instance: Instance) -> None:
        """The machine stands still: its node is no longer Ready, its pods are dead."""

    async def drain(self, instance: Instance, limit_s: float) -> None:
        """Cordon the node and evict its pods; budgets hold it up for `limit_s` real seconds at most."""

    async def leave(self, instance: Instance) -> None:
        """Node and pods are gone."""


Expiry = Callable[[Pool, Instance], Coroutine[Any, Any, None]]
"""What to do when a machine has run for as long as its pool lets it."""


class Fleet:
    """All machines. Only the event loop's thread touches it."""

    def __init__(self, scenario: Scenario, pace: Pace, warehouse: Warehouse, nodes: NodePort) -> None:
        self._scenario = scenario
        self._pace = pace
        self._random = Random(scenario.seed)
        self._addresses = itertools.count(2)
        self._tasks: set[asyncio.Task[None]] = set()
        self.on_expiry: Expiry | None = None
        self.warehouse = warehouse
        self.nodes = nodes

    def place(self, pool: Pool, zone: str, wanted_by: Sequence[PodRef] = ()) -> Instance:
        """Enter an instance into a pool's books: it counts from now on. `obtain` does the rest."""
        high, low = divmod(next(self._addresses), 250)
        instance = Instance(
            instance_name(self._scenario, pool, zone, self._random),
            pool.want(zone),
            f"10.128.{high % 250}.{low + 1}",
            pool.message.version,
            tuple(wanted_by),
        )
        pool.instances[instance.name] = instance
        return instance

    async def obtain(self, pool: Pool, instances: Sequence[Instance], report_s: float = 0) -> list[Lack]:
        """Get all of these machines or none, of which the instances are off the books again.

        The answer is what was lacking, known after `report_s` more seconds. It is empty too if an instance was removed
        meanwhile, and then none is got.
        """
        try:
            await self._pace.wait(self._scenario.delays_s.instance_creation)
            lacks = self._take(pool, instances)
            if lacks:
                await self._pace.wait(report_s)
        finally:
            for instance in instances:
                if instance.state is InstanceState.CREATING:
                    pool.instances.pop(instance.name, None)
        return lacks

    async def start_at_once(self, pool: Pool, zone: str) -> None:
        """A machine that ran before the simulation began."""
        instance = self.place(pool, zone)
        instance.want = self.warehouse.occupy(instance.want)
        await self.nodes.join(pool, instance)
        instance.state = InstanceState.RUNNING
        if instance.want.machine.devices:
            await self.nodes.show_devices(pool, instance)
            instance.devices_ready = True

    async def remove(self, pool: Pool, instance: Instance, drain_s: float = 0) -> None:
        """Take a machine down, after a drain of at most `drain_s` simulated seconds."""
        had_machine = instance.state is not InstanceState.CREATING
        if instance.state is InstanceState.STOPPING:
            return
        instance.state = InstanceState.STOPPING
        if instance.task:
            instance.task.cancel()
        if drain_s:
            await self.nodes.drain(instance, drain_s / self._pace.speed)
        await self._pace.wait(self._scenario.delays_s.node_deletion)
        await self.nodes.leave(instance)
        if had_machine:
            self.warehouse.give_back(instance.want)
        pool.instances.pop(instance.name, None)

    async def reclaim(self, pool: Pool, instance: Instance) -> bool:
        """Google takes a machine back, as it does with spot: a notice, then it is gone. The answer is `crash`'s."""
        notice_s = self._scenario.delays_s.spot_notice
        await self.nodes.warn(instance, notice_s / self._pace.speed)
        await self._pace.wait(notice_s)
        return await self.crash(pool, instance)

    async def maintain(self, pool: Pool, instance: Instance) -> bool:
        """Its host is maintained, which machines with GPUs or TPUs don't survive. The answer is `crash`'s."""
        delays = self._scenario.delays_s
        await self.nodes.announce(instance, time.time() + delays.maintenance_notice / self._pace.speed)
        await self._pace.wait(delays.maintenance_notice)
        if instance.state is InstanceState.STOPPING:
            return False
        await self.nodes.impend(instance)
        await self.nodes.drain(instance, delays.maintenance_drain / self._pace.speed)
        return await self.crash(pool, instance)

    async def break_down(self, pool: Pool, instance: Instance) -> bool:
        """Its host fails: the node is NotReady until Compute Engine notices, then gone. The answer is `crash`'s."""
        if instance.task:
            instance.task.cancel()
        await self.nodes.fail(instance)
        await self._pace.wait(self._scenario.delays_s.host_error)
        return await self.crash(pool, instance)

    async def crash(self, pool: Pool, instance: Instance) -> bool:
        """A machine is gone without a word; False if somebody else took it away or is about to."""
        if instance.state is InstanceState.STOPPING or pool.instances.pop(instance.name, None) is None:
            return False
        if instance.task:
            instance.task.cancel()
        if instance.state is not InstanceState.CREATING:
            self.warehouse.give_back(instance.want)
        instance.state = InstanceState.STOPPING
        await self.nodes.leave(instance)
        return True

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something that ends with the fleet."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    async def close(self) -> None:
        """End all tasks."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("a task of the simulated GKE failed", exc_info=error)

    def _take(self, pool: Pool, instances: Sequence[Instance]) -> list[Lack]:
        """In one go, so that nobody sees half a slice."""
        if any(instance.state is not InstanceState.CREATING for instance in instances):
            return []
        answer = self.warehouse.take_all([instance.want for instance in instances])
        if isinstance(answer, tuple):
            number, shortage = answer
            return [Lack(instances[number], shortage)]
        for instance, taken in zip(instances, answer, strict=True):
            instance.want = taken
            if pool.longest_run_s and self.on_expiry:
                self.spawn(self._expire(pool, instance))
            instance.state = InstanceState.BOOTING
            instance.task = self.spawn(self._boot(pool, instance))
        return []

    async def _expire(self, pool: Pool, instance: Instance) -> None:
        """Its notice is part of the time that it may run."""
        await self._pace.wait(max(0, pool.longest_run_s - self._scenario.delays_s.spot_notice))
        if self.on_expiry and pool.instances.get(instance.name) is instance:
            await self.on_expiry(pool, instance)

    async def _boot(self, pool: Pool, instance: Instance) -> None:
        delays = self._scenario.delays_s
        await self._pace.wait(delays.node_boot)
        await self.nodes.join(pool, instance)
        instance.state = InstanceState.RUNNING
        if shows_devices(pool):
            await self._pace.wait(delays.driver_installation if pool.machine.gpus else delays.device_plugin)
            await self.nodes.show_devices(pool, instance)
            instance.devices_ready = True
