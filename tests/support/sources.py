"""What published sources say of models on hardware, and what the planner says to the very same questions."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final

import yaml
from tests.support.asked import CATALOGUE, FOLDER, GIGABYTE, RUNS, ask, find_accelerator

from mistral_operator.planning.fit import Fit, batch_for, fit
from mistral_operator.planning.formats import Demand
from mistral_operator.planning.layout import Layout
from mistral_operator.planning.memory import (
    activation_bytes,
    cached_tokens,
    device_weights_bytes,
    kv_cache_bytes_per_token,
    overhead_bytes,
)
from mistral_operator.planning.speed import Workload, describe_machine, estimate_throughput

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
    return Scored(source, name, (answer == RUNS) == row["runs"], answer, explained)


def _judge_minimum(row: Mapping[str, Any]) -> tuple[bool, str]:
    """See tests/sources/mistral-docs.yaml for what agreement means."""
    model, precision = CATALOGUE.models[row["model"]], row["precision"]
    engine = CATALOGUE.engines["vllm-gpu"]
    batch = engine.batching[-1]
    weights = device_weights_bytes(model.architecture, precision)
    held = cached_tokens(model.architecture, row.get("context", model.max_context), batch.tokens)
    cache = held * kv_cache_bytes_per_token(model.architecture, "bf16")
    rest = activation_bytes(model.architecture, engine.memory, batch) + overhead_bytes(engine.memory, 1)
    least, most = (Decimal(size) / GIGABYTE for size in (weights, weights + cache + rest))
    agrees = LEAST_SHARE * least <= Decimal(str(row["minimum_gb"])) <= MOST_SHARE * most
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
