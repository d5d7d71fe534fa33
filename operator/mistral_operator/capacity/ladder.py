"""The ladder: on which rung a model asks for capacity, and when another one has its turn. Pure.

`choose_rung` says where to be, from what is known of the rungs; `judge_rungs` says what is known after another look.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from mistral_operator.manifests.identity import hash_content
from mistral_operator.planning.types import Consumption, LadderSettings

_JITTER: Final = 0.2
"""A cooldown is longer by up to this share of it, so that models which failed together don't come back together."""
_DIGITS: Final = 8
_TIMES: Final = 3
"""Nodes and engines may take so many times their estimates."""
_OUT_OF_STOCK: Final = frozenset({
    "StockedOut", "ScaleUpFailed", "ScaleUpBackedOff", "ReservationExhausted", "WaitsInLine", "SliceEmptied",
})  # fmt: skip
_FOR_A_PERSON: Final = frozenset({
    "QuotaExceeded", "PermissionDenied", "InvalidRequest", "InvalidReservation", "ReservationNotFound",
    "ReservationIncompatible", "AddressesExhausted", "IPSpaceExhausted", "PoolNameTaken", "PoolDiffers",
    "PolicyNameTaken",
})  # fmt: skip
"""Waiting changes none of these, so the next rung has its turn at once."""
_OF_A_ZONE: Final = frozenset({"QuotaExceeded", "InvalidRequest", "ReservationNotFound", "ReservationIncompatible"})
"""Of these another zone may know nothing, where a slice tries one zone after the other."""


class RungState(StrEnum):
    """How a rung fares; the values stand in the status."""

    NEXT = "Next"
    TRYING = "Trying"
    ACTIVE = "Active"
    EXHAUSTED = "Exhausted"
    REFUSED = "Refused"


_BARRED: Final = frozenset({RungState.EXHAUSTED, RungState.REFUSED})


@dataclass(frozen=True, slots=True)
class Rung:
    """One way to serve the model, and what is known of it."""

    name: str
    state: RungState = RungState.NEXT
    reason: str = ""
    message: str = ""
    since: datetime | None = None
    """When it came into this state."""
    retry_after: datetime | None = None
    """When a rung that is exhausted or refused has its next turn."""

    def is_barred(self, now: datetime) -> bool:
        """Whether it has failed too short a while ago."""
        return self.state in _BARRED and (self.retry_after is None or now < self.retry_after)


@dataclass(frozen=True, slots=True)
class Sight:
    """What is seen of the rung on which the model is."""

    rung: str
    has_nodes: bool
    """A pod of it has its node, or nodes are not what it lacks."""
    serving: frozenset[str]
    """The rungs on which a replica answers."""
    reason: str
    message: str
    """The finding about its capacity, in the cloud's own words."""
    consumption: Consumption
    zones: int
    """In so many zones nodes are looked for."""
    node_s: int
    """The plan's estimate of how long a node takes."""
    startup_s: int = 0
    """The plan's estimate from nothing to ready."""
    by_zone: bool = False
    """It stands in one zone, and the zones are tried one after the other."""
    further: tuple[Consumption, ...] = ()
    """Other ways to buy the same machines, which GKE tries by itself after the first one."""

    @property
    def is_stocked_out(self) -> bool:
        """Whether there may be some elsewhere or soon, so that each zone has its turn."""
        return self.reason in _OUT_OF_STOCK or (self.by_zone and self.zones > 1 and self.reason in _OF_A_ZONE)

    @property
    def is_refused(self) -> bool:
        """Whether only a person can change it."""
        return self.reason in _FOR_A_PERSON and not self.is_stocked_out

    @property
    def is_vain(self) -> bool:
        """Whether it is built beside another rung and has not answered yet, for whatever reason."""
        return self.others_serve and self.rung not in self.serving

    @property
    def has_capacity(self) -> bool:
        """Whether there is no reason to look elsewhere."""
        return self.has_nodes or self.rung in self.serving

    @property
    def others_serve(self) -> bool:
        """Whether this rung is being built beside another one that serves."""
        return bool(self.serving - {self.rung})


@dataclass(frozen=True, slots=True)
class Moment:
    """When a decision is made, and by which rules."""

    now: datetime
    settings: LadderSettings
    seed: str
    """Spreads the retries of different models."""


def choose_rung(rungs: Sequence[Rung], held: str, may_climb: Callable[[str], bool], at: Moment) -> str:
    """The name of the rung to be on; `held` is where the model is.

    A rung without capacity is left for the first that isn't barred. When all are, the model waits on the first, which
    it likes best, and where GKE goes on trying. One that serves is left only for a better one, when `may_climb` says
    that it can be built beside what serves, and not before the return interval is over.
    """
    here = _find(rungs, held)
    if here.is_barred(at.now):
        return _find_next(rungs, held, may_climb, at)
    if here.state is RungState.ACTIVE and _is_settled(here, at):
        better = rungs[: rungs.index(here)]
        return next((rung.name for rung in better if not rung.is_barred(at.now) and may_climb(rung.name)), held)
    return held


