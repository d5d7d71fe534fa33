"""A checkpoint's own configuration → the dimensions that the planner needs. Pure, and never an exception for any JSON.

Two layouts: Hugging Face's `config.json` (transformers, models/*/configuration_*.py), with `text_config`,
`vision_config` and `audio_config` inside for models that see or hear; and Mistral's `params.json`, by the keys that
vLLM reads (vllm/transformers_utils/configs/mistral.py). A size that transformers would fill in by a default is asked
for: only what follows from other keys is derived.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from mistral_operator.catalogue.architecture import Architecture, Experts, LatentAttention, StateSpace
from mistral_operator.catalogue.checkpoint_keys import KeyFaultError, Keys, quote
from mistral_operator.catalogue.checkpoint_numbers import NumberFormat, read_number_format
from mistral_operator.catalogue.checkpoint_towers import read_audio, read_vision

MAMBA: Final = "mamba2"
_TEXT_TYPES: Final = (
    "mistral", "mixtral", "ministral", "ministral3", "mistral4", "llama", "voxtral_realtime_text", MAMBA,
)  # fmt: skip
"""Layers of these are like those that the planner counts; `llama` is what Voxtral's text part is called."""
_OUTER_TYPES: Final = ("mistral3", "pixtral", "llava", "voxtral", "voxtral_realtime")
"""Models with an encoder around a text part."""


@dataclass(frozen=True, slots=True)
class CheckpointConfig:
    """What a configuration says."""

    architecture: Architecture
    numbers: NumberFormat
    max_context: int | None
    """Tokens; None where it doesn't say."""


@dataclass(frozen=True, slots=True)
class ConfigFault:
    """Why a configuration can't be planned, and which key says so."""

    message: str


def read_config(content: object) -> CheckpointConfig | ConfigFault:
    """Read the content of a `config.json` or `params.json`."""
    try:
        if not isinstance(content, Mapping):
            raise KeyFaultError("it is no mapping of keys; expected a config.json or params.json")
        keys = Keys(content)
        return _read_params(keys) if keys.has("dim") else _read_hugging_face(keys)
    except KeyFaultError as fault:
        return ConfigFault(str(fault))


def _read_params(keys: Keys) -> CheckpointConfig:
    if keys.text("model_type").startswith("mamba"):
        raise keys.fault(
            "model_type", "is a Mamba model, whose params.json doesn't say its heads; give its config.json"
        )
    inner, latent, experts = keys.whole("hidden_dim"), _read_latent(keys), keys.part("moe")
    architecture = _build(
        keys,
        layers=keys.whole("n_layers"),
        hidden=keys.whole("dim"),
        intermediate=inner,
        heads=keys.whole("n_heads"),
        kv_heads=keys.whole("n_kv_heads", default=keys.whole("n_heads")),
        latent=latent,
        experts=_read_experts(experts, inner, "route_every_n") if experts else None,
        tied=keys.flag("tied_embeddings"),
    )
    sound = keys.part("multimodal")
    whisper = sound.part("whisper_model_args") if sound else None
    if sound and not whisper:
        raise sound.fault("whisper_model_args", "is missing, and nothing else of multimodal is planned")
    architecture = replace(
        architecture,
        vision=read_vision(keys.part("vision_encoder")),
        audio=read_audio(whisper.part("encoder_args")) if whisper else None,
    )
    return CheckpointConfig(architecture, read_number_format(keys.part("quantization")), _read_context(keys))


def _read_hugging_face(keys: Keys) -> CheckpointConfig:
    outer, text = keys.text("model_type"), keys.part("text_config")
    if outer in _OUTER_TYPES and text is None:
        raise keys.fault("text_config", "is missing")
    text = text or keys
    for holder in (keys, text):
        kind = holder.text("model_type")
        if kind and kind not in (*_TEXT_TYPES, *_OUTER_TYPES):
            raise holder.fault(
                "model_type", f"is {quote(kind)}; planned are {', '.join((*_TEXT_TYPES, *_OUTER_TYPES))}"
            )
    quantization = keys.part("quantization_config") or text.part("quantization_config")
    numbers, context = read_number_format(quantization), _read_context(text)
    if text.text("model_type") == MAMBA:
        return CheckpointConfig(_read_mamba(text), numbers, context)
    tied = text.flag("tie_word_embeddings")
    architecture = replace(
        _read_text(text, keys.flag("tie_word_embeddings") if tied is None else tied),
        vision=read_vision(keys.part("vision_config")),
        audio=read_audio(keys.part("audio_config"), realtime=outer == "voxtral_realtime"),
    )
    return CheckpointConfig(architecture, numbers, context)


