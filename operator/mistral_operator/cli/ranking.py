"""`plan --all`: every model of the catalogue on given hardware, the best first."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import click
from pydantic import ValidationError

from mistral_operator.api.model import MistralModel, OptimizeFor
from mistral_operator.catalogue.types import Catalogue
from mistral_operator.cli.faults import word_fault
from mistral_operator.cli.profile import Assumption
from mistral_operator.planning.order import option_key
from mistral_operator.planning.plan import plan_model
from mistral_operator.planning.types import Plan, PlanRefused, Settings
from mistral_operator.planning.wishes import read_wishes


@dataclass(frozen=True, slots=True)
class RankingOptions:
    """What all models have in common. None or empty leaves it to the planner."""

    accelerators: tuple[str, ...] = ()
    devices: int | None = None
    consumption: str | None = None
    optimize_for: OptimizeFor = OptimizeFor.COST
    allow_experimental: bool = False


@dataclass(frozen=True, slots=True)
class Ranked:
    """One model with its best option, or why it has none."""

    model: str
    license_id: str
    """`unknown` where the catalogue has none."""
    needs_acceptance: bool
    answer: Plan | PlanRefused


def rank(
    options: RankingOptions, catalogue: Catalogue, assumption: Assumption, settings: Settings
) -> tuple[Ranked, ...]:
    """All models: those that can be served by their best options, then the others by name.

    Licenses count as accepted. Raises UsageError where the catalogue doesn't have the hardware.
    """
    _check_hardware(options, catalogue, assumption)
    ranked = [_rank_model(name, options, catalogue, assumption, settings) for name in catalogue.models]
    unserved = [_rank_model(name, options, catalogue, assumption, settings) for name in catalogue.unserved]
    return tuple(sorted([*ranked, *unserved], key=partial(_order, options.optimize_for)))


def _rank_model(
    name: str, options: RankingOptions, catalogue: Catalogue, assumption: Assumption, settings: Settings
) -> Ranked:
    entry = catalogue.models.get(name) or catalogue.unserved[name]
    license_id = entry.license.id if entry.license else None
    answer = plan_model(_ask_for(name, license_id, options), catalogue, assumption.profile, settings)
    if isinstance(answer, Plan):
        answer = _put_best_first(answer, options.optimize_for)
    needs_acceptance = entry.license is not None and entry.license.needs_acceptance
    return Ranked(name, license_id or "unknown", needs_acceptance, answer)


def _put_best_first(plan: Plan, optimize_for: OptimizeFor) -> Plan:
    """A ladder keeps the order in which hardware was asked for; here all of it counts the same."""
    return replace(plan, options=tuple(sorted(plan.options, key=partial(option_key, optimize_for))))


def _order(optimize_for: OptimizeFor, ranked: Ranked) -> tuple[Any, ...]:
    """By option, but for the option's name, then by the model's."""
    if isinstance(ranked.answer, PlanRefused):
        return (1, ranked.model)
    return (0, *option_key(optimize_for, ranked.answer.chosen)[:-1], ranked.model)


def _ask_for(name: str, license_id: str | None, options: RankingOptions) -> MistralModel:
    spec: dict[str, Any] = {"model": name, "optimizeFor": options.optimize_for.value, **_word_capacity(options)}
    spec["allowExperimental"] = options.allow_experimental
    if license_id:
        spec["license"] = {"accept": license_id}
    return MistralModel.model_validate({"metadata": {"name": "any"}, "spec": spec})


def _word_capacity(options: RankingOptions) -> Mapping[str, Any]:
    common = {"devices": options.devices, "consumption": options.consumption}
    fixed = {key: value for key, value in common.items() if value is not None}
    rungs = [{"accelerator": name, **fixed} for name in options.accelerators] or ([fixed] if fixed else [])
    return {"capacity": {"options": rungs}} if rungs else {}


def _check_hardware(options: RankingOptions, catalogue: Catalogue, assumption: Assumption) -> None:
    """What no machine has would be told of each model again."""
    try:
        model = _ask_for(next(iter(catalogue.models)), None, options)
    except ValidationError as error:
        words = word_fault(error.errors(include_url=False)[0])
        raise click.UsageError(f"--all: {_without_path(words)}") from None
    refused = read_wishes(model.spec, catalogue, assumption.profile)
    if isinstance(refused, PlanRefused):
        raise click.UsageError(f"--all: {_without_path(refused.message)}")


def _without_path(message: str) -> str:
    """An option of the command has no place in a spec."""
    return message.partition(": ")[2] or message
