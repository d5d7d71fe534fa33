"""NodePoolClaim: one node pool that is wanted, between models and the cloud."""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field

from mistral_operator.api.capacity import (
    Accelerator,
    Consumption,
    DiskImage,
    MachineType,
    Provisioner,
    Reservation,
    Sharing,
    Topology,
)
from mistral_operator.api.common import (
    ATOMIC_LIST,
    LIST_MAP_BY_TYPE,
    LIST_SET,
    RESOURCE_LABEL_KEYS,
    ApiType,
    Condition,
    Count,
    DnsLabel,
    LabelValue,
    Metadata,
    Money,
    Quantity,
    QueueStatus,
    ResourceLabels,
    Rule,
    SchemaOf,
    Timestamp,
    Zone,
)
from mistral_operator.api.pod import Toleration

MAX_CLAIM_NAME_LENGTH = 37
"""GKE's 40 characters for a node pool's name without the prefix `mm-`."""

MAX_SLICE_HOSTS = 256
MAX_RUN_DURATION_S = 604_800
"""Google ends a flex-start machine after seven days at the latest."""

_Maker = Literal[
    Provisioner.CONTAINER_API, Provisioner.COMPUTE_CLASS, Provisioner.CONFIG_CONNECTOR, Provisioner.EXISTING
]
"""What `Auto` can come to."""
_Word = Annotated[str, Field(max_length=256)]
_Number = Annotated[int, Field(ge=0)]


class Placement(StrEnum):
    """What places the nodes of a pool, where GKE doesn't by itself."""

    WORKLOAD_POLICY = "WorkloadPolicy"


class ClaimAccelerator(ApiType):
    """Accelerators of one node."""

    type: Accelerator = Field(description="GKE's accelerator type, such as `nvidia-l4`.")
    count: Annotated[Count, Field(ge=1, le=16)] = Field(description="Devices per node.")


class ClaimShape(ApiType):
    """What one node looks like."""

    machine_type: MachineType = Field(
        "", description="GKE machine type. Left out for nodes that are there and of none."
    )
    accelerator: ClaimAccelerator = Field(description="Accelerators of one node.")
    topology: Topology | None = Field(None, description="Topology of a TPU slice, such as `2x4`.")
    sharing: Sharing | None = Field(None, description="How each GPU is shared. Each pod has its own when left out.")
    hosts: Annotated[Count, Field(ge=2, le=MAX_SLICE_HOSTS)] | None = Field(
        None,
        description="Nodes of one multi-host slice, which come and go together. One node is a whole when left out.",
    )


class ClaimSlice(ApiType):
    """Which of a model's slices it is."""

    group: Annotated[str, Field(min_length=1, max_length=MAX_CLAIM_NAME_LENGTH)] = Field(
        description="What the slices of one revision have in common: the shape that its pods ask for."
    )
    number: Annotated[Count, Field(ge=0, le=999)] = Field(description="Number within the group, from 0.")


class ClaimAlternative(ApiType):
    """Another way to buy the same machines."""

    consumption: Consumption = Field(description="How the capacity is bought.")
    reservation: Reservation | None = Field(
        None, description="Of which reservation the nodes are, with `consumption: Reservation`."
    )
    max_run_duration_seconds: Annotated[Count, Field(ge=60, le=MAX_RUN_DURATION_S)] | None = Field(
        None, description="Time after which a node ends by itself, with `consumption: FlexStart`."
    )
    zones: Annotated[tuple[Zone, ...], Field(min_length=1, max_length=8, json_schema_extra=LIST_SET)] = Field(
        description="Zones in which nodes may be made."
    )


