"""`plan --hf-config`: a checkpoint that the catalogue doesn't know, by its own configuration."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import click
from pydantic import ValidationError

from mistral_operator.api.model import MistralModel
from mistral_operator.catalogue.checkpoint_config import CheckpointConfig, ConfigFault, read_config
from mistral_operator.catalogue.model import Checkpoint, License, Model, ModelEngine
from mistral_operator.catalogue.provenance import Provenance
from mistral_operator.catalogue.types import ANY, Catalogue, Support
from mistral_operator.cli.documents import in_namespace
from mistral_operator.cli.faults import word_fault
from mistral_operator.planning.memory import device_weights_bytes
from mistral_operator.planning.types import Plan, PlanRefused, Tier

NAME: Final = "checkpoint"
USUAL_CONTEXT: Final = 32768
MOST_BYTES: Final = 1 << 20
"""A configuration takes a few kilobytes; a file with weights is not read into memory."""
_EVIDENCE: Final = "only its own configuration was read; whether an engine has code for it was not judged"


def model_of_checkpoint(file: Path, name: str, catalogue: Catalogue) -> tuple[MistralModel, Catalogue]:
    """A model that asks for the checkpoint under this name, and a catalogue that knows it and no other model.

    Raises ClickException where the file can't be read or says too little, UsageError for a name that can't be one.
    """
    config = read_config(_load(file))
    if isinstance(config, ConfigFault):
        raise click.ClickException(f"{file}: {config.message}")
    spec = {"model": name, "allowExperimental": True}
    try:
        model = MistralModel.model_validate({"metadata": {"name": NAME}, "spec": spec})
    except ValidationError as error:
        words = word_fault(error.errors(include_url=False)[0]).partition(": ")[2]
        raise click.UsageError(f"--model-name: {words}") from None
    # What is known of the catalogue's models says nothing about this one, whatever its name.
    known = replace(
        catalogue,
        models={name: describe_checkpoint(config, name)},
        support=_support_of(catalogue.support),
        evidence={},
        unserved={},
    )
    return in_namespace(model, "default"), known


def note_checkpoint(answer: Plan | PlanRefused, catalogue: Catalogue) -> Plan | PlanRefused:
    """The plan with what was not judged; what isn't pinned matters only to a model that can be served."""
    if isinstance(answer, PlanRefused):
        return answer
    return replace(answer, notes=catalogue.models[answer.model_id].notes)


def _load(file: Path) -> object:
    try:
        with file.open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise click.ClickException(f"{file} has more than {MOST_BYTES:,} bytes; give a config.json or params.json")
        return json.loads(content.decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise click.ClickException(f"can't read {file}: {error}") from None


def _support_of(support: Support) -> Support:
    """What is known not to work, whatever the model is, and else nothing."""
    refused = tuple(rule for rule in support.rules if rule.tier == Tier.REFUSED and rule.models == (ANY,))
    return Support(rules=refused, default_tier=Tier.EXPERIMENTAL, default_evidence=_EVIDENCE)


def describe_checkpoint(config: CheckpointConfig, name: str) -> Model:
    """An entry of the catalogue for it: for vLLM, on GPUs and TPUs, with nothing known but its dimensions."""
    architecture, numbers = config.architecture, config.numbers
    modalities = ("text", *(("image",) if architecture.vision else ()), *(("audio",) if architecture.audio else ()))
    context = config.max_context or USUAL_CONTEXT
    return Model(
        id=name,
        name=name,
        family=NAME,
        released="unknown",
        aliases=(),
        license=License("not judged", "yes"),
        parameters=device_weights_bytes(architecture, "bf16") // 2,
        architecture=architecture,
        max_context=context,
        recommended_context=context,
        precision=numbers.precision,
        checkpoints=(Checkpoint(name, "instruct", numbers.precision, None, None, numbers.group),),
        engines={
            engine: ModelEngine(since="unknown", flags=(), tool_calling=()) for engine in ("vllm-gpu", "vllm-tpu")
        },
        documented_memory_gb={},
        modalities=modalities,
        notes=tuple(_note(config)),
        provenance=Provenance(sources={"architecture": "its configuration"}, unverified=("license", "engines")),
    )


def _note(config: CheckpointConfig) -> Iterator[str]:
    yield (
        "planned by the checkpoint's own configuration: neither its license nor whether an engine runs it was judged,"
        " and the size of its weights is computed from its dimensions; to serve it, extend the catalogue by it"
    )
    if config.architecture.vision or config.architecture.audio:
        yield "the size of the image or audio encoder is estimated from its dimensions"
    if config.numbers.precision != "bf16":
        yield (
            f"{config.numbers.precision.upper()} is taken for all linear layers of the text part: what the checkpoint"
            " keeps in 16 bit besides embeddings and head needs more memory than planned"
        )
    if config.max_context is None:
        yield f"the configuration names no longest context; up to {USUAL_CONTEXT:,} tokens are planned"
