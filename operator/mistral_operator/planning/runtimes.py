"""Which engines run a model, with which image, flags and number formats."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from mistral_operator.api.engine import Engine as EngineSpec
from mistral_operator.api.engine import EngineType, Feature, KvCachePrecision, Precision, SpeculativeMethod
from mistral_operator.catalogue.engine import Engine
from mistral_operator.catalogue.model import Draft, Model, ModelEngine
from mistral_operator.catalogue.types import Catalogue
from mistral_operator.planning.formats import Demand
from mistral_operator.planning.memory import device_weights_bytes
from mistral_operator.planning.types import PlanRefused
from mistral_operator.planning.weights import PRECISIONS, Weights

LAYOUT_FLAGS = ("--config-format", "--load-format", "--tokenizer-mode")
"""They name the layout of the files in a repository; each has a value."""
ENGINE_IDS = {
    EngineType.AUTO: ("vllm-gpu", "vllm-tpu"),
    EngineType.VLLM: ("vllm-gpu", "vllm-tpu"),
    EngineType.JETSTREAM_MAXTEXT: ("jetstream-maxtext",),
    EngineType.JETSTREAM_PYTORCH: ("jetstream-pytorch",),
}
"""Engines that a type stands for; the hardware decides between them. JetStream is never chosen unasked."""
KV_CACHE_PRECISIONS = {
    KvCachePrecision.AUTO: "bf16",
    KvCachePrecision.BF16: "bf16",
    KvCachePrecision.FP8: "fp8",
}
REASONING = "reasoning"
QUANTISED_ON_LOADING = ("fp8", "int8")
GATEWAY = "gateway"
"""What the operator's settings call the image of the gateway."""


@dataclass(frozen=True, slots=True)
class ResolvedEngine:
    """The engine, with what it needs to run this model."""

    engine: Engine
    image: str
    flags: tuple[str, ...]
    omitted_flags: tuple[str, ...] = ()
    """Names of the model's flags that hold only for the catalogue's own repositories."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Environment variables without which the engine doesn't start the model."""
    model_name: str = ""
    """What the engine calls the model, where it has names of its own."""
    tokenizer: str = ""
    """Mistral's tokenizer version, where the gateway makes the tokens."""
    gateway_image: str = ""
    """Image of the gateway in front of the engine; empty where the engine speaks OpenAI's API itself."""
    most_tensor_parallel: int | None = None
    """Devices that may share a layer, where the engine's code for the model has a limit."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """An engine that may run the model, and what is asked of it."""

    engine: ResolvedEngine
    demand: Demand
    weights: Weights
    checkpoint_bytes: int
    """Size of the published weights."""


@dataclass(frozen=True, slots=True)
class Runtimes:
    """The engines with their checkpoints to choose from, at least one."""

    usable: tuple[Runtime, ...]
    """Of one engine, the checkpoint first that is served unless the hardware can't."""
    refused: tuple[PlanRefused, ...]
    """Why the others of the asked type don't run the model as asked."""


def resolve_runtimes(
    model: Model, weights: tuple[Weights, ...], asked: EngineSpec, catalogue: Catalogue, images: Mapping[str, str]
) -> Runtimes | PlanRefused:
    """The engines that the asked type stands for and that run the model as asked, each for its kind of hardware."""
    wanted = [catalogue.engines[name] for name in ENGINE_IDS[asked.type or EngineType.AUTO]]
    known = [engine for engine in wanted if engine.id in model.engines]
    if not known:
        return _refuse_engine(model, wanted, catalogue)
    answers = [_resolve_runtime(model, engine, item, asked, images) for engine in known for item in weights]
    refused = tuple(answer for answer in answers if isinstance(answer, PlanRefused))
    usable = tuple(answer for answer in answers if isinstance(answer, Runtime))
    return Runtimes(usable, refused) if usable else refused[0]


def _refuse_engine(model: Model, wanted: list[Engine], catalogue: Catalogue) -> PlanRefused:
    names = ", ".join(engine.name for engine in wanted)
    runs = [name for name in model.engines if name in catalogue.engines]
    types = [kind.value for kind, ids in ENGINE_IDS.items() if kind is not EngineType.AUTO and set(ids) & set(runs)]
    return PlanRefused(
        "UnsupportedEngine", f"spec.engine.type: {names} does not run {model.name}; write {' or '.join(types)}"
    )


