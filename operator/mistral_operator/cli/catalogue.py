"""`catalogue`: what the planner knows, as tables or as data."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import click
import yaml

from mistral_operator.catalogue.load import load_catalogue
from mistral_operator.catalogue.types import Accelerator, Catalogue, Engine, Model
from mistral_operator.cli.output import Cell, say, table, wrap
from mistral_operator.planning.support import judge
from mistral_operator.planning.types import Tier

Row = dict[str, Any]
_BEST_FIRST: Final = (Tier.VERIFIED, Tier.DOCUMENTED, Tier.EXPERIMENTAL, Tier.REFUSED)


@click.command()
@click.argument("what", type=click.Choice(["models", "accelerators", "engines", "support"]))
@click.option("-o", "--output", type=click.Choice(["table", "json", "yaml"]), default="table", show_default=True)
def catalogue(what: str, output: str) -> None:
    """List the models, accelerators or engines that the planner knows, or how sure it is of their pairs."""
    rows = _LISTS[what](load_catalogue())
    if output == "json":
        say(json.dumps(rows, indent=2, ensure_ascii=False))
    elif output == "yaml":
        say(yaml.safe_dump(rows, sort_keys=False, allow_unicode=True).rstrip())
    else:
        for line in _tabulate(rows):
            say(line)


def _tabulate(rows: list[Row]) -> list[str]:
    """The rows in columns; evidence, long and often the same, below them."""
    shown = [{name: value for name, value in row.items() if name != "evidence"} for row in rows]
    cells = [[Cell(_word(value), right=isinstance(value, int)) for value in row.values()] for row in shown]
    notes = dict.fromkeys(f"{row['tier']}: {row['evidence']}" for row in rows if "evidence" in row)
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
        }
        for model in known.models.values()
    ]


def list_accelerators(known: Catalogue) -> list[Row]:
    """One row a machine type."""
    return [
        {
            "accelerator": accelerator.id,
            "label": accelerator.label,
            "machine type": shape.machine_type,
            "devices": shape.devices,
            "GiB each": accelerator.memory_gib,
            "$ an hour": [f"{how} {price}" for how, price in shape.prices.items()],
        }
        for accelerator in known.accelerators.values()
        for shape in accelerator.machines
    ]


def list_engines(known: Catalogue) -> list[Row]:
    """One row an engine."""
    return [
        {
            "engine": engine.id,
            "version": engine.version,
            "image": engine.image,
            "precisions": list(engine.precisions),
            "models": [model.id for model in known.models.values() if engine.id in model.engines],
        }
        for engine in known.engines.values()
    ]


def list_support(known: Catalogue) -> list[Row]:
    """One row for each model, engine and accelerator: the best tier, and the fewest devices that have it."""
    return [
        _judge_pair(known, model, engine, accelerator)
        for model in known.models.values()
        for engine in known.engines.values()
        if engine.id in model.engines
        for accelerator in known.accelerators.values()
    ]


def _judge_pair(known: Catalogue, model: Model, engine: Engine, accelerator: Accelerator) -> Row:
    counts = sorted({shape.devices for shape in accelerator.machines})
    verdicts = [(judge(known, model, engine, accelerator, count, model.precision), count) for count in counts]
    verdict, devices = min(verdicts, key=lambda pair: (_BEST_FIRST.index(pair[0].tier), pair[1]))
    return {
        "model": model.id,
        "engine": engine.id,
        "accelerator": accelerator.id,
        "devices": devices,
        "precision": model.precision,
        "tier": verdict.tier.value,
        "evidence": verdict.evidence,
    }


_LISTS: Final[Mapping[str, Callable[[Catalogue], list[Row]]]] = {
    "models": list_models,
    "accelerators": list_accelerators,
    "engines": list_engines,
    "support": list_support,
}
