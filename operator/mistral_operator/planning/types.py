"""What the planner is given and what it answers. Frozen, and the same on every machine."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from mistral_operator.planning.nodes import NodeGroup


class Tier(StrEnum):
    """How sure we are that a pair of model and hardware runs: see docs/support-matrix.md."""

    VERIFIED = "verified"
    DOCUMENTED = "documented"
    EXPERIMENTAL = "experimental"
    REFUSED = "refused"


class Consumption(StrEnum):
    """How capacity is bought from GKE."""

    ON_DEMAND = "OnDemand"
    SPOT = "Spot"
    FLEX_START = "FlexStart"
    RESERVATION = "Reservation"


class Provisioner(StrEnum):
    """What makes the node pools."""

    CONTAINER_API = "ContainerAPI"
    COMPUTE_CLASS = "ComputeClass"
    CONFIG_CONNECTOR = "ConfigConnector"
    EXISTING = "Existing"


@dataclass(frozen=True, slots=True)
class ClusterProfile:
    """What the cluster is, discovered once or read from a file; nothing in it changes while a model lives."""

    provider: str
    """`GKE`, or `None` where no node pools can be made."""
    project: str
    location: str
    """Region or zone of the cluster, such as `us-central1`."""
    cluster: str
    zones: tuple[str, ...]
    version: str = ""
    custom_metrics: bool = False
    """True when the API server serves `custom.metrics.k8s.io`: a HorizontalPodAutoscaler can read engine metrics."""
    leader_worker_set: bool = False
    """True when the API server serves `leaderworkerset.x-k8s.io`: a replica can run on several machines."""
    autopilot: bool = False
    """True on an Autopilot cluster, whose node pools are Google's own matter."""
    provisioners: tuple[Provisioner, ...] = (Provisioner.CONTAINER_API,)
    """Those that the operator was started with, and so has the rights and the parts for."""
    nodes: tuple[NodeGroup, ...] | None = None
    """Kinds of nodes with devices that are there and that the operator didn't make; None where they weren't read."""


@dataclass(frozen=True, slots=True)
class LadderSettings:
    """When a model moves between the rungs of its ladder."""

    zone_patience_s: float = 60.0
    """For how long a stock-out is waited out, for each zone that the rung has."""
    deadline_s: Mapping[str, float] = field(
        default_factory=lambda: {"OnDemand": 900.0, "Spot": 900.0, "FlexStart": 3600.0, "Reservation": 900.0}
    )
    """Consumption → seconds without nodes after which a rung is left, whatever the reason."""
    stockout_cooldown_s: float = 600.0
    """For how long a rung that had no capacity is left alone."""
    refused_cooldown_s: float = 3600.0
    """For how long one that quota, rights or a person's decision forbid is left alone."""
    return_interval_s: float = 1800.0
    """Time between two moves back to a better rung."""
    successor_lead_s: float = 600.0
    """So long before a node ends its replica's successor is begun, at least."""
    successor_margin: float = 1.5
    """Or so many times the plan's estimate from nothing to ready, if that is longer."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The operator's own settings, the same for all models."""

    operator_version: str
    images: Mapping[str, str] = field(default_factory=dict)
    """Engine id → image that replaces the catalogue's default."""
    prices: Mapping[str, Mapping[str, Decimal]] = field(default_factory=dict)
    """Machine type → consumption → US dollars an hour, replacing the catalogue's list prices."""
    price_note: str = ""
    """Where those prices come from: region, date, source."""
    claim_idle_after_s: int = 0
    """How long a claim without users is kept before its node pool is deleted."""
    ladder: LadderSettings = field(default_factory=LadderSettings)


@dataclass(frozen=True, slots=True)
class MemoryBudget:
    """One device's memory in bytes; the parts add up to `device_bytes`."""

    device_bytes: int
    reserved_bytes: int
    """What the engine leaves alone: (1 - utilization) of the device, and what the driver keeps."""
    weights_bytes: int
    activations_bytes: int
    overhead_bytes: int
    """Contexts, captured graphs and communication buffers."""
    kv_cache_bytes: int
    """What is left for the KV cache; never negative in an option."""
    extras_bytes: int = 0
    """Slots of LoRA adapters, and a draft model."""