def _resolve_runtime(
    model: Model, engine: Engine, weights: Weights, asked: EngineSpec, images: Mapping[str, str]
) -> Runtime | PlanRefused:
    resolved = _resolve_engine(model, engine, weights, asked, images)
    if isinstance(resolved, PlanRefused):
        return resolved
    demand = _resolve_demand(model, engine, weights, asked)
    if isinstance(demand, PlanRefused):
        return demand
    refused = _check_checkpoint(engine, weights, demand) if engine.converted_checkpoint else None
    refused = refused or _check_revision(engine, weights)
    size = device_weights_bytes(model.architecture, weights.precision)
    return refused or Runtime(resolved, demand, weights, size)


def _check_revision(engine: Engine, weights: Weights) -> PlanRefused | None:
    """A revision that an engine can't be told would be ignored, and other weights served."""
    if engine.loads_revision or not weights.asked_revision:
        return None
    return PlanRefused(
        "FeatureNotSupported",
        f"spec.weights.huggingFace.revision: {engine.name} always loads the main branch of a repository;"
        f" leave revision out, or copy the files of {weights.asked_revision} into a repository of your own, write it as"
        " spec.weights.huggingFace.repository, and leave it unchanged",
    )


def _check_checkpoint(engine: Engine, weights: Weights, demand: Demand) -> PlanRefused | None:
    ready = "spec.weights.gcs.uri with the folder (`items`) of one that is"
    if not weights.bucket:
        return PlanRefused(
            "CheckpointRequired",
            f"spec.weights: {engine.name} reads a checkpoint in a format of its own, from a bucket; write"
            f" spec.weights.cache: {{mode: Bucket, uri: gs://BUCKET/FOLDER}} to have it converted and kept there, or"
            f" {ready} converted already",
        )
    if not weights.converted and demand.precision != weights.precision:
        return PlanRefused(
            "CheckpointRequired",
            f"spec.engine.precision: the Job that converts a checkpoint for {engine.name} doesn't quantise it, which"
            f" takes devices that hold the weights in 16 bit; write {ready} quantised already",
        )
    if not weights.converted and "/" not in weights.bucket.removeprefix("gs://"):
        return PlanRefused(
            "CheckpointRequired",
            f"spec.weights.cache.uri: a checkpoint wants a folder of its own; write {weights.bucket}/FOLDER",
        )
    return None


def _resolve_engine(
    model: Model, engine: Engine, weights: Weights, asked: EngineSpec, images: Mapping[str, str]
) -> ResolvedEngine | PlanRefused:
    """Choose image and the model's flags."""
    known = model.engines[engine.id]
    version = asked.version
    if version and version.removeprefix("v") != engine.version:
        return PlanRefused(
            "UnsupportedEngine",
            f"spec.engine.version: {version} is not known; write {engine.version} or leave it out",
        )
    flags = _choose_flags(model, known, asked, weights.variant)
    if isinstance(flags, PlanRefused):
        return flags
    image = asked.image or usual_image(engine, images)
    gateway = images.get(GATEWAY, "") if known.tokenizer else ""
    refused = _check_images(engine, image, gateway, needs_gateway=bool(known.tokenizer))
    if refused:
        return refused
    resolved = ResolvedEngine(
        engine,
        image,
        flags,
        env=known.env,
        model_name=known.name,
        tokenizer=known.tokenizer,
        gateway_image=gateway,
        most_tensor_parallel=known.most_tensor_parallel,
    )
    if weights.listed:
        return resolved
    omitted = tuple(flag for flag in flags if flag in LAYOUT_FLAGS)
    return replace(resolved, flags=_drop_layout(flags), omitted_flags=omitted)


def usual_image(engine: Engine, images: Mapping[str, str]) -> str:
    """The image of models that name none: what was chosen for the engine, else what its makers publish."""
    published = f"{engine.image}@{engine.image_digest}" if engine.image_digest else engine.image
    return images.get(engine.id) or published


def _check_images(engine: Engine, image: str, gateway: str, *, needs_gateway: bool) -> PlanRefused | None:
    if not image:
        name = f"REGISTRY/{engine.id}:{engine.version}"
        return PlanRefused(
            "ImageRequired",
            f"spec.engine.image: nobody publishes a current image of {engine.name}; build it from a checkout of this"
            f" project with `docker build -f {engine.recipe} -t {name} .`, push it with `docker push {name}`, and write"
            f" spec.engine.image: {name}, best by its digest",
        )
    if needs_gateway and not gateway:
        return PlanRefused(
            "ImageRequired",
            f"{engine.name} doesn't speak OpenAI's API, and the operator doesn't know the image of the gateway that"
            " translates: it is the operator's own; start the operator with --image gateway=<its own image>",
        )
    return None


