"""`plan --hf-config`: a checkpoint that the catalogue doesn't know, by its own configuration."""

import json
from dataclasses import replace
from pathlib import Path

import click

from mistral_operator.api.model import MistralModel
from mistral_operator.catalogue.checkpoint_config import CheckpointConfig, ConfigFault, read_config
from mistral_operator.catalogue.model import Checkpoint, License, Model, ModelEngine
from mistral_operator.catalogue.provenance import Provenance
from mistral_operator.catalogue.types import Catalogue
from mistral_operator.planning.memory import device_weights_bytes

NAME = "checkpoint"
NOTES = (
    "planned by the checkpoint's own configuration: neither its license nor whether an engine runs it is judged",
    "the size of an image or audio encoder is estimated from its dimensions",
)


def model_of_checkpoint(file: Path, catalogue: Catalogue) -> tuple[MistralModel, Catalogue]:
    """A model that asks for the checkpoint, and a catalogue that knows it.

    Raises ClickException where the file can't be read or says too little.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise click.ClickException(f"can't read {file}: {error}") from None
    config = read_config(content)
    if isinstance(config, ConfigFault):
        raise click.ClickException(f"{file}: {config.message}")
    entry = describe_checkpoint(config)
    spec = {"model": NAME, "allowExperimental": True}
    model = MistralModel.model_validate({"metadata": {"name": NAME}, "spec": spec})
    return model, replace(catalogue, models={**catalogue.models, NAME: entry})


def describe_checkpoint(config: CheckpointConfig) -> Model:
    """An entry of the catalogue for it: for vLLM, on GPUs and TPUs, with nothing known but its dimensions."""
    architecture = config.architecture
    modalities = ("text", *(("image",) if architecture.vision else ()), *(("audio",) if architecture.audio else ()))
    return Model(
        id=NAME,
        name="Checkpoint",
        family=NAME,
        released="unknown",
        aliases=(),
        license=License("not judged", "yes"),
        parameters=device_weights_bytes(architecture, "bf16") // 2,
        architecture=architecture,
        max_context=config.max_context,
        recommended_context=config.max_context,
        precision=config.precision,
        checkpoints=(Checkpoint(NAME, "instruct", config.precision, None, None),),
        engines={name: ModelEngine(since="unknown", flags=(), tool_calling=()) for name in ("vllm-gpu", "vllm-tpu")},
        documented_memory_gb={},
        modalities=modalities,
        notes=NOTES,
        provenance=Provenance(sources={"architecture": "its configuration"}, unverified=("license", "engines")),
    )
