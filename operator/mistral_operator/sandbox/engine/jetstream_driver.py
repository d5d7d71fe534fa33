"""Answers at the stated speed from a fixed number of slots, counted in JetStream's metrics."""

import asyncio
import time
from collections.abc import Sequence

from .jetstream_answer import compose
from .jetstream_metrics import JetStreamMetrics
from .jetstream_settings import JetStreamSettings

Channel = asyncio.Queue[Sequence[int] | None]
"""Token ids as they are generated; None after the last."""


class Driver:
    """A request waits in the prefill backlog for a slot, and has it to its answer's end.

    As upstream: the backlog has no bound, a client that leaves frees no slot, and once the driver has stopped, open
    answers get neither tokens nor an end.
    """

    def __init__(self, settings: JetStreamSettings, metrics: JetStreamMetrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._interval_s = 1 / (settings.tokens_per_s * settings.speed)
        self._slots = asyncio.Semaphore(settings.slots)
        self._began = time.monotonic()
        self._waiting = 0
        self._running = 0
        self._stopped = False
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def live(self) -> bool:
        after_s = self._settings.dead_after_s
        dead = after_s is not None and time.monotonic() - self._began >= after_s / self._settings.speed
        return not self._stopped and not dead

    def submit(self, prompt: Sequence[int], max_tokens: int) -> Channel:
        """Answer a prompt."""
        channel: Channel = asyncio.Queue()
        task = asyncio.create_task(self._answer(prompt, max_tokens, channel))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return channel

    def stop(self) -> None:
        """Generate nothing more."""
        self._stopped = True
        for task in self._tasks:
            task.cancel()

    async def _answer(self, prompt: Sequence[int], max_tokens: int, channel: Channel) -> None:
        arrived = time.monotonic()
        self._count(waiting=1)
        try:
            await self._slots.acquire()
        finally:
            self._count(waiting=-1)
        self._count(running=1)
        try:
            started = time.monotonic()
            tokens = compose(prompt, max_tokens, self._settings.vocabulary)
            self._metrics.observe("jetstream_queue_duration", started - arrived)
            await self._generate(tokens, started, channel)
            self._close(len(prompt), len(tokens), arrived, started)
        finally:
            self._slots.release()
            self._count(running=-1)

    async def _generate(self, tokens: Sequence[int], started: float, channel: Channel) -> None:
        """One token every 1 / tokens_per_s simulated seconds, and an empty message in EOS' place."""
        for position, token in enumerate(tokens):
            await asyncio.sleep(max(0.0, started + (position + 1) * self._interval_s - time.monotonic()))
            if position == 0:
                self._metrics.observe("jetstream_time_to_first_token", time.monotonic() - started)
            channel.put_nowait((token,))
        channel.put_nowait(())
        channel.put_nowait(None)

    def _close(self, prompt_tokens: int, tokens: int, arrived: float, started: float) -> None:
        took_s = time.monotonic() - started
        self._metrics.succeeded()
        self._metrics.observe("jetstream_request_input_length", prompt_tokens + 1)
        self._metrics.observe("jetstream_request_output_length", tokens)
        self._metrics.observe("jetstream_time_per_output_token", took_s / max(1, tokens))
        self._metrics.observe("jetstream_time_per_prefill_token", self._interval_s / (prompt_tokens + 1))
        self._metrics.observe("jetstream_time_per_request", took_s)
        self._metrics.observe("jetstream_wait_time_per_request", started - arrived)

    def _count(self, *, waiting: int = 0, running: int = 0) -> None:
        self._waiting += waiting
        self._running += running
        self._metrics.load(self._waiting, self._running / self._settings.slots)
