"""`catalogue`: what the planner knows, as tables or as data."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import click
import yaml

from mistral_operator.api.engine import EngineType
from mistral_operator.api.model import MistralModelSpec
from mistral_operator.catalogue.accelerator import Accelerator, MachineShape
from mistral_operator.catalogue.engine import Engine
from mistral_operator.catalogue.model import Model
from mistral_operator.catalogue.types import Catalogue
from mistral_operator.cli.output import Cell, say, table, wrap
from mistral_operator.cli.settings import CATALOGUE_OPTION, load_knowledge, offline_settings
from mistral_operator.planning.estimate import price_machine
from mistral_operator.planning.runtimes import ENGINE_IDS
from mistral_operator.planning.survey import Weighed, survey
from mistral_operator.planning.types import (
    ClusterProfile,
    Consumption,
    PlannedOption,
    PlanRefused,
    Refusal,
    Settings,
    Tier,
)

Row = dict[str, Any]
ANYWHERE: Final = ClusterProfile(provider="GKE", project="", location="", cluster="", zones=(), leader_worker_set=True)
_BELOW: Final = {"evidence": "tier", "partitions": "accelerator", "prices from": "accelerator"}
"""Column that is told below the table → the one that it is about."""
_BEST_FIRST: Final = (Tier.VERIFIED, Tier.DOCUMENTED, Tier.EXPERIMENTAL, Tier.REFUSED)


@click.command()
@click.argument("what", type=click.Choice(["models", "accelerators", "engines", "support"]))
@click.option("-o", "--output", type=click.Choice(["table", "json", "yaml"]), default="table", show_default=True)
@CATALOGUE_OPTION
def catalogue(what: str, output: str, catalogue_directory: Path | None) -> None:
    """List the models, accelerators or engines that the planner knows, or how sure it is of their pairs."""
    rows = _LISTS[what](*load_knowledge(catalogue_directory))
    if output == "json":
        say(json.dumps(rows, indent=2, ensure_ascii=False))
    elif output == "yaml":
        say(yaml.safe_dump(rows, sort_keys=False, allow_unicode=True).rstrip())
    else:
        for line in _tabulate(rows):
            say(line)


def _tabulate(rows: list[Row]) -> list[str]:
    """The rows in columns; what is long and often the same below them."""
    shown = [{name: value for name, value in row.items() if name not in _BELOW} for row in rows]
    cells = [[Cell(_word(value), right=isinstance(value, int)) for value in row.values()] for row in shown]
    notes = dict.fromkeys(
        f"{row[about]}: {row[name]}" for row in rows for name, about in _BELOW.items() if row.get(name)
    )
    return table(cells, tuple(shown[0]), indent="") + [line for note in notes for line in ("", *wrap(note, ""))]


def _word(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def list_models(known: Catalogue) -> list[Row]:
    """One row a model."""
    return [
        {
            "model": model.id,
            "name": model.name,
            "parameters": model.parameters,
            "context": model.max_context,
            "precision": model.precision,
            "license": model.license.id,
            "aliases": list(model.aliases),
            "unserved": "",
        }
        for model in known.models.values()
    ] + [
        {
            "model": model.id,
            "name": model.name,
            "parameters": "",
            "context": "",
            "precision": "",
            "license": model.license.id if model.license else "unknown",
            "aliases": list(model.aliases),
            "unserved": model.reason,
        }
        for model in known.unserved.values()
    ]


def list_accelerators(known: Catalogue, settings: Settings) -> list[Row]:
    """One row a machine type."""
    return [
        {
            "accelerator": accelerator.id,
            "label": accelerator.label,
            "machine type": shape.machine_type,
            "topology": shape.topology,
            "hosts": shape.hosts,
            "devices": shape.total_devices,
            "GiB each": accelerator.memory_gib,
            "partitions": _tell_partitions(accelerator, shape),
            **_tell_prices(accelerator, shape, settings),
        }
        for accelerator in known.accelerators.values()
        for shape in accelerator.machines
    ]


def _tell_partitions(accelerator: Accelerator, shape: MachineShape) -> str:
    """The sizes that each of a machine's GPUs can be divided into; empty where it has a part of one itself."""
    whole = accelerator.partitions if shape.share == 1 else ()
    told = ", ".join(f"{part.count} × {part.name} of {part.usable_memory_gib} GiB" for part in whole)
    return f"a GPU makes {told}" if told else ""


