"""Which checkpoint is served: by variant and number format, or the user's own."""

from dataclasses import dataclass
from typing import Final

from mistral_operator.api.engine import Precision
from mistral_operator.api.model import MistralModelSpec
from mistral_operator.catalogue.model import Checkpoint, Model
from mistral_operator.planning.types import PlanRefused

PRECISIONS: Final = {
    Precision.BF16: "bf16",
    Precision.FP8: "fp8",
    Precision.INT8: "int8",
    Precision.NVFP4: "nvfp4",
}
"""Number formats that the planner knows, as the API writes them."""


@dataclass(frozen=True, slots=True)
class Weights:
    """The checkpoint that is served."""

    repository: str
    revision: str
    precision: str
    listed: bool
    """True for a repository of the catalogue, whose layout of files is known."""
    group: int | None = None
    """Weights along one side of a block that shares a scale, where the checkpoint has such blocks."""
    bucket: str = ""
    """Folder of a bucket with a converted checkpoint; empty where the engine loads the repository itself."""
    converted: bool = False
    """True when `bucket` holds the converted checkpoint already, so that nothing needs to be converted."""
    asked_revision: str = ""
    """What the user wrote; `revision` may be the catalogue's."""


def resolve_weights(model: Model, variant: str, spec: MistralModelSpec) -> tuple[Weights, ...] | PlanRefused:
    """Choose the checkpoints by variant, in the order of preference; a repository in `spec.weights` replaces them.

    There are several where the same weights are published in several number formats: hardware decides between them.
    """
    wanted = spec.variant or variant or model.checkpoints[0].variant
    if spec.variant and variant and spec.variant != variant:
        return PlanRefused(
            "VariantMismatch",
            f"spec.model names the {variant} repository and spec.variant says {spec.variant};"
            f" write spec.model: {model.id}, or remove spec.variant",
        )
    checkpoints = tuple(item for item in model.checkpoints if item.variant == wanted)
    if not checkpoints:
        variants = ", ".join(dict.fromkeys(item.variant for item in model.checkpoints))
        return PlanRefused("UnknownVariant", f"spec.variant: {model.id} has no {wanted}; write one of {variants}")
    return tuple(_apply_source(model, item, spec) for item in _prefer(checkpoints, spec))


def _prefer(checkpoints: tuple[Checkpoint, ...], spec: MistralModelSpec) -> tuple[Checkpoint, ...]:
    """Those that may be served: the one that is named, one of the asked number format, or all."""
    name = (spec.model or "").lower()
    named = tuple(item for item in checkpoints if item.repository.lower() == name)
    asked = PRECISIONS.get(spec.engine.precision) if spec.engine and spec.engine.precision else None
    same = tuple(item for item in checkpoints if item.precision == asked)
    source = spec.weights.hugging_face if spec.weights else None
    # A commit belongs to one repository.
    fixed = asked or (source and (source.repository or source.revision))
    return (named or same or checkpoints)[: 1 if fixed else None]


def _apply_source(model: Model, checkpoint: Checkpoint, spec: MistralModelSpec) -> Weights:
    source = spec.weights.hugging_face if spec.weights else None
    repository = (source.repository if source else None) or checkpoint.repository
    # The catalogue's commit is one of its own repository only.
    listed = next((item for item in model.checkpoints if item.repository.lower() == repository.lower()), None)
    asked = (source.revision if source else None) or ""
    revision = asked or (listed.revision if listed else None) or ""
    bucket, converted = _find_bucket(spec)
    precision = (listed or checkpoint).precision
    return Weights(
        repository,
        revision,
        precision,
        group=listed.group if listed else None,
        listed=listed is not None,
        bucket=bucket,
        converted=converted,
        asked_revision=asked,
    )


def _find_bucket(spec: MistralModelSpec) -> tuple[str, bool]:
    """Where a converted checkpoint is, or is to be kept."""
    source = spec.weights
    if source and source.gcs:
        return source.gcs.uri.rstrip("/"), True
    return (source.cache.uri or "").rstrip("/") if source and source.cache else "", False
