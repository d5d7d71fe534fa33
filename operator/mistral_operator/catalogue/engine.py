"""A serving engine, and its own rules for memory, host, start-up and speed. Frozen."""

from dataclasses import dataclass
from decimal import Decimal
from math import ceil

from mistral_operator.catalogue.provenance import Provenance


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

    @property
    def context_margin_percent(self) -> int:
        """The margin in whole percent, rounded up."""
        return ceil(self.context_margin * 100)


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
    """Speed of download from Hugging Face and load together."""
    bucket_gib_s: Decimal
    """The same from a bucket of the cluster's region."""
    compile_s: int
    """Compilation, profiling and graph capture of the smallest model."""
    compile_s_per_gib: Decimal
    """On top of it, for each GiB of weights."""
    cached_share: Decimal
    """Part of the compilation that is left where the compiled programs are in a cache."""
    ready_s: int
    """From the loaded engine to the first passed probe."""


@dataclass(frozen=True, slots=True)
class Efficiency:
    """How much of the hardware's peak an engine gets out, for estimates of speed."""

    compute: Decimal
    """Share of the peak operations in a long prefill."""
    bandwidth: Decimal
    """Share of the peak memory bandwidth in decoding."""
    interconnect: Decimal
    """Share of the peak bandwidth between devices in an all-reduce."""
    layer_us: int
    """Microseconds that one layer takes beside computing and reading: starting its kernels."""
    collective_us: int
    """Microseconds that one all-reduce takes at least."""
    step_us: int
    """Microseconds of each step outside the layers: scheduling, sampling, sending."""
    uncertainty: Decimal
    """The truth is expected within this factor of an estimate, either way."""


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
    efficiency: Efficiency
    provenance: Provenance
    parallelism: tuple[str, ...] = ("tensor",)
    """Ways in which it splits a model in one machine: `tensor`, `pipeline`, `data`, `expert`."""
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

    @property
    def utilization_ppm(self) -> int:
        """The utilization in millionths: whole numbers are exact, and many times as fast as fractions."""
        return int(self.utilization * 1_000_000)
