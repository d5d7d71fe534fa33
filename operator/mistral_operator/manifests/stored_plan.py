"""What a plan that was read back must be: whoever may write ControllerRevisions may write anything into them."""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from decimal import Decimal
from functools import cache
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

from mistral_operator.engines.registry import ENGINES
from mistral_operator.planning.types import (
    MemoryBudget,
    Plan,
    PlannedOption,
    Purchase,
    Refusal,
    StartupEstimate,
    ThroughputEstimate,
)

_MOST: Final = 2**53
"""No count of bytes, tokens or seconds in a plan is larger."""
_DEAREST: Final = Decimal(10) ** 6
_CHEAPEST: Final = Decimal(10) ** -6
"""US dollars an hour of one replica, or for a million tokens; an uncertain estimate is no further off either."""
_HINTS: Final = {
    kind: tuple((field.name, get_type_hints(kind)[field.name]) for field in fields(kind))
    for kind in (Plan, PlannedOption, Purchase, MemoryBudget, StartupEstimate, ThroughputEstimate, Refusal)
}


def find_flaw(plan: Plan) -> str:
    """Why nothing can be made of the plan; empty for one that the operator could have written."""
    flaw = next((found for record in _records(plan) if (found := _find_mistyped(record))), "")
    if flaw:
        return flaw
    if not plan.options:
        return "it has no options"
    if plan.rung >= len(plan.options):
        return f"it has no option {plan.rung}"
    return next((found for option in plan.options if (found := _find_impossible(option))), "")


def _records(plan: Plan) -> Iterable[Any]:
    """The plan before its parts: those of a mistyped one may be anything."""
    yield plan
    yield from plan.refusals
    for option in plan.options:
        yield option
        yield option.memory
        yield option.startup
        yield from option.alternatives
        if option.throughput is not None:
            yield option.throughput


def _find_mistyped(record: Any) -> str:
    wrong = (name for name, hint in _HINTS[type(record)] if not fits(getattr(record, name), hint))
    return next((f"{type(record).__name__}.{name} is {getattr(record, name)!r:.80}" for name in wrong), "")


def fits(value: Any, hint: Any) -> bool:
    """Whether a value is of the declared type: a class, a tuple or mapping of such, or one of several."""
    if hint is int:
        return type(value) is int and 0 <= value <= _MOST
    origin, parts = _take_apart(hint)
    if origin is None:
        return isinstance(value, hint)
    if origin in (Union, UnionType):
        return any(fits(value, part) for part in parts)
    if not isinstance(value, origin):
        return False
    if isinstance(value, Mapping):
        return all(fits(key, parts[0]) and fits(item, parts[1]) for key, item in value.items())
    return all(fits(item, parts[0]) for item in value)


@cache
def _take_apart(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """The generic type and its parts; remembered: there are few, and each look at a model asks for thousands."""
    return get_origin(hint), get_args(hint)


def _find_impossible(option: PlannedOption) -> str:
    if option.engine not in ENGINES:
        return f"{option.engine:.80} is no engine of this version"
    if not 1 <= option.hosts <= option.devices:
        return f"{option.devices} devices can't be on {option.hosts} hosts"
    if min(option.clients, option.replicas_per_node) < 1:
        return f"a machine can't hold {option.replicas_per_node} replicas, {option.clients} on each device"
    if option.data_parallel < 1:
        return f"{option.data_parallel} copies can't serve"
    speed = option.throughput
    bought = (purchase.hourly_cost for purchase in option.alternatives)
    amounts = (option.hourly_cost, *bought, *((speed.dollars_per_million_tokens, speed.uncertainty) if speed else ()))
    wrong = next((amount for amount in amounts if amount is not None and not _is_amount(amount)), None)
    return "" if wrong is None else f"{wrong} is no price, and no factor"


def _is_amount(amount: Decimal) -> bool:
    return amount.is_finite() and (amount == 0 or _CHEAPEST <= amount <= _DEAREST)