@dataclass(frozen=True, slots=True)
class StartupEstimate:
    """Estimated seconds from nothing to ready, by phase; an estimate, not a promise."""

    node_s: int
    image_s: int
    weights_s: int
    compile_s: int
    """Compilation, profiling and graph capture with nothing cached."""
    ready_s: int = 0
    """Warm-up and the first passed probe."""
    cached_compile_s: int = 0
    """What is left of `compile_s` where the compiled programs are in a cache; not part of the total."""

    @property
    def total_s(self) -> int:
        """All phases one after the other."""
        return self.node_s + self.image_s + self.weights_s + self.compile_s + self.ready_s


@dataclass(frozen=True, slots=True)
class ThroughputEstimate:
    """Estimated speed of one replica at a stated workload: a roofline, not a measurement."""

    input_tokens: int
    """Of each request's prompt."""
    output_tokens: int
    concurrency: int
    """Requests at once in the replica."""
    time_to_first_token_ms: int
    inter_token_latency_us: int
    alone_time_to_first_token_ms: int
    """Of a request that has the replica for itself."""
    alone_inter_token_latency_us: int
    output_tokens_per_s: int
    """Of all requests together."""
    dollars_per_million_tokens: Decimal | None
    """Output tokens, with the replica as busy as `concurrency` says; None when no price is known."""
    uncertainty: Decimal
    """The truth is expected within this factor, either way."""


@dataclass(frozen=True, slots=True)
class Purchase:
    """One way to get the machines of an option."""

    consumption: Consumption
    zones: tuple[str, ...]
    reservation: str
    max_run_s: int
    hourly_cost: Decimal | None
    """US dollars an hour for one replica; None when no price is known."""


