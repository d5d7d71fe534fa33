"""Works on the keys of a queue, as many at once as the API server bears."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Final, Generic, TypeVar

from mistral_operator.cluster.errors import ApiError, Throttled
from mistral_operator.controller.log import working_on
from mistral_operator.controller.metrics import Metrics
from mistral_operator.controller.queue import KeyedQueue

K = TypeVar("K", bound=Hashable)

_SHRINK_INTERVAL_S: Final = 1.0

log = logging.getLogger(__name__)


class ConcurrencyLimit:
    """How much may be done at once: a little more after each success, half as much after a 429."""

    def __init__(self, maximum: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._maximum = maximum
        self._clock = clock
        self._limit = float(maximum)
        self._shrunk_at = float("-inf")

    @property
    def value(self) -> int:
        """The present limit, at least 1."""
        return int(self._limit)

    def succeeded(self) -> None:
        """Grows by one for as many successes as the limit is high."""
        self._limit = min(float(self._maximum), self._limit + 1.0 / self._limit)

    def throttled(self) -> None:
        """Halves, once for all the answers that come about the same time."""
        now = self._clock()
        if now - self._shrunk_at >= _SHRINK_INTERVAL_S:
            self._limit = max(1.0, self._limit / 2)
            self._shrunk_at = now


class Workers(Generic[K]):
    """Calls `reconcile(key)` for each key of the queue; what it answers is the seconds after which to come back."""

    def __init__(
        self,
        name: str,
        queue: KeyedQueue[K],
        reconcile: Callable[[K], Awaitable[float | None]],
        *,
        maximum: int,
        metrics: Metrics,
    ) -> None:
        self.name = name
        self._queue = queue
        self._reconcile = reconcile
        self._limit = ConcurrencyLimit(maximum)
        self._metrics = metrics
        self._running: dict[asyncio.Task[None], float] = {}
        self._freed = asyncio.Event()
        metrics.watch_queue(name, lambda: len(queue), lambda: len(self._running))

    @property
    def longest_run_s(self) -> float:
        """For how long the oldest key is being worked on; 0 if none is."""
        return time.monotonic() - min(self._running.values(), default=time.monotonic())

    async def run(self) -> None:
        """Starts work on keys until cancelled; what was begun goes on until `drain` has ended."""
        while True:
            while len(self._running) >= self._limit.value:
                self._freed.clear()
                await self._freed.wait()
            taken = self._queue.take()
            if taken is None:
                await self._queue.wait()
                continue
            key, waited_s = taken
            self._metrics.queue_wait.labels(self.name).observe(waited_s)
            task = asyncio.create_task(self._work(key), name=f"{self.name} {key}")
            self._running[task] = time.monotonic()
            task.add_done_callback(self._finish)

    async def drain(self, timeout_s: float) -> None:
        """Waits for what was begun, for that long, and cancels the rest."""
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=timeout_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _finish(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        self._freed.set()

    async def _work(self, key: K) -> None:
        started = time.monotonic()
        result = "cancelled"
        with working_on(self.name, key):
            try:
                result = await self._attempt(key)
            finally:
                self._queue.done(key)
                self._metrics.reconciled(self.name, result, time.monotonic() - started)

    async def _attempt(self, key: K) -> str:
        try:
            requeue_after_s = await self._reconcile(key)
        except ApiError as error:
            if isinstance(error, Throttled):
                self._limit.throttled()
            delay_s = self._queue.retry(key, at_least_s=error.retry_after_s or 0.0)
            log.warning("Trying again in %.1f s: %s", delay_s, error)
            return "retry"
        except Exception:
            # Whatever it is, the other keys must go on, and this one must not be lost.
            delay_s = self._queue.retry(key)
            log.exception("Unexpected; trying again in %.1f s", delay_s)
            return "error"
        self._limit.succeeded()
        self._queue.succeed(key)
        if requeue_after_s is not None:
            self._queue.add_after(key, requeue_after_s)
        return "ok"
