"""`status` of a MistralModel: what is, why, and what it costs. Findings are strings, so that new ones may come."""

from typing import Annotated

from pydantic import Field

from mistral_operator.api.common import (
    ATOMIC_LIST,
    LIST_MAP_BY_NAME,
    LIST_MAP_BY_TYPE,
    LIST_SET,
    ApiType,
    Condition,
    QueueStatus,
    Text,
    Timestamp,
)

Word = Annotated[str, Field(max_length=256)]
Cost = Annotated[str, Field(max_length=32, pattern=r"^(unknown|[0-9]{1,9}(\.[0-9]{1,6})?)$")]
"""US dollars an hour as a decimal string, or `unknown` where no price is known."""
Number = Annotated[int, Field(ge=0)]


class Summary(ApiType):
    """One line for people; the printer columns show it."""

    ready: Annotated[str, Field(max_length=32)] | None = Field(
        None, description="Ready and wanted replicas, such as `1/2`."
    )
    hardware: Word | None = Field(None, description="What runs, such as `1 × L4 (g2-standard-8, Spot)`.")
    hourly_cost: Cost | None = Field(
        None,
        description=(
            "Cost of the nodes that are there, in US dollars an hour, such as `0.85`, or `unknown`; `cost` says what"
            " counts, and whose prices these are."
        ),
    )
    reason: Word | None = Field(None, description="The reason that matters most now.")


class MemoryPlan(ApiType):
    """Memory of one device as the planner split it, such as `13.5 GiB`; the parts add up to `device`."""

    device: Word | None = Field(None, description="All memory of the device.")
    reserved: Word | None = Field(None, description="What the engine leaves alone.")
    weights: Word | None = Field(None, description="The device's share of the weights.")
    activations: Word | None = Field(None, description="Activations at the largest batch.")
    overhead: Word | None = Field(None, description="Contexts, captured graphs and communication buffers.")
    kv_cache: Word | None = Field(None, description="What is left for the KV cache.")


class SpeedPlan(ApiType):
    """Estimated speed of one replica at a stated workload; a roofline, no measurement and no promise."""

    input_tokens: Number | None = Field(None, description="Tokens of each request's prompt.")
    output_tokens: Number | None = Field(None, description="Tokens of each answer.")
    concurrency: Number | None = Field(None, description="Requests at once in one replica.")
    output_tokens_per_second: Number | None = Field(None, description="Output tokens of all requests together.")
    time_to_first_token: Word | None = Field(None, description="Such as `320ms`, with so many requests at once.")
    inter_token_latency: Word | None = Field(None, description="Such as `24.5ms`, with so many requests at once.")
    dollars_per_million_tokens: Cost | None = Field(None, description="US dollars for a million output tokens.")
    uncertainty_factor: Word | None = Field(None, description="The truth is expected within it, either way.")


class ChosenOption(ApiType):
    """The hardware, engine and layout that were chosen, complete enough to be checked."""

    name: Word | None = Field(None, description="Name of the rung, such as `g2-standard-8-ondemand`.")
    accelerator: Word | None = Field(None, description="The accelerator.")
    machine_type: Word | None = Field(None, description="GKE machine type.")
    devices: Number | None = Field(None, description="Devices per replica.")
    part: Word | None = Field(
        None, description="What a replica has of a GPU that it shares, such as `1g.10gb of h100-80` or `1/2 of l4`."
    )
    replicas_per_node: Number | None = Field(None, description="Replicas that one machine holds, if they share it.")
    consumption: Word | None = Field(None, description="How the capacity is bought.")
    reservation: Word | None = Field(None, description="The reservation that the machines are of, if any.")
    zones: Annotated[tuple[Word, ...], Field(max_length=8, json_schema_extra=ATOMIC_LIST)] = Field(
        (), description="Zones where the capacity is looked for."
    )
    engine: Word | None = Field(None, description="The engine with its version.")
    image: Annotated[str, Field(max_length=512)] | None = Field(None, description="Container image of the engine.")
    precision: Word | None = Field(None, description="Number format of the weights.")
    kv_cache_precision: Word | None = Field(None, description="Number format of the KV cache.")
    tensor_parallel: Number | None = Field(None, description="Devices that share each layer.")
    pipeline_parallel: Number | None = Field(None, description="Groups of layers that are on devices of their own.")
    data_parallel: Number | None = Field(None, description="Copies of the model in one replica.")
    expert_parallel: bool | None = Field(None, description="Whether a device holds some experts whole.")
    context_length: Number | None = Field(None, description="Tokens that one request may use.")
    max_context_length: Number | None = Field(None, description="Tokens that would fit at most.")
    max_concurrency: Number | None = Field(None, description="Sequences that one replica works on at once.")
    kv_cache_tokens: Number | None = Field(None, description="Tokens of KV cache over all devices of a replica.")
    memory_per_device: MemoryPlan | None = Field(None, description="Memory of one device.")
    estimated_speed: SpeedPlan | None = Field(None, description="How fast one replica is, by the planner's estimate.")
    startup_seconds: Number | None = Field(None, description="Estimated time from nothing to ready; no promise.")
    hourly_cost: Cost | None = Field(
        None, description="US dollars an hour for one replica that has its machines to itself, or `unknown`."
    )
    price_note: Text | None = Field(None, description="Date, region and source of the price.")
    tier: Word | None = Field(None, description="How sure it is that this runs: see the support matrix.")
    evidence: Text | None = Field(None, description="What the tier rests on.")