def _tell_prices(accelerator: Accelerator, shape: MachineShape, settings: Settings) -> Row:
    """The prices of one machine by way of buying, and where they are from."""
    named = {*shape.prices, *settings.prices.get(shape.machine_type, ())}
    ways = [how for how in Consumption if how.value in named]
    known = [(how, *price_machine(accelerator, shape, how, "", settings)) for how in ways]
    priced = [(how, price, note) for how, price, note in known if price is not None]
    return {
        "$ an hour a machine": [f"{how.value} {price}" for how, price, _ in priced],
        "prices from": "; ".join(dict.fromkeys(note for _, _, note in priced)),
    }


def list_engines(known: Catalogue) -> list[Row]:
    """One row an engine."""
    return [
        {
            "engine": engine.id,
            "version": engine.version,
            "image": engine.image or f"built by {engine.recipe}",
            "precisions": list(engine.precisions),
            "models": [model.id for model in known.models.values() if engine.id in model.engines],
        }
        for engine in known.engines.values()
    ]


def list_support(known: Catalogue) -> list[Row]:
    """One row for each model, engine and accelerator: the best tier of what fits, and the fewest devices that have it.

    Where nothing fits, the row is about the most devices, and says why.
    """
    rows: list[Row] = []
    for model in known.models.values():
        engines = [engine for engine in known.engines.values() if engine.id in model.engines]
        mine = [row for engine in engines for row in _judge_engine(known, model, engine)]
        rows += [row | {"instead": _name_nearest(mine) if row["tier"] == Tier.REFUSED else ""} for row in mine]
    return rows


def _name_nearest(rows: list[Row]) -> str:
    """The best-evidenced pair of the same model with the fewest devices, for one that is refused."""
    working = [row for row in rows if row["tier"] != Tier.REFUSED]
    if not working:
        return ""
    best = min(working, key=lambda row: (_BEST_FIRST.index(Tier(row["tier"])), row["devices"], row["accelerator"]))
    return f"{best['devices']} × {best['accelerator']}, {best['engine']}"


def _judge_engine(known: Catalogue, model: Model, engine: Engine) -> list[Row]:
    answers = survey(_ask_for(model, engine), known, ANYWHERE, offline_settings())
    assert not isinstance(answers, PlanRefused), answers  # everything that can be accepted is
    by_accelerator: dict[str, list[Weighed]] = {}
    for weighed in answers:
        if weighed.candidate.runtime.engine.engine.id == engine.id:
            by_accelerator.setdefault(weighed.candidate.accelerator.id, []).append(weighed)
    return [_judge_pair(model, engine, name, by_accelerator.get(name, [])) for name in _of_kind(known, engine)]


def _of_kind(known: Catalogue, engine: Engine) -> list[str]:
    return [item.id for item in known.accelerators.values() if item.kind == engine.kind]


def _judge_pair(model: Model, engine: Engine, accelerator: str, answers: list[Weighed]) -> Row:
    options = [item.answer for item in answers if isinstance(item.answer, PlannedOption)]
    if options:
        best = min(options, key=lambda option: (_BEST_FIRST.index(option.tier), option.devices))
        devices, precision, tier, evidence = best.devices, best.precision, best.tier, best.evidence
    elif answers:
        largest = max(answers, key=lambda item: item.candidate.shape.total_devices)
        assert isinstance(largest.answer, Refusal)  # the others are options
        devices, precision = largest.candidate.shape.total_devices, largest.candidate.runtime.demand.precision
        tier, evidence = Tier.REFUSED, f"{largest.answer.subject}: {largest.answer.message}"
    else:
        devices, precision, tier, evidence = 0, model.precision, Tier.REFUSED, "the operator makes no machines with it"
    return {
        "model": model.id,
        "engine": engine.id,
        "accelerator": accelerator,
        "devices": devices,
        "precision": precision,
        "tier": tier.value,
        "evidence": evidence,
    }


def _ask_for(model: Model, engine: Engine) -> MistralModelSpec:
    """The model with one engine, wherever, without a limit."""
    kind = next(kind for kind, ids in ENGINE_IDS.items() if kind is not EngineType.AUTO and engine.id in ids)
    spec: dict[str, Any] = {
        "model": model.id,
        "license": {"accept": model.license.id},
        "allowExperimental": True,
        "engine": {"type": kind.value, **({} if engine.image else {"image": "registry.example/engine:1"})},
    }
    if engine.converted_checkpoint:
        spec["weights"] = {"gcs": {"uri": "gs://bucket/folder"}}
    return MistralModelSpec.model_validate(spec)


_LISTS: Final[Mapping[str, Callable[[Catalogue, Settings], list[Row]]]] = {
    "models": lambda known, _: list_models(known),
    "accelerators": list_accelerators,
    "engines": lambda known, _: list_engines(known),
    "support": lambda known, _: list_support(known),
}
