"""What a ComputeClass asks for: the node pool of each of its priorities, or what is wrong with it, in GKE's words.

The autoscaler's conditions and their texts are those of its published source; texts of other refusals are the rules'.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from google.cloud import container_v1

from mistral_operator.sandbox.kube import Object

from . import rules
from .errors import RpcError
from .machines import chips_of, machine_types
from .mode_rules import RESERVATION_KEY
from .pools import Affinity, LocationPolicy, NodePoolPb
from .reservations import Reservations
from .scenario import Scenario

CLASS_LABEL = "cloud.google.com/compute-class"
"""Label and taint of the machines, and what pods select; its value is the class's name."""
MOST_NODES = 1000
EFFECTS = {"NoSchedule": "NO_SCHEDULE", "PreferNoSchedule": "PREFER_NO_SCHEDULE", "NoExecute": "NO_EXECUTE"}
AFFINITIES = {
    "Specific": Affinity.SPECIFIC_RESERVATION,
    "AnyBestEffort": Affinity.ANY_RESERVATION,
    "None": Affinity.NO_RESERVATION,
}
Driver = container_v1.GPUDriverInstallationConfig.GPUDriverVersion
NOT_SIMULATED = ("machineFamily", "minCores", "minMemoryGb", "nodepools", "podFamily", "placement", "priorityScore")
"""Ways to say in a priority what is wanted that the simulation doesn't know."""