class PlanRefusal(ApiType):
    """Something that was considered and not chosen."""

    subject: Word = Field(description="What was considered.")
    reason: Word = Field(description="The finding as one CamelCase word.")
    message: Text = Field(description="The arithmetic, and what to write instead.")


class PlanChoice(ApiType):
    """A value that the planner chose because the spec left it open."""

    field: Word = Field(description="Path of the spec field that was left out.")
    value: Word = Field(description="The value that was chosen.")
    reason: Text = Field(description="Why.")


class PlanStatus(ApiType):
    """The pinned plan in short; the whole of it is in the model's ControllerRevision."""

    revision: Word | None = Field(None, description="Name of the ControllerRevision that holds the plan.")
    planner_version: Word | None = Field(None, description="Version of the operator that made the plan.")
    model: Word | None = Field(None, description="Catalogue id of the model.")
    repository: Word | None = Field(None, description="Repository of the weights.")
    repository_revision: Word | None = Field(None, description="Commit of the repository.")
    license: Word | None = Field(None, description="Id of the weights' license.")
    chosen: ChosenOption | None = Field(None, description="What was chosen.")
    choices: Annotated[tuple[PlanChoice, ...], Field(max_length=32, json_schema_extra=ATOMIC_LIST)] = Field(
        (), description="What the spec left open, and how it was decided."
    )
    refusals: Annotated[tuple[PlanRefusal, ...], Field(max_length=5, json_schema_extra=ATOMIC_LIST)] = Field(
        (), description="The nearest options that were not chosen."
    )


class RungStatus(ApiType):
    """How one rung of the ladder fares."""

    name: Word = Field(description="Name of the rung.")
    state: Word | None = Field(
        None,
        description="`Active` when its replicas have their nodes, `Trying` while they wait for them, `Exhausted` when"
        " there were none, `Refused` when a quota, a right or somebody's decision forbids them, else `Next`.",
    )
    reason: Word | None = Field(None, description="The finding as one CamelCase word.")
    message: Annotated[str, Field(max_length=4096)] | None = Field(None, description="The cloud's own words.")
    since: Timestamp | None = Field(None, description="When it came into this state.")
    retry_after: Timestamp | None = Field(None, description="When a rung that failed has its next turn.")
    replicas: Number | None = Field(None, description="Replicas that stand on it.")


class CapacityStatus(ApiType):
    """Rungs and claims of the model."""

    options: Annotated[tuple[RungStatus, ...], Field(max_length=16, json_schema_extra=LIST_MAP_BY_NAME)] = Field(
        (), description="The ladder's rungs."
    )
    claims: Annotated[tuple[Word, ...], Field(max_length=64, json_schema_extra=LIST_SET)] = Field(
        (), description="Names of the NodePoolClaims that the model uses."
    )
    queue: QueueStatus | None = Field(
        None,
        description="The model's place in line, while others come before it. It is looked at when it matters, and every"
        " ten minutes.",
    )


