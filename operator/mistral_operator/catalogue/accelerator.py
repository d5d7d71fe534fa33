"""An accelerator as GKE offers it, with its machine shapes. Frozen."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Final

from mistral_operator.catalogue.provenance import Provenance
from mistral_operator.catalogue.units import GIB

USUAL_BOOT_DISK: Final = "pd-balanced"


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
    share: Fraction = Fraction(1)
    """Part of one GPU that the machine has; less than 1 for machines that divide a GPU between them."""
    placement_policy: bool = False
    """Whether its pool is placed by a workload policy of Compute Engine."""
    local_ssds: int = 0
    """Local disks that come with one machine and are paid with it, as the API counts them."""
    boot_disk: str = USUAL_BOOT_DISK
    """Kind of boot disk that one machine takes, in the API's words."""
    is_node: bool = False
    """True for a node that is there, or a part of it: CPU and memory are what it leaves to pods, not the machine's."""

    @property
    def total_devices(self) -> int:
        """Devices of all hosts together: those of one replica."""
        return self.devices * self.hosts


@dataclass(frozen=True, slots=True)
class Partition:
    """A size of NVIDIA's Multi-Instance GPU (MIG): all GPUs of a node pool are divided into so many of it."""

    name: str
    """As GKE and NVIDIA write it, such as `1g.10gb`."""
    count: int
    """Partitions of one GPU, two at least."""
    memory: Fraction
    """Share of the GPU's memory and of its bandwidth that each has."""
    compute: Fraction
    """Share of the GPU's multiprocessors, so of its operations."""
    usable_memory_gib: Decimal
    """Of one partition, as the driver shows it."""


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
    interconnect_gb_s: int
    """Between one device and the others of its machine or slice, one way or both as the vendor states it."""
    node_start_s: int
    """Estimate: from a pending pod to a node with a working driver."""
    price: PriceList
    machines: tuple[MachineShape, ...]
    provenance: Provenance
    zones: tuple[str, ...] = ()
    """Zones that list the accelerator; empty where only regions are known."""
    cores: int = 1
    """Devices as the engine counts them in one as GKE counts them: 2 for TPU v7x, whose memory they divide."""
    fp4: bool = False
    """Whether it computes in NVFP4; others hold such weights and compute in 16 bit, where the engine can."""
    host_architecture: str = "amd64"
    min_gke_version: str = ""
    """First GKE version that offers it, such as `1.34.0-gke.2201000`; empty where every supported one does."""

    partitions: tuple[Partition, ...] = ()
    """Sizes that one can be divided into; empty where none are known."""
    quotas: Mapping[str, str] = field(default_factory=dict)
    """Consumption → Compute Engine's quota metric for the devices; without what is not known."""

    def find_partition(self, name: str) -> Partition | None:
        """The partition size of that name."""
        return next((partition for partition in self.partitions if partition.name == name), None)

    def quota_of(self, consumption: str) -> str:
        """The quota metric for devices bought that way; empty where unknown, and for reserved ones, which need no more
        of any: they were counted when the reservation was made.
        """
        # Flex-start counts against the preemptible quota, as spot does.
        return self.quotas.get("Spot" if consumption == "FlexStart" else consumption, "")

    @property
    def usable_bytes(self) -> int:
        """Usable memory of one core in whole bytes."""
        return int(self.usable_memory_gib * GIB) // self.cores

    @property
    def core_bytes(self) -> int:
        """Memory of one core in whole bytes, as the name says."""
        return self.memory_gib * GIB // self.cores


def find_price(prices: Mapping[str, Decimal], consumption: str) -> Decimal | None:
    """The price of a way of buying among the prices of one machine; None where there is none.

    A reserved machine costs what it costs on demand unless something else was agreed: a reservation by itself is no
    discount, and is paid whether its machines are used or not.
    """
    return prices.get(consumption, prices.get("OnDemand") if consumption == "Reservation" else None)
