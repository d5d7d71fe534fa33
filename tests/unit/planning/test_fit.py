"""The budget adds up, and more memory never hurts."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mistral_operator.catalogue.accelerator import Accelerator
from mistral_operator.catalogue.load import load_catalogue
from mistral_operator.catalogue.model import Model
from mistral_operator.catalogue.units import GIB
from mistral_operator.planning.fit import Fit, batch_for, fit, plan_memory
from mistral_operator.planning.formats import Demand
from mistral_operator.planning.layout import Layout, Misfit, check_layout

CATALOGUE = load_catalogue()
ENGINE = CATALOGUE.engines["vllm-gpu"]
BF16 = Demand("bf16", "bf16")
DEMANDS = st.builds(
    Demand,
    precision=st.sampled_from(["bf16", "fp8"]),
    kv_cache_precision=st.sampled_from(["bf16", "fp8"]),
    context_length=st.none() | st.integers(256, 131072),
    concurrency=st.none() | st.integers(1, 4096),
)
MODELS = st.sampled_from(list(CATALOGUE.models.values()))
ACCELERATORS = st.sampled_from(list(CATALOGUE.accelerators.values()))
DEVICES = st.sampled_from([1, 2, 4, 8, 16])


def _fit(model: str, accelerator: str, devices: int, demand: Demand = BF16) -> Fit | Misfit:
    hardware = CATALOGUE.accelerators[accelerator]
    batch = batch_for(ENGINE, hardware, demand.concurrency)
    return fit(CATALOGUE.models[model], ENGINE, hardware, Layout(devices), demand, batch)


@given(MODELS, ACCELERATORS, DEVICES, DEMANDS)
def test_parts_add_up_to_the_device(model: Model, accelerator: Accelerator, devices: int, demand: Demand) -> None:
    memory = plan_memory(model, ENGINE, accelerator, Layout(devices), demand, batch_for(ENGINE, accelerator))
    parts = (
        memory.reserved_bytes
        + memory.weights_bytes
        + memory.activations_bytes
        + memory.overhead_bytes
        + memory.kv_cache_bytes
    )
    assert parts == memory.device_bytes == accelerator.memory_gib * GIB


@given(MODELS, ACCELERATORS, DEVICES, DEMANDS)
def test_a_fit_keeps_its_promises(model: Model, accelerator: Accelerator, devices: int, demand: Demand) -> None:
    assume(demand.context_length is None or demand.context_length <= model.max_context)
    batch = batch_for(ENGINE, accelerator, demand.concurrency)
    result = fit(model, ENGINE, accelerator, Layout(devices), demand, batch)
    if isinstance(result, Misfit):
        assert result.reason
        assert result.message
        return
    assert result.memory.kv_cache_bytes > 0
    assert result.context_length <= result.max_context_length <= model.max_context
    assert result.context_length <= result.kv_cache_tokens * (1 - ENGINE.memory.context_margin)
    assert result.max_concurrency >= 1
    # The engine refuses to start with fewer batched tokens than sequences.
    assert result.max_batched_tokens >= result.max_concurrency
    if demand.context_length is not None:
        assert result.context_length == demand.context_length


@given(MODELS, ACCELERATORS, DEVICES, DEMANDS, st.integers(1, 200))
def test_more_memory_never_makes_it_unfit(
    model: Model, accelerator: Accelerator, devices: int, demand: Demand, extra_gib: int
) -> None:
    larger = replace(
        accelerator,
        memory_gib=accelerator.memory_gib + extra_gib,
        usable_memory_gib=accelerator.usable_memory_gib + Decimal(extra_gib),
    )
    batch = batch_for(ENGINE, accelerator, demand.concurrency)
    before = fit(model, ENGINE, accelerator, Layout(devices), demand, batch)
    after = fit(model, ENGINE, larger, Layout(devices), demand, batch)
    if isinstance(before, Fit):
        assert isinstance(after, Fit)
        assert after.context_length >= before.context_length
        assert after.kv_cache_tokens >= before.kv_cache_tokens


def test_one_l4_lowers_the_context_of_7b() -> None:
    result = _fit("mistral-7b-v0.3", "l4", 1)
    assert isinstance(result, Fit)
    assert result.context_length == 16384
    assert result.max_context_length == 32768


def test_small_on_one_l4_shows_its_arithmetic() -> None:
    result = _fit("mistral-small-3.2-24b-2506", "l4", 1)
    assert result == Misfit(
        "WeightsExceedMemory",
        "the device needs 48.8 GiB before any KV cache: weights 44.7 GiB + activations 2.6 GiB + overhead 1.5 GiB;"
        " the engine may use 20.2 GiB (92% of 22.0 GiB usable)",
    )


def test_a_context_that_does_not_fit_is_told_the_largest() -> None:
    result = _fit("mistral-small-3.2-24b-2506", "a100-80", 1, replace(BF16, context_length=131072 * 2))
    assert isinstance(result, Misfit)
    assert result.reason == "ContextExceedsMemory"
    limit = int(result.message.rsplit("contextLength: ", 1)[1].split()[0])
    assert isinstance(_fit("mistral-small-3.2-24b-2506", "a100-80", 1, replace(BF16, context_length=limit)), Fit)


def test_too_little_room_for_a_useful_context_is_refused() -> None:
    tight = replace(CATALOGUE.accelerators["l4"], usable_memory_gib=Decimal("17.5"))
    result = fit(CATALOGUE.models["mistral-7b-v0.3"], ENGINE, tight, Layout(), BF16, batch_for(ENGINE, tight))
    assert isinstance(result, Misfit)
    assert result.reason == "ContextExceedsMemory"
    assert "too little for 2 sequences of 4,096 tokens" in result.message


@pytest.mark.parametrize(
    ("devices", "reason"), [(1, None), (8, None), (16, None), (3, "attention"), (32, "feed-forward")]
)
def test_divisibility(devices: int, reason: str | None) -> None:
    model = CATALOGUE.models["mistral-7b-v0.3"]
    odd = replace(model, architecture=replace(model.architecture, intermediate=14336 + 16))
    misfit = check_layout(odd.architecture, Layout(devices))
    assert (misfit is None) == (reason is None)
    if misfit:
        assert misfit.reason == "HeadsNotDivisible"
        assert reason is not None
        assert reason in misfit.message


def test_key_value_heads_must_divide_or_be_copied_evenly() -> None:
    model = CATALOGUE.models["codestral-22b-v0.1"]
    misfit = check_layout(model.architecture, Layout(3))
    assert misfit is not None
    assert "8 key-value heads" in misfit.message


@pytest.mark.parametrize(
    ("demand", "accelerator", "word"),
    [
        (Demand("bf16", "fp8"), "a100-80", "kvCachePrecision: BF16"),
        (Demand("fp8", "bf16"), "none", "spec.engine.precision: BF16"),
    ],
)
def test_formats_that_the_device_lacks(demand: Demand, accelerator: str, word: str) -> None:
    hardware = CATALOGUE.accelerators.get(accelerator) or replace(CATALOGUE.accelerators["l4"], fp8="none")
    result = fit(CATALOGUE.models["mistral-7b-v0.3"], ENGINE, hardware, Layout(), demand, batch_for(ENGINE, hardware))
    assert isinstance(result, Misfit)
    assert result.reason == "PrecisionNotSupported"
    assert word in result.message
