"""What Google is asked before anything is bought, and what it answers. Frozen, and without any of Google's types."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from mistral_operator.api.capacity import Consumption
from mistral_operator.api.model import MistralModel
from mistral_operator.capacity.advice import ClusterPlace
from mistral_operator.capacity.errors import CloudFinding
from mistral_operator.capacity.port import ClusterView
from mistral_operator.catalogue.accelerator import Accelerator
from mistral_operator.catalogue.types import Catalogue
from mistral_operator.planning.hardware import read_version
from mistral_operator.planning.modes import FLEX_START_SINCE
from mistral_operator.planning.types import Plan, PlannedOption, Provisioner

READ_PERMISSION: Final = "container.clusters.get"
"""What its identity needs in the project whoever makes the node pools."""
POOL_PERMISSIONS: Final = (READ_PERMISSION, "container.clusters.update", "container.operations.get")
"""What the operator's identity needs in the project to make node pools itself, as deploy/gcp-role.yaml has it.

`iam.serviceAccounts.actAs`, which it needs on the account that the nodes run as, isn't among them: it is granted on
that account, so asking the project wouldn't tell.
"""
POLICY_PERMISSIONS: Final = (
    "compute.regionOperations.get",
    "compute.resourcePolicies.create",
    "compute.resourcePolicies.delete",
    "compute.resourcePolicies.get",
    "compute.resourcePolicies.list",
)
"""What it needs besides for slices that are placed by workload policies; the role has them, too."""
_RESERVATION: Final = re.compile(r"projects/(?P<project>[^/]+)/reservations/(?P<name>[^/]+)(?:/.*)?")


@dataclass(frozen=True, slots=True)
class AskedRung:
    """A rung of the ladder, as far as Google is asked about it."""

    name: str
    machine_type: str
    gpu: str
    """GKE's accelerator type of GPUs; empty for TPUs."""
    devices: int
    """Of one replica; of one machine, where replicas share its GPUs."""
    hosts: int
    """Machines of one replica."""
    replicas: int
    """As many as may run at once; machines, where replicas share them."""
    zones: tuple[str, ...]
    consumption: Consumption
    quota: str
    """Compute Engine's quota metric for devices bought this way; empty where none applies or none is known."""
    hardware: str
    """The accelerator's name, for people."""
    min_gke_version: str = ""
    reservation: str = ""
    placement_policy: bool = False
    """Whether it is placed by a workload policy, which is made first."""
    provisioner: Provisioner = Provisioner.CONTAINER_API

    @property
    def regions(self) -> tuple[str, ...]:
        """Of its zones."""
        return tuple(sorted({zone.rpartition("-")[0] for zone in self.zones}))

    @property
    def attaches_gpus(self) -> bool:
        """Whether the GPUs are no part of the machine type, so that a zone may have the one without the other."""
        return bool(self.gpu) and self.machine_type.startswith("n1-")


@dataclass(frozen=True, slots=True)
class Questions:
    """What to ask Google, each thing once."""

    regions: tuple[str, ...]
    machine_types: tuple[str, ...]
    gpus: tuple[str, ...]
    """Only those whose zones the machine type doesn't tell."""
    reservations: tuple[str, ...]
    permissions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Quota:
    """A quota in one region, or of the whole project."""

    limit: float
    usage: float

    @property
    def free(self) -> float:
        """What is left; never negative."""
        return max(0.0, self.limit - self.usage)


@dataclass(frozen=True, slots=True)
class ReservationView:
    """A reservation in one zone: of machines of one type or, as an aggregate, of accelerators of a family."""

    zone: str
    machine_type: str
    """Empty for an aggregate."""
    count: int | None
    """Machines; None for an aggregate, whose size isn't read."""
    in_use: int
    status: str
    """Compute Engine's, `READY` when it can be used."""
    family: str = ""
    """Compute Engine's VM family of an aggregate."""

    @property
    def free(self) -> int:
        """Machines that are left; 0 where they aren't counted."""
        return max(0, (self.count or 0) - self.in_use)


