"""Every engine, machine and way to buy it → an option or a refusal with its reason; the options in the user's order."""

from collections.abc import Iterable
from decimal import Decimal
from functools import partial

from mistral_operator.catalogue.accelerator import find_price
from mistral_operator.planning.candidate import Candidate, Task, list_candidates
from mistral_operator.planning.existing import list_existing
from mistral_operator.planning.order import UNKNOWN_COST, option_key
from mistral_operator.planning.types import PlannedOption, Provisioner, Refusal
from mistral_operator.planning.weigh import NOT_ALLOWED, weigh
from mistral_operator.planning.wishes import Wish

MOST_OPTIONS = 5
"""Rungs of a ladder; every wish of the user gets one at least."""


def choose(task: Task, wishes: tuple[Wish, ...]) -> tuple[tuple[PlannedOption, ...], tuple[Refusal, ...]]:
    """Weigh all candidates; return the options best first, and why the others were refused, the most telling first."""
    rungs: list[PlannedOption] = []
    refusals: list[tuple[tuple[bool, int, Decimal, str], Refusal]] = []
    for wish in wishes:
        options: list[PlannedOption] = []
        for candidate in candidates_of(task, wish):
            verdict = weigh(task, candidate)
            if isinstance(verdict, PlannedOption):
                options.append(verdict)
            else:
                refusals.append((_refusal_key(task, candidate, verdict), verdict))
        rungs += _drop_larger_hosts(sorted(options, key=partial(option_key, task.optimize_for)))[
            : max(1, MOST_OPTIONS // len(wishes))
        ]
    refusals.sort(key=lambda item: item[0])
    return _drop_twins(rungs), _drop_repeats([refusal for _, refusal in refusals])


def candidates_of(task: Task, wish: Wish) -> Iterable[Candidate]:
    """What is there, or what can be made, whichever the model's provisioner is about."""
    return list_existing(task, wish) if task.provisioner is Provisioner.EXISTING else list_candidates(task, wish)


def _refusal_key(task: Task, candidate: Candidate, refusal: Refusal) -> tuple[bool, int, Decimal, str]:
    """What was never asked for comes last; the first engine's hardware before that of others, the cheapest first."""
    price = _list_price(candidate) or UNKNOWN_COST
    return (refusal.reason == NOT_ALLOWED, task.runtimes.index(candidate.runtime), price, candidate.name)


def _list_price(candidate: Candidate) -> Decimal | None:
    price = find_price(candidate.shape.prices, candidate.wish.consumption.value)
    return None if price is None else price * candidate.shape.hosts


def _drop_larger_hosts(options: list[PlannedOption]) -> list[PlannedOption]:
    """Keep the first, so the cheapest, of the machines that differ in nothing but their host."""
    kept: dict[tuple[str, int], PlannedOption] = {}
    for option in options:
        kept.setdefault((option.accelerator, option.devices), option)
    return list(kept.values())


def _drop_twins(rungs: list[PlannedOption]) -> tuple[PlannedOption, ...]:
    """Keep the first of equal rungs: two wishes may allow the same machine."""
    kept: dict[tuple[str, str, tuple[str, ...]], PlannedOption] = {}
    for option in rungs:
        kept.setdefault((option.name, option.reservation, option.zones), option)
    return tuple(kept.values())


def _drop_repeats(refusals: list[Refusal]) -> tuple[Refusal, ...]:
    """Keep the cheapest machine of those that are refused in the same words."""
    kept: dict[tuple[str, str], Refusal] = {}
    for refusal in refusals:
        kept.setdefault((refusal.reason, refusal.message), refusal)
    return tuple(kept.values())
