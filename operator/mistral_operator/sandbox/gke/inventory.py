"""What Compute Engine tells about this project: quotas and their use, reservations, zones. For reading only."""

from dataclasses import dataclass

from .machines import MachineType, machine_types, region_of
from .policies import Policies
from .scenario import Scenario
from .stock import ALL_REGIONS, Warehouse, quota_name

QUOTA_MODES = ("on-demand", "preemptible")


@dataclass(frozen=True, slots=True)
class QuotaUse:
    """One quota: devices that run and that may run. `mode`: on-demand or preemptible; `region` "": all regions.

    Quotas of one name but several accelerators (TPUS_PER_TPU_FAMILY) have a limit for each.
    """

    region: str
    name: str
    accelerator: str
    mode: str
    limit: int
    usage: int


@dataclass(frozen=True, slots=True)
class ReservationUse:
    """One reservation: `in_use` of its `count` machines run, in this cluster or elsewhere."""

    project: str
    zone: str
    name: str
    machine_type: str
    count: int
    in_use: int
    status: str
    specific: bool
    shared: bool

    @property
    def free(self) -> int:
        return max(0, self.count - self.in_use)


class Inventory:
    """Reads the simulated cloud as it is at this moment; changes nothing."""

    def __init__(self, scenario: Scenario, warehouse: Warehouse, policies: Policies) -> None:
        self._scenario = scenario
        self._warehouse = warehouse
        self.policies = policies

    @property
    def project(self) -> str:
        return self._scenario.project

    def regions(self) -> tuple[str, ...]:
        """Those of the cluster's zones; the simulation has no others."""
        return tuple(dict.fromkeys(region_of(zone) for zone in self._scenario.zones))

    def zones(self) -> tuple[str, ...]:
        """The cluster's zones."""
        return self._scenario.zones

    def zones_offering(self, machine_type: str) -> tuple[str, ...]:
        """The zones that list a machine type, in stock or not; none for one that doesn't exist."""
        machine = machine_types().get(machine_type)
        return tuple(zone for zone in self.zones() if machine and machine.offered_in(zone))

    def machine_types(self, zone: str) -> tuple[MachineType, ...]:
        """What a zone lists."""
        return tuple(machine for machine in machine_types().values() if machine.offered_in(zone))

    def quotas(self, region: str) -> tuple[QuotaUse, ...]:
        """The quotas of a region, on-demand and preemptible; reservations need none."""
        found = {}
        for machine in _accelerated():
            for mode in QUOTA_MODES:
                limit = self._warehouse.limit(region, machine, mode)
                usage = self._warehouse.usage(region, machine, mode)
                name = quota_name(machine, mode)
                found[name, machine.accelerator] = QuotaUse(region, name, machine.accelerator, mode, limit, usage)
        return tuple(found.values())

    def project_quotas(self) -> tuple[QuotaUse, ...]:
        """The quotas of the project in all regions together."""
        used, limit = self._warehouse.gpus_used, self._warehouse.gpus_all_regions
        return (QuotaUse("", ALL_REGIONS, "", "on-demand", limit, used),)

    def reservations(self, zone: str = "") -> tuple[ReservationUse, ...]:
        """The reservations that the project has or shares, in one zone or in all."""
        return tuple(
            ReservationUse(
                key.project, key.zone, key.name, r.machine_type, r.count, used, r.status, r.specific, r.shared
            )
            for key, r, used in self._warehouse.reservations.all()
            if zone in ("", key.zone)
        )


def _accelerated() -> list[MachineType]:
    """A machine of each kind of accelerator, attached ones included."""
    bring = [machine for machine in machine_types().values() if machine.devices]
    attached = [
        machine.equipped(label, kind.counts[0])
        for machine in machine_types().values()
        for label, kind in machine.attachable.items()
    ]
    return [*bring, *attached]
