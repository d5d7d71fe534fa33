"""Weights and KV cache against published figures."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mistral_operator.catalogue.load import load_catalogue
from mistral_operator.catalogue.model import Model
from mistral_operator.catalogue.units import GIB
from mistral_operator.planning.fit import batch_for
from mistral_operator.planning.layout import Layout
from mistral_operator.planning.memory import (
    activation_bytes,
    device_weights_bytes,
    kv_cache_bytes_per_token,
    tower_parameters,
)

CATALOGUE = load_catalogue()
MODELS = st.sampled_from(list(CATALOGUE.models.values()))


@pytest.mark.parametrize(
    ("model", "precision", "gib"),
    [
        ("mistral-7b-v0.3", "bf16", 13.5),
        ("mixtral-8x7b", "bf16", 87.0),
        ("mixtral-8x7b", "fp8", 43.7),
        ("mistral-small-3.2-24b-2506", "bf16", 44.7),
        ("mistral-small-3.2-24b-2506", "fp8", 23.9),
        ("mistral-nemo-12b-2407", "bf16", 22.8),
        ("mistral-nemo-12b-2407", "fp8", 12.7),
        ("codestral-22b-v0.1", "bf16", 41.4),
        ("mixtral-8x22b", "bf16", 261.9),
        ("mistral-small-4-119b-2603", "fp8", 112.5),
    ],
)
def test_weights_match_the_published_sizes(model: str, precision: str, gib: float) -> None:
    assert device_weights_bytes(CATALOGUE.models[model].architecture, precision) / GIB == pytest.approx(gib, rel=0.02)


@given(MODELS)
def test_parameters_follow_from_the_dimensions(model: Model) -> None:
    assert device_weights_bytes(model.architecture, "bf16") / 2 == pytest.approx(model.parameters, rel=0.02)


@pytest.mark.parametrize(
    ("model", "bytes_per_token"),
    [("mistral-7b-v0.3", 131072), ("mistral-small-3.2-24b-2506", 163840), ("codestral-22b-v0.1", 229376)],
)
def test_kv_cache_of_one_token(model: str, bytes_per_token: int) -> None:
    architecture = CATALOGUE.models[model].architecture
    assert kv_cache_bytes_per_token(architecture, "bf16") == bytes_per_token
    assert kv_cache_bytes_per_token(architecture, "fp8") == bytes_per_token // 2
    assert kv_cache_bytes_per_token(architecture, "bf16", Layout(4)) == bytes_per_token // 4


def test_latent_attention_keeps_one_small_vector_a_token_on_every_device() -> None:
    architecture = CATALOGUE.models["mistral-small-4-119b-2603"].architecture
    for layout in (Layout(), Layout(8)):
        assert kv_cache_bytes_per_token(architecture, "bf16", layout) == 23040
    assert kv_cache_bytes_per_token(architecture, "fp8") == 11520


def test_kv_heads_are_copied_when_there_are_more_devices_than_heads() -> None:
    architecture = CATALOGUE.models["mistral-7b-v0.3"].architecture
    assert kv_cache_bytes_per_token(architecture, "bf16", Layout(16)) == kv_cache_bytes_per_token(
        architecture, "bf16", Layout(8)
    )


@given(MODELS, st.sampled_from(["bf16", "fp8"]), st.sampled_from([1, 2, 4, 8, 16]))
def test_splitting_loses_nothing(model: Model, precision: str, devices: int) -> None:
    whole = device_weights_bytes(model.architecture, precision)
    part = device_weights_bytes(model.architecture, precision, Layout(devices))
    assert whole <= devices * part
    assert part <= whole
    # Copied norms, routers and heads are small against what is split; the towers are whole on every device.
    towers = 2 * tower_parameters(model.architecture)
    assert devices * (part - towers) <= (whole - towers) * 1.05


def test_vision_and_batch_raise_the_activations() -> None:
    engine = CATALOGUE.engines["vllm-gpu"]
    small, large = (batch_for(engine, CATALOGUE.accelerators[name]) for name in ("l4", "h100-80"))
    text = CATALOGUE.models["mistral-nemo-12b-2407"].architecture
    seeing = CATALOGUE.models["mistral-small-3.2-24b-2506"].architecture
    assert activation_bytes(text, engine.memory, small) < activation_bytes(text, engine.memory, large)
    assert activation_bytes(text, engine.memory, small) < activation_bytes(seeing, engine.memory, small)
