"""The port to the cloud's node pools: what the claims need of GKE, without any of its types."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol, get_args, runtime_checkable

from mistral_operator.capacity.errors import CloudFinding

READ_DEADLINE_S: Final = 30.0
WRITE_DEADLINE_S: Final = 60.0
"""GKE checks quota and networks before it answers a create, which takes longer than a read."""

MAX_PODS_PER_NODE: Final = 32
"""GKE's default of 110 takes a /24 of addresses a node; a GPU node runs one engine and some daemons."""

_GVNIC_UNKNOWN_TO: Final = ("n1-",)


def takes_gvnic(machine_type: str) -> bool:
    """Whether the machine has Google's own network card, which the newer ones need."""
    return not machine_type.startswith(_GVNIC_UNKNOWN_TO)


class PoolStatus(StrEnum):
    """GKE's status of a node pool."""

    UNKNOWN = "STATUS_UNSPECIFIED"
    PROVISIONING = "PROVISIONING"
    RUNNING = "RUNNING"
    RUNNING_WITH_ERROR = "RUNNING_WITH_ERROR"
    RECONCILING = "RECONCILING"
    STOPPING = "STOPPING"
    ERROR = "ERROR"


@dataclass(frozen=True, slots=True)
class Accelerator:
    """Accelerators of one node."""

    type: str
    """GKE's accelerator type, such as `nvidia-l4` or `tpu-v6e-slice`."""
    count: int
    partition: str = ""
    """MIG partition size that each is divided into; empty for none."""
    clients: int = 0
    """Containers that may share each by taking turns; 0 where they may not."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Nodes over all zones that the cluster autoscaler may keep."""

    total_min: int
    total_max: int


@dataclass(frozen=True, slots=True)
class Purchase:
    """One way in which the cloud may get a pool's nodes, where it chooses among several."""

    spot: bool
    locations: tuple[str, ...]
    reservation: str = ""
    max_run_s: int = 0
    """Seconds after which a flex-start node ends; 0 for nodes that aren't flex-start."""


EFFECTS: Final = {
    "NoSchedule": "NO_SCHEDULE",
    "PreferNoSchedule": "PREFER_NO_SCHEDULE",
    "NoExecute": "NO_EXECUTE",
}
"""Effect of a taint as Kubernetes spells it → as GKE does."""


@dataclass(frozen=True, slots=True)
class Taint:
    """A taint of a pool's nodes, its effect as Kubernetes spells it, such as `NoSchedule`."""

    key: str
    value: str
    effect: str


@dataclass(frozen=True, slots=True)
class Upkeep:
    """How GKE keeps a pool's nodes in repair and up to date."""

    auto_repair: bool
    auto_upgrade: bool
    strategy: str
    """GKE's word: `SURGE`, `BLUE_GREEN` or `SHORT_LIVED`."""
    max_surge: int = 0
    max_unavailable: int = 0
    excluded: bool = False
    """Whether automatic upgrades leave the pool alone until the end of its version's support."""


class UpgradeHold(StrEnum):
    """What keeps GKE from upgrading a pool by itself."""

    NONE = "None"
    EXCLUSION = "Exclusion"
    """Until the end of support: in a release channel, where automatic upgrades can't be switched off."""
    SWITCHED_OFF = "SwitchedOff"
    """No automatic upgrades: for a cluster in no release channel."""


@dataclass(frozen=True, slots=True)
class PoolSpec:
    """A pool to create: an ordinary one, autoscaled from size 0, or a multi-host slice, whole from the start."""

    name: str
    machine_type: str
    gpu: Accelerator | None
    """None for TPUs: GKE takes them from the machine type, and refuses a pool that names them too."""
    spot: bool
    locations: tuple[str, ...]
    bounds: Bounds | None
    """None for a slice, whose size is fixed."""
    node_labels: Mapping[str, str]
    """Kubernetes labels of the nodes."""
    resource_labels: Mapping[str, str]
    """Labels of the cloud resources: ownership and billing."""
    boot_disk_gb: int
    slice_topology: str = ""
    """Topology of a multi-host slice, such as `4x4`; a single-host TPU pool must not name one."""
    slice_hosts: int = 0
    """Nodes of a multi-host slice."""
    reservation: str = ""
    """Reservation that all nodes are of; empty for none."""
    max_run_s: int = 0
    """Seconds after which a flex-start node ends; 0 for a pool that isn't flex-start."""
    boot_disk: str = "pd-balanced"
    """GKE's kind of boot disk."""
    local_ssds: int = 0
    """Local disks of each node that become pods' scratch space."""
    tpu: Accelerator | None = None
    """TPU chips of one node, for those who can't take them from the machine type."""
    topology: str = ""
    """Arrangement of those chips, such as `2x4`."""
    purchases: tuple[Purchase, ...] = ()
    """In order, where the cloud itself goes from one way to the next; else empty, and there is only the one above."""
    placement_policy: str = ""
    """Workload policy of Compute Engine by which a slice is placed; empty where GKE places it by itself."""
    image_cache: str = ""
    """Disk image, `projects/P/global/images/NAME`, of a second disk with container images on it; empty for none."""
    max_pods: int = MAX_PODS_PER_NODE
    """Pods that a node may have; each takes two addresses."""
    hold: UpgradeHold = UpgradeHold.NONE


