"""What `sync` is given and what it answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mistral_operator.capacity.arbitration import Account, Budget
from mistral_operator.manifests.identity import Manifest
from mistral_operator.planning.types import ClusterProfile

__all__ = ["EventNote", "Manifest", "ObjectRef", "Observed", "Outcome", "PodMark", "PoolUse"]


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """One object of one model's namespace."""

    api_version: str
    kind: str
    name: str
    uid: str = ""


@dataclass(frozen=True, slots=True)
class PoolUse:
    """How the pool of a claim is used: its idle nodes are paid for by all of its users together."""

    nodes: int
    """All that are in the cluster."""
    occupied: int
    """Those on which a replica or a conversion of any model is."""
    users: int
    """Models that need the claim."""

    @property
    def idle(self) -> int:
        """Nodes on which nothing is."""
        return self.nodes - self.occupied


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything read from the API server that one model's sync may look at, without managedFields."""

    cluster: ClusterProfile
    children: tuple[Mapping[str, Any], ...] = ()
    """Objects that the model owns: Deployment or LeaderWorkerSet, Service, PodDisruptionBudget,
    HorizontalPodAutoscaler, Job, ControllerRevision."""
    pods: tuple[Mapping[str, Any], ...] = ()
    """All that carry the model's name, replicas' and a conversion's; some may be those of an earlier model."""
    pod_events: tuple[Mapping[str, Any], ...] = ()
    """Kubernetes Events (core/v1) on those pods, oldest first."""
    claims: tuple[Mapping[str, Any], ...] = ()
    """NodePoolClaims named by the model's revisions."""
    nodes: Mapping[str, str] = field(default_factory=dict)
    """Node of a pod → the NodePoolClaim whose pool it is in."""
    machines: tuple[Mapping[str, Any], ...] = ()
    """The Nodes on which the model's pods are, and those of its claims' pools on which no replica of any model is."""
    pools: Mapping[str, PoolUse] = field(default_factory=dict)
    """NodePoolClaim → how its pool is used, for those that the model's revisions name."""
    serving_classes: tuple[Mapping[str, Any], ...] = ()
    """Every MistralServingClass of the cluster."""
    budget: Budget | None = None
    """What the models of the same class have of it; None where it is looked at alone, as offline."""


@dataclass(frozen=True, slots=True)
class EventNote:
    """A Kubernetes Event to record on the model: one per change of a condition's reason."""

    type: str
    """`Normal` or `Warning`."""
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class PodMark:
    """A pod and its deletion cost, by which a smaller ReplicaSet chooses whom to remove."""

    name: str
    uid: str
    deletion_cost: str | None
    """None: the mark is to go."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What should be. Applying it twice changes nothing."""

    manifests: tuple[Manifest, ...]
    """The model's objects in the order in which to apply them; the revision first."""
    claims: tuple[Manifest, ...]
    """The NodePoolClaims that the model's revisions need; applied after the revisions and before the workloads."""
    prune: tuple[ObjectRef, ...]
    """Owned objects that are no longer wanted; deleted after a complete and successful apply."""
    status: Manifest
    """The whole status of the MistralModel."""
    events: tuple[EventNote, ...]
    account: Account
    """What it has of its class's budget with this."""
    requeue_after_s: float | None
    marks: tuple[PodMark, ...] = ()
    """Written before the manifests are applied, one of which may make a workload smaller."""