class ClaimNodes(ApiType):
    """Nodes that are there and may be used, with `provisioner: Existing`."""

    selector: Annotated[dict[str, LabelValue], Field(max_length=48)] = Field(
        default_factory=dict, description="Labels that a node must have."
    )
    tolerations: Annotated[
        tuple[Toleration, ...], Field(max_length=32, json_schema_extra={"x-kubernetes-list-type": "atomic"})
    ] = Field((), description="Taints that the pods bear, beside that of their devices.")
    requests: Annotated[dict[str, Quantity], Field(max_length=16)] = Field(
        default_factory=dict, description="What one pod takes of a node: CPU, memory and devices."
    )


class NodePoolClaimSpec(ApiType):
    """The node pool that is wanted. Models with the same needs share it."""

    rules = (
        RESOURCE_LABEL_KEYS,
        Rule(
            "self == oldSelf",
            "spec can't be changed, because node pools can't and the name is a hash of it; delete the claim, and it is"
            " made again as its models need it",
            lambda _: True,  # Offline there is no earlier one.
        ),
    )

    provisioner: _Maker | None = Field(None, description="What makes the node pool. `ContainerAPI` when left out.")
    shape: ClaimShape = Field(description="What one node looks like.")
    placement: Placement | None = Field(
        None,
        description=(
            "What places the nodes of a slice: `WorkloadPolicy` is one of Compute Engine, which the operator makes"
            " before the pool and deletes after it. GKE places the slice by itself when left out."
        ),
    )
    consumption: Consumption = Field(description="How the capacity is bought.")
    reservation: Reservation | None = Field(
        None, description="Of which reservation the nodes are, with `consumption: Reservation`."
    )
    max_run_duration_seconds: Annotated[Count, Field(ge=60, le=MAX_RUN_DURATION_S)] | None = Field(
        None, description="Time after which a node ends by itself, with `consumption: FlexStart`."
    )
    image_cache: DiskImage | None = Field(
        None,
        description=(
            "Disk image, with container images on it, that each node gets a second disk of, so that it needn't pull"
            " them."
        ),
    )
    zones: Annotated[tuple[Zone, ...], Field(max_length=8, json_schema_extra=LIST_SET)] = Field(
        (), description="Zones in which nodes may be made, or may be. Any with `provisioner: Existing` when left out."
    )
    alternatives: Annotated[
        tuple[ClaimAlternative, ...], Field(max_length=9, json_schema_extra={"x-kubernetes-list-type": "atomic"})
    ] = Field(
        (),
        description=(
            "Other ways to buy the same machines, which GKE tries in this order when it has none in the way above; only"
            " with `provisioner: ComputeClass`."
        ),
    )
    tenant: DnsLabel = Field(description="Namespace whose models share the pool.")
    model: DnsLabel | None = Field(
        None, description="The model that a slice serves. Pools of other shapes are shared within the namespace."
    )
    nodes: ClaimNodes | None = Field(
        None, description="Which nodes that are there may be used, with `provisioner: Existing`."
    )
    slice: ClaimSlice | None = Field(None, description="Which of the model's slices it is.")
    location: Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[a-z]+-[a-z]+[0-9]+(-[a-z])?$")] | None = (
        Field(None, description="Region or zone of the cluster.")
    )
    resource_labels: ResourceLabels = Field(
        default_factory=dict, description="Labels of the node pool's cloud resources, for billing."
    )


class ClaimUser(ApiType):
    """A model that uses the pool."""

    namespace: _Word = Field(description="Namespace of the MistralModel.")
    name: _Word = Field(description="Name of the MistralModel.")
    nodes: _Number | None = Field(None, description="Nodes that the model may need at most.")


class ClaimSize(ApiType):
    """Size of the pool."""

    desired_max: _Number | None = Field(None, description="Nodes that the pool may grow to, over all zones.")
    current: _Number | None = Field(None, description="Nodes that are there.")
    allowed_max: _Number | None = Field(None, description="Nodes that the pool's own bounds allow.")


