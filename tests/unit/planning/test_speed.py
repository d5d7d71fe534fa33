"""The roofline against published speeds, and what must hold of any estimate."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.sources import CATALOGUE, estimate_speed, read_rows

from mistral_operator.catalogue.accelerator import Accelerator
from mistral_operator.catalogue.model import Model
from mistral_operator.planning.fit import Fit, batch_for, fit
from mistral_operator.planning.formats import Demand
from mistral_operator.planning.layout import Layout
from mistral_operator.planning.speed import Workload, count_replicas, describe_machine, estimate_throughput
from mistral_operator.planning.types import ThroughputEstimate

TOLERANCE = 1.2
"""Reached by every row; the estimates themselves claim no more than a factor of 2."""
ENGINE = CATALOGUE.engines["vllm-gpu"]
GPUS = [item for item in CATALOGUE.accelerators.values() if item.kind == "gpu" and item.bf16]
MODELS = st.sampled_from(list(CATALOGUE.models.values()))


@pytest.mark.parametrize("row", read_rows("speeds"), ids=lambda row: row["id"])
def test_published_speeds_are_met_within_the_tolerance(row: dict[str, Any]) -> None:
    ratio = estimate_speed(row) / row["tokens_per_s"]
    assert 1 / TOLERANCE <= ratio <= TOLERANCE, f"{ratio:.2f} of {row['tokens_per_s']} tokens/s"


def test_the_tolerance_is_finer_than_what_an_estimate_claims() -> None:
    assert all(engine.efficiency.uncertainty >= Decimal("1.5") > TOLERANCE for engine in CATALOGUE.engines.values())


def estimate(
    model: Model, accelerator: Accelerator, layout: Layout, workload: Workload, cost: Decimal | None = None
) -> ThroughputEstimate | None:
    demand = Demand("bf16", "bf16")
    fitted = fit(model, ENGINE, accelerator, layout, demand, batch_for(ENGINE, accelerator))
    if not isinstance(fitted, Fit):
        return None
    return estimate_throughput(describe_machine(model, ENGINE, accelerator, layout, demand, fitted), workload, cost)


@given(MODELS, st.sampled_from(GPUS), st.sampled_from([1, 2, 4, 8]), st.integers(1, 400))
def test_more_requests_at_once_are_slower_each_and_faster_together(
    model: Model, accelerator: Accelerator, devices: int, concurrency: int
) -> None:
    few, many = (
        estimate(model, accelerator, Layout(devices), Workload(concurrency=count))
        for count in (concurrency, concurrency + 8)
    )
    if few and many:
        assert many.inter_token_latency_us >= few.inter_token_latency_us
        assert many.output_tokens_per_s >= few.output_tokens_per_s * 0.99
        assert few.alone_inter_token_latency_us <= few.inter_token_latency_us
        assert few.alone_time_to_first_token_ms <= few.time_to_first_token_ms


@given(MODELS, st.sampled_from(GPUS), st.integers(2, 4))
def test_faster_hardware_is_never_slower(model: Model, accelerator: Accelerator, times: int) -> None:
    faster = replace(
        accelerator,
        bandwidth_gb_s=accelerator.bandwidth_gb_s * times,
        bf16_tflops=accelerator.bf16_tflops * times,
        interconnect_gb_s=accelerator.interconnect_gb_s * times,
    )
    slow, fast = (estimate(model, item, Layout(8), Workload()) for item in (accelerator, faster))
    if slow and fast:
        assert fast.output_tokens_per_s >= slow.output_tokens_per_s
        assert fast.time_to_first_token_ms <= slow.time_to_first_token_ms


@given(MODELS, st.sampled_from(GPUS), st.integers(20, 2000))
def test_a_wished_latency_is_kept_or_one_is_left(model: Model, accelerator: Accelerator, wished_ms: int) -> None:
    result = estimate(model, accelerator, Layout(8), Workload(inter_token_latency_ms=wished_ms))
    if result:
        assert result.concurrency == 1 or result.inter_token_latency_us <= wished_ms * 1000


def test_money_and_replicas_follow_from_the_tokens() -> None:
    model, l4 = CATALOGUE.models["mistral-7b-v0.3"], CATALOGUE.accelerators["l4"]
    result = estimate(model, l4, Layout(), Workload(), Decimal("0.85"))
    assert result is not None
    dollars = Decimal("0.85") / (result.output_tokens_per_s * 3600) * 1_000_000
    assert result.dollars_per_million_tokens == dollars.quantize(Decimal("0.01"))
    per_replica = Decimal(result.output_tokens_per_s) / result.output_tokens
    assert count_replicas(result, per_replica) == 1
    assert count_replicas(result, per_replica * Decimal("2.5")) == 3


def test_copies_share_the_requests() -> None:
    model, h100 = CATALOGUE.models["mistral-7b-v0.3"], CATALOGUE.accelerators["h100-80"]
    one, four = (estimate(model, h100, Layout(data_parallel=copies), Workload()) for copies in (1, 4))
    assert one is not None
    assert four is not None
    assert four.concurrency == pytest.approx(4 * one.concurrency, rel=0.02)
    assert four.output_tokens_per_s == pytest.approx(4 * one.output_tokens_per_s, rel=0.05)


def test_of_many_experts_few_tokens_read_few() -> None:
    model, h200 = CATALOGUE.models["mistral-small-4-119b-2603"], CATALOGUE.accelerators["h200-141"]
    alone, crowd = (estimate(model, h200, Layout(8), Workload(concurrency=count)) for count in (1, 64))
    assert alone is not None
    assert crowd is not None
    assert crowd.inter_token_latency_us > 1.5 * alone.inter_token_latency_us
