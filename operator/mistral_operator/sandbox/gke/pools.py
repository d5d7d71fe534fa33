"""Node pools and their virtual machines, as the cloud knows them."""

import asyncio
import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import Any

from google.cloud import container_v1

from .errors import Failure
from .machines import MachineType, chips_of, machine_types
from .reservations import Consume
from .scenario import Scenario
from .stock import Want

NodePoolPb = container_v1.NodePool.pb()
PoolStatus = container_v1.NodePool.Status
Condition = container_v1.StatusCondition.Code
LocationPolicy = container_v1.NodePoolAutoscaling.LocationPolicy
Affinity = container_v1.ReservationAffinity.Type

NAME_PART = 20
"""Instance groups carry so many characters of the cluster's name, and of the pool's."""
CONSUME = {
    # Compute Engine's own default takes what reservations are open to everyone.
    Affinity.UNSPECIFIED: Consume.ANY,
    Affinity.NO_RESERVATION: Consume.NONE,
    Affinity.ANY_RESERVATION: Consume.ANY,
    Affinity.ANY_RESERVATION_THEN_FAIL: Consume.ANY_THEN_FAIL,
    Affinity.SPECIFIC_RESERVATION: Consume.SPECIFIC,
}
ALPHABET = "0123456789bcdfghjklmnpqrstvwxz"


class InstanceState(StrEnum):
    """CREATING has no machine yet; BOOTING has one without a node; STOPPING is on its way out."""

    CREATING = "CREATING"
    BOOTING = "BOOTING"
    RUNNING = "RUNNING"
    STOPPING = "STOPPING"


@dataclass(frozen=True, slots=True)
class PodRef:
    """A pod for which a machine was asked."""

    namespace: str
    name: str
    uid: str


@dataclass(slots=True, eq=False)
class Instance:
    """One virtual machine."""

    name: str
    want: Want
    address: str
    version: str = ""
    wanted_by: tuple[PodRef, ...] = ()
    state: InstanceState = InstanceState.CREATING
    devices_ready: bool = False
    """Its GPUs or TPU chips can be seen by pods."""
    idle_since_s: float | None = None
    marked: bool = False
    """The autoscaler is about to take it down."""
    task: asyncio.Task[None] | None = None

    @property
    def zone(self) -> str:
        return self.want.zone

    @property
    def stays(self) -> bool:
        return self.state is not InstanceState.STOPPING and not self.marked

    @property
    def usable(self) -> bool:
        """Its node has everything that pods may ask for."""
        return self.state is InstanceState.RUNNING and (self.devices_ready or not self.want.machine.devices)


