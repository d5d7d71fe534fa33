"""Which instance groups the autoscaler leaves alone for a while after a failure."""

from .pace import Pace
from .scenario import Delays

Group = tuple[str, str]
"""Pool and zone."""


class Backoff:
    """Doubles from failure to failure up to a limit; a machine that came forgets it."""

    def __init__(self, delays: Delays, pace: Pace) -> None:
        self._delays = delays
        self._pace = pace
        self._until_s: dict[Group, float] = {}
        self._length_s: dict[Group, float] = {}

    def fail(self, group: Group) -> None:
        """Several failures at once count as one."""
        if self.holds(group):
            return
        length_s = min(self._length_s.get(group, self._delays.backoff / 2) * 2, self._delays.longest_backoff)
        self._length_s[group] = length_s
        self._until_s[group] = self._pace.now_s() + length_s

    def succeed(self, group: Group) -> None:
        """A machine came."""
        self._until_s.pop(group, None)
        self._length_s.pop(group, None)

    def holds(self, group: Group) -> bool:
        """Whether the group is left alone now."""
        return self._until_s.get(group, 0) > self._pace.now_s()
