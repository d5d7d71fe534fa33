"""What Compute Engine says of regions, projects, machine types, GPUs and reservations, as its JSON has it."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from mistral_operator.sandbox.gke.inventory import Inventory, QuotaUse, ReservationUse

FAMILY = re.compile(r"[GT]PUS_PER_[GT]PU_FAMILY")
"""Quotas that have the family as a dimension: Compute Engine doesn't list them among a region's."""
FILTER = re.compile(r'\(?name\s*(?:=|eq)\s*"?([a-z0-9-]+)"?\)?')
Json = dict[str, Any]


class FilterError(ValueError):
    """A filter that this stand-in can't read."""


def describe_region(inventory: Inventory, region: str) -> Json | None:
    """`regions.get`; None for a region that isn't there."""
    if region not in inventory.regions():
        return None
    told = [quota for quota in inventory.quotas(region) if not FAMILY.fullmatch(quota.name)]
    return {"kind": "compute#region", "name": region, "status": "UP", "quotas": _quotas(told)}


def describe_project(inventory: Inventory) -> Json:
    """`projects.get`."""
    return {"kind": "compute#project", "name": inventory.project, "quotas": _quotas(inventory.project_quotas())}


def list_machine_types(inventory: Inventory, names: frozenset[str]) -> dict[str, Json]:
    """`machineTypes.aggregatedList`: scope → what is there."""
    return {f"zones/{zone}": _scope("machineTypes", _machines(inventory, zone, names)) for zone in inventory.zones()}


def list_accelerator_types(inventory: Inventory, names: frozenset[str]) -> dict[str, Json]:
    """`acceleratorTypes.aggregatedList`: scope → what is there."""
    return {f"zones/{zone}": _scope("acceleratorTypes", _gpus(inventory, zone, names)) for zone in inventory.zones()}


def list_reservations(inventory: Inventory, project: str, names: frozenset[str]) -> dict[str, Json]:
    """`reservations.aggregatedList` of a project: scope → what is there."""
    found: dict[str, list[Json]] = {f"zones/{zone}": [] for zone in inventory.zones()}
    for reservation in inventory.reservations():
        if reservation.project == project and reservation.name in names:
            found.setdefault(f"zones/{reservation.zone}", []).append(_reservation(reservation))
    return {scope: _scope("reservations", items) for scope, items in found.items()}


def read_names(text: str) -> frozenset[str]:
    """The names in a filter such as `(name = "a") OR (name = "b")`. Raises FilterError for any other."""
    names = [FILTER.fullmatch(part.strip()) for part in text.split(" OR ")]
    if not all(names):
        raise FilterError(f"Invalid value for field 'filter': '{text}'. Invalid list filter expression.")
    return frozenset(name[1] for name in names if name)


def _scope(kind: str, items: list[Json]) -> Json:
    if items:
        return {kind: items}
    return {"warning": {"code": "NO_RESULTS_ON_PAGE", "message": "There are no results for scope on this page."}}


def _quotas(quotas: Iterable[QuotaUse]) -> list[Mapping[str, Any]]:
    return [{"metric": quota.name, "limit": float(quota.limit), "usage": float(quota.usage)} for quota in quotas]


def _machines(inventory: Inventory, zone: str, names: frozenset[str]) -> list[Json]:
    return [
        {
            "kind": "compute#machineType",
            "name": machine.name,
            "zone": zone,
            "guestCpus": machine.vcpu,
            "memoryMb": int(machine.memory_gib * 1024),
            **({"accelerators": [_bundled(machine.accelerator, machine.gpus)]} if machine.gpus else {}),
        }
        for machine in inventory.machine_types(zone)
        if machine.name in names
    ]


def _bundled(accelerator: str, count: int) -> Json:
    return {"guestAcceleratorType": accelerator, "guestAcceleratorCount": count}


def _gpus(inventory: Inventory, zone: str, names: frozenset[str]) -> list[Json]:
    machines = inventory.machine_types(zone)
    there = {machine.accelerator for machine in machines if machine.gpus}
    there |= {label for machine in machines for label in machine.attachable}
    return [{"kind": "compute#acceleratorType", "name": name, "zone": zone} for name in sorted(there & names)]


def _reservation(reservation: ReservationUse) -> Json:
    return {
        "kind": "compute#reservation",
        "name": reservation.name,
        "zone": f"https://www.googleapis.com/compute/v1/projects/{reservation.project}/zones/{reservation.zone}",
        "status": reservation.status,
        "specificReservationRequired": reservation.specific,
        # int64 is a string in Google's JSON.
        "specificReservation": {
            "count": str(reservation.count),
            "inUseCount": str(reservation.in_use),
            "instanceProperties": {"machineType": reservation.machine_type},
        },
    }
