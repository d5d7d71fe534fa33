"""What makes the node pools of a model: as asked for, or found from what the cluster is; and what each can't do."""

from collections.abc import Iterator
from typing import Final

from mistral_operator.api import capacity as api
from mistral_operator.api.model import MistralModelSpec
from mistral_operator.catalogue.accelerator import MachineShape
from mistral_operator.planning.compute_class import check_class_hardware, check_class_version
from mistral_operator.planning.layout import Misfit
from mistral_operator.planning.terms import Terms
from mistral_operator.planning.types import ClusterProfile, Consumption, PlanRefused, Provisioner

_FIELD: Final = "spec.capacity.provisioner"
GKE: Final = "GKE"


def resolve_provisioner(spec: MistralModelSpec, cluster: ClusterProfile, terms: Terms) -> Provisioner | PlanRefused:
    """The provisioner that is asked for, or with `Auto` the one that the cluster calls for.

    Config Connector is never chosen unasked: whoever keeps their cloud as objects says so.
    """
    named = spec.capacity.provisioner if spec.capacity else None
    asked = None if named in (None, api.Provisioner.AUTO) else Provisioner(named.value)
    provisioner = asked or _choose(cluster)
    if terms.provisioners and provisioner.value not in terms.provisioners:
        return PlanRefused(
            "ProvisionerNotAllowed",
            f"{_FIELD}: {provisioner.value} is not allowed: {terms.source} allows {', '.join(terms.provisioners)};"
            " write one of them",
        )
    return _check_cluster(provisioner, cluster) or _check_labels(provisioner, spec) or provisioner


def _choose(cluster: ClusterProfile) -> Provisioner:
    if cluster.provider != GKE:
        return Provisioner.EXISTING
    return Provisioner.COMPUTE_CLASS if cluster.autopilot else Provisioner.CONTAINER_API


def note_provisioner(spec: MistralModelSpec, cluster: ClusterProfile, provisioner: Provisioner) -> Iterator[str]:
    """What `Auto` came to, where that isn't the usual."""
    named = spec.capacity.provisioner if spec.capacity else None
    if named not in (None, api.Provisioner.AUTO):
        return
    if cluster.provider != GKE:
        yield f"the cluster isn't GKE's, so no node pools are made: {provisioner.value} uses the nodes that are there"
    elif cluster.autopilot:
        yield f"on an Autopilot cluster only Google makes node pools: {provisioner.value} says which"


def _check_cluster(provisioner: Provisioner, cluster: ClusterProfile) -> PlanRefused | None:
    if cluster.provider != GKE and provisioner is not Provisioner.EXISTING:
        return PlanRefused(
            "NotOnGke",
            f"{_FIELD}: {provisioner.value} makes node pools of GKE, and the cluster is none; write Existing to use"
            " nodes that are there",
        )
    if cluster.autopilot and provisioner in (Provisioner.CONTAINER_API, Provisioner.CONFIG_CONNECTOR):
        return PlanRefused(
            "AutopilotOwnsNodePools",
            f"{_FIELD}: {provisioner.value} makes node pools, and on an Autopilot cluster only Google does; write"
            " ComputeClass, or leave it out",
        )
    if provisioner not in cluster.provisioners:
        enabled = ", ".join(item.value for item in cluster.provisioners)
        return PlanRefused(
            "ProvisionerNotEnabled",
            f"{_FIELD}: {provisioner.value} is not switched on; write {enabled}, or have the operator started with"
            f" --provisioner {provisioner.value} (the chart's value `provisioners`)",
        )
    too_old = check_class_version(cluster.version) if provisioner is Provisioner.COMPUTE_CLASS else ""
    if too_old:
        return PlanRefused("ClusterTooOld", f"{_FIELD}: {too_old}; upgrade it, or write ContainerAPI")
    return None


def _check_labels(provisioner: Provisioner, spec: MistralModelSpec) -> PlanRefused | None:
    if provisioner is not Provisioner.COMPUTE_CLASS or not spec.resource_labels:
        return None
    return PlanRefused(
        "ResourceLabelsNeedNodePools",
        "spec.resourceLabels: a ComputeClass can't give labels to the machines that GKE makes for it; remove them"
        f" (those of a serving class too), or write {_FIELD}: ContainerAPI",
    )


def check_hardware_of(provisioner: Provisioner, shape: MachineShape, consumption: Consumption) -> Misfit | None:
    """Whether a provisioner can make such a node, bought like that."""
    if provisioner in (Provisioner.COMPUTE_CLASS, Provisioner.EXISTING) and shape.hosts > 1:
        return Misfit(
            "SlicesNeedNodePools",
            f"a slice of {shape.hosts} machines needs a node pool of its own, which {provisioner.value} doesn't make;"
            f" write {_FIELD}: ContainerAPI, or hardware of one machine",
        )
    if provisioner is Provisioner.CONFIG_CONNECTOR and shape.placement_policy:
        return Misfit(
            "NeedsPlacementPolicy",
            f"a slice of {shape.hosts} {shape.machine_type} is placed by a workload policy of Compute Engine, which"
            f" {provisioner.value} doesn't make; write {_FIELD}: ContainerAPI, or other hardware",
        )
    if provisioner is Provisioner.COMPUTE_CLASS:
        return check_class_hardware(shape)
    if provisioner is Provisioner.EXISTING and consumption in (Consumption.FLEX_START, Consumption.RESERVATION):
        return Misfit(
            "NothingIsBought",
            f"with {_FIELD}: Existing the nodes are there, however they were bought, and {consumption.value} has no"
            " meaning; leave consumption out, or write ContainerAPI",
        )
    if provisioner is Provisioner.CONFIG_CONNECTOR and consumption is Consumption.FLEX_START:
        return Misfit(
            "FlexStartNeedsContainerApi",
            f"Config Connector's ContainerNodePool has no field for FlexStart; write {_FIELD}: ContainerAPI, or another"
            " consumption",
        )
    return None


def check_sharing_of(provisioner: Provisioner, sharing: api.Sharing | None) -> Misfit | None:
    """Whether a provisioner can make nodes whose GPUs are divided like this."""
    if sharing is None or provisioner is Provisioner.CONTAINER_API:
        return None
    if provisioner is Provisioner.COMPUTE_CLASS and sharing.partition:
        return Misfit(
            "PartitionsNeedNodePools",
            f"a ComputeClass has no field for the partition {sharing.partition}; write {_FIELD}: ContainerAPI",
        )
    return Misfit(
        "SharingNeedsContainerApi",
        f"GPUs are shared on nodes that {_FIELD}: ContainerAPI makes, not with {provisioner.value} yet; write that, or"
        " remove sharing",
    )
