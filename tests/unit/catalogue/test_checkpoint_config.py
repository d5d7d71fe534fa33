"""A checkpoint's own configuration gives the catalogue's dimensions; whatever else it says, there is an answer."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mistral_operator.api.model import MistralModel
from mistral_operator.catalogue.architecture import Architecture
from mistral_operator.catalogue.checkpoint_config import CheckpointConfig, ConfigFault, read_config
from mistral_operator.catalogue.load import load_catalogue
from mistral_operator.cli.checkpoint import describe_checkpoint
from mistral_operator.cli.profile import DEFAULT
from mistral_operator.cli.settings import offline_settings
from mistral_operator.planning.memory import tower_parameters
from mistral_operator.planning.plan import plan_model
from mistral_operator.planning.types import Plan, PlanRefused

KNOWN = load_catalogue()
LLAMA = {
    "model_type": "mistral", "num_hidden_layers": 32, "hidden_size": 4096, "intermediate_size": 14336,
    "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 32768, "max_position_embeddings": 32768,
}  # fmt: skip
NEMO = LLAMA | {
    "num_hidden_layers": 40, "hidden_size": 5120, "head_dim": 128, "vocab_size": 131072,
    "max_position_embeddings": 131072,
}  # fmt: skip
SMALL_3 = NEMO | {"intermediate_size": 32768}
MIXTRAL = LLAMA | {"model_type": "mixtral", "vocab_size": 32000, "num_local_experts": 8, "num_experts_per_tok": 2}
PIXTRAL = {
    "model_type": "pixtral", "num_hidden_layers": 24, "hidden_size": 1024, "intermediate_size": 4096,
    "patch_size": 14, "image_size": 1540,
}  # fmt: skip
SMALL_4 = {
    "model_type": "mistral4", "num_hidden_layers": 36, "hidden_size": 4096, "intermediate_size": 12288,
    "num_attention_heads": 32, "num_key_value_heads": 32, "vocab_size": 131072, "max_position_embeddings": 1048576,
    "n_routed_experts": 128, "num_experts_per_tok": 4, "moe_intermediate_size": 2048, "n_shared_experts": 1,
    "first_k_dense_replace": 0, "q_lora_rank": 1024, "kv_lora_rank": 256, "qk_nope_head_dim": 64,
    "qk_rope_head_dim": 64, "v_head_dim": 128,
}  # fmt: skip
MINISTRAL = SMALL_3 | {
    "model_type": "ministral3", "num_hidden_layers": 26, "hidden_size": 3072, "intermediate_size": 9216,
    "tie_word_embeddings": True, "max_position_embeddings": 262144,
}  # fmt: skip
MAMBA = {
    "model_type": "mamba2", "num_hidden_layers": 64, "hidden_size": 4096, "vocab_size": 32768, "num_heads": 128,
    "head_dim": 64, "state_size": 128, "n_groups": 8, "expand": 2, "conv_kernel": 4,
}  # fmt: skip
WHISPER = {
    "model_type": "voxtral_encoder", "num_hidden_layers": 32, "hidden_size": 1280, "intermediate_size": 5120,
    "num_attention_heads": 20,
}  # fmt: skip
REALTIME = WHISPER | {"model_type": "voxtral_realtime_encoder", "num_attention_heads": 32, "head_dim": 64}
VOXTRAL = SMALL_3 | {
    "model_type": "llama", "num_hidden_layers": 30, "hidden_size": 3072, "intermediate_size": 8192,
}  # fmt: skip
FP8 = {"quantization_config": {"quant_method": "fp8", "activation_scheme": "static", "weight_block_size": None}}
LARGE_3 = {
    "dim": 7168, "n_layers": 61, "hidden_dim": 16384, "n_heads": 128, "n_kv_heads": 128, "head_dim": 192,
    "vocab_size": 131072, "max_position_embeddings": 294912, "q_lora_rank": 1536, "kv_lora_rank": 512,
    "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128,
    "quantization": {"qformat_weight": "fp8_e4m3", "qscheme_act": "TENSOR"},
    "moe": {
        "num_experts": 128, "num_experts_per_tok": 4, "num_shared_experts": 1, "expert_hidden_dim": 4096,
        "first_k_dense_replace": 3, "route_every_n": 1,
    },
    "vision_encoder": {
        "num_hidden_layers": 48, "hidden_size": 1664, "intermediate_size": 8192, "patch_size": 14, "image_size": 1540,
    },
}  # fmt: skip
PARAMS_7B = {
    "dim": 4096, "n_layers": 32, "head_dim": 128, "hidden_dim": 14336, "n_heads": 32, "n_kv_heads": 8,
    "norm_eps": 1e-05, "vocab_size": 32768, "rope_theta": 1000000.0,
}  # fmt: skip
PARAMS_MIXTRAL = PARAMS_7B | {"vocab_size": 32000, "moe": {"num_experts": 8, "num_experts_per_tok": 2}}
PARAMS_MINISTRAL = PARAMS_7B | {
    "dim": 3072, "n_layers": 26, "hidden_dim": 9216, "vocab_size": 131072, "tied_embeddings": True,
    "vision_encoder": PIXTRAL, "quantization": {"qformat_weight": "fp8_e4m3"}, "max_position_embeddings": 262144,
}  # fmt: skip
PARAMS_REALTIME = PARAMS_7B | {
    "dim": 3072, "n_layers": 26, "hidden_dim": 9216, "vocab_size": 131072, "tied_embeddings": True,
    "sliding_window": 8192, "model_max_length": 131072,
    "multimodal": {
        "whisper_model_args": {
            "encoder_args": {
                "dim": 1280, "n_layers": 32, "head_dim": 64, "hidden_dim": 5120, "n_heads": 32, "causal": True,
            },
            "downsample_args": {"downsample_factor": 4},
        },
    },
}  # fmt: skip
REALTIME_TEXT = MINISTRAL | {
    "model_type": "voxtral_realtime_text", "sliding_window": 8192, "max_position_embeddings": 131072,
}  # fmt: skip
CASES: dict[str, tuple[str, dict[str, Any], str, int | None]] = {
    "mistral": ("mistral-7b-v0.3", LLAMA, "bf16", 32768),
    "mistral with a window": ("mistral-7b-v0.1", LLAMA | {"sliding_window": 4096, "vocab_size": 32000}, "bf16", 32768),
    "nemo": ("mistral-nemo-12b-2407", NEMO | {"sliding_window": None}, "bf16", 131072),
    "small 3": ("mistral-small-3-24b-2501", SMALL_3, "bf16", 131072),
    "mixtral": ("mixtral-8x7b", MIXTRAL, "bf16", 32768),
    "mistral3": (
        "mistral-small-3.2-24b-2506",
        {"model_type": "mistral3", "text_config": SMALL_3, "vision_config": PIXTRAL},
        "bf16",
        131072,
    ),
    "pixtral in llava": (
        "pixtral-12b-2409",
        {"model_type": "llava", "text_config": NEMO, "vision_config": PIXTRAL | {"image_size": 1024}},
        "bf16",
        131072,
    ),
    "ministral3": (
        "ministral-3-3b-2512",
        {"model_type": "mistral3", "text_config": MINISTRAL, "vision_config": PIXTRAL, **FP8},
        "fp8",
        262144,
    ),
    "mistral4": (
        "mistral-small-4-119b-2603",
        {"model_type": "mistral3", "text_config": SMALL_4, "vision_config": PIXTRAL, **FP8},
        "fp8",
        1048576,
    ),
    "mamba2": ("mamba-codestral-7b-v0.1", MAMBA, "bf16", None),
    "voxtral": (
        "voxtral-mini-3b-2507",
        {"model_type": "voxtral", "text_config": VOXTRAL, "audio_config": WHISPER},
        "bf16",
        131072,
    ),
    "voxtral realtime": (
        "voxtral-mini-4b-realtime-2602",
        {"model_type": "voxtral_realtime", "text_config": REALTIME_TEXT, "audio_config": REALTIME},
        "bf16",
        131072,
    ),
    "params of large 3": ("mistral-large-3-675b-2512", LARGE_3, "fp8", 294912),
    "params of 7b": ("mistral-7b-v0.3", PARAMS_7B, "bf16", None),
    "params of mixtral": ("mixtral-8x7b", PARAMS_MIXTRAL, "bf16", None),
    "params of ministral": ("ministral-3-3b-2512", PARAMS_MINISTRAL, "fp8", 262144),
    "params of voxtral realtime": ("voxtral-mini-4b-realtime-2602", PARAMS_REALTIME, "bf16", 131072),
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
SMALL_JSON = JSON | st.integers(1, 64)


def read(content: object) -> CheckpointConfig:
    result = read_config(content)
    assert isinstance(result, CheckpointConfig), result
    return result


def without_towers(architecture: Architecture) -> Architecture:
    return replace(architecture, vision=None, audio=None)


@pytest.mark.parametrize("case", CASES)
def test_the_dimensions_are_the_catalogues(case: str) -> None:
    name, config, precision, context = CASES[case]
    result = read(config)
    known = KNOWN.models[name].architecture
    assert without_towers(result.architecture) == without_towers(known)
    assert (result.numbers.precision, result.max_context) == (precision, context)
    for found, wanted in ((result.architecture.vision, known.vision), (result.architecture.audio, known.audio)):
        assert (found is None) == (wanted is None)
        if found and wanted:
            assert (found.layers, found.hidden) == (wanted.layers, wanted.hidden)
    # The parameters of encoders are estimated.
    assert tower_parameters(result.architecture) == pytest.approx(tower_parameters(known), rel=0.06)


@pytest.mark.parametrize("name", KNOWN.models)
def test_every_model_of_the_catalogue_is_read_back(name: str) -> None:
    wanted = KNOWN.models[name].architecture
    assert without_towers(read(write_config(wanted)).architecture) == without_towers(wanted)
    if not wanted.state_space:
        assert without_towers(read(write_params(wanted)).architecture) == without_towers(wanted)


def write_config(model: Architecture) -> dict[str, Any]:
    if model.state_space:
        space = model.state_space
        return MAMBA | {"num_hidden_layers": model.layers, "num_heads": space.heads, "n_groups": space.groups}
    experts, latent = model.experts, model.latent
    mixture = {
        "n_routed_experts": experts.count, "num_experts_per_tok": experts.active, "n_shared_experts": experts.shared,
        "moe_intermediate_size": experts.intermediate, "first_k_dense_replace": experts.dense_layers,
    } if experts else {}  # fmt: skip
    return {
        "num_hidden_layers": model.layers, "hidden_size": model.hidden, "intermediate_size": model.intermediate,
        "num_attention_heads": model.heads, "num_key_value_heads": model.kv_heads, "head_dim": model.head_dim,
        "vocab_size": model.vocabulary, "tie_word_embeddings": model.tied_embeddings,
        "sliding_window": model.sliding_window, **mixture, **(write_latent(model) if latent else {}),
    }  # fmt: skip


def write_params(model: Architecture) -> dict[str, Any]:
    experts = model.experts
    mixture = {
        "moe": {
            "num_experts": experts.count, "num_experts_per_tok": experts.active, "num_shared_experts": experts.shared,
            "expert_hidden_dim": experts.intermediate, "first_k_dense_replace": experts.dense_layers,
        },
    } if experts else {}  # fmt: skip
    return {
        "n_layers": model.layers, "dim": model.hidden, "hidden_dim": model.intermediate, "n_heads": model.heads,
        "n_kv_heads": model.kv_heads, "head_dim": model.head_dim, "vocab_size": model.vocabulary,
        "tied_embeddings": model.tied_embeddings, "sliding_window": model.sliding_window, **mixture,
        **(write_latent(model) if model.latent else {}),
    }  # fmt: skip


def write_latent(model: Architecture) -> dict[str, int]:
    latent = model.latent
    assert latent
    return {
        "q_lora_rank": latent.query_rank, "kv_lora_rank": latent.rank, "qk_nope_head_dim": latent.nope_dim,
        "qk_rope_head_dim": latent.rope_dim, "v_head_dim": latent.value_dim,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([], "no mapping of keys"),
        ({}, "intermediate_size is missing"),
        (LLAMA | {"hidden_size": None}, "hidden_size is missing"),
        (LLAMA | {"num_hidden_layers": -3}, "num_hidden_layers is -3; expected a whole number from 1"),
        (LLAMA | {"num_hidden_layers": 0}, "num_hidden_layers is 0"),
        (LLAMA | {"vocab_size": 10**30}, "vocab_size is a number beyond all bounds"),
        (LLAMA | {"vocab_size": 1 << 25}, "vocab_size is 33554432; expected a whole number from 1 to 16,777,216"),
        (LLAMA | {"vocab_size": True}, "vocab_size is True"),
        (LLAMA | {"vocab_size": 32768.0}, "vocab_size is 32768.0"),
        (LLAMA | {"vocab_size": "32768"}, "vocab_size is '32768'"),
        (LLAMA | {"vocab_size": [1]}, "vocab_size is a list"),
        (LLAMA | {"num_key_value_heads": 5}, "5 key-value heads do not divide 32"),
        (LLAMA | {"num_attention_heads": 8192}, "head_dim is missing, and a width of 4096 does not hold 8192 heads"),
        (LLAMA | {"model_type": "qwen3_next"}, "model_type is 'qwen3_next'; planned are mistral, mixtral"),
        (LLAMA | {"model_type": 3}, "model_type is 3; expected a text"),
        (LLAMA | {"tie_word_embeddings": "yes"}, "tie_word_embeddings is 'yes'; expected true or false"),
        (LLAMA | {"sliding_window": -1}, "sliding_window is -1"),
        (LLAMA | {"vision_config": [PIXTRAL]}, "vision_config is a list; expected a mapping"),
        (MIXTRAL | {"num_experts_per_tok": 9}, "num_experts_per_tok is 9, and there are 8 experts"),
        (SMALL_4 | {"first_k_dense_replace": 36}, "first_k_dense_replace is 36, and there are 36 layers"),
        (SMALL_4 | {"moe_layer_freq": 2}, "moe_layer_freq is not 1"),
        (SMALL_4 | {"q_lora_rank": None}, "q_lora_rank is missing"),
        ({"model_type": "mistral3", "vision_config": PIXTRAL}, "text_config is missing"),
        ({"text_config": SMALL_3 | {"model_type": "gemma3"}}, "text_config.model_type is 'gemma3'"),
        ({"text_config": SMALL_3 | {"vocab_size": None}}, "text_config.vocab_size is missing"),
        (
            {"text_config": SMALL_3, "vision_config": PIXTRAL | {"hidden_size": 0}},
            "vision_config.hidden_size is 0",
        ),
        ({"text_config": VOXTRAL, "audio_config": {"hidden_size": 1280}}, "audio_config.num_hidden_layers is missing"),
        (MAMBA | {"n_groups": 7}, "n_groups is 7, which does not divide"),
        (MAMBA | {"num_heads": 64}, "num_heads is 64 of 64 each, not hidden_size × expand = 8192"),
        (PARAMS_7B | {"n_layers": None}, "n_layers is missing"),
        (PARAMS_7B | {"model_type": "mamba"}, "give its config.json"),
        (PARAMS_7B | {"multimodal": {"vision_encoder_args": {}}}, "multimodal.whisper_model_args is missing"),
        (PARAMS_MIXTRAL | {"moe": {"num_experts": 8}}, "moe.num_experts_per_tok is missing"),
    ],
)
def test_what_is_wrong_is_named(content: object, words: str) -> None:
    result = read_config(content)
    assert isinstance(result, ConfigFault)
    assert words in result.message


GROUP_8: dict[str, Any] = {"num_bits": 8, "type": "float", "strategy": "channel", "group_size": None}
GROUP_4: dict[str, Any] = {"num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16}


def compressed(*groups: dict[str, Any], form: str = "float-quantized") -> dict[str, Any]:
    numbered = {f"group_{number}": {"targets": ["Linear"], "weights": group} for number, group in enumerate(groups)}
    return {"quant_method": "compressed-tensors", "format": form, "config_groups": numbered, "ignore": ["lm_head"]}


@pytest.mark.parametrize(
    ("quantization", "precision", "group"),
    [
        (None, "bf16", None),
        ({"quant_method": "fp8"}, "fp8", None),
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, "fp8", 128),
        ({"quant_method": "fbgemm_fp8"}, "fp8", None),
        (compressed(GROUP_8), "fp8", None),
        (compressed(GROUP_8 | {"strategy": "block", "block_structure": [128, 128]}), "fp8", 128),
        (compressed(GROUP_8, GROUP_8), "fp8", None),
        (compressed(GROUP_4, form="nvfp4-pack-quantized"), "nvfp4", None),
        (compressed(), "fp8", None),
        (compressed(form="nvfp4-pack-quantized"), "nvfp4", None),
        ({"quant_method": "compressed_tensors", "format": "float-quantized"}, "fp8", None),
        ({"quant_method": "modelopt", "quant_algo": "FP8"}, "fp8", None),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, "nvfp4", None),
    ],
)
def test_the_number_format_is_read(quantization: dict[str, Any] | None, precision: str, group: int | None) -> None:
    numbers = read(LLAMA | {"quantization_config": quantization}).numbers
    assert (numbers.precision, numbers.group) == (precision, group)


@pytest.mark.parametrize(
    ("quantization", "words"),
    [
        ({"quant_method": "gptq", "bits": 4}, "quantization_config.quant_method is 'gptq'; planned are FP8 and NVFP4"),
        ({"bits": 4}, "quantization_config.quant_method is ''"),
        ("fp8", "quantization_config is 'fp8'; expected a mapping"),
        ({"quant_method": ["fp8"]}, "quantization_config.quant_method is a list"),
        ({"quant_method": "fp8", "weight_block_size": [128]}, "weight_block_size is no pair of whole numbers"),
        ({"quant_method": "fp8", "weight_block_size": 128}, "weight_block_size is no pair of whole numbers"),
        ({"quant_method": "modelopt", "quant_algo": "W4A8_AWQ"}, "quant_algo is 'W4A8_AWQ'"),
        (compressed({"num_bits": 4, "type": "int", "group_size": 128}), "is 4 of type 'int' in groups of 128"),
        (compressed(GROUP_4 | {"group_size": 32}), "is 4 of type 'float' in groups of 32"),
        (compressed(GROUP_8, GROUP_4), "config_groups has several number formats"),
        (compressed(form="pack-quantized"), "format is 'pack-quantized'"),
    ],
)
def test_a_number_format_that_is_not_planned_is_named(quantization: object, words: str) -> None:
    result = read_config(LLAMA | {"quantization_config": quantization})
    assert isinstance(result, ConfigFault)
    assert words in result.message


def test_a_head_without_a_width_has_what_transformers_gives_it() -> None:
    assert read(LLAMA).architecture.head_dim == 4096 // 32
    assert read(SMALL_4 | {"qk_rope_head_dim": 32}).architecture.head_dim == 64 + 32
    assert read(LLAMA | {"num_key_value_heads": None}).architecture.kv_heads == 32


@pytest.mark.parametrize("window", [None, [None, 32768, 32768, 32768], [4096]])
def test_layers_that_may_see_everything_have_no_window(window: object) -> None:
    assert read(LLAMA | {"sliding_window": window}).architecture.sliding_window is None


def test_the_least_context_that_is_named_counts() -> None:
    assert read(PARAMS_7B | {"max_seq_len": 128000, "max_position_embeddings": 32768}).max_context == 32768


@given(JSON)
def test_any_json_has_an_answer(content: Any) -> None:
    assert isinstance(read_config(content), CheckpointConfig | ConfigFault)


@given(st.data())
def test_any_change_of_a_configuration_has_an_answer_and_a_plan_or_a_refusal(data: st.DataObject) -> None:
    content = dict(CASES[data.draw(st.sampled_from(list(CASES)))][1])
    part = data.draw(st.sampled_from(["", *(key for key, value in content.items() if isinstance(value, dict))]))
    target = dict(content[part]) if part else content
    for key in data.draw(st.lists(st.sampled_from(sorted(target)), min_size=1, max_size=4)):
        target[key] = data.draw(SMALL_JSON)
    if part:
        content[part] = target
    result = read_config(content)
    if isinstance(result, ConfigFault):
        assert result.message
        return
    entry = describe_checkpoint(result, "mine")
    spec = {"model": "mine", "allowExperimental": True}
    model = MistralModel.model_validate({"metadata": {"name": "mine"}, "spec": spec})
    answer = plan_model(model, replace(KNOWN, models={"mine": entry}), DEFAULT, offline_settings())
    assert isinstance(answer, Plan | PlanRefused)
