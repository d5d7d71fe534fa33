"""A pool of the port as a ComputeClass of GKE, written and read. Pure.

Google's pages and its autoscaler's source say what the fields mean; the definition in the cluster checks their types.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from mistral_operator.api.names import MANAGED_BY, MANAGED_BY_LABEL
from mistral_operator.capacity.errors import CloudFinding, ReservationNotFoundError
from mistral_operator.capacity.port import Accelerator, PoolSpec, PoolStatus, PoolView, Purchase

Json = dict[str, Any]

MISCONFIGURED: Final = "ComputeClassMisconfigured"
_HEALTH: Final = "Health"
_RECYCLE_LEAD_S: Final = 3600
"""So long before a flex-start node ends GKE looks for the next one, as in Google's own examples."""


def class_object(spec: PoolSpec, *, autopilot: bool) -> Json:
    """The ComputeClass without its kind. On Autopilot the nodes' software is Google's own matter."""
    software: Json = {} if autopilot else {"imageType": "cos_containerd", "imageStreaming": {"enabled": True}}
    return {
        "metadata": {"name": spec.name, "labels": {**spec.resource_labels, MANAGED_BY_LABEL: MANAGED_BY}},
        "spec": {
            "nodePoolAutoCreation": {"enabled": True},
            "nodePoolConfig": {**software, "nodeLabels": dict(spec.node_labels)},
            "priorities": [_priority(spec, purchase) for purchase in spec.purchases],
            # It evicts replicas from nodes that serve; the operator's ladder builds the better ones beside them.
            "activeMigration": {"optimizeRulePriority": False},
            "whenUnsatisfiable": "DoNotScaleUp",
        },
    }


def _priority(spec: PoolSpec, purchase: Purchase) -> Json:
    return {
        "machineType": spec.machine_type,
        **_accelerator(spec),
        **_buy(purchase),
        "maxPodsPerNode": spec.max_pods,
        "storage": {
            "bootDiskType": spec.boot_disk,
            "bootDiskSize": spec.boot_disk_gb,
            **({"localSSDCount": spec.local_ssds} if spec.local_ssds else {}),
        },
    }


def _accelerator(spec: PoolSpec) -> Json:
    """`count` of a TPU is the chips of one machine, whatever the topology."""
    if spec.gpu:
        gpu = {"type": spec.gpu.type, "count": spec.gpu.count, "driverVersion": "default"}
        sharing = _share(spec.gpu)
        return {"gpu": {**gpu, **({"gpuSharing": sharing} if sharing else {})}}
    if spec.tpu:
        return {"tpu": {"type": spec.tpu.type, "count": spec.tpu.count, "topology": spec.topology}}
    return {}


def _share(gpu: Accelerator) -> Json:
    return {
        **({"gpuPartitionSize": gpu.partition} if gpu.partition else {}),
        **({"sharingStrategy": "TIME_SHARING", "maxSharedClientsPerGPU": gpu.clients} if gpu.clients else {}),
    }


def _buy(purchase: Purchase) -> Json:
    """How a priority's machines are bought, and where: a specific reservation has its zones inside."""
    zones = list(purchase.locations)
    if purchase.reservation:
        *path, name = purchase.reservation.split("/")
        project = {"project": path[1]} if path else {}
        return {"reservations": {"affinity": "Specific", "specific": [{"name": name, **project, "zones": zones}]}}
    where: Json = {"location": {"zones": zones, "locationPolicy": "ANY"}}
    if purchase.max_run_s:
        lead_s = min(_RECYCLE_LEAD_S, max(1, purchase.max_run_s // 2))
        flex_start = {"enabled": True, "nodeRecycling": {"leadTimeSeconds": lead_s}}
        return {"flexStart": flex_start, "maxRunDurationSeconds": purchase.max_run_s, **where}
    return {**({"spot": True} if purchase.spot else {}), **where}


def class_view(body: Mapping[str, Any]) -> PoolView:
    """A ComputeClass, ours or anybody's, as the claims look at it."""
    metadata, spec = body["metadata"], body.get("spec") or {}
    priorities = spec.get("priorities") or ()
    findings = tuple(_findings(body))
    purchases = tuple(_purchase(priority) for priority in priorities)
    first = purchases[0] if purchases else Purchase(spot=False, locations=())
    return PoolView(
        name=metadata["name"],
        uid=str(metadata.get("uid", "")),
        status=_status(metadata, findings),
        machine_type=_alike(priority.get("machineType", "") for priority in priorities),
        accelerators=_accelerators(priorities[0] if priorities else {}),
        spot=first.spot,
        locations=first.locations,
        node_labels=dict((spec.get("nodePoolConfig") or {}).get("nodeLabels") or {}),
        resource_labels={k: v for k, v in (metadata.get("labels") or {}).items() if k != MANAGED_BY_LABEL},
        bounds=None,
        findings=findings,
        reservation=first.reservation,
        flex_start=bool(first.max_run_s),
        max_run_s=first.max_run_s,
        purchases=purchases,
    )


def _alike(values: Iterator[str]) -> str:
    """The value that all have, or all the values."""
    return ", ".join(dict.fromkeys(values))


def _status(metadata: Mapping[str, Any], findings: tuple[CloudFinding, ...]) -> PoolStatus:
    if metadata.get("deletionTimestamp"):
        return PoolStatus.STOPPING
    return PoolStatus.RUNNING_WITH_ERROR if findings else PoolStatus.RUNNING


def _accelerators(priority: Mapping[str, Any]) -> tuple[Accelerator, ...]:
    asked = priority.get("gpu") or priority.get("tpu")
    if not asked:
        return ()
    sharing = asked.get("gpuSharing") or {}
    device = Accelerator(
        type=str(asked.get("type", "")),
        count=int(asked.get("count") or 0),
        partition=str(sharing.get("gpuPartitionSize", "")),
        clients=int(sharing.get("maxSharedClientsPerGPU") or 0),
    )
    return (device,)


def _purchase(priority: Mapping[str, Any]) -> Purchase:
    named: Mapping[str, Any] = next(iter((priority.get("reservations") or {}).get("specific") or ()), {})
    project, name = named.get("project"), named.get("name", "")
    zones = named.get("zones") or (priority.get("location") or {}).get("zones") or ()
    flex = (priority.get("flexStart") or {}).get("enabled")
    return Purchase(
        spot=bool(priority.get("spot")),
        locations=tuple(sorted(zones)),
        reservation=f"projects/{project}/reservations/{name}" if project else name,
        max_run_s=int(priority.get("maxRunDurationSeconds") or 0) if flex else 0,
    )


def _findings(body: Mapping[str, Any]) -> Iterator[CloudFinding]:
    """What the autoscaler says is wrong with the class: each flaw has a condition that holds, besides `Health`."""
    conditions = (body.get("status") or {}).get("conditions") or ()
    flaws = [one for one in conditions if one.get("type") != _HEALTH and one.get("status") == "True"]
    sick = [one for one in conditions if one.get("type") == _HEALTH and one.get("status") == "False"]
    for condition in flaws or sick:
        text = str(condition.get("message", ""))
        if condition.get("reason") == ReservationNotFoundError.reason:
            yield ReservationNotFoundError(text).finding
        else:
            yield CloudFinding(MISCONFIGURED, text, retryable=False)
