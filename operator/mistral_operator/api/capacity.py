"""`spec.capacity`: on which hardware, bought how, and for how much."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from mistral_operator.api.common import LIST_SET, ApiType, Count, LabelValue, Money, Rule, Zone
from mistral_operator.api.label_keys import free_of_our_keys, well_formed_keys


class Provisioner(StrEnum):
    """What makes the node pools."""

    AUTO = "Auto"
    CONTAINER_API = "ContainerAPI"
    COMPUTE_CLASS = "ComputeClass"
    CONFIG_CONNECTOR = "ConfigConnector"
    EXISTING = "Existing"


class Consumption(StrEnum):
    """How capacity is bought."""

    ON_DEMAND = "OnDemand"
    SPOT = "Spot"
    FLEX_START = "FlexStart"
    RESERVATION = "Reservation"


class SharingStrategy(StrEnum):
    """How one GPU is divided between replicas."""

    MIG = "MIG"
    TIME_SHARING = "TimeSharing"


MOST_CLIENTS = 48
"""Containers that GKE lets share one GPU by taking turns."""

Accelerator = Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
Topology = Annotated[str, Field(min_length=3, max_length=12, pattern=r"^[0-9]{1,3}x[0-9]{1,3}(x[0-9]{1,3})?$")]
Reservation = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9:./]*[a-z0-9])?$")]
DiskImage = Annotated[
    str,
    Field(
        min_length=1,
        max_length=253,
        pattern=r"^projects/[a-z]([-a-z0-9:.]*[a-z0-9])?/global/images/[a-z]([-a-z0-9]{0,61}[a-z0-9])?$",
    ),
]
MACHINE_TYPE_PATTERN = r"^[a-z0-9]+(-[a-z0-9]+)+$"
MachineType = Annotated[str, Field(min_length=1, max_length=40, pattern=MACHINE_TYPE_PATTERN)]


PartitionSize = Annotated[str, Field(min_length=4, max_length=16, pattern=r"^[1-9]g\.[0-9]{1,3}gb$")]
Clients = Annotated[Count, Field(ge=2, le=MOST_CLIENTS)]


class Sharing(ApiType):
    """One GPU for several replicas, of one model or of several of the namespace."""

    rules = (
        Rule(
            "(self.strategy == 'MIG') == has(self.partition)",
            "strategy: MIG needs the partition that each replica gets, and no other strategy has one; write partition:"
            " 1g.10gb, for instance",
            lambda sharing: (sharing.strategy is SharingStrategy.MIG) == (sharing.partition is not None),
        ),
        Rule(
            "(self.strategy == 'TimeSharing') == has(self.clients)",
            "strategy: TimeSharing needs the number of replicas that share each GPU, and no other strategy has one;"
            " write clients: 2, for instance",
            lambda sharing: (sharing.strategy is SharingStrategy.TIME_SHARING) == (sharing.clients is not None),
        ),
    )

    strategy: SharingStrategy = Field(
        description="`MIG` divides the GPU in hardware; with `TimeSharing` replicas take turns, kept apart by nothing."
    )
    partition: PartitionSize | None = Field(
        None, description="With `MIG`: the partition that each replica gets, such as `1g.10gb`."
    )
    clients: Clients | None = Field(None, description="With `TimeSharing`: replicas that share each GPU.")


class CapacityOption(ApiType):
    """One rung of the ladder. What is left out is chosen by the planner."""

    rules = (
        Rule(
            "!has(self.sharing) || has(self.accelerator) || has(self.machineType)",
            "sharing needs the GPU that is shared; write accelerator: l4, for instance",
            lambda option: option.sharing is None or bool(option.accelerator or option.machine_type),
        ),
        Rule(
            "!has(self.sharing) || ((!has(self.devices) || self.devices == 1) && !has(self.topology))",
            "with sharing a replica has a part of one GPU; remove topology, and devices or write devices: 1",
            lambda option: option.sharing is None or (option.devices in (None, 1) and option.topology is None),
        ),
        Rule(
            "!has(self.reservation) || (has(self.consumption) && self.consumption == 'Reservation')",
            "reservation is used only with consumption: Reservation; write that, or remove reservation",
            lambda option: option.reservation is None or option.consumption is Consumption.RESERVATION,
        ),
        Rule(
            "!has(self.consumption) || self.consumption != 'Reservation' || has(self.reservation)",
            "consumption: Reservation needs the reservation's name; write reservation: <name>",
            lambda option: option.consumption is not Consumption.RESERVATION or option.reservation is not None,
        ),
        Rule(
            "!has(self.topology) || has(self.accelerator) || has(self.machineType)",
            "topology needs the accelerator that it is a topology of; write accelerator: v6e, for instance",
            lambda option: option.topology is None or bool(option.accelerator or option.machine_type),
        ),
    )

    accelerator: Accelerator | None = Field(
        None, description="Catalogue id of the accelerator, such as `l4` or `h100-80`."
    )
    devices: Annotated[Count, Field(ge=1, le=1024)] | None = Field(None, description="Devices per replica.")
    topology: Topology | None = Field(None, description="Topology of a TPU slice, such as `2x4`.")
    machine_type: MachineType | None = Field(None, description="GKE machine type, such as `g2-standard-8`.")
    consumption: Consumption | None = Field(None, description="How the capacity is bought. `OnDemand` when left out.")
    reservation: Reservation | None = Field(
        None,
        description=(
            "Name of the reservation, such as `team-gpus`, or `projects/PROJECT/reservations/NAME` for one that another"
            " project shares."
        ),
    )
    zones: Annotated[tuple[Zone, ...], Field(max_length=8, json_schema_extra=LIST_SET)] = Field(
        (), description="Zones to use. All zones of the cluster when left out; each must have the machine type."
    )
    sharing: Sharing | None = Field(
        None, description="Share a GPU between replicas. Never chosen by the planner itself; a GPU each when left out."
    )
    replicas: Annotated[Count, Field(ge=1, le=1000)] | None = Field(
        None, description="Replicas that this rung takes at most; the rest goes to the next one."
    )


class ExistingNodes(ApiType):
    """Nodes that are there already."""

    rules = (
        free_of_our_keys("capacity.nodes", "selector", "selector"),
        well_formed_keys("capacity.nodes", "selector", "selector"),
    )

    selector: Annotated[dict[str, LabelValue], Field(max_length=16)] = Field(
        default_factory=dict,
        description=(
            "Labels that a node must have, such as `cloud.google.com/gke-nodepool: gpus`. Any node with a known"
            " accelerator when left out."
        ),
    )


class Capacity(ApiType):
    """Where replicas run. Left out, the planner builds the ladder from the catalogue, cheapest first."""

    provisioner: Provisioner | None = Field(
        None, description="What makes the node pools. `Auto` finds out what the cluster offers."
    )
    nodes: ExistingNodes | None = Field(
        None, description="Which nodes that are there may be used, with `provisioner: Existing`."
    )
    options: Annotated[
        tuple[CapacityOption, ...], Field(max_length=8, json_schema_extra={"x-kubernetes-list-type": "atomic"})
    ] = Field((), description="The ladder in order of preference: the next rung is taken when one has no capacity.")
    max_hourly_cost: Money | None = Field(
        None, description='Most that all replicas together may cost, in US dollars an hour, such as `"12.50"`.'
    )
    max_surge_hourly_cost: Money | None = Field(
        None, description="Most that may be spent on top while replicas move to other hardware, in US dollars an hour."
    )
    priority: Annotated[Count, Field(ge=-1000, le=1000)] | None = Field(
        None, description="Who gets scarce capacity and budget first; higher wins. 0 when left out."
    )