class MisconfiguredError(Exception):
    """A priority from which no pool can be made: the condition's type and reason, and its message."""

    def __init__(self, kind: str, reason: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Choice:
    """One priority: its pool without a name, or why there is none."""

    rank: int
    pool: Any = None
    flaw: MisconfiguredError | None = None


def read_choices(compute_class: Object, scenario: Scenario, reservations: Reservations) -> tuple[Choice, ...]:
    """The class's priorities in order."""
    return tuple(_choices(compute_class, scenario, reservations))


def conditions(compute_class: Object, choices: tuple[Choice, ...]) -> list[Object]:
    """The status that the autoscaler writes: one condition when all is well, else one more for each flaw."""
    flaws = [choice.flaw for choice in choices if choice.flaw]
    if not (compute_class["spec"].get("nodePoolAutoCreation") or {}).get("enabled"):
        text = "Crd with NAP disabled should have at least one matching nodepool with autoscaling enabled."
        flaws.append(MisconfiguredError("CrdMisconfigured", "NapDisabledAndNoMatchingNodegroups", text))
    health = "Crd is not healthy." if flaws else "Crd is healthy."
    found = [("Health", "False" if flaws else "True", "Health", health)]
    # Conditions are a map by type where they are merged: of several flaws of one type the first is told.
    found += [(flaw.kind, "True", flaw.reason, str(flaw)) for flaw in {f.kind: f for f in reversed(flaws)}.values()]
    return [_condition(*each, generation=compute_class["metadata"].get("generation", 1)) for each in found]


def name_pool(compute_class: str, rank: int, number: int, pool: Any) -> str:
    """As GKE names pools that it makes by itself; nobody should rely on it."""
    machine = pool.config.machine_type[:15].rstrip("-")
    digest = hashlib.sha256(f"{compute_class}/{rank}/{number}".encode()).hexdigest()[:8]
    return f"nap-{machine}-{digest}"


def _choices(compute_class: Object, scenario: Scenario, reservations: Reservations) -> Iterator[Choice]:
    for rank, priority in enumerate(compute_class["spec"].get("priorities") or ()):
        try:
            yield Choice(rank, _read_pool(compute_class, priority, scenario, reservations))
        except MisconfiguredError as flaw:
            yield Choice(rank, flaw=flaw)


def _read_pool(compute_class: Object, priority: Object, scenario: Scenario, reservations: Reservations) -> Any:
    _check_known(priority, scenario, reservations)
    pool = NodePoolPb(
        name="nap",
        config=_config(compute_class, priority),
        locations=_zones(priority, scenario),
        autoscaling={"enabled": True, "total_max_node_count": MOST_NODES, "location_policy": LocationPolicy.ANY},
        management={"auto_repair": not _is_flex(priority), "auto_upgrade": True},
    )
    if hosts := _slice_hosts(priority):
        pool.placement_policy.type_ = container_v1.NodePool.PlacementPolicy.Type.COMPACT
        pool.placement_policy.tpu_topology = priority["tpu"]["topology"]
        del pool.locations[1:]
        pool.autoscaling.total_max_node_count = 0
        pool.autoscaling.max_node_count = hosts
    pool.max_pods_constraint.max_pods_per_node = priority.get("maxPodsPerNode", 0)
    full = rules.default_pool(pool, scenario)
    try:
        rules.check_new_pool(scenario, full)
    except RpcError as error:
        raise MisconfiguredError("RuleMisconfigured", "RuleMisconfigured", error.message) from error
    return full


def _check_known(priority: Object, scenario: Scenario, reservations: Reservations) -> None:
    for key in NOT_SIMULATED:
        if key in priority:
            text = f"The simulated GKE does not do this yet: {key} in a priority of a ComputeClass."
            raise MisconfiguredError("RuleMisconfigured", "NotSimulated", text)
    machine = priority.get("machineType", "")
    if machine not in machine_types():
        text = f"Machine type {machine} is not a known type."
        raise MisconfiguredError("RuleMisconfigured", "MachineTypeNotFound", text)
    for zone in _zones(priority, scenario):
        if zone not in scenario.zones:
            text = (
                f"Location {zone} specified in zonal preferences is not eligible for autoprovisioning."
                f" Available locations: {list(scenario.zones)}"
            )
            raise MisconfiguredError("CrdMisconfigured", "LocationNotEnabledForAutoprovisioning", text)
    _check_reservation(priority, scenario, reservations)
    _check_chips(priority)


def _check_reservation(priority: Object, scenario: Scenario, reservations: Reservations) -> None:
    asked = priority.get("reservations") or {}
    if asked.get("affinity") != "Specific":
        return
    if (priority.get("location") or {}).get("zones"):
        text = "location.zones can't be used with reservations.affinity Specific: give the reservation's own zones."
        raise MisconfiguredError("RuleMisconfigured", "ReservationUnusable", text)
    known = {(held.project, held.name) for held, _, _ in reservations.all()}
    for one in asked["specific"]:
        if (one.get("project") or scenario.project, one["name"]) not in known:
            text = f'Reservation "{one["name"]}" either does not exist or not accessible.'
            raise MisconfiguredError("RuleMisconfigured", "ReservationNotFound", text)


def _check_chips(priority: Object) -> None:
    asked, machine = priority.get("tpu"), machine_types()[priority["machineType"]]
    if not asked:
        return
    if (asked.get("type"), asked.get("count")) != (machine.accelerator, machine.chips):
        text = f"TPU type {asked.get('type')} with count {asked.get('count')} is not supported with {machine.name}."
        raise MisconfiguredError("RuleMisconfigured", "RuleMisconfigured", text)


def _slice_hosts(priority: Object) -> int:
    """Machines of a multi-host slice; 0 for everything else: `count` is the chips of one machine."""
    asked = priority.get("tpu") or {}
    chips = chips_of(asked["topology"]) if asked.get("topology") else 0
    return chips // asked["count"] if chips > asked.get("count", chips) else 0


def _zones(priority: Object, scenario: Scenario) -> list[str]:
    named = [
        zone for one in (priority.get("reservations") or {}).get("specific") or () for zone in one.get("zones", ())
    ]
    return named or list((priority.get("location") or {}).get("zones") or scenario.zones)


def _is_flex(priority: Object) -> bool:
    return bool((priority.get("flexStart") or {}).get("enabled"))


def _config(compute_class: Object, priority: Object) -> dict[str, Any]:
    name, shared = compute_class["metadata"]["name"], compute_class["spec"].get("nodePoolConfig") or {}
    storage = priority.get("storage") or {}
    taints = [*(shared.get("taints") or ()), *(priority.get("taints") or ())]
    ours = {"key": CLASS_LABEL, "value": name, "effect": "NoSchedule"}
    return {
        "machine_type": priority["machineType"],
        "accelerators": _accelerators(priority.get("gpu") or {}),
        "spot": bool(priority.get("spot")),
        "flex_start": _is_flex(priority),
        **_run_duration(priority),
        "reservation_affinity": _affinity(priority),
        "labels": {**(shared.get("nodeLabels") or {}), **(priority.get("nodeLabels") or {}), CLASS_LABEL: name},
        "taints": [{**taint, "effect": EFFECTS[taint["effect"]]} for taint in (*taints, ours)],
        "image_type": shared.get("imageType", "cos_containerd").upper(),
        "gcfs_config": {"enabled": bool((shared.get("imageStreaming") or {}).get("enabled"))},
        "gvnic": {"enabled": True},
        "disk_size_gb": storage.get("bootDiskSize", 100),
        "disk_type": storage.get("bootDiskType", ""),
        **_scratch(storage),
    }


def _scratch(storage: Mapping[str, Any]) -> dict[str, Any]:
    count = storage.get("localSSDCount")
    return {"ephemeral_storage_local_ssd_config": {"local_ssd_count": count}} if count else {}


def _run_duration(priority: Object) -> dict[str, Any]:
    seconds = priority.get("maxRunDurationSeconds")
    return {"max_run_duration": {"seconds": seconds}} if seconds else {}


def _accelerators(gpu: Mapping[str, Any]) -> list[dict[str, Any]]:
    if not gpu:
        return []
    version = Driver.LATEST if gpu.get("driverVersion") == "latest" else Driver.DEFAULT
    asked: dict[str, Any] = {
        "accelerator_type": gpu["type"],
        "accelerator_count": gpu["count"],
        "gpu_driver_installation_config": {"gpu_driver_version": version},
    }
    sharing = gpu.get("gpuSharing") or {}
    if sharing.get("sharingStrategy"):
        asked["gpu_sharing_config"] = {
            "gpu_sharing_strategy": sharing["sharingStrategy"],
            "max_shared_clients_per_gpu": sharing.get("maxSharedClientsPerGPU", 0),
        }
    if sharing.get("gpuPartitionSize"):
        asked["gpu_partition_size"] = sharing["gpuPartitionSize"]
    return [asked]


def _affinity(priority: Object) -> dict[str, Any]:
    asked = priority.get("reservations") or {}
    if asked.get("affinity") != "Specific":
        return {"consume_reservation_type": AFFINITIES[asked.get("affinity", "None")]}
    one = asked["specific"][0]
    path = f"projects/{one['project']}/reservations/{one['name']}" if one.get("project") else one["name"]
    return {"consume_reservation_type": AFFINITIES["Specific"], "key": RESERVATION_KEY, "values": [path]}


def _condition(kind: str, status: str, reason: str, message: str, *, generation: int) -> Object:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "observedGeneration": generation,
        "lastTransitionTime": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
    }
