"""Machine types and what a virtual machine of each type brings, from machines.yaml."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml


@dataclass(frozen=True, slots=True)
class MachineType:
    """One machine type; `regions` empty means that every region has it, `accelerator` "" that it has no devices.

    `topology`: of the TPU slice that one machine is; `slice_topologies`: of those that several machines make up.
    """

    name: str
    family: str
    vcpu: int
    memory_gib: int
    gpus: int = 0
    chips: int = 0
    topology: str = ""
    slice_topologies: tuple[str, ...] = ()
    accelerator: str = ""
    quota: str = ""
    spot_quota: str = ""
    local_ssd: int = 0
    on_demand: bool = True
    gvnic: bool = False
    hyperdisk: bool = False
    regions: frozenset[str] = frozenset()

    @property
    def devices(self) -> int:
        """GPUs or TPU chips: no machine has both."""
        return self.gpus + self.chips

    def offered_in(self, zone: str) -> bool:
        """Whether the zone's region lists this machine type."""
        return not self.regions or region_of(zone) in self.regions


def region_of(zone: str) -> str:
    """`us-central1` for `us-central1-a`."""
    return zone.rsplit("-", 1)[0]


def chips_of(topology: str) -> int:
    """16 for `4x4`."""
    return math.prod(int(side) for side in topology.split("x"))


@cache
def machine_types() -> Mapping[str, MachineType]:
    """Every known machine type by its name."""
    document = yaml.safe_load(files(__package__).joinpath("machines.yaml").read_text())
    return {machine.name: machine for family in document["families"] for machine in _family(family)}


def _family(family: Mapping[str, Any]) -> Iterator[MachineType]:
    shared = {key: value for key, value in family.items() if key not in ("machines", "regions")}
    for machine in family["machines"]:
        own = dict(machine)
        regions = own.pop("regions", family.get("regions", ()))
        topologies = own.pop("slice_topologies", ())
        yield MachineType(**shared, **own, regions=frozenset(regions), slice_topologies=tuple(topologies))
