"""The whole family: kinds of attention, number formats by hardware, variants, adapters, drafts and the unserved."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.world import CLUSTER, SETTINGS, make_model

from mistral_operator.api.model import MistralModel
from mistral_operator.catalogue.load import load_catalogue
from mistral_operator.planning.fit import Fit, batch_for, fit
from mistral_operator.planning.formats import Demand
from mistral_operator.planning.layout import Layout, Misfit, check_layout, list_layouts
from mistral_operator.planning.memory import (
    adapter_bytes,
    cached_tokens,
    device_weights_bytes,
    draft_bytes,
    kv_cache_bytes_per_token,
    sequence_state_bytes,
)
from mistral_operator.planning.plan import plan_model
from mistral_operator.planning.types import Plan, PlanRefused

CATALOGUE = load_catalogue()
ENGINE = CATALOGUE.engines["vllm-gpu"]
H200 = CATALOGUE.accelerators["h200-141"]
MODELS = st.sampled_from(list(CATALOGUE.models.values()))
GPUS = st.sampled_from([item for item in CATALOGUE.accelerators.values() if item.kind == "gpu"])


def answer(**spec: Any) -> Plan | PlanRefused:
    name = CATALOGUE.model_names[str(spec["model"]).lower()][0]
    license_id = CATALOGUE.models[name].license.id
    spec = {"allowExperimental": True, "license": {"accept": license_id}, **spec}
    return plan_model(MistralModel.model_validate(make_model(**spec)), CATALOGUE, CLUSTER, SETTINGS)


def planned(**spec: Any) -> Plan:
    plan = answer(**spec)
    assert isinstance(plan, Plan), plan
    return plan


def refused(**spec: Any) -> PlanRefused:
    plan = answer(**spec)
    assert isinstance(plan, PlanRefused), plan
    return plan


def on(accelerator: str, **more: Any) -> dict[str, Any]:
    return {"options": [{"accelerator": accelerator, **more}]}


def test_a_model_in_several_formats_is_served_in_the_first_that_the_hardware_holds() -> None:
    gpu = planned(model="ministral-3-8b", capacity=on("l4"))
    assert (gpu.chosen.precision, gpu.repository) == ("fp8", "mistralai/Ministral-3-8B-Instruct-2512")
    tpu = planned(model="ministral-3-8b", capacity=on("v6e"))
    assert (tpu.chosen.precision, tpu.repository) == ("bf16", "mistralai/Ministral-3-8B-Instruct-2512-BF16")


def test_a_repository_that_is_named_is_the_one_that_is_served() -> None:
    plan = planned(model="mistralai/Ministral-3-8B-Instruct-2512-BF16", capacity=on("h100-80", consumption="Spot"))
    assert (plan.repository, plan.chosen.precision) == ("mistralai/Ministral-3-8B-Instruct-2512-BF16", "bf16")


def test_a_precision_that_is_asked_for_picks_its_checkpoint() -> None:
    plan = planned(model="mistral-small-4", engine={"precision": "NVFP4"}, capacity=on("h100-80", consumption="Spot"))
    assert plan.repository == "mistralai/Mistral-Small-4-119B-2603-NVFP4"
    assert any("computes in 16 bit" in note for note in plan.chosen.notes)
    assert "write Auto or FP8" in refused(model="devstral-2", engine={"precision": "NVFP4"}).message


def test_only_the_variant_that_reasons_gets_the_parser() -> None:
    plain, reasoning = (planned(model="ministral-3-8b", variant=name) for name in ("instruct", "reasoning"))
    assert "--reasoning-parser" not in plain.engine_flags
    assert "--reasoning-parser" in reasoning.engine_flags
    assert reasoning.repository == "mistralai/Ministral-3-8B-Reasoning-2512"
    assert "write spec.variant: reasoning" in refused(model="ministral-3-8b", engine={"reasoning": "Enabled"}).message


@pytest.mark.parametrize("name", ["voxtral-tts", "mistral-large-4", "mistralai/Mistral-Large-4-1T-A52B"])
def test_what_nothing_serves_says_why(name: str) -> None:
    model = MistralModel.model_validate(make_model(model=name))
    plan = plan_model(model, CATALOGUE, CLUSTER, SETTINGS)
    assert isinstance(plan, PlanRefused)
    assert plan.reason == "UnsupportedModel"
    assert "write another model" in plan.message


def test_what_is_on_one_device_only_stays_there() -> None:
    plan = planned(model="voxtral-mini-4b-realtime")
    assert all(option.tensor_parallel == 1 for option in plan.options)
    two = planned(model="voxtral-mini-4b-realtime", capacity=on("l4", devices=2)).chosen
    assert (two.tensor_parallel, two.data_parallel) == (1, 2)


def test_mamba_holds_sequences_and_not_tokens() -> None:
    model = CATALOGUE.models["mamba-codestral-7b-v0.1"]
    assert kv_cache_bytes_per_token(model.architecture, "bf16") == 0
    # 64 layers, each with 128 heads × 64 × 128 and three tokens of 10,240 channels, in 16 bit.
    assert sequence_state_bytes(model.architecture) == 64 * 2 * (128 * 64 * 128 + 3 * 10240)
    demand, batch = Demand("bf16", "bf16"), batch_for(ENGINE, H200)
    short, long = (
        fit(model, ENGINE, H200, Layout(), replace(demand, context_length=length), batch) for length in (1024, 262144)
    )
    assert isinstance(short, Fit)
    assert isinstance(long, Fit)
    assert short.max_concurrency == long.max_concurrency
    assert long.kv_cache_tokens == 0
    assert long.max_context_length == model.max_context


def test_a_window_bounds_what_a_sequence_holds() -> None:
    architecture = CATALOGUE.models["ministral-8b-2410"].architecture
    assert cached_tokens(architecture, 16384, 2048) == 16384
    assert cached_tokens(architecture, 131072, 2048) == 32768 + 2048


def test_latent_attention_keeps_its_cache_whole_and_copies_share_it() -> None:
    architecture = CATALOGUE.models["mistral-large-3-675b-2512"].architecture
    split, copies = Layout(8), Layout(1, 1, 8, expert_parallel=True)
    assert kv_cache_bytes_per_token(architecture, "bf16", split) == 61 * (512 + 64) * 2
    assert kv_cache_bytes_per_token(architecture, "bf16", copies) == kv_cache_bytes_per_token(
        architecture, "bf16", split
    )
    # The experts are spread in both; attention is whole in each copy.
    assert device_weights_bytes(architecture, "fp8", split) < device_weights_bytes(architecture, "fp8", copies)
    assert device_weights_bytes(architecture, "fp8", copies) < device_weights_bytes(architecture, "fp8") / 5


@pytest.mark.parametrize(
    ("model", "layout", "group", "reason"),
    [
        ("mistral-large-3-675b-2512", Layout(8), 128, None),
        ("mistral-large-3-675b-2512", Layout(64), 128, "GroupNotDivisible"),
        ("mixtral-8x7b", Layout(1, 1, 3, expert_parallel=True), None, "ExpertsNotDivisible"),
        ("mixtral-8x7b", Layout(4, 33), None, "TooFewLayers"),
        ("mamba-codestral-7b-v0.1", Layout(8), None, None),
        ("mamba-codestral-7b-v0.1", Layout(3), None, "HeadsNotDivisible"),
        ("pixtral-large-2411", Layout(6), None, "HeadsNotDivisible"),
    ],
)
def test_what_can_not_be_divided(model: str, layout: Layout, group: int | None, reason: str | None) -> None:
    misfit = check_layout(CATALOGUE.models[model].architecture, layout, group)
    assert (misfit.reason if misfit else None) == reason


def test_every_layout_has_all_devices_and_the_simplest_comes_first() -> None:
    shape = next(item for item in H200.machines if item.devices == 8)
    for model in CATALOGUE.models.values():
        layouts = list(list_layouts(model.architecture, ENGINE, H200, shape))
        assert layouts[0].tensor_parallel == 8
        assert {layout.devices for layout in layouts} == {8}
        assert len(layouts) == len(set(layouts))


def test_on_a_large_machine_a_small_model_is_copied() -> None:
    plan = planned(model="mistral-7b-v0.3", capacity=on("h200-141", devices=8, consumption="Spot"))
    option = plan.chosen
    assert (option.tensor_parallel, option.data_parallel) == (1, 8)
    assert option.max_concurrency % 8 == 0
    assert any("8 copies" in note for note in option.notes)


@given(MODELS, GPUS, st.integers(1, 8), st.sampled_from([1, 2, 4, 8]))
def test_adapters_and_drafts_take_memory_and_the_budget_still_adds_up(
    model: Any, accelerator: Any, slots: int, devices: int
) -> None:
    plain = Demand(model.precision, "bf16")
    draft = model.drafts[0] if model.drafts else None
    more = replace(plain, adapters=slots, draft=draft)
    batch = batch_for(ENGINE, accelerator)
    without, with_them = (fit(model, ENGINE, accelerator, Layout(devices), item, batch) for item in (plain, more))
    if isinstance(with_them, Misfit):
        return
    assert isinstance(without, Fit)
    memory = with_them.memory
    extras = adapter_bytes(model.architecture, slots, 16, Layout(devices))
    assert memory.extras_bytes == extras + draft_bytes(model.architecture, draft, Layout(devices))
    assert memory.kv_cache_bytes + memory.extras_bytes == without.memory.kv_cache_bytes
    assert with_them.kv_cache_tokens <= without.kv_cache_tokens


@given(MODELS, GPUS, st.sampled_from([1, 2, 4]), st.sampled_from(["bf16", "fp8", "nvfp4"]))
def test_along_the_divisors_more_devices_never_shrink_the_context(
    model: Any, accelerator: Any, devices: int, precision: str
) -> None:
    """With flags held fixed; communication buffers come in with a second device, but are less than half the model."""
    demand, batch = Demand(precision, "bf16"), batch_for(ENGINE, accelerator)
    fewer, more = (fit(model, ENGINE, accelerator, Layout(count), demand, batch) for count in (devices, 2 * devices))
    if isinstance(fewer, Fit) and check_layout(model.architecture, Layout(2 * devices)) is None:
        assert isinstance(more, Fit), more
        assert more.max_context_length >= fewer.max_context_length


def test_speculation_is_planned_with_the_catalogues_draft_only() -> None:
    eagle = {"method": "Eagle", "draftModel": "mistralai/Mistral-Small-4-119B-2603-eagle"}
    plan = planned(model="mistral-small-4", engine={"speculative": eagle}, capacity=on("h100-80", consumption="Spot"))
    assert plan.chosen.memory.extras_bytes > 0
    other = {"method": "Eagle", "draftModel": "acme/eagle"}
    assert eagle["draftModel"] in refused(model="mistral-small-4", engine={"speculative": other}).message
    assert "method: NGram" in refused(model="mistral-7b-v0.3", engine={"speculative": other}).message
    adapters = {"adapters": [{"name": "a", "repository": "acme/a"}]}
    assert refused(model="mamba-codestral", engine=adapters).reason == "FeatureNotSupported"


@pytest.mark.parametrize(
    ("model", "capacity", "reason"),
    [
        ("mistral-small-4", on("gb200"), "NotOffered"),
        ("mistral-7b-v0.3", on("b200"), "NotOffered"),
        ("mistral-7b-v0.3", on("t4"), "UnsupportedAccelerator"),
    ],
)
def test_hardware_that_can_not_be_had_says_why(model: str, capacity: dict[str, Any], reason: str) -> None:
    plan = refused(model=model, capacity=capacity)
    assert reason in (plan.reason, *(item.reason for item in plan.refusals)), plan


def test_an_old_cluster_is_told_to_be_upgraded() -> None:
    spec = {"model": "mistral-7b-v0.3", "allowExperimental": True, "capacity": on("v7x", devices=4)}
    old = replace(CLUSTER, version="1.33.1-gke.1000000")
    plan = plan_model(MistralModel.model_validate(make_model(**spec)), CATALOGUE, old, SETTINGS)
    assert isinstance(plan, PlanRefused)
    assert "needs GKE 1.34.0-gke.2201000, and the cluster has 1.33.1-gke.1000000; upgrade it" in plan.message
    new = replace(CLUSTER, version="1.34.1-gke.3849001")
    assert isinstance(plan_model(MistralModel.model_validate(make_model(**spec)), CATALOGUE, new, SETTINGS), Plan)
