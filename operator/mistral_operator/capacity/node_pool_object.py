"""ContainerNodePool objects of Config Connector: what one asks for, and how the pool stands that one tells of. Pure.

The schema is Google's, `container.cnrm.cloud.google.com/v1beta1`. What it has no field for is refused, never left out.
"""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, Final

from mistral_operator.api.names import (
    CLAIM_LABEL,
    CLAIM_RESOURCE_LABEL,
    MANAGED_BY,
    MANAGED_BY_LABEL,
    PROVISIONER_RESOURCE_LABEL,
)
from mistral_operator.capacity.advice import ClusterPlace
from mistral_operator.capacity.node_pool_condition import read_status
from mistral_operator.capacity.node_pool_repairs import management, read_taint, upgrade_settings, upkeep_view
from mistral_operator.capacity.pools import upkeep_of
from mistral_operator.capacity.port import (
    Accelerator,
    Bounds,
    PoolSpec,
    PoolView,
    takes_gvnic,
)

Json = dict[str, Any]

ANNOTATIONS: Final = "cnrm.cloud.google.com"
DELETION_POLICY: Final = f"{ANNOTATIONS}/deletion-policy"
ABANDON: Final = "abandon"
"""The deletion policy by which Config Connector forgets a pool instead of deleting it."""

_RESERVATION_KEY: Final = "compute.googleapis.com/reservation-name"
_SPECIFIC: Final = "SPECIFIC_RESERVATION"
_OWN_NAME: Final = "config-connector"
"""In a resource label, whose values GKE takes in lower case."""

_WRITTEN: Final = frozenset({
    "slice_topology", "slice_hosts", "reservation", "boot_disk", "local_ssds", "max_pods",
})  # fmt: skip
"""The optional fields of a `PoolSpec` that the schema has a place for. Those without a default are all written."""
_IMPLIED: Final = frozenset({"tpu", "topology"})
"""What GKE takes from the machine type: a pool that names it too is refused. A slice's topology is its placement's."""
_ABSENT: Final[Mapping[str, str]] = {"max_run_s": "flexStart and maxRunDuration, which consumption: FlexStart needs"}
"""What the schema lacks, by the field of a `PoolSpec` that would need it."""


@dataclass(frozen=True, slots=True)
class ObjectPlace:
    """Where the objects are, and the cluster that they are about."""

    namespace: str
    cluster: ClusterPlace


def find_unwritable(spec: PoolSpec) -> str:
    """What of a pool can't be said by a ContainerNodePool; empty when all of it can."""
    for field in fields(PoolSpec):
        if field.default is MISSING or field.name in _WRITTEN | _IMPLIED or getattr(spec, field.name) == field.default:
            continue
        return _ABSENT.get(field.name, field.name)
    return ""


def node_pool_object(spec: PoolSpec, place: ObjectPlace) -> Json:
    """Metadata and spec of the object for a pool that `find_unwritable` finds nothing about.

    Config Connector writes nothing back into its spec (`state-into-spec: absent`), so that the size of an autoscaled
    pool stays the autoscaler's.
    """
    cluster, upkeep = place.cluster, upkeep_of(spec)
    claim = spec.resource_labels.get(CLAIM_RESOURCE_LABEL, "")
    return {
        "metadata": {
            "name": spec.name,
            "namespace": place.namespace,
            "labels": {MANAGED_BY_LABEL: MANAGED_BY, **({CLAIM_LABEL: claim} if claim else {})},
            "annotations": {
                f"{ANNOTATIONS}/project-id": cluster.project,
                f"{ANNOTATIONS}/state-into-spec": "absent",
                DELETION_POLICY: "delete",
            },
        },
        "spec": {
            "clusterRef": {
                "external": f"projects/{cluster.project}/locations/{cluster.location}/clusters/{cluster.cluster}"
            },
            "location": cluster.location,
            "nodeLocations": list(spec.locations),
            "initialNodeCount": spec.slice_hosts,
            **({"autoscaling": autoscaling(spec.bounds)} if spec.bounds else {}),
            **_placement(spec),
            "management": management(upkeep),
            "maxPodsPerNode": spec.max_pods,
            "upgradeSettings": upgrade_settings(upkeep),
            "nodeConfig": _node_config(spec),
        },
    }


def autoscaling(bounds: Bounds) -> Json:
    """The object's field for bounds over all zones."""
    return {"totalMinNodeCount": bounds.total_min, "totalMaxNodeCount": bounds.total_max, "locationPolicy": "ANY"}