@dataclass(frozen=True, slots=True)
class PlannedOption:
    """One way to serve one replica of the model: a rung of the ladder, complete enough to be rendered."""

    name: str
    """Stable and readable, such as `g2-standard-8-ondemand`."""
    accelerator: str
    """Catalogue id, such as `l4`."""
    accelerator_label: str
    """GKE's accelerator type, also the value of the node label, such as `nvidia-l4`."""
    resource_name: str
    machine_type: str
    devices: int
    """Devices per replica, of all its hosts together."""
    consumption: Consumption
    zones: tuple[str, ...]
    engine: str
    engine_version: str
    image: str
    precision: str
    kv_cache_precision: str
    tensor_parallel: int
    pipeline_parallel: int
    context_length: int
    """Tokens; what the engine is told to serve."""
    max_context_length: int
    """Tokens; the largest that would fit beside nothing else, before the safety margin."""
    max_concurrency: int
    """Sequences at once that the engine may batch."""
    kv_cache_tokens: int
    """Tokens of KV cache over all devices."""
    max_batched_tokens: int
    gpu_memory_utilization: str
    """The engine's share of a device's memory, as a decimal string."""
    memory: MemoryBudget
    host_cpu: str
    """CPU that the engine's container asks for, a Kubernetes quantity."""
    host_memory: str
    """Memory that the engine's container asks for, a Kubernetes quantity."""
    shm_bytes: int
    startup: StartupEstimate
    hourly_cost: Decimal | None
    """US dollars an hour for a lone replica, with all of its machines, of several purchases the dearest; None when no
    price is known.
    """
    price_note: str
    """Date, region and source of the price."""
    tier: Tier
    evidence: str
    notes: tuple[str, ...] = ()
    """What a reader should know about this option: a lowered context, a format that the device only stores."""
    topology: str = ""
    """Arrangement of a TPU slice's chips, such as `2x4`; empty for GPUs."""
    hosts: int = 1
    """Machines per replica; more than one only for a multi-host TPU slice."""
    max_prompt_tokens: int = 0
    """Tokens that a prompt may have; 0 where prompt and answer share the whole context."""
    data_parallel: int = 1
    """Copies of the model in one replica, which share its requests."""
    expert_parallel: bool = False
    """Whether each device holds some experts whole, not a part of each."""
    throughput: ThroughputEstimate | None = None
    """None in a plan of a version that didn't estimate it."""
    reservation: str = ""
    """Name of the reservation, or `projects/P/reservations/NAME` for one of another project; empty without one."""
    max_run_s: int = 0
    """Seconds after which a node ends by itself at the latest; 0 where it doesn't."""
    placement_policy: bool = False
    """Whether its slices are placed by a workload policy of Compute Engine."""
    provisioner: Provisioner = Provisioner.CONTAINER_API
    alternatives: tuple[Purchase, ...] = ()
    """Where GKE itself chooses among several purchases: all of them in order, the option's own first. Else empty."""
    node_labels: Mapping[str, str] = field(default_factory=dict)
    """By which labels pods find nodes that were there before; empty where the claim's pool has its own."""

    partition: str = ""
    """MIG partition that a replica has of a GPU, such as `1g.10gb`; empty where it has whole ones."""
    clients: int = 1
    """Replicas that take turns on its GPU; 1 where it has one, or a partition of one, to itself."""
    replicas_per_node: int = 1
    """Replicas that one machine holds; more than one only where they share its GPUs."""
    shared_gpus: int = 0
    """GPUs of one machine that replicas share; 0 where a replica has those of its machine to itself."""
    image_cache: str = ""
    """Disk image with the engine's image on it, of which new nodes get a second disk; empty for none."""

    @property
    def purchases(self) -> tuple[Purchase, ...]:
        """Every way in which its machines may come, in the order in which they are tried; one at least."""
        own = Purchase(self.consumption, self.zones, self.reservation, self.max_run_s, self.hourly_cost)
        return self.alternatives or (own,)

    @property
    def devices_per_host(self) -> int:
        """Devices that a replica has of one machine: what its pod asks for."""
        return self.devices // self.hosts

    @property
    def devices_per_node(self) -> int:
        """Devices that one machine has."""
        return self.shared_gpus or self.devices_per_host

    @property
    def hardware(self) -> str:
        """What one replica has, such as `2 × l4`, `1/4 of l4` or `1g.10gb of h100-80`."""
        if not self.shared_gpus:
            return f"{self.devices} × {self.accelerator}"
        return f"{self.partition or f'1/{self.clients}'} of {self.accelerator}"

    def cost_of(self, replicas: int) -> Decimal | None:
        """US dollars an hour of the machines that so many replicas need when no other model is on them; None when no
        price is known.
        """
        return None if self.hourly_cost is None else self.hourly_cost * -(-replicas // self.replicas_per_node)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something that was considered and not chosen."""

    subject: str
    """What was refused: `1 × l4 (g2-standard-4, OnDemand), bf16`, or a field's path."""
    reason: str
    """A finding in CamelCase, such as `WeightsExceedMemory`."""
    message: str
    """The arithmetic, and what to write instead."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The planner's answer for a model that can be served."""

    model_id: str
    display_name: str
    repository: str
    revision: str
    """Commit of the weights' repository, or empty where the catalogue has none."""
    served_name: str
    engine_flags: tuple[str, ...]
    """The model's own flags of the chosen engine: layout, tokenizer, parsers."""
    weights_bytes: int
    license_id: str
    options: tuple[PlannedOption, ...]
    """The ladder, best first; never empty."""
    refusals: tuple[Refusal, ...]
    notes: tuple[str, ...] = ()
    """What a reader should know of every option: what is not pinned, what is left to the engine."""
    weights_precision: str = "bf16"
    """Number format of the repository's files."""
    engine_env: Mapping[str, str] = field(default_factory=dict)
    """Environment variables without which the chosen engine doesn't start the model."""
    engine_model: str = ""
    """What the chosen engine calls the model, where it has names of its own."""
    tokenizer: str = ""
    """Mistral's tokenizer version, where the engine leaves templates and tokens to the gateway."""
    checkpoint_uri: str = ""
    """Folder of a bucket with the converted checkpoint, where the engine needs one."""
    converts: bool = False
    """True when a Job has to put the converted checkpoint there."""
    gateway_image: str = ""
    """Image of the gateway in front of an engine that doesn't speak OpenAI's API; empty where none is needed."""
    rung: int = 0
    """Index of the option that all the rest is for."""

    @property
    def chosen(self) -> PlannedOption:
        """The option that is served: the best, unless the model had to move down its ladder."""
        return self.options[self.rung]

    @property
    def rung_names(self) -> tuple[str, ...]:
        """What tells the options apart: their names, and where one machine is asked for in several ways their zones and
        reservations.
        """
        names = [option.name for option in self.options]
        return tuple(
            f"{option.name}-{'-'.join(sorted(option.zones))}{f'-of-{option.reservation}' if option.reservation else ''}"
            if names.count(option.name) > 1
            else option.name
            for option in self.options
        )


@dataclass(frozen=True, slots=True)
class PlanRefused:
    """The planner's answer for a model that can't be served as asked."""

    reason: str
    """A finding in CamelCase: `UnknownModel`, `LicenseNotAccepted`, `NothingFits`, …"""
    message: str
    """What is wrong and what to write instead, for a condition."""
    refusals: tuple[Refusal, ...] = ()
