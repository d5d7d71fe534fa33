"""A checkpoint's own configuration → the dimensions that the planner needs. Pure, and never an exception for any JSON.

Two layouts: Hugging Face's `config.json` (with `text_config`, `vision_config` and `audio_config` inside for models that
see or hear), and Mistral's `params.json`. Sizes of encoders are estimated from their dimensions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from mistral_operator.catalogue.architecture import (
    Architecture,
    AudioTower,
    Experts,
    LatentAttention,
    StateSpace,
    VisionTower,
)

MOST: Final = 1 << 24
"""No dimension of a model is larger."""
Config = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CheckpointConfig:
    """What a configuration says."""

    architecture: Architecture
    precision: str
    max_context: int


@dataclass(frozen=True, slots=True)
class ConfigFault:
    """Why a configuration can't be planned, and which key says so."""

    message: str


class _FaultError(Exception):
    pass


def read_config(content: object) -> CheckpointConfig | ConfigFault:
    """Read the content of a `config.json` or `params.json`."""
    try:
        if not isinstance(content, Mapping):
            raise _FaultError("it is no mapping")
        return _read_params(content) if "dim" in content else _read_hugging_face(content)
    except _FaultError as fault:
        return ConfigFault(str(fault))


def _read_params(config: Config) -> CheckpointConfig:
    """Mistral's layout. A model whose text part is nested has the same keys there."""
    hidden, heads = _whole(config, "dim"), _whole(config, "n_heads")
    experts = _part(config, "moe")
    return CheckpointConfig(
        architecture=_build(
            layers=_whole(config, "n_layers"),
            hidden=hidden,
            intermediate=_whole(config, "hidden_dim"),
            heads=heads,
            kv_heads=_whole(config, "n_kv_heads", heads),
            head_dim=_whole(config, "head_dim", hidden // heads),
            vocabulary=_whole(config, "vocab_size"),
            tied=config.get("tied_embeddings") is True,
            window=_window(config),
            experts=_experts(experts, _whole(config, "hidden_dim")) if experts else None,
            latent=_latent(config),
            vision=_vision(_part(config, "vision_encoder"), "num_hidden_layers", "hidden_size"),
            audio=_audio(_part(_part(config, "multimodal"), "whisper_model_args").get("encoder_args")),
        ),
        precision=_precision(_part(config, "quantization")),
        max_context=_first_whole(config, ("max_seq_len", "max_position_embeddings"), 32768),
    )


def _read_hugging_face(config: Config) -> CheckpointConfig:
    text = _part(config, "text_config") or config
    if config.get("model_type") == "mamba2" or text.get("model_type") == "mamba2":
        return _read_mamba(text)
    hidden, heads = _whole(text, "hidden_size"), _whole(text, "num_attention_heads")
    intermediate = _whole(text, "intermediate_size")
    count = _first_whole(text, ("num_local_experts", "n_routed_experts"), 0)
    return CheckpointConfig(
        architecture=_build(
            layers=_whole(text, "num_hidden_layers"),
            hidden=hidden,
            intermediate=intermediate,
            heads=heads,
            kv_heads=_whole(text, "num_key_value_heads", heads),
            head_dim=_whole(text, "head_dim", hidden // heads),
            vocabulary=_whole(text, "vocab_size"),
            tied=text.get("tie_word_embeddings", config.get("tie_word_embeddings")) is True,
            window=_window(text),
            experts=_experts(text, intermediate) if count else None,
            latent=_latent(text),
            vision=_vision(_part(config, "vision_config"), "num_hidden_layers", "hidden_size"),
            audio=_audio(config.get("audio_config")),
        ),
        precision=_precision(_part(config, "quantization_config")),
        max_context=_whole(text, "max_position_embeddings", 32768),
    )


def _read_mamba(config: Config) -> CheckpointConfig:
    heads = _whole(config, "num_heads")
    space = StateSpace(
        heads=heads,
        head_dim=_whole(config, "head_dim"),
        state=_whole(config, "state_size"),
        groups=_whole(config, "n_groups"),
        expand=_whole(config, "expand", 2),
        convolution=_whole(config, "conv_kernel", 4),
    )
    if heads % space.groups:
        raise _FaultError(f"n_groups is {space.groups}, which does not divide num_heads = {heads}")
    architecture = Architecture(
        kind="mamba",
        layers=_whole(config, "num_hidden_layers"),
        hidden=_whole(config, "hidden_size"),
        intermediate=0,
        heads=0,
        kv_heads=0,
        head_dim=0,
        vocabulary=_whole(config, "vocab_size"),
        tied_embeddings=config.get("tie_word_embeddings") is True,
        sliding_window=None,
        experts=None,
        vision=None,
        state_space=space,
    )
    return CheckpointConfig(architecture, _precision(_part(config, "quantization_config")), 32768)


def _build(
    *,
    layers: int,
    hidden: int,
    intermediate: int,
    heads: int,
    kv_heads: int,
    head_dim: int,
    vocabulary: int,
    tied: bool,
    window: int | None,
    experts: Experts | None,
    latent: LatentAttention | None,
    vision: VisionTower | None,
    audio: AudioTower | None,
) -> Architecture:
    if heads % kv_heads:
        raise _FaultError(f"{kv_heads} key-value heads do not divide {heads} attention heads")
    if experts and experts.dense_layers >= layers:
        raise _FaultError(f"first_k_dense_replace is {experts.dense_layers}, and there are {layers} layers")
    return Architecture(
        kind="moe" if experts else "dense",
        layers=layers,
        hidden=hidden,
        intermediate=intermediate,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        vocabulary=vocabulary,
        tied_embeddings=tied,
        sliding_window=window,
        experts=experts,
        vision=vision,
        latent=latent,
        audio=audio,
    )


def _experts(config: Config, width: int) -> Experts:
    """Both layouts: the names differ, and a shared or a first dense layer may be left out."""
    count = _first_whole(config, ("num_local_experts", "n_routed_experts", "num_experts"))
    active = _first_whole(config, ("num_experts_per_tok", "num_experts_per_token"))
    if active > count:
        raise _FaultError(f"num_experts_per_tok is {active}, and there are {count} experts")
    return Experts(
        count=count,
        active=active,
        intermediate=_first_whole(config, ("moe_intermediate_size", "expert_hidden_dim"), width),
        shared=_first_whole(config, ("n_shared_experts", "num_shared_experts"), 0, least=0),
        dense_layers=_whole(config, "first_k_dense_replace", 0, least=0),
    )


def _latent(config: Config) -> LatentAttention | None:
    if config.get("kv_lora_rank") is None:
        return None
    return LatentAttention(
        query_rank=_whole(config, "q_lora_rank"),
        rank=_whole(config, "kv_lora_rank"),
        nope_dim=_whole(config, "qk_nope_head_dim"),
        rope_dim=_whole(config, "qk_rope_head_dim"),
        value_dim=_whole(config, "v_head_dim"),
    )


def _vision(config: Config, layers: str, hidden: str) -> VisionTower | None:
    if not config:
        return None
    depth, width = _whole(config, layers), _whole(config, hidden)
    inner = _whole(config, "intermediate_size", 4 * width)
    parameters = depth * (4 * width * width + 3 * width * inner)
    patch, image = _whole(config, "patch_size", 14), _whole(config, "image_size", 1540)
    return VisionTower("by its configuration", parameters, depth, width, patch, image)


def _audio(config: object) -> AudioTower | None:
    if not isinstance(config, Mapping) or not config:
        return None
    depth = _first_whole(config, ("num_hidden_layers", "encoder_layers", "n_layers"))
    width = _first_whole(config, ("hidden_size", "d_model", "dim"))
    inner = _first_whole(config, ("intermediate_size", "encoder_ffn_dim", "hidden_dim"), 4 * width)
    return AudioTower("by its configuration", depth * (4 * width * width + 2 * width * inner), depth, width)


def _precision(quantization: Config) -> str:
    """The number format of the linear layers; 16 bit where nothing is said."""
    words = " ".join(
        str(quantization.get(key, "")) for key in ("quant_method", "format", "qformat_weight", "quant_algo")
    )
    if not words.strip():
        return "bf16"
    for name in ("nvfp4", "fp8"):
        if name in words.lower():
            return name
    raise _FaultError(f"the quantization {words.strip()[:60]} is not planned; known are fp8 and nvfp4")


def _window(config: Config) -> int | None:
    window = config.get("sliding_window")
    return None if window is None or isinstance(window, list) else _whole(config, "sliding_window")


def _part(config: object, key: str) -> Config:
    part = config.get(key) if isinstance(config, Mapping) else None
    return part if isinstance(part, Mapping) else {}


def _first_whole(config: Config, keys: tuple[str, ...], default: int | None = None, least: int = 1) -> int:
    found = next((key for key in keys if config.get(key) is not None), keys[0])
    return _whole(config, found, default, least)


def _whole(config: Config, key: str, default: int | None = None, least: int = 1) -> int:
    value = config.get(key)
    if value is None and default is not None:
        return default
    if value is None:
        raise _FaultError(f"{key} is missing")
    if type(value) is not int or not least <= value <= MOST:
        raise _FaultError(f"{key} is {str(value)[:40]}; expected a whole number from {least} to {MOST:,}")
    return value
