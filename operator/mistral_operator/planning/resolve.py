"""From what a user wrote to what the catalogue has: model, checkpoint, license, engine, hardware wishes."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from mistral_operator.api.engine import Engine as EngineSpec
from mistral_operator.api.engine import EngineType, Feature, KvCachePrecision, Precision
from mistral_operator.api.model import MistralModelSpec
from mistral_operator.catalogue.types import Catalogue, Checkpoint, Engine, Model, ModelEngine
from mistral_operator.planning.fit import Demand
from mistral_operator.planning.types import Plan, PlanRefused

LAYOUT_FLAGS = ("--config-format", "--load-format", "--tokenizer-mode")
"""They name the layout of the files in a repository; each has a value."""
ENGINE_IDS = {EngineType.AUTO: "vllm-gpu", EngineType.VLLM: "vllm-gpu"}
PRECISIONS = {Precision.BF16: "bf16", Precision.FP8: "fp8"}
KV_CACHE_PRECISIONS = {
    KvCachePrecision.AUTO: "bf16",
    KvCachePrecision.BF16: "bf16",
    KvCachePrecision.FP8: "fp8",
}


@dataclass(frozen=True, slots=True)
class Weights:
    """The checkpoint that is served."""

    repository: str
    revision: str
    precision: str
    listed: bool
    """True for a repository of the catalogue, whose layout of files is known."""


@dataclass(frozen=True, slots=True)
class ResolvedEngine:
    """The engine, with what it needs to run this model."""

    engine: Engine
    image: str
    flags: tuple[str, ...]
    omitted_flags: tuple[str, ...] = ()
    """Names of the model's flags that hold only for the catalogue's own repositories."""


def resolve_model(name: str, catalogue: Catalogue) -> tuple[Model, str] | PlanRefused:
    """Find a model by id, alias or repository; the second value is the repository's variant, or empty."""
    found = catalogue.model_names.get(name.lower())
    if found:
        return catalogue.models[found[0]], found[1]
    known = list(catalogue.models)
    # Aliases and repositories count for likeness, but ids are what gets offered.
    near = get_close_matches(name.lower(), list(catalogue.model_names), n=6, cutoff=0.5)
    offered = list(dict.fromkeys(catalogue.model_names[item][0] for item in near))[:3] or known
    phrase = "the nearest are" if near else "known are"
    return PlanRefused(
        "UnknownModel", f"spec.model: {name} is not in the catalogue; {phrase} {', '.join(offered)}; write one of them"
    )


def check_pinned_license(spec: MistralModelSpec, plan: Plan, catalogue: Catalogue) -> PlanRefused | None:
    """Refuse a plan whose license is no longer accepted; a model that left the catalogue keeps its acceptance."""
    entry = catalogue.models.get(plan.model_id)
    return check_license(entry, spec) if entry else None


def check_license(model: Model, spec: MistralModelSpec) -> PlanRefused | None:
    """Refuse a model whose license has to be accepted by its id and is not."""
    accepted = spec.license.accept if spec.license else None
    wanted = model.license.id
    if not model.license.needs_acceptance or accepted == wanted:
        return None
    use = "forbids commercial use" if model.license.commercial_use == "no" else "restricts commercial use"
    found = f", but {accepted} is accepted" if accepted else ""
    return PlanRefused(
        "LicenseNotAccepted",
        f"{model.name} comes under {wanted}, which {use}{found}; read it, then write spec.license.accept: {wanted}",
    )


def resolve_weights(model: Model, variant: str, spec: MistralModelSpec) -> Weights | PlanRefused:
    """Choose the checkpoint by variant; a repository in `spec.weights` replaces it."""
    wanted = spec.variant or variant or model.checkpoints[0].variant
    if spec.variant and variant and spec.variant != variant:
        return PlanRefused(
            "VariantMismatch",
            f"spec.model names the {variant} repository and spec.variant says {spec.variant};"
            f" write spec.model: {model.id}, or remove spec.variant",
        )
    checkpoint = next((item for item in model.checkpoints if item.variant == wanted), None)
    if checkpoint is None:
        variants = ", ".join(dict.fromkeys(item.variant for item in model.checkpoints))
        return PlanRefused("UnknownVariant", f"spec.variant: {model.id} has no {wanted}; write one of {variants}")
    return _apply_source(model, checkpoint, spec)


