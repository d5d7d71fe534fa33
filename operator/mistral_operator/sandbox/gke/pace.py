"""Simulated time: everything here waits and reads the clock by a Pace, so that one number makes it all faster."""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class Pace:
    """`speed` simulated seconds pass in each real second."""

    speed: float = 1.0

    async def wait(self, simulated_s: float) -> None:
        """Sleep for so many simulated seconds."""
        await asyncio.sleep(simulated_s / self.speed)

    def now_s(self) -> float:
        """Simulated seconds since some point in the past; never goes back."""
        return time.monotonic() * self.speed


def timestamp() -> str:
    """The real time as the API's RFC 3339 string."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
