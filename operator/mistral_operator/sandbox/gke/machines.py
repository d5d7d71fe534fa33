"""Machine types and what a virtual machine of each type brings, from machines.yaml."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

VERSION = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?(?:-gke\.(\d+))?")


@dataclass(frozen=True, slots=True)
class Attachable:
    """GPUs of one kind that a machine type takes without bringing them: so many of them, and their quota."""

    counts: tuple[int, ...]
    quota: str


@dataclass(frozen=True, slots=True)
class MachineType:
    """One machine type; `regions` empty means that every region has it, `accelerator` "" that it has no devices.

    `topology`: of the TPU slice that one machine is; `slice_topologies`: of those that several machines make up.
    `policy`: which pools need a Compute workload policy, "", "slices" or "always"; the others as machines.yaml says.
    """

    name: str
    family: str
    vcpu: int
    memory_gib: float
    gpus: int = 0
    chips: int = 0
    topology: str = ""
    slice_topologies: tuple[str, ...] = ()
    accelerator: str = ""
    quota: str = ""
    spot_quota: str = ""
    arch: str = "amd64"
    local_ssd: int = 0
    local_ssd_gib: int = 375
    on_demand: bool = True
    spot: bool = True
    flex_start: bool = True
    queued: bool = True
    compact_flex_start: bool = False
    gvnic: bool = False
    hyperdisk: bool = False
    policy: str = ""
    policy_topology: str = ""
    domain_hosts: int = 0
    min_version: str = ""
    regions: frozenset[str] = frozenset()
    attachable: Mapping[str, Attachable] = field(default_factory=dict, hash=False)
    partitions: Mapping[str, int] = field(default_factory=dict, hash=False)

    @property
    def devices(self) -> int:
        """GPUs or TPU chips: no machine has both."""
        return self.gpus + self.chips

    def offered_in(self, zone: str) -> bool:
        """Whether the zone's region lists this machine type."""
        return not self.regions or region_of(zone) in self.regions

    def equipped(self, accelerator: str, count: int) -> "MachineType":
        """This machine type with GPUs attached that it doesn't bring by itself."""
        return replace(self, accelerator=accelerator, gpus=count, quota=self.attachable[accelerator].quota)


def region_of(zone: str) -> str:
    """`us-central1` for `us-central1-a`."""
    return zone.rsplit("-", 1)[0]


def chips_of(topology: str) -> int:
    """16 for `4x4`."""
    return math.prod(int(side) for side in topology.split("x"))


def is_at_least(version: str, minimum: str) -> bool:
    """Whether a GKE version such as `1.36.3-gke.1000000` is this one or later; parts left out of it are 0."""
    return _numbers(version) >= _numbers(minimum)


@cache
def machine_types() -> Mapping[str, MachineType]:
    """Every known machine type by its name."""
    document = yaml.safe_load(files(__package__).joinpath("machines.yaml").read_text())
    return {machine.name: machine for family in document["families"] for machine in _family(family)}


def _family(family: Mapping[str, Any]) -> Iterator[MachineType]:
    shared = {key: value for key, value in family.items() if key not in ("machines", "regions", "attachable")}
    attachable = {
        label: Attachable(tuple(kind["counts"]), kind["quota"]) for label, kind in family.get("attachable", {}).items()
    }
    for machine in family["machines"]:
        own = dict(machine)
        regions = own.pop("regions", family.get("regions", ()))
        topologies = own.pop("slice_topologies", ())
        yield MachineType(
            **shared | own, regions=frozenset(regions), slice_topologies=tuple(topologies), attachable=attachable
        )


def _numbers(version: str) -> tuple[int, ...]:
    match = VERSION.fullmatch(version)
    if not match:
        raise ValueError(f"{version!r} is not a GKE version; write one like 1.36.3-gke.1000000")
    return tuple(int(part or 0) for part in match.groups())