Quotas = Mapping[str, Quota]
"""By metric."""
Zones = Mapping[str, frozenset[str]]
"""What is offered → where."""


@dataclass(frozen=True, slots=True)
class LiveFacts:
    """Google's answers; in place of one that it refused stands why."""

    place: ClusterPlace
    identity: str
    """The service account that asked; empty for a person, and for credentials that don't tell."""
    cluster: ClusterView | CloudFinding
    granted: frozenset[str] | CloudFinding
    """Those of the permissions asked about that the identity has."""
    quotas: Mapping[str, Quotas | CloudFinding]
    """By region."""
    project_quotas: Quotas | CloudFinding
    machine_zones: Zones | CloudFinding
    gpu_zones: Zones | CloudFinding
    reservations: Mapping[str, tuple[ReservationView, ...] | CloudFinding]
    """By the name in the spec; there may be one of that name in several zones."""


def describe_rungs(model: MistralModel, plan: Plan, catalogue: Catalogue) -> tuple[AskedRung, ...]:
    """The ladder of a plan; none of what is on nodes that are there, because nothing of it is Google's matter."""
    replicas = max(1, model.spec.replicas, (model.spec.scaling and model.spec.scaling.max_replicas) or 1)
    made = (option for option in plan.options if option.provisioner is not Provisioner.EXISTING)
    return tuple(_describe_rung(option, replicas, catalogue) for option in made)


def _describe_rung(option: PlannedOption, replicas: int, catalogue: Catalogue) -> AskedRung:
    accelerator = catalogue.accelerators[option.accelerator]
    consumption = Consumption(option.consumption.value)
    return AskedRung(
        name=option.name,
        machine_type=option.machine_type,
        gpu=option.accelerator_label if accelerator.kind == "gpu" else "",
        devices=option.shared_gpus or option.devices,
        hosts=option.hosts,
        replicas=-(-replicas // option.replicas_per_node),
        zones=option.zones,
        consumption=consumption,
        quota=accelerator.quota_of(consumption.value),
        hardware=accelerator.name,
        min_gke_version=first_version(accelerator, consumption),
        reservation=option.reservation,
        placement_policy=option.placement_policy,
        provisioner=option.provisioner,
    )


def first_version(accelerator: Accelerator, consumption: Consumption) -> str:
    """The first GKE version that offers it like this; empty where every supported one does."""
    since = FLEX_START_SINCE[accelerator.kind] if consumption is Consumption.FLEX_START else ""
    return max(accelerator.min_gke_version, since, key=read_version)


def list_questions(rungs: Iterable[AskedRung]) -> Questions:
    """What decides about these rungs."""
    asked = tuple(rungs)
    return Questions(
        regions=_unique(region for rung in asked for region in rung.regions),
        machine_types=_unique(rung.machine_type for rung in asked),
        gpus=_unique(rung.gpu for rung in asked if rung.attaches_gpus),
        reservations=_unique(rung.reservation for rung in asked if rung.reservation),
        permissions=list_permissions(asked),
    )


def list_permissions(rungs: Iterable[AskedRung]) -> tuple[str, ...]:
    """What the operator's own identity needs for these; others make the pools of a ComputeClass or an object."""
    own = [rung for rung in rungs if rung.provisioner is Provisioner.CONTAINER_API]
    placed = any(rung.placement_policy for rung in own)
    return (*(POOL_PERMISSIONS if own else (READ_PERMISSION,)), *(POLICY_PERMISSIONS if placed else ()))


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(names)))


def split_reservation(name: str, project: str) -> tuple[str, str]:
    """Project and name of a reservation, which a spec names alone or by its full path."""
    shared = _RESERVATION.fullmatch(name)
    return (shared["project"], shared["name"]) if shared else (project, name)