@dataclass(slots=True, eq=False)
class Pool:
    """A node pool: the API's message, and the instances of its managed instance groups (one in each zone).

    `lock` is held by whoever changes message and size, a deletion excepted. `repairing`: a slice that lost a host is
    being made again, until it is whole or somebody asks for another size. `target`: the size that a zone was asked to
    have, if anybody asked, and no autoscaler decides.
    """

    message: Any
    instances: dict[str, Instance] = field(default_factory=dict)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    repairing: bool = False
    target: int | None = None

    @property
    def name(self) -> str:
        return str(self.message.name)

    @property
    def machine(self) -> MachineType:
        return machine_of(self.message.config)

    @property
    def mode(self) -> str:
        config = self.message.config
        if config.spot or config.preemptible:
            return "spot"
        return "flex-start" if config.flex_start else "on-demand"

    @property
    def spot(self) -> bool:
        return self.mode == "spot"

    @property
    def flex_start(self) -> bool:
        return self.mode == "flex-start"

    @property
    def queued(self) -> bool:
        """Only ProvisioningRequests make it grow."""
        return bool(self.message.queued_provisioning.enabled)

    @property
    def longest_run_s(self) -> float:
        """Its machines end after so many seconds; 0: never."""
        return float(self.message.config.max_run_duration.ToTimedelta().total_seconds())

    @property
    def zones(self) -> list[str]:
        return list(self.message.locations)

    @property
    def autoscaled(self) -> bool:
        return bool(self.message.autoscaling.enabled)

    @property
    def deleting(self) -> bool:
        return bool(self.message.status == PoolStatus.STOPPING)

    @property
    def topology(self) -> str:
        """Of the TPU slice that the pool is, or that each of its machines is; "" without TPUs."""
        return str(self.message.placement_policy.tpu_topology or self.machine.topology)

    @property
    def slice_hosts(self) -> int:
        """So many machines are the multi-host slice that this pool is; 0 for all other pools."""
        return slice_hosts(self.message)

    @property
    def is_whole(self) -> bool:
        """Every host of the slice is there and has shown its chips."""
        return sum(1 for i in self.instances.values() if i.stays and i.usable) == self.slice_hosts

    def fail(self, failure: Failure) -> None:
        """Note in the pool how it went wrong: ERROR without machines, else RUNNING_WITH_ERROR."""
        self.message.status = PoolStatus.RUNNING_WITH_ERROR if self.size() else PoolStatus.ERROR
        self.message.status_message = failure.message
        del self.message.conditions[:]
        code = Condition[failure.condition or "UNKNOWN"]
        self.message.conditions.add(code=code, message=failure.message, canonical_code=failure.number)

    def want(self, zone: str) -> Want:
        """A machine of this pool."""
        affinity = self.message.config.reservation_affinity
        consume = Consume.NONE if self.mode != "on-demand" else CONSUME[affinity.consume_reservation_type]
        name = affinity.values[0] if affinity.values else ""
        return Want(zone, self.machine, self.mode, consume, name)

    def size(self, zone: str | None = None) -> int:
        """Instances that are there or on their way and are to stay, in one zone or in all."""
        return sum(1 for i in self.instances.values() if i.stays and zone in (None, i.zone))

    def missing(self) -> list[str]:
        """The zone of each machine that an instance group was asked for and doesn't have."""
        target = self.target or 0
        return [zone for zone in self.zones for _ in range(target - self.size(zone))]

    def room(self, zone: str) -> int:
        """So many instances the autoscaler may add in this zone; to a slice all or none."""
        if self.slice_hosts and self.size():
            return 0
        bounds = self.message.autoscaling
        if bounds.total_max_node_count:
            return max(0, int(bounds.total_max_node_count) - self.size())
        return max(0, int(bounds.max_node_count) - self.size(zone))

    def spare(self, zone: str) -> int:
        """So many instances the autoscaler may remove in this zone."""
        bounds = self.message.autoscaling
        if bounds.total_max_node_count:
            return max(0, self.size() - int(bounds.total_min_node_count))
        return max(0, self.size(zone) - int(bounds.min_node_count))

    def maximum(self) -> int:
        """The autoscaler's upper bound for one instance group, as its events print it."""
        bounds = self.message.autoscaling
        return int(bounds.total_max_node_count or bounds.max_node_count)


def machine_of(config: Any) -> MachineType:
    """The machine type of a node pool, with the GPUs that it attaches."""
    machine = machine_types()[config.machine_type]
    for asked in config.accelerators:
        if asked.accelerator_type in machine.attachable:
            return machine.equipped(asked.accelerator_type, asked.accelerator_count)
    return machine


def slice_hosts(message: Any) -> int:
    """So many machines are the multi-host slice that this node pool's message asks for; 0: it asks for none."""
    topology, chips = message.placement_policy.tpu_topology, machine_types()[message.config.machine_type].chips
    return chips_of(topology) // chips if topology and chips else 0


def group_name(scenario: Scenario, pool: str, zone: str) -> str:
    """The managed instance group of a pool in a zone."""
    digest = hashlib.sha256(f"{scenario.cluster}/{pool}/{zone}".encode()).hexdigest()[:8]
    return f"gke-{scenario.cluster[:NAME_PART].rstrip('-')}-{pool[:NAME_PART].rstrip('-')}-{digest}"


def group_url(scenario: Scenario, pool: str, zone: str) -> str:
    """The instance group's address in the Compute API, as the autoscaler's events print it."""
    base = f"https://www.googleapis.com/compute/v1/projects/{scenario.project}/zones/{zone}/instanceGroups"
    return f"{base}/{group_name(scenario, pool, zone)}-grp"


def instance_name(scenario: Scenario, pool: Pool, zone: str, random: Random) -> str:
    """A name that no instance of the pool has."""
    while True:
        name = f"{group_name(scenario, pool.name, zone)}-{''.join(random.choices(ALPHABET, k=4))}"
        if name not in pool.instances:
            return name
