"""The ladder in the status: each rung with its state, and what a model on a lower one has to say."""

from typing import Final

from mistral_operator.api.status import CapacityStatus, RungStatus
from mistral_operator.capacity.ladder import Rung, RungState
from mistral_operator.status.findings import Finding, format_time, met
from mistral_operator.status.plan import describe_money, word
from mistral_operator.status.situation import Situation

_LONGEST: Final = 4096
_BARRED: Final = frozenset({RungState.EXHAUSTED.value, RungState.REFUSED.value})


def describe_rung(rung: Rung, replicas: int) -> RungStatus:
    """One rung as the status tells it, with the replicas that stand on it."""
    return RungStatus(
        name=word(rung.name),
        state=rung.state.value,
        reason=word(rung.reason) or None,
        message=rung.message[:_LONGEST] or None,
        since=format_time(rung.since) if rung.since else None,
        retry_after=format_time(rung.retry_after) if rung.retry_after else None,
        replicas=replicas or None,
    )


def check_rung(situation: Situation) -> Finding | None:
    """A model that is served on a lower rung than its first, with all replicas or some, is degraded; else None."""
    names = [rung.name for rung in situation.rungs]
    serving = [names.index(name) for name in situation.serving_rungs if name in names]
    if situation.plan is None or not serving or max(serving) == 0:
        return None
    lowest = max(serving)
    cost, partly = situation.plan.options[lowest].hourly_cost, "partly " if min(serving) == 0 else ""
    return met(
        "OnLowerRung",
        f"Served {partly}on rung {lowest + 1} of {len(names)}, {names[lowest]}, at {describe_money(cost)} US dollars an"
        f" hour for a replica.{_tell_first(situation)}",
    )


def _tell_first(situation: Situation) -> str:
    """Why the model is not on its first rung, and when it will be tried again."""
    first = situation.rungs[0]
    words = f" {first.name}: {first.reason}, {first.message}" if first.reason else ""
    if not situation.returns and first.name not in situation.serving_rungs:
        return f"{words} It is not tried while this serves: spec.rollout.strategy or the spend limits rule out both."
    return f"{words} It is tried again after {format_time(first.retry_after)}." if first.retry_after else words


def tell_left(before: CapacityStatus | None, after: CapacityStatus | None) -> tuple[str, ...]:
    """What happened to each rung that failed just now."""
    known = {rung.name for rung in (before.options if before else ()) if rung.state in _BARRED}
    failed = (rung for rung in (after.options if after else ()) if rung.state in _BARRED and rung.name not in known)
    return tuple(f"{rung.name} is left. {rung.reason}: {rung.message}" for rung in failed)
