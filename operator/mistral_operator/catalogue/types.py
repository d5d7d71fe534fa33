"""What the catalogue holds: models, accelerators with their machine shapes, engines and the support rules. Frozen.

Every fact is data in `data/`, with its source; `unverified` names the fields that no source confirms.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from functools import cached_property

from mistral_operator.catalogue.architecture import Architecture

GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where an entry's facts come from."""

    sources: Mapping[str, str]
    """Field or group of fields → source."""
    unverified: tuple[str, ...]
    """Fields that no source confirms; a group's name stands for all its fields."""


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
    """`instruct` or `base`."""
    precision: str
    revision: str | None
    """Commit, where one is known."""
    gated: bool | None
    """Whether a token is needed; None where that is not known."""


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
    """Number format of the published weights, `bf16` or `fp8`."""
    checkpoints: tuple[Checkpoint, ...]
    """The default one first."""
    engines: Mapping[str, ModelEngine]
    documented_memory_gb: Mapping[str, int]
    """Precision → least device memory that Mistral's documentation states, in units of 10^9 bytes."""
    modalities: tuple[str, ...]
    notes: tuple[str, ...]
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class MachineShape:
    """One machine type with its accelerators, or a slice of several such machines."""

    machine_type: str
    devices: int
    """Of one machine."""
    cpu: int
    """Virtual CPUs of one machine."""
    memory_gib: int
    """Host memory of one machine."""
    regions: tuple[str, ...]
    """Regions that list the machine type; being listed is not having stock."""
    consumption: tuple[str, ...]
    """Ways in which it is sold."""
    prices: Mapping[str, Decimal]
    """Consumption → US dollars an hour for one whole machine, in the accelerator's price region."""
    topology: str = ""
    """Arrangement of a TPU slice's chips, such as `2x4`; empty for GPUs."""
    hosts: int = 1
    """Machines of one slice; more than one only for a multi-host TPU slice."""

    @property
    def total_devices(self) -> int:
        """Devices of all hosts together: those of one replica."""
        return self.devices * self.hosts


@dataclass(frozen=True, slots=True)
class PriceList:
    """What an accelerator's prices are good for."""

    region: str
    date: str
    source: str


@dataclass(frozen=True, slots=True)
class Accelerator:
    """One accelerator as GKE offers it."""

    id: str
    name: str
    kind: str
    """`gpu` or `tpu`."""
    label: str
    """Value of GKE's node label, and for GPUs the accelerator type of its API."""
    resource: str
    """Kubernetes resource name."""
    architecture: str
    compute_capability: Decimal
    """NVIDIA's; 0 for TPUs."""
    memory_gib: int
    """As the name says."""
    usable_memory_gib: Decimal
    """As the driver or the compiler shows it; engines multiply this one by their utilization."""
    bandwidth_gb_s: int
    bf16_tflops: int
    fp8_tflops: int | None
    bf16: bool
    fp8: str
    """`native`, `weight-only` (stored in 8 bit, computed in 16) or `none`."""
    interconnect: str
    """`nvlink` or `pcie` between the devices of one machine, `ici` between the chips of a slice."""
    interconnect_gb_s: int | None
    node_start_s: int
    """Estimate: from a pending pod to a node with a working driver."""
    price: PriceList
    machines: tuple[MachineShape, ...]
    provenance: Provenance
    zones: tuple[str, ...] = ()
    """Zones that list the accelerator; empty where only regions are known."""

    @property
    def usable_bytes(self) -> int:
        """Usable memory of one device in whole bytes."""
        return int(Fraction(self.usable_memory_gib) * GIB)


@dataclass(frozen=True, slots=True)
class Batching:
    """What an engine batches by default on a class of devices."""

    at_least_gib: int
    """Smallest device memory of the class."""
    excluded: tuple[str, ...]
    """Accelerators that belong to the next smaller class all the same."""
    sequences: int
    tokens: int


@dataclass(frozen=True, slots=True)
class MemoryRule:
    """What an engine needs on each device besides weights and KV cache. GiB; estimates."""

    context_gib: Decimal
    """Device context and libraries."""
    graphs_gib: Decimal
    """Captured graphs."""
    communication_gib: Decimal
    """Communication buffers where a replica has several devices."""
    activation_factor: Decimal
    """Peak of a forward pass as a multiple of the largest layer's tensors."""
    vision_gib: Decimal
    """Largest images in the profile run."""
    context_margin: Decimal
    """Share of the KV cache that the planned context leaves free."""
    full_sequences: int
    """Sequences of full length that the default context leaves room for."""
    sequence_tokens: int
    """Tokens of KV cache for each sequence that is admitted to the batch."""
    least_context: int
    """Tokens below which a context is not chosen by default."""