def _find_next(rungs: Sequence[Rung], held: str, may_climb: Callable[[str], bool], at: Moment) -> str:
    """The first that has its turn. Above one that serves, it has to be built beside that; what can't be planned any
    more is not waited for.
    """
    serving = next((rung.name for rung in rungs if rung.state is RungState.ACTIVE and rung.name != held), "")
    free = [rung.name for rung in rungs if not rung.is_barred(at.now)]
    turn = next((name for name in free if not serving or name == serving or may_climb(name)), "")
    waited = (rung.name for rung in rungs if rung.state is not RungState.REFUSED or rung.reason in _FOR_A_PERSON)
    return turn or next(waited, held)


def judge_rungs(rungs: Sequence[Rung], sight: Sight, at: Moment) -> tuple[Rung, ...]:
    """What is known of the rungs after a look at the one on which the model is. The only rung is never barred."""
    if len(rungs) == 1:
        return (_proceed(rungs[0], sight, at.now),)
    return tuple(
        _judge_held(rung, sight, at) if rung.name == sight.rung else _judge_other(rung, sight, at.now) for rung in rungs
    )


def next_look_s(rungs: Sequence[Rung], sight: Sight, at: Moment) -> float | None:
    """Seconds until the passing of time alone changes something; None when it never does."""
    if len(rungs) == 1:
        return None
    here, now = _find(rungs, sight.rung), at.now
    moments = [rung.retry_after for rung in rungs if rung.is_barred(now) and rung.retry_after]
    if here.since and (here.state is RungState.TRYING or sight.is_vain):
        moments += [here.since + timedelta(seconds=limit_s) for limit_s in _limits_s(sight, at.settings)]
    if here.state is RungState.ACTIVE and here.since and here is not rungs[0]:
        moments.append(here.since + timedelta(seconds=at.settings.return_interval_s))
    coming = [(moment - now).total_seconds() for moment in moments if moment > now]
    return min(coming) if coming else None


def _find(rungs: Sequence[Rung], name: str) -> Rung:
    return next(rung for rung in rungs if rung.name == name)


def _is_settled(here: Rung, at: Moment) -> bool:
    return here.since is not None and at.now - here.since >= timedelta(seconds=at.settings.return_interval_s)


def _judge_held(here: Rung, sight: Sight, at: Moment) -> Rung:
    going_on = _proceed(here, sight, at.now)
    waited_s = (at.now - going_on.since).total_seconds() if going_on.since else 0.0
    late = waited_s >= min(_limits_s(sight, at.settings))
    if sight.has_capacity and not (sight.is_vain and late):
        return going_on
    if here.is_barred(at.now):
        return here  # It waits for its next turn here; GKE may find nodes before.
    if sight.is_refused:
        return _bar(here, RungState.REFUSED, at.settings.refused_cooldown_s, sight, at)
    return _bar(here, RungState.EXHAUSTED, at.settings.stockout_cooldown_s, sight, at) if late else going_on


def _limits_s(sight: Sight, settings: LadderSettings) -> tuple[float, ...]:
    """Seconds for which a rung is tried: a stock-out is believed when each zone has had its turn, and one that has
    nodes beside another that serves has time to start.
    """
    tried = (sight.consumption, *sight.further)
    deadline_s = sum(max(settings.deadline_s[mode.value], float(_TIMES * sight.node_s)) for mode in tried)
    if sight.has_capacity:
        return (max(deadline_s, float(_TIMES * sight.startup_s)),)
    patience_s = settings.zone_patience_s * sight.zones
    return (patience_s, deadline_s) if sight.is_stocked_out else (deadline_s,)


def _bar(here: Rung, state: RungState, cooldown_s: float, sight: Sight, at: Moment) -> Rung:
    """Where another rung serves, this one was only an attempt to return, and those have an interval of their own."""
    wait_s = max(cooldown_s, at.settings.return_interval_s) if sight.others_serve else cooldown_s
    share = int(hash_content([at.seed, here.name, at.now.isoformat()], _DIGITS), 16) / 16**_DIGITS
    retry_after = at.now + timedelta(seconds=wait_s * (1 + _JITTER * share))
    return Rung(here.name, state, sight.reason, sight.message, at.now, retry_after)


def _proceed(here: Rung, sight: Sight, now: datetime) -> Rung:
    """The same state goes on since it began; a stock-out is counted from when it was first told."""
    state = RungState.ACTIVE if sight.has_capacity else RungState.TRYING
    told_now = sight.is_stocked_out and here.reason != sight.reason and here.reason not in _OUT_OF_STOCK
    goes_on = here.state is state and not (state is RungState.TRYING and told_now)
    return Rung(here.name, state, sight.reason, sight.message, here.since if goes_on and here.since else now)


def _judge_other(rung: Rung, sight: Sight, now: datetime) -> Rung:
    """One that was active stays so for as long as its replicas serve beside those of the rung that is tried."""
    if rung.is_barred(now) or (rung.state is RungState.ACTIVE and rung.name in sight.serving):
        return rung
    return replace(rung, state=RungState.NEXT, since=None, retry_after=None)
