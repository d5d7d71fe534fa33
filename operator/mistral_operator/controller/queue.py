"""A queue of keys: each waits at most once, is worked on by one worker at a time, and comes back when it failed."""

import asyncio
import heapq
import random
import time
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)

_MAX_EXPONENT: Final = 30


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long a key waits after so many failures in a row: doubled each time, capped, and spread by up to a half."""

    first_s: float = 0.5
    cap_s: float = 300.0

    def delay_s(self, failures: int, rng: random.Random) -> float:
        """Seconds to wait after the given number of failures (≥ 1)."""
        longest: float = min(self.cap_s, self.first_s * 2 ** min(failures - 1, _MAX_EXPONENT))
        return longest * rng.uniform(0.5, 1.0)


class KeyedQueue(Generic[K]):
    """A work queue with the semantics of client-go's.

    A key that is added while it waits isn't added again; a key that is added while it is worked on waits until that is
    done and then comes once more, so that no change is lost and no key is ever worked on twice at once. Keys come in
    the order of their adding. Not for use by several threads.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311
        self._backoff = backoff or Backoff()
        self._ready: deque[K] = deque()
        self._added_at: dict[K, float] = {}
        """The keys that wait, or that shall wait again when they are done, and since when."""
        self._working: set[K] = set()
        self._due: dict[K, float] = {}
        self._timers: list[tuple[float, int, K]] = []
        self._ticket = 0
        self._failures: dict[K, int] = {}
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        """How many keys are ready to be worked on."""
        return len(self._ready)

    @property
    def delayed(self) -> int:
        """How many keys wait for their time."""
        return len(self._due)

    def add(self, key: K) -> None:
        """Has the key worked on as soon as possible."""
        if key in self._added_at:
            return
        self._added_at[key] = self._clock()
        if key not in self._working:
            self._ready.append(key)
            self._changed.set()

    def add_after(self, key: K, delay_s: float) -> None:
        """Has the key worked on after that time; an earlier time that was already set for it stays."""
        if delay_s <= 0:
            self.add(key)
            return
        due = self._clock() + delay_s
        if due >= self._due.get(key, float("inf")):
            return
        self._due[key] = due
        self._ticket += 1
        heapq.heappush(self._timers, (due, self._ticket, key))
        self._changed.set()

    def take(self) -> tuple[K, float] | None:
        """The next key and the seconds for which it has waited, or None. The caller must say `done` afterwards."""
        self._wake_due()
        if not self._ready:
            return None
        key = self._ready.popleft()
        self._working.add(key)
        return key, self._clock() - self._added_at.pop(key)

    def done(self, key: K) -> None:
        """Ends the work on a key that `take` gave out."""
        self._working.discard(key)
        if key in self._added_at:
            self._ready.append(key)
            self._changed.set()

    def retry(self, key: K, *, at_least_s: float = 0.0) -> float:
        """Counts a failure and has the key come back after its backoff; answers the seconds until then."""
        self._failures[key] = failures = self._failures.get(key, 0) + 1
        delay_s = max(at_least_s, self._backoff.delay_s(failures, self._rng))
        self.add_after(key, delay_s)
        return delay_s

    def succeed(self, key: K) -> None:
        """Forgets the key's failures."""
        self._failures.pop(key, None)

    def failures(self, key: K) -> int:
        """How often the key has failed in a row."""
        return self._failures.get(key, 0)

    def next_due_s(self) -> float | None:
        """Seconds until a delayed key is ready: 0 if one is ready now, None if nothing waits at all."""
        if self._ready:
            return 0.0
        return max(0.0, self._timers[0][0] - self._clock()) if self._timers else None

    async def wait(self) -> None:
        """Returns when `take` may have something to give; maybe too early, never too late."""
        self._changed.clear()
        try:
            async with asyncio.timeout(self.next_due_s()):
                await self._changed.wait()
        except TimeoutError:
            return

    def _wake_due(self) -> None:
        now = self._clock()
        while self._timers and self._timers[0][0] <= now:
            due, _, key = heapq.heappop(self._timers)
            if self._due.get(key) == due:  # Otherwise an earlier timer has replaced this one.
                del self._due[key]
                self.add(key)
