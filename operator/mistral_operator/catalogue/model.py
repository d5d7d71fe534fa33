"""An open-weight model: what is published of it, and how engines run it. Frozen."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mistral_operator.catalogue.architecture import Architecture
from mistral_operator.catalogue.provenance import Provenance


@dataclass(frozen=True, slots=True)
class License:
    """The license of the weights."""

    id: str
    commercial_use: str
    """`yes`, `no` or `conditional`."""

    @property
    def needs_acceptance(self) -> bool:
        """True when a user has to accept the license by name before anything is served."""
        return self.commercial_use != "yes"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One Hugging Face repository with weights of the model."""

    repository: str
    variant: str
    """`base`, `reasoning` for one that always reasons, or `instruct` for all others.

    Those are also such as reason when they are asked to, fill in or act on code, write down speech, or moderate.
    """
    precision: str
    """`bf16`, `fp8` or `nvfp4`."""
    revision: str | None
    """Commit, where one is known."""
    gated: bool | None
    """Whether a token is needed; None where that is not known."""
    group: int | None = None
    """Weights along one side of a block that shares a scale, for a quantised checkpoint that has blocks."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A small model that guesses tokens ahead for one that checks them (EAGLE)."""

    repository: str
    precision: str
    layers: int
    """Decoder layers of the draft, each of the model's own dimensions."""
    tokens: int
    """Guessed at each step."""
    max_context: int
    experts: bool = False
    """Whether its layers have the model's experts, or one feed-forward of the model's own width."""


@dataclass(frozen=True, slots=True)
class ModelEngine:
    """How one engine runs the model."""

    since: str
    """First version of the engine that loads the model."""
    flags: tuple[str, ...]
    """The model's own flags: file layout, tokenizer, limits."""
    tool_calling: tuple[str, ...]
    """Flags that turn the parsing of tool calls on; empty for a model that was not trained for it."""
    reasoning: tuple[str, ...] = ()
    """Flags that turn the parsing of its reasoning on; empty for a model that doesn't reason."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Environment variables without which the engine doesn't start the model."""
    name: str = ""
    """What the engine calls the model, where it has names of its own."""
    tokenizer: str = ""
    """Mistral's tokenizer version, such as `v1`, where the engine leaves templates and tokens to somebody else."""
    most_tensor_parallel: int | None = None
    """Devices that may share a layer, where the engine's code for the model has a limit of its own."""


@dataclass(frozen=True, slots=True)
class Model:
    """One open-weight model."""

    id: str
    name: str
    family: str
    released: str
    """Day of publication, ISO 8601."""
    aliases: tuple[str, ...]
    license: License
    parameters: int
    architecture: Architecture
    max_context: int
    """Tokens that the model was made for."""
    recommended_context: int
    """Tokens that are served by default."""
    precision: str
    """Number format of the default checkpoint."""
    checkpoints: tuple[Checkpoint, ...]
    """The default one first; of one variant, the precision that is served unasked first."""
    engines: Mapping[str, ModelEngine]
    documented_memory_gb: Mapping[str, int]
    """Precision → least device memory that Mistral's documentation states, in units of 10^9 bytes."""
    modalities: tuple[str, ...]
    notes: tuple[str, ...]
    provenance: Provenance
    drafts: tuple[Draft, ...] = ()
    adapters: bool = False
    """Whether the engine serves LoRA adapters of it."""


@dataclass(frozen=True, slots=True)
class UnservedModel:
    """An open-weight model that no engine of the catalogue runs: known, so that the refusal can say why."""

    id: str
    name: str
    family: str
    released: str
    aliases: tuple[str, ...]
    license: License | None
    """None where the license was not found."""
    repositories: tuple[str, ...]
    reason: str
    """Why nothing here serves it, and what does or what is like it."""
    provenance: Provenance
