"""Lists our own kinds and makes the store equal to that: at the start, after each lost connection, and now and then.

Watches tell what changed, but never what vanished while nobody watched; a model that went unnoticed would leave its
node pool running for ever.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from typing import Final

from mistral_operator.cluster.client import ApiClient
from mistral_operator.cluster.errors import ApiError
from mistral_operator.cluster.kinds import Kind
from mistral_operator.cluster.store import Key, Store
from mistral_operator.controller.metrics import Metrics
from mistral_operator.controller.queue import Backoff

_AFTER_REQUEST_S: Final = (0.3, 8.0)
"""When to compare after a request: soon, and again when kopf, which waits up to 5 s, has surely connected again."""

log = logging.getLogger(__name__)


class Comparison:
    """One list per kind and occasion; `synced` is set after the first."""

    def __init__(
        self,
        client: ApiClient,
        store: Store,
        kinds: Sequence[Kind],
        *,
        interval_s: float,
        metrics: Metrics,
        on_resync: Callable[[int], None],
    ) -> None:
        """`on_resync` is called after each regular comparison with the number of changes that nobody had told of."""
        self._client = client
        self._store = store
        self._kinds = kinds
        self._interval_s = interval_s
        self._metrics = metrics
        self._on_resync = on_resync
        self._rng = random.Random()  # noqa: S311
        self._backoff = Backoff(cap_s=10.0)
        self._due: list[float] = []
        self._requested = asyncio.Event()
        self.synced = asyncio.Event()

    def request(self) -> None:
        """Has everything compared soon. Many requests at about the same time are one."""
        if not self._due:
            now = asyncio.get_running_loop().time()
            self._due = [now + delay_s for delay_s in _AFTER_REQUEST_S]
            self._requested.set()

    async def run(self) -> None:
        """Compares until cancelled."""
        loop = asyncio.get_running_loop()
        await self._compare_surely()
        self.synced.set()
        regular = loop.time() + self._next_interval_s()
        while True:
            next_due = min([regular, *self._due])
            self._requested.clear()
            try:
                async with asyncio.timeout_at(next_due):
                    await self._requested.wait()
                continue  # Something may be due earlier now.
            except TimeoutError:
                self._due = [due for due in self._due if due > next_due]
            missed = await self._compare_surely()
            if next_due == regular:
                self._on_resync(missed)
                regular = loop.time() + self._next_interval_s()

    async def _compare_surely(self) -> int:
        failures = 0
        while True:
            try:
                return sum([await self._compare(kind) for kind in self._kinds])
            except ApiError as error:
                failures += 1
                delay_s = max(error.retry_after_s or 0.0, self._backoff.delay_s(failures, self._rng))
                log.warning("Our own kinds can't be listed, trying again in %.1f s: %s", delay_s, error)
                await asyncio.sleep(delay_s)

    async def _compare(self, kind: Kind) -> int:
        shelf = self._store[kind]
        present: set[Key] = set()
        version = news = 0
        async for page in self._client.pages(kind):
            version = int(page.resource_version)
            present |= {Key(body["metadata"].get("namespace", ""), body["metadata"]["name"]) for body in page.items}
            news += sum(shelf.put(body) for body in page.items)
        gone = [key for key in shelf.absent_from(present, version) if shelf.remove(key, version)]
        if gone:
            log.info("%d %s went unnoticed: %s", len(gone), kind.plural, ", ".join("/".join(key) for key in gone[:5]))
        self._metrics.watch_missed.labels(kind.plural).inc(len(gone) + (news if self.synced.is_set() else 0))
        return news + len(gone)

    def _next_interval_s(self) -> float:
        return self._interval_s * self._rng.uniform(0.9, 1.1)
