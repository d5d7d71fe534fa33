"""The part `architecture` of a model's file → a typed and checked entry."""

from functools import partial

from mistral_operator.catalogue.architecture import (
    Architecture,
    AudioTower,
    Experts,
    LatentAttention,
    StateSpace,
    VisionTower,
)
from mistral_operator.catalogue.reader import MOST_PARAMETERS, Reader

KINDS = ("dense", "moe", "mamba")


def read_architecture(reader: Reader) -> Architecture:
    """Read the dimensions; a Mamba model has none of attention's."""
    kind = reader.one_of("kind", KINDS)
    attention = reader.whole if kind != "mamba" else partial(_absent, reader)
    result = Architecture(
        kind=kind,
        layers=reader.whole("layers"),
        hidden=reader.whole("hidden"),
        intermediate=attention("intermediate"),
        heads=attention("heads"),
        kv_heads=attention("kv_heads"),
        head_dim=attention("head_dim"),
        vocabulary=reader.whole("vocabulary"),
        tied_embeddings=reader.flag("tied_embeddings"),
        sliding_window=reader.optional(reader.whole, "sliding_window", None),
        experts=_experts(reader.inner("experts")) if reader.has("experts") else None,
        vision=_vision(reader.inner("vision")) if reader.has("vision") else None,
        latent=_latent(reader.inner("latent")) if reader.has("latent") else None,
        audio=_audio(reader.inner("audio")) if reader.has("audio") else None,
        state_space=_state_space(reader.inner("state_space")) if reader.has("state_space") else None,
    )
    reader.done()
    _check_architecture(reader, result)
    return result


def _check_architecture(reader: Reader, result: Architecture) -> None:
    if (result.kind == "moe") != (result.experts is not None):
        raise reader.error("experts", "experts exactly where kind is moe", result.kind)
    if (result.kind == "mamba") != (result.state_space is not None):
        raise reader.error("state_space", "a state space exactly where kind is mamba", result.kind)
    if result.kv_heads and result.heads % result.kv_heads:
        raise reader.error("kv_heads", f"a divisor of heads = {result.heads}", result.kv_heads)
    if result.experts and result.experts.active > result.experts.count:
        raise reader.error("experts: active", f"at most count = {result.experts.count}", result.experts.active)
    if result.experts and result.experts.dense_layers >= result.layers:
        raise reader.error("experts: dense_layers", f"fewer than layers = {result.layers}", result.experts.dense_layers)


def _absent(reader: Reader, key: str) -> int:
    """A dimension that a model without attention must not have."""
    if reader.has(key):
        raise reader.error(key, "nothing: a Mamba model has no attention", reader.whole(key))
    return 0


def _experts(reader: Reader) -> Experts:
    result = Experts(
        count=reader.whole("count"),
        active=reader.whole("active"),
        intermediate=reader.whole("intermediate"),
        shared=reader.optional(reader.whole, "shared", 0),
        dense_layers=reader.optional(reader.whole, "dense_layers", 0),
    )
    reader.done()
    return result


def _latent(reader: Reader) -> LatentAttention:
    result = LatentAttention(
        query_rank=reader.whole("query_rank"),
        rank=reader.whole("rank"),
        nope_dim=reader.whole("nope_dim"),
        rope_dim=reader.whole("rope_dim"),
        value_dim=reader.whole("value_dim"),
    )
    reader.done()
    return result


def _vision(reader: Reader) -> VisionTower:
    result = VisionTower(
        encoder=reader.text("encoder"),
        parameters=reader.whole("parameters", most=MOST_PARAMETERS),
        layers=reader.optional(reader.whole, "layers", None),
        hidden=reader.optional(reader.whole, "hidden", None),
        patch=reader.optional(reader.whole, "patch", None),
        max_image=reader.optional(reader.whole, "max_image", None),
    )
    reader.done()
    return result


def _audio(reader: Reader) -> AudioTower:
    result = AudioTower(
        encoder=reader.text("encoder"),
        parameters=reader.whole("parameters", most=MOST_PARAMETERS),
        layers=reader.whole("layers"),
        hidden=reader.whole("hidden"),
    )
    reader.done()
    return result


def _state_space(reader: Reader) -> StateSpace:
    result = StateSpace(
        heads=reader.whole("heads"),
        head_dim=reader.whole("head_dim"),
        state=reader.whole("state"),
        groups=reader.whole("groups"),
        expand=reader.whole("expand"),
        convolution=reader.whole("convolution"),
    )
    reader.done()
    if result.heads % result.groups:
        raise reader.error("groups", f"a divisor of heads = {result.heads}", result.groups)
    return result
