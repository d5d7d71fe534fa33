"""One file of `models/` → a typed and checked entry."""

from mistral_operator.catalogue.architecture import Architecture, Experts, LatentAttention, VisionTower
from mistral_operator.catalogue.model import Checkpoint, License, Model, ModelEngine
from mistral_operator.catalogue.provenance import read_provenance
from mistral_operator.catalogue.reader import Reader

PRECISIONS = ("bf16", "fp8")
"""Of published weights."""


def parse_model(reader: Reader) -> Model:
    """Parse one file of `models/`."""
    context = reader.inner("context")
    engines = reader.inner("engines")
    memory = reader.inner("documented_memory_gb")
    model = Model(
        id=reader.text("id"),
        name=reader.text("name"),
        family=reader.text("family"),
        released=reader.text("released"),
        aliases=reader.texts("aliases"),
        license=_license(reader.inner("license")),
        parameters=reader.whole("parameters"),
        architecture=_architecture(reader.inner("architecture")),
        max_context=context.whole("maximum"),
        recommended_context=context.whole("recommended"),
        precision=reader.one_of("precision", PRECISIONS),
        checkpoints=tuple(_checkpoint(item) for item in reader.items("checkpoints")),
        engines={name: _model_engine(engines.inner(name)) for name in engines.keys()},  # noqa: SIM118  a Reader is no dict
        documented_memory_gb={name: memory.whole(name) for name in memory.keys()},  # noqa: SIM118
        modalities=reader.texts("modalities"),
        notes=reader.texts("notes"),
        provenance=read_provenance(reader),
    )
    context.done()
    reader.done()
    if not model.checkpoints:
        raise reader.error("checkpoints", "at least one repository", [])
    if model.recommended_context > model.max_context:
        raise reader.error("context", f"recommended ≤ maximum = {model.max_context}", model.recommended_context)
    return model


def _license(reader: Reader) -> License:
    result = License(id=reader.text("id"), commercial_use=reader.one_of("commercial_use", ("yes", "no", "conditional")))
    reader.done()
    return result


def _architecture(reader: Reader) -> Architecture:
    result = Architecture(
        kind=reader.one_of("kind", ("dense", "moe")),
        layers=reader.whole("layers"),
        hidden=reader.whole("hidden"),
        intermediate=reader.whole("intermediate"),
        heads=reader.whole("heads"),
        kv_heads=reader.whole("kv_heads"),
        head_dim=reader.whole("head_dim"),
        vocabulary=reader.whole("vocabulary"),
        tied_embeddings=reader.flag("tied_embeddings"),
        sliding_window=reader.optional(reader.whole, "sliding_window", None),
        experts=_experts(reader.inner("experts")) if reader.has("experts") else None,
        vision=_vision(reader.inner("vision")) if reader.has("vision") else None,
        latent=_latent(reader.inner("latent")) if reader.has("latent") else None,
    )
    reader.done()
    if (result.kind == "moe") != (result.experts is not None):
        raise reader.error("experts", "experts exactly where kind is moe", result.kind)
    if result.heads % result.kv_heads:
        raise reader.error("kv_heads", f"a divisor of heads = {result.heads}", result.kv_heads)
    return result


def _experts(reader: Reader) -> Experts:
    result = Experts(
        count=reader.whole("count"),
        active=reader.whole("active"),
        intermediate=reader.whole("intermediate"),
        shared=reader.optional(reader.whole, "shared", 0),
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
        parameters=reader.whole("parameters"),
        layers=reader.whole("layers"),
        hidden=reader.whole("hidden"),
        patch=reader.whole("patch"),
        max_image=reader.whole("max_image"),
    )
    reader.done()
    return result


def _checkpoint(reader: Reader) -> Checkpoint:
    result = Checkpoint(
        repository=reader.text("repository"),
        variant=reader.one_of("variant", ("instruct", "base")),
        precision=reader.one_of("precision", PRECISIONS),
        revision=reader.optional(reader.text, "revision", None),
        gated=reader.optional(reader.flag, "gated", None),
    )
    reader.done()
    return result


def _environment(reader: Reader) -> dict[str, str]:
    return {name: reader.text(name) for name in reader.keys()}  # noqa: SIM118  a Reader is no dict


def _model_engine(reader: Reader) -> ModelEngine:
    result = ModelEngine(
        since=reader.text("since"),
        flags=reader.texts("flags"),
        tool_calling=reader.texts("tool_calling"),
        reasoning=reader.optional(reader.texts, "reasoning", ()),
        env=_environment(reader.inner("env")) if reader.has("env") else {},
        name=reader.optional(reader.text, "name", ""),
        tokenizer=reader.optional(reader.text, "tokenizer", ""),
    )
    reader.done()
    return result
