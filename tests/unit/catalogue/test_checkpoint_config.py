"""A checkpoint's own configuration gives the catalogue's dimensions; whatever else it says, there is an answer."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mistral_operator.catalogue.checkpoint_config import CheckpointConfig, ConfigFault, read_config
from mistral_operator.catalogue.load import load_catalogue
from mistral_operator.planning.memory import tower_parameters

LLAMA = {
    "num_hidden_layers": 32, "hidden_size": 4096, "intermediate_size": 14336, "num_attention_heads": 32,
    "num_key_value_heads": 8, "vocab_size": 32768, "max_position_embeddings": 32768,
}  # fmt: skip
SMALL_3 = {
    "num_hidden_layers": 40, "hidden_size": 5120, "intermediate_size": 32768, "num_attention_heads": 32,
    "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 131072, "max_position_embeddings": 131072,
}  # fmt: skip
PIXTRAL = {
    "num_hidden_layers": 24, "hidden_size": 1024, "intermediate_size": 4096, "patch_size": 14, "image_size": 1540,
}  # fmt: skip
SMALL_4 = {
    "num_hidden_layers": 36, "hidden_size": 4096, "intermediate_size": 12288, "num_attention_heads": 32,
    "num_key_value_heads": 32, "head_dim": 128, "vocab_size": 131072, "max_position_embeddings": 1048576,
    "n_routed_experts": 128, "num_experts_per_tok": 4, "moe_intermediate_size": 2048, "n_shared_experts": 1,
    "q_lora_rank": 1024, "kv_lora_rank": 256, "qk_nope_head_dim": 64, "qk_rope_head_dim": 64, "v_head_dim": 128,
}  # fmt: skip
LARGE_3 = {
    "dim": 7168, "n_layers": 61, "hidden_dim": 16384, "n_heads": 128, "n_kv_heads": 128, "head_dim": 192,
    "vocab_size": 131072, "max_position_embeddings": 294912, "q_lora_rank": 1536, "kv_lora_rank": 512,
    "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128, "quantization": {"qformat_weight": "fp8_e4m3"},
    "moe": {
        "num_experts": 128, "num_experts_per_tok": 4, "num_shared_experts": 1, "expert_hidden_dim": 4096,
        "first_k_dense_replace": 3,
    },
    "vision_encoder": {"num_hidden_layers": 48, "hidden_size": 1664, "intermediate_size": 8192, "patch_size": 14},
}  # fmt: skip
MAMBA = {
    "model_type": "mamba2", "num_hidden_layers": 64, "hidden_size": 4096, "vocab_size": 32768, "num_heads": 128,
    "head_dim": 64, "state_size": 128, "n_groups": 8, "expand": 2, "conv_kernel": 4,
}  # fmt: skip
MINISTRAL = SMALL_3 | {
    "num_hidden_layers": 26, "hidden_size": 3072, "intermediate_size": 9216, "tie_word_embeddings": True,
    "max_position_embeddings": 262144,
}  # fmt: skip
VOXTRAL = SMALL_3 | {"num_hidden_layers": 30, "hidden_size": 3072, "intermediate_size": 8192}
WHISPER = {"num_hidden_layers": 32, "hidden_size": 1280, "intermediate_size": 5120}
FP8 = {"quantization_config": {"quant_method": "fp8"}}
CASES = {
    "mistral-7b-v0.3": (LLAMA, "bf16"),
    "mixtral-8x7b": (LLAMA | {"vocab_size": 32000, "num_local_experts": 8, "num_experts_per_tok": 2}, "bf16"),
    "mistral-small-3.2-24b-2506": ({"text_config": SMALL_3, "vision_config": PIXTRAL}, "bf16"),
    "mistral-small-4-119b-2603": ({"text_config": SMALL_4, "vision_config": PIXTRAL, **FP8}, "fp8"),
    "mistral-large-3-675b-2512": (LARGE_3, "fp8"),
    "mamba-codestral-7b-v0.1": (MAMBA, "bf16"),
    "ministral-3-3b-2512": ({"text_config": MINISTRAL, "vision_config": PIXTRAL, **FP8}, "fp8"),
    "voxtral-mini-3b-2507": ({"text_config": VOXTRAL, "audio_config": WHISPER}, "bf16"),
}
DIMENSIONS = (
    "kind", "layers", "hidden", "intermediate", "heads", "kv_heads", "head_dim", "vocabulary", "tied_embeddings",
    "experts", "latent", "state_space",
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
KEYS = sorted({*LLAMA, *SMALL_4, *LARGE_3, *MAMBA, "text_config", "vision_config", "audio_config", "sliding_window"})


@pytest.mark.parametrize("name", CASES)
def test_the_dimensions_are_the_catalogues(name: str) -> None:
    config, precision = CASES[name]
    result = read_config(config)
    assert isinstance(result, CheckpointConfig), result
    known = load_catalogue().models[name].architecture
    for dimension in DIMENSIONS:
        assert getattr(result.architecture, dimension) == getattr(known, dimension), dimension
    assert result.precision == precision
    # Encoders are estimated; the large ones are the best known.
    assert tower_parameters(result.architecture) == pytest.approx(tower_parameters(known), rel=0.25)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"hidden_size": None}, "hidden_size is missing"),
        ({"num_hidden_layers": -3}, "num_hidden_layers is -3"),
        ({"vocab_size": 10**30}, "expected a whole number"),
        ({"vocab_size": True}, "vocab_size is True"),
        ({"num_key_value_heads": 5}, "do not divide"),
        ({"num_local_experts": 8, "num_experts_per_tok": 9}, "there are 8 experts"),
        ({"quantization_config": {"quant_method": "gptq"}}, "gptq is not planned"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, Any], words: str) -> None:
    result = read_config(LLAMA | change)
    assert isinstance(result, ConfigFault)
    assert words in result.message


def test_a_head_is_hidden_over_heads_where_nothing_is_said() -> None:
    result = read_config(LLAMA)
    assert isinstance(result, CheckpointConfig)
    assert result.architecture.head_dim == 128


@given(JSON)
def test_any_json_has_an_answer(content: Any) -> None:
    assert isinstance(read_config(content), CheckpointConfig | ConfigFault)


@given(st.sampled_from(list(CASES)), st.dictionaries(st.sampled_from(KEYS), JSON, min_size=1, max_size=4))
def test_any_change_of_a_configuration_has_an_answer(name: str, changes: dict[str, Any]) -> None:
    result = read_config({**CASES[name][0], **changes})
    assert isinstance(result, CheckpointConfig | ConfigFault)
    if isinstance(result, CheckpointConfig):
        assert result.architecture.layers >= 1
