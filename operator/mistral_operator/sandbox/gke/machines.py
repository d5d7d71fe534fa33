"""Machine types and what a virtual machine of each type brings, from machines.yaml."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml


@dataclass(frozen=True, slots=True)
class MachineType:
    """One machine type; `regions` empty means that every region has it, `accelerator` "" that it has no GPUs."""

    name: str
    family: str
    vcpu: int
    memory_gib: int
    gpus: int = 0
    accelerator: str = ""
    quota: str = ""
    local_ssd: int = 0
    on_demand: bool = True
    gvnic: bool = False
    hyperdisk: bool = False
    regions: frozenset[str] = frozenset()

    def offered_in(self, zone: str) -> bool:
        """Whether the zone's region lists this machine type."""
        return not self.regions or region_of(zone) in self.regions


def region_of(zone: str) -> str:
    """`us-central1` for `us-central1-a`."""
    return zone.rsplit("-", 1)[0]


@cache
def machine_types() -> Mapping[str, MachineType]:
    """Every known machine type by its name."""
    document = yaml.safe_load(files(__package__).joinpath("machines.yaml").read_text())
    return {machine.name: machine for family in document["families"] for machine in _family(family)}


def _family(family: Mapping[str, Any]) -> Iterator[MachineType]:
    shared = {key: family[key] for key in ("family", "accelerator", "quota", "gvnic", "hyperdisk") if key in family}
    for machine in family["machines"]:
        own = dict(machine)
        regions = own.pop("regions", family.get("regions", ()))
        yield MachineType(**shared, **own, regions=frozenset(regions))
