"""Which calls go wrong: faults from the scenario and from the control API, reproducible by seed."""

from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

from .scenario import ANY, Fault


@dataclass(slots=True)
class _Armed:
    fault: Fault
    seen: int = 0


class Faults:
    """Counts the calls that each fault applies to, from the moment it was added."""

    def __init__(self, faults: Iterable[Fault], random: Random) -> None:
        self._armed = [_Armed(fault) for fault in faults]
        self._random = random

    def add(self, fault: Fault) -> None:
        """The next matching call is its number 1."""
        self._armed.append(_Armed(fault))

    def clear(self) -> None:
        """Everything works from now on."""
        self._armed.clear()

    def hit(self, rpc: str) -> Fault | None:
        """The first fault that strikes this call; every fault for this rpc counts it."""
        struck = [armed.fault for armed in self._armed if armed.fault.rpc in (ANY, rpc) and self._strikes(armed)]
        return struck[0] if struck else None

    def _strikes(self, armed: _Armed) -> bool:
        armed.seen += 1
        if armed.fault.calls:
            return armed.seen in armed.fault.calls
        return self._random.random() < armed.fault.probability
