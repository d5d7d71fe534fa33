"""Which requests run, which wait, which are turned away."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from .metrics import EngineMetrics
from .requests import RequestError
from .settings import EngineSettings

BUSY = "The engine is currently busy and cannot accept new requests. Please try again later or on a different instance."
DRAINING = "The engine is shutting down and cannot accept new requests."


class Admission:
    """--max-num-seqs sequences run at once, the others wait in order; --max-num-queued-reqs caps both together."""

    def __init__(self, settings: EngineSettings, metrics: EngineMetrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._running = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._tokens = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.draining = False

    @property
    def unfinished(self) -> int:
        return self._running + sum(sequences for sequences, _ in self._waiting)

    @asynccontextmanager
    async def place(self, sequences: int, prompt_tokens: int) -> AsyncIterator[None]:
        """A place in the batch for as long as the body runs. Raises RequestError (503)."""
        # Which status a draining vLLM answers is not known: its engine rejects the request.
        if self.draining:
            raise RequestError(DRAINING, "ServiceUnavailableError", 503)
        most = self._settings.max_unfinished
        if most is not None and self.unfinished + sequences > most:
            self._metrics.rejected()
            raise RequestError(BUSY, "ServiceUnavailableError", 503)
        # One request never waits for more places than there are.
        places = min(sequences, self._settings.max_sequences)
        self._idle.clear()
        try:
            await self._enter(places)
            self._tokens += prompt_tokens
            self._publish()
            try:
                yield
            finally:
                self._running -= places
                self._tokens -= prompt_tokens
                self._advance()
        finally:
            if self.unfinished == 0:
                self._idle.set()
                self._tokens = 0
            self._publish()

    def generated(self, tokens: int) -> None:
        """Generated tokens fill the KV cache until their request leaves it."""
        self._tokens += tokens
        self._publish()

    def freed(self, tokens: int) -> None:
        """The request that held these generated tokens has ended."""
        self._tokens = max(0, self._tokens - tokens)

    async def drained(self) -> None:
        """Wait until no request is left."""
        await self._idle.wait()

    async def _enter(self, places: int) -> None:
        if not self._waiting and self._running + places <= self._settings.max_sequences:
            self._running += places
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (places, turn)
        self._waiting.append(entry)
        self._publish()
        try:
            await turn
        except asyncio.CancelledError:
            if entry in self._waiting:
                self._waiting.remove(entry)
            elif not turn.cancelled():
                # Its turn came in the same moment.
                self._running -= places
            self._advance()
            raise

    def _advance(self) -> None:
        while self._waiting and self._running + self._waiting[0][0] <= self._settings.max_sequences:
            places, turn = self._waiting.popleft()
            if not turn.cancelled():
                self._running += places
                turn.set_result(None)

    def _publish(self) -> None:
        waiting = sum(sequences for sequences, _ in self._waiting)
        # As if the KV cache held every place's whole context once.
        capacity = self._settings.max_sequences * self._settings.context_length
        self._metrics.load(self._running, waiting, min(1.0, self._tokens / capacity))
