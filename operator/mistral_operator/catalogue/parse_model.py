"""One file of `models/` → a typed and checked entry."""

from mistral_operator.catalogue.model import Checkpoint, Draft, License, Model, ModelEngine, UnservedModel
from mistral_operator.catalogue.parse_architecture import read_architecture
from mistral_operator.catalogue.provenance import read_provenance
from mistral_operator.catalogue.reader import MOST_PARAMETERS, Reader

PRECISIONS = ("bf16", "fp8", "nvfp4")
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
        parameters=reader.whole("parameters", most=MOST_PARAMETERS),
        architecture=read_architecture(reader.inner("architecture")),
        max_context=context.whole("maximum"),
        recommended_context=context.whole("recommended"),
        precision=reader.one_of("precision", PRECISIONS),
        checkpoints=tuple(_checkpoint(item) for item in reader.items("checkpoints")),
        engines={name: _model_engine(engines.inner(name)) for name in engines.keys()},  # noqa: SIM118  a Reader is no dict
        documented_memory_gb={name: memory.whole(name) for name in memory.keys()},  # noqa: SIM118
        modalities=reader.texts("modalities"),
        notes=reader.texts("notes"),
        provenance=read_provenance(reader),
        drafts=tuple(_draft(item) for item in reader.items("drafts")) if reader.has("drafts") else (),
        adapters=reader.optional(reader.flag, "adapters", False),
    )
    context.done()
    reader.done()
    _check_model(reader, model)
    return model


def _check_model(reader: Reader, model: Model) -> None:
    if not model.checkpoints:
        raise reader.error("checkpoints", "at least one repository", [])
    if model.checkpoints[0].precision != model.precision:
        first = model.checkpoints[0].precision
        raise reader.error("precision", f"that of the first checkpoint, {first}", model.precision)
    if not model.engines:
        raise reader.error("engines", "at least one engine, or `unserved` with the reason", [])
    if model.recommended_context > model.max_context:
        raise reader.error("context", f"recommended ≤ maximum = {model.max_context}", model.recommended_context)
    if not model.architecture.experts and any(draft.experts for draft in model.drafts):
        raise reader.error("drafts", "experts only where the model has them", True)


def parse_unserved(reader: Reader) -> UnservedModel:
    """Parse a file of `models/` that says why no engine runs the model."""
    result = UnservedModel(
        id=reader.text("id"),
        name=reader.text("name"),
        family=reader.text("family"),
        released=reader.text("released"),
        aliases=reader.texts("aliases"),
        license=_license(reader.inner("license")) if reader.has("license") else None,
        repositories=reader.texts("repositories"),
        reason=reader.text("unserved"),
        provenance=read_provenance(reader),
    )
    reader.done()
    return result


def _license(reader: Reader) -> License:
    result = License(id=reader.text("id"), commercial_use=reader.one_of("commercial_use", ("yes", "no", "conditional")))
    reader.done()
    return result


def _checkpoint(reader: Reader) -> Checkpoint:
    result = Checkpoint(
        repository=reader.text("repository"),
        variant=reader.one_of("variant", ("instruct", "base", "reasoning")),
        precision=reader.one_of("precision", PRECISIONS),
        revision=reader.optional(reader.text, "revision", None),
        gated=reader.optional(reader.flag, "gated", None),
        group=reader.optional(reader.whole, "group", None),
    )
    reader.done()
    return result


def _draft(reader: Reader) -> Draft:
    result = Draft(
        repository=reader.text("repository"),
        precision=reader.one_of("precision", PRECISIONS),
        layers=reader.whole("layers"),
        tokens=reader.whole("tokens"),
        max_context=reader.whole("max_context"),
        experts=reader.optional(reader.flag, "experts", False),
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
        most_tensor_parallel=reader.optional(reader.whole, "most_tensor_parallel", None),
    )
    reader.done()
    return result
