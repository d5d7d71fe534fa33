"""No key is lost, none is worked on twice at once, and failures wait longer and longer."""

import asyncio
import random
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from mistral_operator.controller.queue import Backoff, KeyedQueue


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def make(clock: Callable[[], float]) -> KeyedQueue[str]:
    return KeyedQueue(clock=clock, rng=random.Random(1))


def test_a_waiting_key_is_not_added_twice() -> None:
    queue = make(Clock())
    queue.add("a")
    queue.add("b")
    queue.add("a")
    assert len(queue) == 2
    assert [queue.take(), queue.take(), queue.take()] == [("a", 0.0), ("b", 0.0), None]


def test_a_key_that_changes_while_worked_on_comes_once_more() -> None:
    queue = make(Clock())
    queue.add("a")
    assert queue.take() == ("a", 0.0)
    queue.add("a")
    queue.add("a")
    assert queue.take() is None
    queue.done("a")
    assert queue.take() == ("a", 0.0)
    queue.done("a")
    assert queue.take() is None


def test_the_earliest_time_counts() -> None:
    clock = Clock()
    queue = make(clock)
    queue.add_after("a", 10)
    queue.add_after("a", 2)
    queue.add_after("a", 5)
    assert queue.next_due_s() == 2
    clock.now += 2
    assert queue.take() == ("a", 0.0)
    queue.done("a")
    clock.now += 100
    assert queue.take() is None
    assert queue.delayed == 0


def test_failures_back_off_up_to_the_cap_and_success_forgets_them() -> None:
    queue = make(Clock())
    delays = [queue.retry("a") for _ in range(20)]
    assert all(0.25 * 2**n <= delays[n] <= 0.5 * 2**n for n in range(9))
    assert all(150 <= delay <= 300 for delay in delays[12:])
    assert queue.failures("a") == 20
    queue.succeed("a")
    assert queue.failures("a") == 0
    assert queue.retry("a") <= 0.5
    assert queue.retry("b", at_least_s=30) == 30


def test_backoff_of_very_many_failures_is_finite() -> None:
    assert Backoff().delay_s(100_000, random.Random(1)) <= 300


def test_waited_time_is_reported() -> None:
    clock = Clock()
    queue = make(clock)
    queue.add("a")
    clock.now += 3
    assert queue.take() == ("a", 3.0)


async def test_wait_returns_when_something_is_added() -> None:
    queue: KeyedQueue[str] = KeyedQueue()
    waiting = asyncio.create_task(queue.wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    queue.add("a")
    async with asyncio.timeout(5):
        await waiting


async def test_wait_returns_when_something_is_due() -> None:
    queue: KeyedQueue[str] = KeyedQueue()
    queue.add_after("a", 0.01)
    async with asyncio.timeout(5):
        while queue.take() is None:
            await queue.wait()


@given(st.lists(st.tuples(st.sampled_from(["add", "after", "take", "done", "retry", "tick"]), st.sampled_from("abc"))))
def test_whatever_happens_no_key_is_lost_and_none_is_worked_on_twice(steps: list[tuple[str, str]]) -> None:
    clock = Clock()
    queue = make(clock)
    working: set[str] = set()
    wanted: set[str] = set()
    for step, key in steps:
        if step == "add":
            queue.add(key)
            wanted.add(key)
        elif step == "after":
            queue.add_after(key, 1.0)
            wanted.add(key)
        elif step == "retry":
            queue.retry(key)
            wanted.add(key)
        elif step == "tick":
            clock.now += 1.0
        elif step == "take":
            taken = queue.take()
            if taken is not None:
                assert taken[0] not in working
                working.add(taken[0])
                wanted.discard(taken[0])
        elif key in working:
            working.discard(key)
            queue.done(key)
    for key in working:
        queue.done(key)
    clock.now += 1000.0
    came = set()
    while (taken := queue.take()) is not None:
        came.add(taken[0])
        queue.done(taken[0])
    assert wanted <= came