def _apply_source(model: Model, checkpoint: Checkpoint, spec: MistralModelSpec) -> Weights:
    source = spec.weights.hugging_face if spec.weights else None
    repository = (source.repository if source else None) or checkpoint.repository
    # The catalogue's commit is one of its own repository only.
    listed = next((item for item in model.checkpoints if item.repository.lower() == repository.lower()), None)
    revision = (source.revision if source else None) or (listed.revision if listed else None) or ""
    return Weights(repository, revision, (listed or checkpoint).precision, listed=listed is not None)


def resolve_engine(
    model: Model, weights: Weights, asked: EngineSpec, catalogue: Catalogue, images: Mapping[str, str]
) -> ResolvedEngine | PlanRefused:
    """Choose engine, image and the model's flags."""
    engine = catalogue.engines[ENGINE_IDS[asked.type or EngineType.AUTO]]
    known = model.engines.get(engine.id)
    if known is None:
        return PlanRefused("UnsupportedEngine", f"spec.engine.type: {engine.name} does not run {model.name}")
    version = asked.version
    if version and version.removeprefix("v") != engine.version:
        return PlanRefused(
            "UnsupportedEngine",
            f"spec.engine.version: {version} is not known; write {engine.version} or leave it out",
        )
    flags = _choose_flags(model, known, asked)
    if isinstance(flags, PlanRefused):
        return flags
    default = f"{engine.image}@{engine.image_digest}" if engine.image_digest else engine.image
    image = asked.image or images.get(engine.id) or default
    if weights.listed:
        return ResolvedEngine(engine, image, flags)
    return ResolvedEngine(engine, image, _drop_layout(flags), tuple(flag for flag in flags if flag in LAYOUT_FLAGS))


def _drop_layout(flags: tuple[str, ...]) -> tuple[str, ...]:
    """A fine-tune is mostly saved in another layout than the original; without these flags the engine looks itself."""
    dropped = {place for index, flag in enumerate(flags) if flag in LAYOUT_FLAGS for place in (index, index + 1)}
    return tuple(flag for index, flag in enumerate(flags) if index not in dropped)


def _choose_flags(model: Model, known: ModelEngine, asked: EngineSpec) -> tuple[str, ...] | PlanRefused:
    if asked.reasoning is Feature.ENABLED:
        return PlanRefused(
            "FeatureNotSupported", f"spec.engine.reasoning: {model.name} does not reason; write Auto or leave it out"
        )
    if asked.tool_calling is Feature.DISABLED:
        return known.flags
    if asked.tool_calling is Feature.ENABLED and not known.tool_calling:
        return PlanRefused(
            "FeatureNotSupported",
            f"spec.engine.toolCalling: {model.name} was not trained for tool calls; write Auto or leave it out",
        )
    return (*known.flags, *known.tool_calling)


def resolve_demand(model: Model, engine: Engine, asked: EngineSpec) -> Demand | PlanRefused:
    """Read number formats, context and concurrency."""
    wanted = asked.precision or Precision.AUTO
    precision = model.precision if wanted is Precision.AUTO else PRECISIONS.get(wanted)
    if precision not in engine.precisions or (model.precision == "fp8" and precision == "bf16"):
        return PlanRefused(
            "PrecisionNotSupported",
            f"spec.engine.precision: {wanted} is not supported for {model.name}; write Auto, BF16 or FP8",
        )
    context = asked.context_length
    if context is not None and context > model.max_context:
        return PlanRefused(
            "ContextExceedsModel",
            f"spec.engine.contextLength: {model.name} was made for at most {model.max_context} tokens; write no more",
        )
    return Demand(
        precision=precision,
        kv_cache_precision=KV_CACHE_PRECISIONS[asked.kv_cache_precision or KvCachePrecision.AUTO],
        context_length=context,
        concurrency=asked.max_concurrency,
    )
