"""Workers: one at a time per key, errors come back, 429 makes them fewer."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from tests.support.polling import eventually

from mistral_operator.cluster.errors import Throttled
from mistral_operator.controller.metrics import Metrics
from mistral_operator.controller.queue import Backoff, KeyedQueue
from mistral_operator.controller.workers import ConcurrencyLimit, Workers

FAST = Backoff(first_s=0.01, cap_s=0.02)


@asynccontextmanager
async def running(
    queue: KeyedQueue[str], reconcile: Callable[[str], Awaitable[float | None]]
) -> AsyncIterator[Workers[str]]:
    workers = Workers("test", queue, reconcile, maximum=4, metrics=Metrics())
    task = asyncio.create_task(workers.run())
    try:
        yield workers
    finally:
        task.cancel()
        await workers.drain(1)


async def test_a_failing_key_comes_back_and_others_go_on() -> None:
    queue: KeyedQueue[str] = KeyedQueue(backoff=FAST)
    seen: list[str] = []

    async def reconcile(key: str) -> float | None:
        seen.append(key)
        if key == "bad" and seen.count("bad") < 3:
            raise RuntimeError("not yet")
        return None

    queue.add("bad")
    queue.add("good")
    async with running(queue, reconcile):
        await eventually(lambda: seen.count("bad") == 3 and "good" in seen)
    assert queue.failures("bad") == 0


async def test_a_key_comes_back_when_it_asks_to() -> None:
    queue: KeyedQueue[str] = KeyedQueue()
    seen: list[str] = []

    async def reconcile(key: str) -> float | None:
        seen.append(key)
        return 0.01 if len(seen) < 3 else None

    queue.add("a")
    async with running(queue, reconcile):
        await eventually(lambda: len(seen) == 3)


async def test_no_more_than_the_limit_at_once_and_never_the_same_key_twice() -> None:
    queue: KeyedQueue[str] = KeyedQueue()
    at_once: set[str] = set()
    most = 0
    done = 0

    async def reconcile(key: str) -> float | None:
        nonlocal most, done
        assert key not in at_once
        at_once.add(key)
        most = max(most, len(at_once))
        queue.add(key) if done < 40 else None
        await asyncio.sleep(0)
        at_once.discard(key)
        done += 1
        return None

    for key in "abcdefgh":
        queue.add(key)
    async with running(queue, reconcile):
        await eventually(lambda: done >= 40 and not at_once)
    assert most <= 4


async def test_drain_lets_what_was_begun_end_and_cancels_what_takes_too_long() -> None:
    queue: KeyedQueue[str] = KeyedQueue()
    ended: list[str] = []
    go = asyncio.Event()

    async def reconcile(key: str) -> float | None:
        try:
            if key == "slow":
                await asyncio.Event().wait()
            await go.wait()
            ended.append(key)
        except asyncio.CancelledError:
            ended.append(f"{key} cancelled")
            raise
        return None

    queue.add("slow")
    queue.add("quick")
    workers = Workers("test", queue, reconcile, maximum=4, metrics=Metrics())
    task = asyncio.create_task(workers.run())
    await eventually(lambda: workers.longest_run_s > 0)
    await eventually(lambda: len(queue) == 0)
    task.cancel()
    go.set()
    await workers.drain(0.2)
    assert sorted(ended) == ["quick", "slow cancelled"]


def test_concurrency_halves_on_429_once_at_a_time_and_recovers() -> None:
    now = [0.0]
    limit = ConcurrencyLimit(16, clock=lambda: now[0])
    limit.throttled()
    limit.throttled()
    assert limit.value == 8
    now[0] = 2.0
    limit.throttled()
    assert limit.value == 4
    for at in range(4, 40, 2):
        now[0] = float(at)
        limit.throttled()
    assert limit.value == 1
    for _ in range(500):
        limit.succeeded()
    assert limit.value == 16


async def test_throttled_key_waits_at_least_as_long_as_asked() -> None:
    queue: KeyedQueue[str] = KeyedQueue(backoff=FAST)
    tries = 0

    async def reconcile(key: str) -> float | None:
        nonlocal tries
        tries += 1
        raise Throttled(429, "TooManyRequests", "slow down", retry_after_s=300)

    queue.add("a")
    async with running(queue, reconcile):
        await eventually(lambda: queue.delayed == 1)
        due = queue.next_due_s()
    assert tries == 1
    assert due is not None
    assert due > 290