@dataclass(frozen=True, slots=True)
class SlotRule:
    """How an engine divides its KV cache that gives every sequence a place of full length from the start."""

    context: int
    """Tokens of prompt and answer that a place holds by default."""
    prompt_share: Decimal
    """Share of a place that the prompt may take; the answer has the rest."""

    def prompt_tokens(self, context: int) -> int:
        """The longest prompt in a place of `context` tokens: the servers compile for powers of two only."""
        return 1 << (int(context * self.prompt_share).bit_length() - 1)


@dataclass(frozen=True, slots=True)
class HostRule:
    """What an engine needs of its host. GiB; estimates."""

    base_gib: int
    device_gib: int
    """For each device's worker."""
    shared_memory_gib: int
    shared_memory_parallel_gib: int
    """Where a replica has several devices."""
    beside_cpu: int = 0
    """CPUs for the gateway in the same pod."""
    beside_gib: int = 0
    """Memory for it."""


@dataclass(frozen=True, slots=True)
class StartupRule:
    """How long an engine takes to start. Estimates."""

    image_gib: int
    image_gib_s: Decimal
    """Speed of the image pull."""
    weights_gib_s: Decimal
    """Speed of download and load together."""
    compile_s: int
    """Compilation, profiling and graph capture of the smallest model."""
    compile_s_per_gib: Decimal
    """On top of it, for each GiB of weights."""


@dataclass(frozen=True, slots=True)
class Engine:
    """One serving engine."""

    id: str
    name: str
    kind: str
    """Kind of accelerator it runs on."""
    version: str
    image: str
    """Empty for an engine that nobody publishes an image of."""
    image_digest: str | None
    """None where it is not known."""
    precisions: tuple[str, ...]
    kv_cache_precisions: tuple[str, ...]
    fp8_kv_cache_capability: Decimal
    """Smallest compute capability for an FP8 KV cache."""
    utilization: Decimal
    """Share of a device's usable memory that the engine takes."""
    batching: tuple[Batching, ...]
    """The largest class first."""
    memory: MemoryRule
    host: HostRule
    startup: StartupRule
    provenance: Provenance
    multi_host: bool = False
    """Whether one replica may run on several machines, with a pipeline stage on each."""
    slots: SlotRule | None = None
    """None for an engine that hands out its KV cache in small blocks."""
    converted_checkpoint: bool = False
    """Whether it reads weights in a format of its own, from a bucket, which a Job makes of the published ones."""
    loads_revision: bool = True
    """Whether it can be told which commit, tag or branch of a repository to load."""
    recipe: str = ""
    """The Dockerfile that builds its image, for an engine that nobody publishes an image of."""


@dataclass(frozen=True, slots=True)
class SupportRule:
    """Models, engines and accelerators about which the same is known."""

    tier: str
    models: tuple[str, ...]
    engines: tuple[str, ...]
    accelerators: tuple[str, ...]
    precisions: tuple[str, ...]
    enough_memory: bool
    """True when the rule holds only with the memory that the model's documentation asks for."""
    evidence: str
    source: str


@dataclass(frozen=True, slots=True)
class Support:
    """The support matrix: the first rule that matches decides."""

    rules: tuple[SupportRule, ...]
    default_tier: str
    default_evidence: str


@dataclass(frozen=True)
class Catalogue:
    """All that the planner knows, in the order of ids."""

    models: Mapping[str, Model]
    accelerators: Mapping[str, Accelerator]
    engines: Mapping[str, Engine]
    support: Support

    @cached_property
    def model_names(self) -> Mapping[str, tuple[str, str]]:
        """Every name of a model in lower case → model id and variant, which is empty where the name leaves it open."""
        names = {name.lower(): (model.id, "") for model in self.models.values() for name in (model.id, *model.aliases)}
        checkpoints = ((model, checkpoint) for model in self.models.values() for checkpoint in model.checkpoints)
        return {**names, **{item.repository.lower(): (model.id, item.variant) for model, item in checkpoints}}

    def accelerator_id(self, name: str) -> str | None:
        """Find an accelerator by its id or by GKE's name for it, such as `nvidia-l4`; None where there is none."""
        found = (item.id for item in self.accelerators.values() if name in (item.id, item.label))
        return next(found, None)

    def machine(self, machine_type: str) -> tuple[Accelerator, MachineShape] | None:
        """Return the shape of one machine of this type and its accelerator, or None."""
        for accelerator in self.accelerators.values():
            for shape in accelerator.machines:
                if shape.machine_type == machine_type:
                    return accelerator, shape
        return None
