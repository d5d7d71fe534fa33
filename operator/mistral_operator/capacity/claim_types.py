"""What `sync_claim` is given and what it answers. Frozen."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from mistral_operator.capacity.advice import ClusterPlace
from mistral_operator.capacity.arbitration import Place
from mistral_operator.capacity.drift import DriftNote, DriftPolicy
from mistral_operator.capacity.errors import CloudFinding
from mistral_operator.capacity.policies import PolicySpec, PolicyView
from mistral_operator.capacity.pools import NodeFacts
from mistral_operator.capacity.port import (
    ALL_MENDS,
    Bounds,
    ClusterView,
    Mend,
    OperationView,
    PoolSpec,
    PoolView,
    SetManagement,
    SetSize,
    SetVersion,
    StopAutoscaling,
)
from mistral_operator.capacity.slice_upgrades import Sibling, SliceUpgrades


class Call(StrEnum):
    """What was asked of the cloud; the values stand in the status."""

    CREATE = "CREATE_NODE_POOL"
    RESIZE = "SET_NODE_POOL_AUTOSCALING"
    DELETE = "DELETE_NODE_POOL"
    CREATE_POLICY = "CREATE_RESOURCE_POLICY"
    DELETE_POLICY = "DELETE_RESOURCE_POLICY"
    UPDATE = "UPDATE_NODE_POOL"
    MANAGE = "SET_NODE_POOL_MANAGEMENT"
    SIZE = "SET_NODE_POOL_SIZE"
    UPGRADE = "UPGRADE_NODES"


def call_of(mend: Mend) -> Call:
    """By which call a thing is put right."""
    match mend:
        case SetManagement():
            return Call.MANAGE
        case SetSize():
            return Call.SIZE
        case StopAutoscaling():
            return Call.RESIZE
        case SetVersion():
            return Call.UPGRADE
        case _:
            return Call.UPDATE


@dataclass(frozen=True, slots=True)
class ClaimUser:
    """A living model with a revision that needs the claim."""

    namespace: str
    name: str
    nodes: int
    """Most nodes that its replicas may need at once, when no two of them share one."""


@dataclass(frozen=True, slots=True)
class RunningOperation:
    """An operation of ours that isn't done."""

    call: Call
    view: OperationView