def _placement(spec: PoolSpec) -> Json:
    """What makes a multi-host slice of a pool; the schema demands a type, which is GKE's for slices too."""
    if not spec.slice_topology:
        return {}
    return {"placementPolicy": {"type": "COMPACT", "tpuTopology": spec.slice_topology}}


def _node_config(spec: PoolSpec) -> Json:
    return {
        "machineType": spec.machine_type,
        **({"guestAccelerator": [_gpu(spec.gpu)]} if spec.gpu else {}),
        "spot": spec.spot,
        **_affinity(spec),
        "imageType": "COS_CONTAINERD",
        "diskType": spec.boot_disk,
        "diskSizeGb": spec.boot_disk_gb,
        "labels": dict(spec.node_labels),
        "resourceLabels": {**spec.resource_labels, PROVISIONER_RESOURCE_LABEL: _OWN_NAME},
        "oauthScopes": ["https://www.googleapis.com/auth/cloud-platform"],
        "metadata": {"disable-legacy-endpoints": "true"},
        "workloadMetadataConfig": {"mode": "GKE_METADATA"},
        "gcfsConfig": {"enabled": True},
        "gvnic": {"enabled": takes_gvnic(spec.machine_type)},
        "shieldedInstanceConfig": {"enableSecureBoot": False, "enableIntegrityMonitoring": True},
        **({"ephemeralStorageLocalSsdConfig": {"localSsdCount": spec.local_ssds}} if spec.local_ssds else {}),
    }


def _gpu(gpu: Accelerator) -> Json:
    """Before 1.30.1-gke.1156000 a pool that doesn't ask for a driver gets none."""
    turns = {"gpuSharingStrategy": "TIME_SHARING", "maxSharedClientsPerGpu": gpu.clients}
    return {
        "type": gpu.type,
        "count": gpu.count,
        "gpuDriverInstallationConfig": {"gpuDriverVersion": "DEFAULT"},
        **({"gpuPartitionSize": gpu.partition} if gpu.partition else {}),
        **({"gpuSharingConfig": turns} if gpu.clients else {}),
    }


def _affinity(spec: PoolSpec) -> Json:
    if not spec.reservation:
        return {}
    affinity = {"consumeReservationType": _SPECIFIC, "key": _RESERVATION_KEY, "values": [spec.reservation]}
    return {"reservationAffinity": affinity}


def pool_view(body: Mapping[str, Any], *, age_s: float, failure_told: str = "") -> PoolView:
    """A ContainerNodePool as the claims look at it; see `read_status` for the keywords.

    Shape and labels are those of its spec: Config Connector makes the pool so, or its condition says why not.
    """
    spec, metadata = body.get("spec") or {}, body["metadata"]
    config = spec.get("nodeConfig") or {}
    status, findings = read_status(body, age_s=age_s, failure_told=failure_told)
    affinity = config.get("reservationAffinity") or {}
    specific = affinity.get("consumeReservationType") == _SPECIFIC
    return PoolView(
        name=str(spec.get("resourceID") or metadata["name"]),
        status=status,
        machine_type=str(config.get("machineType", "")),
        accelerators=tuple(
            Accelerator(
                type=str(found["type"]),
                count=int(found["count"]),
                partition=str(found.get("gpuPartitionSize", "")),
                clients=int((found.get("gpuSharingConfig") or {}).get("maxSharedClientsPerGpu", 0)),
            )
            for found in config.get("guestAccelerator") or ()
        ),
        spot=bool(config.get("spot")),
        locations=tuple(sorted(spec.get("nodeLocations") or ())),
        node_labels=dict(config.get("labels") or {}),
        resource_labels=_labels_asked(config),
        bounds=_bounds(spec.get("autoscaling") or {}),
        findings=findings,
        slice_topology=str((spec.get("placementPolicy") or {}).get("tpuTopology", "")),
        reservation=", ".join(affinity.get("values") or ()) if specific else "",
        taints=tuple(read_taint(found) for found in config.get("taint") or ()),
        upkeep=upkeep_view(spec),
        autoscaled=bool(spec.get("autoscaling")),
        uid=str(metadata.get("uid", "")),
    )


def _labels_asked(config: Mapping[str, Any]) -> dict[str, str]:
    """Without our mark, which is for whoever finds the pool in GKE and not by its object."""
    labels = dict(config.get("resourceLabels") or {})
    labels.pop(PROVISIONER_RESOURCE_LABEL, None)
    return labels


def _bounds(scaling: Mapping[str, Any]) -> Bounds | None:
    most = scaling.get("totalMaxNodeCount")
    return Bounds(int(scaling.get("totalMinNodeCount") or 0), int(most)) if most else None
