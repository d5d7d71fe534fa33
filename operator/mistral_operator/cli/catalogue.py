"""`catalogue`: what the planner knows, as tables or as data."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import click
import yaml

from mistral_operator.api.pod import PodResources
from mistral_operator.catalogue.accelerator import Accelerator, MachineShape
from mistral_operator.catalogue.engine import Engine
from mistral_operator.catalogue.load import load_catalogue
from mistral_operator.catalogue.model import Model
from mistral_operator.catalogue.types import Catalogue
from mistral_operator.cli.output import Cell, say, table, wrap
from mistral_operator.cli.settings import offline_settings
from mistral_operator.planning.candidate import Candidate, Task
from mistral_operator.planning.formats import Demand
from mistral_operator.planning.hardware import divide_accelerator
from mistral_operator.planning.memory import device_weights_bytes
from mistral_operator.planning.runtimes import ResolvedEngine, Runtime
from mistral_operator.planning.types import ClusterProfile, Consumption, PlannedOption, Refusal, Tier
from mistral_operator.planning.weigh import weigh
from mistral_operator.planning.weights import Weights
from mistral_operator.planning.wishes import Wish

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
            "topology": shape.topology,
            "hosts": shape.hosts,
            "devices": shape.total_devices,
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
    return [
        _judge_pair(known, model, engine, accelerator)
        for model in known.models.values()
        for engine in known.engines.values()
        if engine.id in model.engines
        for accelerator in known.accelerators.values()
        if accelerator.kind == engine.kind
    ]


def _judge_pair(known: Catalogue, model: Model, engine: Engine, accelerator: Accelerator) -> Row:
    task = _task(known, model, engine)
    candidates = [_candidate(accelerator, shape, task.runtimes[0]) for shape in accelerator.machines]
    answers = [(candidate.shape.total_devices, weigh(task, candidate)) for candidate in candidates]
    fitting = [(devices, answer) for devices, answer in answers if isinstance(answer, PlannedOption)]
    if fitting:
        devices, option = min(fitting, key=lambda pair: (_BEST_FIRST.index(pair[1].tier), pair[0]))
        tier, evidence = option.tier, option.evidence
    else:
        devices, refusal = max(answers, key=lambda pair: pair[0])
        assert isinstance(refusal, Refusal)  # the others are fitting
        tier, evidence = Tier.REFUSED, f"{refusal.subject}: {refusal.message}"
    return {
        "model": model.id,
        "engine": engine.id,
        "accelerator": accelerator.id,
        "devices": devices,
        "precision": model.precision,
        "tier": tier.value,
        "evidence": evidence,
    }


def _task(known: Catalogue, model: Model, engine: Engine) -> Task:
    """What the planner would weigh for the model as it is published, wherever, without a limit."""
    return Task(
        model=model,
        runtimes=(_runtime(model, engine),),
        allow_experimental=True,
        max_hourly_cost=None,
        pod_resources=PodResources(),
        catalogue=known,
        cluster=ClusterProfile(provider="GKE", project="", location="", cluster="", zones=(), leader_worker_set=True),
        settings=offline_settings(),
    )


def _runtime(model: Model, engine: Engine) -> Runtime:
    demand = Demand(precision=model.precision, kv_cache_precision="bf16")
    weights = Weights(model.checkpoints[0].repository, "", model.precision, listed=True)
    size = device_weights_bytes(model.architecture, model.precision)
    return Runtime(ResolvedEngine(engine, engine.image, ()), demand, weights, size)


def _candidate(accelerator: Accelerator, shape: MachineShape, runtime: Runtime) -> Candidate:
    """The machine as somebody asks for it by name, bought in a way in which it is sold."""
    wish = Wish(
        machine_type=shape.machine_type, consumption=Consumption(shape.consumption[0]), topology=shape.topology or None
    )
    return Candidate(wish, divide_accelerator(accelerator, shape), shape, runtime)


_LISTS: Final[Mapping[str, Callable[[Catalogue], list[Row]]]] = {
    "models": list_models,
    "accelerators": list_accelerators,
    "engines": list_engines,
    "support": list_support,
}
