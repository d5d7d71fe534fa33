"""Who gets first what there isn't enough of: models stand in line by priority and age. Pure.

What stands is never taken away. The order says who gets what is free: as much as all that are ahead in line leave over,
and nothing as long as one of them lacks more than is free, or small models would keep a large one waiting for ever.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

_NOTHING: Final = Decimal(0)
_MOST_NAMES: Final = 3
_SUFFIXES: Final = {1: "st", 2: "nd", 3: "rd"}

Rank = tuple[int, str, str, str]


@dataclass(frozen=True, slots=True)
class Contender:
    """A model, as far as its place in a line goes."""

    namespace: str
    name: str
    priority: int = 0
    created: str = ""
    """RFC 3339 in UTC, so that text sorts as time."""

    @property
    def rank(self) -> Rank:
        """The lowest is served first: by priority, then by age, and of the same second by name."""
        return (-self.priority, self.created, self.namespace, self.name)


@dataclass(frozen=True, slots=True)
class Account:
    """What one model has of a budget, in US dollars an hour."""

    who: Contender
    held: Decimal
    """What it was granted, or what stands of it where that is more."""
    wanted: Decimal
    """What it would have if there were enough."""

    @property
    def waits(self) -> bool:
        """Whether it stands in line."""
        return self.wanted > self.held


@dataclass(frozen=True, slots=True)
class Budget:
    """What one model may know of a budget that it shares."""

    others_hold: Decimal = _NOTHING
    """All others together."""
    waiting: tuple[Account, ...] = ()
    """Those of the others that stand in line, first in line first."""
    held: Decimal | None = None
    """What the model itself was granted before; None where nobody remembers."""
    complete: bool = True
    """False as long as the accounts of some models aren't known: then nobody gets more than he has."""


@dataclass(frozen=True, slots=True)
class Place:
    """A model's place in line."""

    position: int
    """1 is the first."""
    of: int
    waits_for: str
    ahead: tuple[Contender, ...] = ()
    """All before it, first in line first."""

    def tell(self, namespace: str) -> str:
        """The place in words for a reader of that namespace: models of others are counted, not named."""
        own = [each for each in self.ahead if each.namespace == namespace]
        names = [f"{each.name} (priority {each.priority})" for each in own[:_MOST_NAMES]]
        unnamed, others = len(own) - len(names), len(self.ahead) - len(own)
        words = [*names, *([f"{unnamed} more"] if unnamed else [])]
        if others:
            words.append(f"{others} model{'s' if others > 1 else ''} of other namespaces")
        behind = f", behind {_join(words)}" if words else ""
        return f"{_ordinal(self.position)} of {self.of} in line for {self.waits_for}{behind}"


@dataclass(frozen=True, slots=True)
class Share:
    """What of a budget is a model's now, in US dollars an hour."""

    granted: Decimal
    """At least what it holds, and at most what it wants."""
    spare: Decimal
    """What is free beyond that, and wanted by nobody in line."""


def share_budget(limit: Decimal, mine: Account, budget: Budget) -> Share:
    """Divide what is free of `limit` among those in line, as far as it concerns one of them.

    The answer is the same whoever of them is asked first: what those ahead are going to take is left for them.
    """
    if not budget.complete:
        return Share(mine.held, _NOTHING)
    free = max(_NOTHING, limit - budget.others_hold - mine.held)
    for each in budget.waiting:
        if each.who.rank < mine.who.rank:
            free = _leave_over(limit, each, free)
    granted = min(mine.held + free, max(mine.wanted, mine.held))
    spare = _NOTHING if mine.wanted > granted else free - (granted - mine.held)
    for each in budget.waiting:
        if each.who.rank > mine.who.rank:
            spare = _leave_over(limit, each, spare)
    return Share(granted, spare)


def _leave_over(limit: Decimal, account: Account, free: Decimal) -> Decimal:
    """What is left for those behind an account. Beyond the limit nobody is waited for: that would be for ever."""
    lacking = max(_NOTHING, min(account.wanted, limit) - account.held)
    return free - lacking if lacking <= free else _NOTHING


def find_place(who: Contender, waiting: Iterable[Contender], waits_for: str) -> Place:
    """Where a model stands that waits, beside the others that do."""
    others = sorted(waiting, key=lambda each: each.rank)
    ahead = tuple(each for each in others if each.rank < who.rank)
    return Place(len(ahead) + 1, len(others) + 1, waits_for, ahead)


def _ordinal(number: int) -> str:
    teen = 10 < number % 100 < 14
    return f"{number}{'th' if teen else _SUFFIXES.get(number % 10, 'th')}"


def _join(words: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))
