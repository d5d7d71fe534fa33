"""A running container's probes: when it has started, when it is ready, when it has to be restarted."""

import asyncio
import time

from .containers import ContainerStatus
from .context import Object, PodContext
from .probes import Probe, read_probe
from .process import Running


class Monitor:
    """Keeps `started` and `ready` of a container's status true to its probes."""

    def __init__(self, context: PodContext, container: Object, status: ContainerStatus, started: asyncio.Event) -> None:
        self._context = context
        self._container = container
        self._status = status
        self._started = started

    async def watch(self, running: Running) -> str:
        """Return only when the container must be restarted: the kind of the probe that failed."""
        if running.ready_after_s is not None:
            await asyncio.sleep(running.ready_after_s)
            self._has_started()
            self._set_ready(True)
            return await _forever()
        startup, readiness, liveness = (self._probe(kind) for kind in ("Startup", "Readiness", "Liveness"))
        if startup and not await self._succeeds_in_time(startup):
            return startup.kind
        self._has_started()
        if readiness is None:
            self._set_ready(True)
        following = asyncio.create_task(self._follow(readiness)) if readiness else None
        try:
            return await self._outlives(liveness) if liveness else await _forever()
        finally:
            if following:
                following.cancel()

    def _probe(self, kind: str) -> Probe | None:
        return read_probe(kind, self._container, self._context.pod_ip, self._context.machinery.settings)

    async def _succeeds_in_time(self, probe: Probe) -> bool:
        await asyncio.sleep(probe.delay_s)
        deadline = time.monotonic() + probe.budget_s
        while failure := await self._ask(probe):
            self._unhealthy(probe, failure)
            if time.monotonic() >= deadline:
                return False
            await asyncio.sleep(min(probe.period_s, max(0.0, deadline - time.monotonic())))
        return True

    async def _follow(self, probe: Probe) -> None:
        """Readiness goes with the probe, after so many successes or failures in a row."""
        await asyncio.sleep(probe.delay_s)
        run = 0
        while True:
            failure = await self._ask(probe)
            if failure:
                self._unhealthy(probe, failure)
            run = run + 1 if bool(failure) == self._status.ready else 0
            if run >= (probe.failures if failure else probe.successes):
                self._set_ready(not failure)
                run = 0
            await asyncio.sleep(probe.period_s)

    async def _outlives(self, probe: Probe) -> str:
        """Return after so many failures in a row."""
        await asyncio.sleep(probe.delay_s)
        failures = 0
        while failures < probe.failures:
            if failure := await self._ask(probe):
                self._unhealthy(probe, failure)
                failures += 1
            else:
                failures = 0
            await asyncio.sleep(probe.period_s)
        return probe.kind

    async def _ask(self, probe: Probe) -> str:
        if probe.target is None:
            return ""
        return await self._context.machinery.dialler.ask(probe.target, probe.timeout_s)

    def _unhealthy(self, probe: Probe, failure: str) -> None:
        self._context.note("Warning", "Unhealthy", f"{probe.kind} probe failed: {failure}")

    def _has_started(self) -> None:
        self._status.started = True
        self._started.set()
        self._context.changed()

    def _set_ready(self, ready: bool) -> None:
        self._status.ready = ready
        self._context.changed()


async def _forever() -> str:
    await asyncio.Event().wait()
    return ""