def _read_text(keys: Keys, tied: bool | None) -> Architecture:
    inner = keys.whole("intermediate_size")
    has_experts = keys.has("num_local_experts") or keys.has("n_routed_experts")
    return _build(
        keys,
        layers=keys.whole("num_hidden_layers"),
        hidden=keys.whole("hidden_size"),
        intermediate=inner,
        heads=keys.whole("num_attention_heads"),
        kv_heads=keys.whole("num_key_value_heads", default=keys.whole("num_attention_heads")),
        latent=_read_latent(keys),
        experts=_read_experts(keys, inner, "moe_layer_freq") if has_experts else None,
        tied=tied,
    )


def _build(
    keys: Keys,
    *,
    layers: int,
    hidden: int,
    intermediate: int,
    heads: int,
    kv_heads: int,
    latent: LatentAttention | None,
    experts: Experts | None,
    tied: bool | None,
) -> Architecture:
    if heads % kv_heads:
        raise KeyFaultError(f"{kv_heads} key-value heads do not divide {heads} attention heads")
    if experts and experts.dense_layers >= layers:
        raise KeyFaultError(f"first_k_dense_replace is {experts.dense_layers}, and there are {layers} layers")
    # What transformers takes for a head that has no width of its own.
    usual = latent.nope_dim + latent.rope_dim if latent else hidden // heads
    if not usual and not keys.has("head_dim"):
        raise keys.fault("head_dim", f"is missing, and a width of {hidden} does not hold {heads} heads")
    return Architecture(
        kind="moe" if experts else "dense",
        layers=layers,
        hidden=hidden,
        intermediate=intermediate,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=keys.whole("head_dim", default=usual),
        vocabulary=keys.whole("vocab_size"),
        tied_embeddings=tied is True,
        sliding_window=_read_window(keys),
        experts=experts,
        vision=None,
        latent=latent,
    )


def _read_mamba(keys: Keys) -> Architecture:
    hidden, heads = keys.whole("hidden_size"), keys.whole("num_heads")
    space = StateSpace(
        heads=heads,
        head_dim=keys.whole("head_dim"),
        state=keys.whole("state_size"),
        groups=keys.whole("n_groups"),
        expand=keys.whole("expand"),
        convolution=keys.whole("conv_kernel"),
    )
    if heads % space.groups:
        raise keys.fault("n_groups", f"is {space.groups}, which does not divide num_heads = {heads}")
    if heads * space.head_dim != hidden * space.expand:
        raise keys.fault(
            "num_heads", f"is {heads} of {space.head_dim} each, not hidden_size × expand = {hidden * space.expand}"
        )
    return Architecture(
        kind="mamba",
        layers=keys.whole("num_hidden_layers"),
        hidden=hidden,
        intermediate=0,
        heads=0,
        kv_heads=0,
        head_dim=0,
        vocabulary=keys.whole("vocab_size"),
        tied_embeddings=keys.flag("tie_word_embeddings") is True,
        sliding_window=None,
        experts=None,
        vision=None,
        state_space=space,
    )


def _read_experts(keys: Keys, width: int, frequency: str) -> Experts:
    """Both layouts: the names differ, and a shared or a first dense layer may be left out."""
    count = keys.whole("num_local_experts", "n_routed_experts", "num_experts")
    active = keys.whole("num_experts_per_tok")
    if active > count:
        raise keys.fault("num_experts_per_tok", f"is {active}, and there are {count} experts")
    if keys.whole(frequency, default=1) != 1:
        raise keys.fault(frequency, "is not 1; experts in every layer are planned")
    return Experts(
        count=count,
        active=active,
        intermediate=keys.whole("moe_intermediate_size", "expert_hidden_dim", default=width),
        shared=keys.whole("n_shared_experts", "num_shared_experts", default=0, least=0),
        dense_layers=keys.whole("first_k_dense_replace", default=0, least=0),
    )


def _read_latent(keys: Keys) -> LatentAttention | None:
    if not keys.has("kv_lora_rank"):
        return None
    return LatentAttention(
        query_rank=keys.whole("q_lora_rank"),
        rank=keys.whole("kv_lora_rank"),
        nope_dim=keys.whole("qk_nope_head_dim"),
        rope_dim=keys.whole("qk_rope_head_dim"),
        value_dim=keys.whole("v_head_dim"),
    )


def _read_window(keys: Keys) -> int | None:
    """A list says it layer by layer: those that see everything decide about memory."""
    if not keys.has("sliding_window") or keys.items("sliding_window") is not None:
        return None
    return keys.whole("sliding_window")


def _read_context(keys: Keys) -> int | None:
    """The least of what it says: vLLM goes by that, too."""
    names = ("max_position_embeddings", "max_seq_len", "model_max_length")
    return min((keys.whole(name) for name in names if keys.has(name)), default=None)