@dataclass(frozen=True, slots=True)
class PoolView:
    """A pool as the cloud has it."""

    name: str
    status: PoolStatus
    machine_type: str
    accelerators: tuple[Accelerator, ...]
    spot: bool
    locations: tuple[str, ...]
    node_labels: Mapping[str, str]
    resource_labels: Mapping[str, str]
    bounds: Bounds | None
    """None when the pool isn't autoscaled by totals."""
    findings: tuple[CloudFinding, ...]
    """The pool's conditions, classified."""
    slice_topology: str = ""
    """Topology of a multi-host slice; empty for ordinary pools."""
    reservation: str = ""
    """Reservation that the pool is bound to; empty for none."""
    flex_start: bool = False
    max_run_s: int = 0
    """Seconds after which nodes end; 0 for never."""
    purchases: tuple[Purchase, ...] = ()
    """In order, where the cloud itself goes from one way to the next; else empty."""
    placement_policy: str = ""
    """Name of the resource policy by which it is placed; empty without one."""
    image_cache: str = ""
    """Disk images of which nodes have further disks, each as in a spec; empty for none."""
    taints: tuple[Taint, ...] = ()
    upkeep: Upkeep | None = None
    """None when it isn't told: then it is compared with nothing."""
    autoscaled: bool = False
    """Whether the cluster autoscaler decides about its size, by whatever bounds."""
    version: str = ""
    """GKE version of the nodes, such as `1.34.1-gke.1000000`; empty when it isn't told."""
    uid: str = ""
    """Of the object that stands for it; empty where there is none, and a name is all that a pool is known by."""


@dataclass(frozen=True, slots=True)
class SetNodeLabels:
    """Let the pool's nodes have these labels and no others."""

    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SetTaints:
    """Let the pool's nodes have these taints and no others."""

    taints: tuple[Taint, ...]


@dataclass(frozen=True, slots=True)
class SetResourceLabels:
    """Let the pool's cloud resources have these labels and no others."""

    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SetManagement:
    """Switch automatic repairs and upgrades as the upkeep says."""

    upkeep: Upkeep


@dataclass(frozen=True, slots=True)
class SetUpgrades:
    """Let the pool be upgraded as the upkeep says."""

    upkeep: Upkeep


@dataclass(frozen=True, slots=True)
class SetExclusion:
    """Let automatic upgrades leave the pool alone until the end of support, or no longer."""

    on: bool


@dataclass(frozen=True, slots=True)
class SetVersion:
    """Let the pool's nodes have this GKE version; all of them are made again."""

    version: str


@dataclass(frozen=True, slots=True)
class StopAutoscaling:
    """Let the pool have a fixed size."""


@dataclass(frozen=True, slots=True)
class SetSize:
    """Let the pool have so many nodes in each zone."""

    nodes: int


Mend = (
    SetNodeLabels
    | SetTaints
    | SetResourceLabels
    | SetManagement
    | SetUpgrades
    | SetExclusion
    | SetVersion
    | StopAutoscaling
    | SetSize
)
"""One thing that can be put right without making another pool. GKE is asked for one at a time."""
ALL_MENDS: Final[frozenset[type[Mend]]] = frozenset(get_args(Mend))


@dataclass(frozen=True, slots=True)
class OperationView:
    """Work of the cloud that goes on after the call returned."""

    name: str
    done: bool
    finding: CloudFinding | None
    """Set when the operation failed. Mind that a failed operation is `done` too."""
    started_at: str
    """RFC 3339, as the cloud gave it."""
    obstacle: CloudFinding | None = None
    """What stands in the way of one that isn't done, where the cloud tells."""


@dataclass(frozen=True, slots=True)
class MaintenanceExclusion:
    """A time in which the cluster's owners want no automatic upgrades of nodes."""

    name: str
    starts_at: datetime | None
    ends_at: datetime | None
    """None: as long as the version is supported."""
    minor_only: bool = False
    """Whether it lets through what leaves the minor version as it is."""


@dataclass(frozen=True, slots=True)
class ClusterView:
    """The cluster as the cloud knows it."""

    project: str
    location: str
    name: str
    zones: tuple[str, ...]
    version: str
    """Of the control plane."""
    autopilot: bool
    release_channel: str = ""
    """GKE's word, such as `REGULAR`; empty in none."""
    exclusions: tuple[MaintenanceExclusion, ...] = ()
    has_window: bool = False
    """Whether automatic upgrades are to happen in a maintenance window only."""


class NodePools(Protocol):
    """Node pools of one cluster. Each call has a deadline and is tried once; failures are `CloudError`s."""

    async def describe_cluster(self) -> ClusterView:
        """The cluster itself."""
        ...

    async def list_pools(self) -> tuple[PoolView, ...]:
        """All pools of the cluster, ours and others'."""
        ...

    async def create_pool(self, spec: PoolSpec) -> OperationView:
        """Start to create a pool; `AlreadyExistsError` when the name is taken, by whomever."""
        ...

    async def set_autoscaling(self, name: str, bounds: Bounds) -> OperationView:
        """Start to change a pool's bounds."""
        ...

    async def delete_pool(self, name: str, uid: str = "") -> OperationView:
        """Start to delete a pool with its nodes; `NotFoundError` when it is gone.

        `uid` is that of its view: one that was made under the name since is left alone, and the pool is gone then.
        """
        ...

    async def get_operation(self, name: str) -> OperationView:
        """How an operation stands; `NotFoundError` once the cloud has forgotten it."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


@runtime_checkable
class PoolRepairs(Protocol):
    """What a provisioner has besides `NodePools` if it can put pools right; of one without it drift is only told."""

    @property
    def mends(self) -> frozenset[type[Mend]]:
        """What it can put right; of the rest is only told."""
        ...

    async def mend_pool(self, name: str, mend: Mend) -> OperationView:
        """Start to put one thing right; raises CloudError."""
        ...