@dataclass(frozen=True, slots=True)
class FailedCall:
    """A call, or the operation it began, that failed, and when it may be tried again."""

    call: Call
    finding: CloudFinding
    retry_at: datetime
    zone: str = ""
    """Where a slice was to be created; empty for what has several zones, and for other calls."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What was observed of one claim besides its object."""

    users: tuple[ClaimUser, ...] = ()
    held_by: tuple[str, ...] = ()
    """Revisions (`namespace/name`) that name the claim without a living model: their pods may still run."""
    pool: PoolView | None = None
    operation: RunningOperation | None = None
    failures: tuple[FailedCall, ...] = ()
    """The last failure of each call, the latest one last; forgotten once the pool is as it should be."""
    blind: CloudFinding | None = None
    """Set when the cloud couldn't be asked: then `pool` and `operation` say nothing."""
    nodes: int = 0
    """Node objects of the pool."""
    nodes_by_way: tuple[int, ...] = ()
    """Of these, with a ComputeClass, how many are of each of the claim's ways to buy them."""
    facts: NodeFacts = field(default_factory=NodeFacts)
    unheard_s: float = 0.0
    """For so long the pool may still come of a create whose answer nobody heard."""
    bounds_rest_s: float = 0.0
    """For so long the bounds stay as they are, because they were changed just now."""
    place: Place | None = None
    """Where it stands in line for what isn't enough for all; None when it is its turn."""
    policy: PolicyView | CloudFinding | None = None
    """The workload policy of the claim's name, or why it can't be read; looked at only while there is no pool."""
    may_call: bool = True
    """False while the cluster is busy with as many operations as we allow ourselves."""
    mends: frozenset[type[Mend]] = ALL_MENDS
    """What can be put right of the pool besides its bounds, by what provisions it."""
    pods: int = 0
    """Pods on the pool's nodes, counted only where it is to be replaced."""
    empty_s: float | None = None
    """For how long a slice that GKE calls running has been seen without any node; None for all others."""
    notes: tuple[DriftNote, ...] = ()
    """What was found and done a moment ago, and isn't in the status yet."""
    cluster: ClusterView | None = None
    """Asked for slices only; None where nothing can be said about upgrades."""
    siblings: tuple[Sibling, ...] = ()
    """The other slices of the model, looked at only while this one's version is behind."""

    def nodes_for(self, replicas: int) -> int:
        """Nodes that hold so many replicas: each has one, unless they share GPUs."""
        return -(-replicas // self.facts.replicas)


@dataclass(frozen=True, slots=True)
class ClaimSettings:
    """The same for all claims."""

    place: ClusterPlace
    idle_after_s: int = 0
    """How long a claim without users is kept."""
    fastest_poll_s: float = 1.0
    slowest_poll_s: float = 10.0
    """Bounds of the time between two looks at an operation; it is looked at less often as it grows older."""
    unsettled_s: float = 5.0
    """Time between two looks at something that ends without an operation of ours."""
    resync_s: float = 60.0
    """Time between two looks at a pool that is as it should be."""
    orphan_after_s: float = 300.0
    """Time between the two looks that must find no claim before its pool is deleted."""
    drift: DriftPolicy = DriftPolicy.REPAIR
    """What is done about pools that somebody changed, where their claims don't say otherwise."""
    slice_empty_after_s: float = 300.0
    """For so long GKE may take to bring back a slice by itself."""
    slice_upgrades: SliceUpgrades = SliceUpgrades.ONE_BY_ONE


class ClaimState(StrEnum):
    """Where the node pool is on its way."""

    PENDING = "Pending"
    PROVISIONING = "Provisioning"
    READY = "Ready"
    RESIZING = "Resizing"
    REPAIRING = "Repairing"
    UPGRADING = "Upgrading"
    FAILED = "Failed"
    REFUSED = "Refused"
    RELEASING = "Releasing"


@dataclass(frozen=True, slots=True)
class AddFinalizer:
    """Hold the claim until its pool is gone. Always before the first call to the cloud."""


@dataclass(frozen=True, slots=True)
class RemoveFinalizer:
    """Let the claim go: there is no pool of ours any more."""

    warning: str = ""
    """What couldn't be looked at, for the log; nobody reads the claim's status any more."""


@dataclass(frozen=True, slots=True)
class DeleteClaim:
    """Nobody uses the claim: ask the API server to delete it, which begins the release."""


@dataclass(frozen=True, slots=True)
class CreatePool:
    """Create the node pool."""

    spec: PoolSpec


@dataclass(frozen=True, slots=True)
class SetAutoscaling:
    """Change the node pool's bounds."""

    name: str
    bounds: Bounds


@dataclass(frozen=True, slots=True)
class DeletePool:
    """Delete the node pool."""

    name: str
    cause: CloudFinding | None
    """Why a pool that is wanted is deleted: it failed, and is made again after a while. None for a release."""
    uid: str = ""
    """Of the pool's view: no other of that name is meant."""


@dataclass(frozen=True, slots=True)
class CreatePolicy:
    """Create the workload policy, by which the node pool is placed."""

    spec: PolicySpec


@dataclass(frozen=True, slots=True)
class DeletePolicy:
    """Delete the workload policy; nothing is placed by it any more."""

    name: str


@dataclass(frozen=True, slots=True)
class MendPool:
    """Put right one thing that somebody changed."""

    name: str
    mend: Mend


@dataclass(frozen=True, slots=True)
class ReplacePool:
    """Delete a node pool that isn't what the claim asks for, if no pod runs there; it is made again after that."""

    name: str
    uid: str = ""
    """Of the pool's view, as for `DeletePool`."""


Action = (
    AddFinalizer
    | RemoveFinalizer
    | DeleteClaim
    | CreatePool
    | SetAutoscaling
    | DeletePool
    | MendPool
    | ReplacePool
    | CreatePolicy
    | DeletePolicy
)


@dataclass(frozen=True, slots=True)
class Decision:
    """What is found about the claim, and the one thing to do about it."""

    state: ClaimState
    reason: str
    message: str
    ready: bool = False
    degraded: CloudFinding | None = None
    action: Action | None = None
    requeue_after_s: float | None = None
    notes: tuple[DriftNote, ...] = ()
    """What somebody changed, and what the action does about it."""


@dataclass(frozen=True, slots=True)
class ClaimOutcome:
    """What to do next and what to tell. After the action the claim is looked at again, with what the action changed."""

    action: Action | None
    status: dict[str, Any] | None
    """The whole status; None when the claim is about to vanish and nobody would read it."""
    requeue_after_s: float | None
    settled: bool = False
    """True when the pool is as it should be: earlier failures are forgotten."""
    notes: tuple[DriftNote, ...] = ()
    """What the action does about drift; for the next look, until it is in the status."""