class PartStatus(ApiType):
    """One part of a model whose replicas are spread: those that one option takes, or the rest."""

    number: Annotated[int, Field(ge=1, le=8)] = Field(description="Its place among the parts, from 1 on.")
    workload: Word | None = Field(None, description="Name of its Deployment.")
    replicas: Number | None = Field(None, description="Replicas that are wanted of it.")
    ready_replicas: Number | None = Field(None, description="Those that answer.")
    revision: Word | None = Field(None, description="Name of the ControllerRevision that holds its plan.")
    options: Annotated[tuple[RungStatus, ...], Field(max_length=8, json_schema_extra=LIST_MAP_BY_NAME)] = Field(
        (), description="Its ladder: the rungs from its option on."
    )


class EndpointStatus(ApiType):
    """Where requests go."""

    url: Text | None = Field(None, description="Base URL inside the cluster, with `/v1`.")
    served_name: Word | None = Field(None, description="Name that requests give as `model`.")
    service: Word | None = Field(None, description="Name of the Service.")


class CostStatus(ApiType):
    """What runs costs this; list prices unless the operator was given others."""

    hourly: Cost | None = Field(
        None,
        description=(
            "Cost an hour of the nodes that replicas or a conversion are on, of the slices that stand, and of the"
            " model's part of idle nodes; `unknown` where a price isn't known."
        ),
    )
    idle: Cost | None = Field(
        None,
        description=(
            "As much of it is for nodes of the model's pools on which no replica of any model is: all users of the"
            " NodePoolClaim pay for them, each an even part. Left out where there are none."
        ),
    )
    currency: Annotated[str, Field(max_length=3)] | None = Field(None, description="Currency, such as `USD`.")
    note: Text | None = Field(None, description="Date and source of the prices.")


class TimelineEntry(ApiType):
    """Something that happened once on the way to Ready."""

    time: Timestamp = Field(description="When.")
    reason: Word = Field(description="What, as one CamelCase word.")
    message: Text | None = Field(None, description="What, for people.")


class AdapterStatus(ApiType):
    """How one adapter fares."""

    name: Word = Field(description="Name of the adapter.")
    state: Word | None = Field(None, description="`Loaded`, `Loading` or `Failed`.")
    message: Text | None = Field(None, description="The engine's own words.")


class ModelStatus(ApiType):
    """What is, why, and what it costs. Written whole by the operator; losing it loses nothing."""

    observed_generation: Number | None = Field(
        None, description="The generation of the spec that this status is about."
    )
    summary: Summary | None = Field(None, description="One line for people.")
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16, json_schema_extra=LIST_MAP_BY_TYPE)] = Field(
        (),
        description="Findings: Ready, Accepted, CapacityReady, WeightsReady, WorkloadReady, AutoscalingReady,"
        " EndpointReady, Degraded, Reconciling, Stalled.",
    )
    serving_class_name: Word | None = Field(
        None, description="The MistralServingClass that applies. None when left out."
    )
    plan: PlanStatus | None = Field(None, description="The pinned plan in short.")
    capacity: CapacityStatus | None = Field(None, description="Rungs and claims.")
    parts: Annotated[tuple[PartStatus, ...], Field(max_length=8, json_schema_extra=ATOMIC_LIST)] = Field(
        (), description="The parts of a model of which an option says how many replicas it takes at most."
    )
    replicas: Number | None = Field(None, description="Replicas that exist.")
    ready_replicas: Number | None = Field(None, description="Replicas that answer.")
    updated_replicas: Number | None = Field(None, description="Replicas of the present revision.")
    selector: Annotated[str, Field(max_length=1024)] | None = Field(
        None, description="Label selector for one pod per replica, for autoscalers."
    )
    endpoint: EndpointStatus | None = Field(None, description="Where requests go.")
    cost: CostStatus | None = Field(None, description="What it costs now.")
    timeline: Annotated[tuple[TimelineEntry, ...], Field(max_length=20, json_schema_extra=ATOMIC_LIST)] = Field(
        (), description="What happened, oldest first; the last 20 entries."
    )
    adapters: Annotated[tuple[AdapterStatus, ...], Field(max_length=64, json_schema_extra=LIST_MAP_BY_NAME)] = Field(
        (), description="How the adapters fare."
    )