def _drop_layout(flags: tuple[str, ...]) -> tuple[str, ...]:
    """A fine-tune is mostly saved in another layout than the original; without these flags the engine looks itself."""
    dropped = {place for index, flag in enumerate(flags) if flag in LAYOUT_FLAGS for place in (index, index + 1)}
    return tuple(flag for index, flag in enumerate(flags) if index not in dropped)


def _choose_flags(model: Model, known: ModelEngine, asked: EngineSpec, variant: str) -> tuple[str, ...] | PlanRefused:
    # Where a variant of its own reasons, the others don't.
    apart = any(item.variant == REASONING for item in model.checkpoints)
    able = () if apart and variant != REASONING else known.reasoning
    if asked.reasoning is Feature.ENABLED and not able:
        advice = "write spec.variant: reasoning" if apart and known.reasoning else "write Auto or leave it out"
        return PlanRefused(
            "FeatureNotSupported", f"spec.engine.reasoning: {model.name} does not reason as asked; {advice}"
        )
    reasoning = () if asked.reasoning is Feature.DISABLED else able
    if asked.tool_calling is Feature.DISABLED:
        return (*known.flags, *reasoning)
    if asked.tool_calling is Feature.ENABLED and not known.tool_calling:
        return PlanRefused(
            "FeatureNotSupported",
            f"spec.engine.toolCalling: {model.name} was not trained for tool calls; write Auto or leave it out",
        )
    return (*known.flags, *reasoning, *known.tool_calling)


def _resolve_demand(model: Model, engine: Engine, weights: Weights, asked: EngineSpec) -> Demand | PlanRefused:
    """Read number formats, context, concurrency, adapters and draft."""
    wanted = asked.precision or Precision.AUTO
    precision = weights.precision if wanted is Precision.AUTO else PRECISIONS.get(wanted, "")
    if precision not in engine.precisions or not _is_made_of(precision, weights.precision):
        return _refuse_precision(model, engine, wanted, weights)
    context = asked.context_length
    if context is not None and context > model.max_context:
        return PlanRefused(
            "ContextExceedsModel",
            f"spec.engine.contextLength: {model.name} was made for at most {model.max_context} tokens; write no more",
        )
    if asked.adapters and not model.adapters:
        return PlanRefused(
            "FeatureNotSupported", f"spec.engine.adapters: {engine.name} serves no adapters of {model.name}; remove it"
        )
    draft = resolve_draft(model, asked)
    if isinstance(draft, PlanRefused):
        return draft
    return Demand(
        precision=precision,
        kv_cache_precision=KV_CACHE_PRECISIONS[asked.kv_cache_precision or KvCachePrecision.AUTO],
        context_length=context,
        concurrency=asked.max_concurrency,
        group=weights.group if precision == weights.precision else None,
        adapters=len(asked.adapters),
        draft=draft,
    )


def _is_made_of(precision: str, published: str) -> bool:
    """Weights are served as they are published, or quantised to 8 bit from 16 when they are loaded."""
    return precision == published or (published == "bf16" and precision in QUANTISED_ON_LOADING)


def _refuse_precision(model: Model, engine: Engine, wanted: Precision, weights: Weights) -> PlanRefused:
    published = {item.precision for item in model.checkpoints} if weights.listed else {weights.precision}
    offered = [name for name in engine.precisions if any(_is_made_of(name, item) for item in published)]
    if not offered:
        return PlanRefused(
            "PrecisionNotSupported",
            f"{engine.name} does not load the weights of {model.name}, which are published in {weights.precision};"
            f" write hardware of another kind than {engine.kind.upper()} in spec.capacity.options",
        )
    known = {value: name.value for name, value in PRECISIONS.items()}
    *first, last = ("Auto", *(known[name] for name in offered))
    return PlanRefused(
        "PrecisionNotSupported",
        f"spec.engine.precision: {wanted} is not supported for {model.name} on {engine.name}; write"
        f" {', '.join(first)} or {last}",
    )


def resolve_draft(model: Model, asked: EngineSpec) -> Draft | PlanRefused | None:
    """Find the draft model that speculative decoding asks for; only those of the catalogue have a known size."""
    speculative = asked.speculative
    if speculative is None or speculative.method is SpeculativeMethod.NGRAM:
        return None
    known = ", ".join(item.repository for item in model.drafts)
    advice = f"write method: Eagle with draftModel: {known}" if known else "write method: NGram, or remove it"
    found = next((item for item in model.drafts if item.repository == speculative.draft_model), None)
    if found is None or speculative.method is not SpeculativeMethod.EAGLE:
        what = f"{speculative.method} {speculative.draft_model or ''}".rstrip()
        return PlanRefused(
            "FeatureNotSupported", f"spec.engine.speculative: {what} is not known for {model.name}; {advice}"
        )
    return found