class ClaimPriority(ApiType):
    """One way to buy the nodes, and what it has brought."""

    consumption: _Word = Field(description="How the capacity is bought.")
    reservation: _Word | None = Field(None, description="Of which reservation.")
    nodes: _Number = Field(description="Nodes that are there, by their labels.")


class ClaimOperation(ApiType):
    """The cloud's operation that is under way."""

    name: _Word = Field(description="Name of the operation in GKE.")
    type: _Word | None = Field(None, description="What it does, such as `CREATE_NODE_POOL`.")
    started_at: Timestamp | None = Field(None, description="When it began.")


class ClaimDrift(ApiType):
    """Something that somebody else changed of the node pool."""

    time: Timestamp = Field(description="When it was found.")
    finding: _Word = Field(description="What it is, as one CamelCase word, such as `NodeLabelsChanged`.")
    message: Annotated[str, Field(max_length=1024)] = Field(description="What it was, and what it should be.")
    done: _Word = Field(description="`Reported`, `Repaired` or `Replaced`.")


class NodePoolClaimStatus(ApiType):
    """How the node pool fares. Written whole by the operator; losing it loses nothing."""

    observed_generation: _Number | None = Field(
        None, description="The generation of the spec that this status is about."
    )
    pool_name: _Word | None = Field(None, description="Name of the node pool in GKE.")
    policy_name: _Word | None = Field(
        None, description="Name of the workload policy in Compute Engine, for a slice that is placed by one."
    )
    zone: Zone | None = Field(None, description="Zone of a slice, or in which it is being tried.")
    state: _Word | None = Field(None, description="State of the node pool as one CamelCase word.")
    users: Annotated[
        tuple[ClaimUser, ...],
        Field(
            max_length=1024,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["namespace", "name"]},
        ),
    ] = Field((), description="Models that use the pool. When the last one goes, the pool is deleted.")
    nodes: ClaimSize | None = Field(None, description="Size of the pool.")
    priorities: Annotated[
        tuple[ClaimPriority, ...], Field(max_length=10, json_schema_extra={"x-kubernetes-list-type": "atomic"})
    ] = Field((), description="With a ComputeClass: which of its priorities, in order, the nodes are of.")
    queue: QueueStatus | None = Field(
        None, description="The claim's place among those that need the same, while it waits for its turn."
    )
    operation: ClaimOperation | None = Field(None, description="The cloud's operation that is under way.")
    drift: Annotated[tuple[ClaimDrift, ...], Field(max_length=10, json_schema_extra=ATOMIC_LIST)] = Field(
        (), description="What others changed of the node pool, and what was done about it; the latest last."
    )
    hourly_cost: Money | None = Field(
        None,
        description=(
            "Cost of the nodes that are there, in US dollars an hour: at list prices, which are unverified, unless the"
            " operator was given others."
        ),
    )
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16, json_schema_extra=LIST_MAP_BY_TYPE)] = Field(
        (), description="Findings, such as Ready and Degraded; they quote the cloud's own errors."
    )


class NodePoolClaim(ApiType):
    """One GKE node pool that models need. The operator makes it, works on it and releases it; people read it."""

    rules = (
        Rule(
            f"self.metadata.name.size() <= {MAX_CLAIM_NAME_LENGTH}",
            f"metadata.name must be at most {MAX_CLAIM_NAME_LENGTH} characters, because the node pool is named"
            " after it; write a shorter one",
            lambda claim: len(claim.metadata.name) <= MAX_CLAIM_NAME_LENGTH,
        ),
    )

    api_version: Literal["serving.mistral-operator.dev/v1alpha1"] = "serving.mistral-operator.dev/v1alpha1"
    kind: Literal["NodePoolClaim"] = "NodePoolClaim"
    metadata: Metadata
    spec: NodePoolClaimSpec = Field(description="The node pool that is wanted.")
    status: Annotated[dict[str, Any], SchemaOf(NodePoolClaimStatus)] = Field(
        default_factory=dict, description="How the node pool fares; written by the operator."
    )
