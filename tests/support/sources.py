"""What published sources say of models on hardware, and what the planner says to the very same questions."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import yaml

from mistral_operator.catalogue.accelerator import Accelerator, MachineShape
from mistral_operator.catalogue.engine import Engine
from mistral_operator.catalogue.load import load_catalogue
from mistral_operator.catalogue.model import Model
from mistral_operator.catalogue.units import GIB
from mistral_operator.planning.fit import Fit, batch_for, fit
from mistral_operator.planning.formats import Demand
from mistral_operator.planning.layout import Layout, list_layouts
from mistral_operator.planning.memory import (
    activation_bytes,
    cached_tokens,
    device_weights_bytes,
    kv_cache_bytes_per_token,
    overhead_bytes,
)
from mistral_operator.planning.speed import Workload, describe_machine, estimate_throughput
from mistral_operator.planning.support import judge
from mistral_operator.planning.types import Tier

FOLDER: Final = Path(__file__).parents[1] / "sources"
CATALOGUE: Final = load_catalogue()
GIGABYTE: Final = 10**9
LEAST_SHARE: Final = Decimal("0.95")
MOST_SHARE: Final = Decimal("1.35")


@dataclass(frozen=True)
class Scored:
    """One row of a source, with the planner's answer to it."""

    source: str
    name: str
    agrees: bool | None
    """None for a row that can't be asked."""
    answer: str
    explained: str
    """Why the two differ, for a row that doesn't agree."""


def read_rows(name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))["rows"]
    return rows


def score(name: str) -> list[Scored]:
    """Ask the planner every row of a source."""
    return [_score_row(name, row) for row in read_rows(name)]


def _score_row(source: str, row: Mapping[str, Any]) -> Scored:
    name = row.get("id") or f"{row['model']} {row['precision']} {row['minimum_gb']} GB"
    explained = row.get("explained", "")
    if row.get("not_asked"):
        return Scored(source, name, None, row["not_asked"], explained)
    if "minimum_gb" in row:
        agrees, answer = _judge_minimum(row)
        return Scored(source, name, agrees, answer, explained)
    answer = ask(row)
    return Scored(source, name, (answer == "runs") == row["runs"], answer, explained)


def ask(row: Mapping[str, Any]) -> str:
    """`runs`, or why not, for one row's model on its hardware with its layout, formats and context."""
    engine = _find_engine(row)
    accelerator, devices = _find_hardware(row)
    model = _find_model(row)
    demand = Demand(row["precision"], row.get("kv_cache", "bf16"), context_length=row.get("context"))
    shape = replace(_any_shape(), devices=devices // row.get("hosts", 1), hosts=row.get("hosts", 1))
    verdict = judge(CATALOGUE, model, engine, accelerator, devices * accelerator.cores, row["precision"])
    if verdict.tier is Tier.REFUSED:
        return verdict.evidence
    answers = [
        fit(model, engine, accelerator, layout, demand, batch_for(engine, accelerator))
        for layout in _layouts(row, model, engine, accelerator, shape)
    ]
    return "runs" if any(isinstance(answer, Fit) for answer in answers) else getattr(answers[0], "message", "")


def _layouts(
    row: Mapping[str, Any], model: Model, engine: Engine, accelerator: Accelerator, shape: MachineShape
) -> list[Layout]:
    if "tensor_parallel" in row:
        return [Layout(row["tensor_parallel"], row.get("pipeline_parallel", 1))]
    return list(list_layouts(model.architecture, engine, accelerator, shape))


def _find_engine(row: Mapping[str, Any]) -> Engine:
    return CATALOGUE.engines[row.get("engine", "vllm-gpu")]


def _find_model(row: Mapping[str, Any]) -> Model:
    model = CATALOGUE.models[row["model"]]
    if row.get("text_only") or row.get("engine") == "vllm-tpu":
        model = replace(model, architecture=replace(model.architecture, vision=None))
    return model


def _find_hardware(row: Mapping[str, Any]) -> tuple[Accelerator, int]:
    """The accelerator and how many; for a bare amount of memory so many devices that have it between them."""
    if "memory_gb" in row:
        devices = row.get("of", 1)
        gib = Decimal(row["memory_gb"] * GIGABYTE) / GIB / devices
        plain = CATALOGUE.accelerators["h100-80"]
        return replace(plain, id="any", memory_gib=int(gib), usable_memory_gib=gib), devices
    return find_accelerator(row["accelerator"]), row["devices"]


def find_accelerator(name: str) -> Accelerator:
    """One of GKE's, or one that only the sources have."""
    if name in CATALOGUE.accelerators:
        return CATALOGUE.accelerators[name]
    facts = dict(yaml.safe_load((FOLDER / "hardware.yaml").read_text(encoding="utf-8"))[name])
    like = CATALOGUE.accelerators[facts.pop("like")]
    known = {key: value for key, value in facts.items() if key not in ("layer_us", "collective_us")}
    return replace(like, id=name, **{**known, "usable_memory_gib": Decimal(facts["usable_memory_gib"])})


def _any_shape() -> MachineShape:
    return CATALOGUE.accelerators["h100-80"].machines[0]


def _judge_minimum(row: Mapping[str, Any]) -> tuple[bool, str]:
    """See tests/sources/mistral-docs.yaml for what agreement means."""
    model, precision = CATALOGUE.models[row["model"]], row["precision"]
    engine = CATALOGUE.engines["vllm-gpu"]
    batch = engine.batching[-1]
    weights = device_weights_bytes(model.architecture, precision)
    held = cached_tokens(model.architecture, model.max_context, batch.tokens)
    cache = held * kv_cache_bytes_per_token(model.architecture, "bf16")
    rest = activation_bytes(model.architecture, engine.memory, batch) + overhead_bytes(engine.memory, 1)
    least, most = (Decimal(size) / GIGABYTE for size in (weights, weights + cache + rest))
    agrees = LEAST_SHARE * least <= row["minimum_gb"] <= MOST_SHARE * most
    return agrees, f"weights {least:.0f} GB, with one request of full length and its overheads {most:.0f} GB"


def estimate_speed(row: Mapping[str, Any]) -> int:
    """Output tokens a second, as the planner estimates them for a published measurement."""
    engine, accelerator = CATALOGUE.engines["vllm-gpu"], find_accelerator(row["accelerator"])
    hardware = yaml.safe_load((FOLDER / "hardware.yaml").read_text(encoding="utf-8")).get(row["accelerator"], {})
    own = {name: hardware[name] for name in ("layer_us", "collective_us") if name in hardware}
    efficiency = replace(engine.efficiency, **own)
    model, layout = CATALOGUE.models[row["model"]], Layout(row["devices"])
    length = row["input"] + row["output"]
    demand = Demand(row["precision"], "bf16", context_length=length, concurrency=row["concurrency"])
    batch = batch_for(engine, accelerator, row["concurrency"])
    fitted = fit(model, engine, accelerator, layout, demand, batch)
    assert isinstance(fitted, Fit), fitted
    tuned = replace(engine, efficiency=efficiency)
    machine = describe_machine(model, tuned, accelerator, layout, demand, fitted)
    workload = Workload(row["input"], row["output"], row["concurrency"])
    return estimate_throughput(machine, workload, None).output_tokens_per_s
