"""What Google has for us: machines in a zone (stock), the region's quota, and what is taken of both."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from .machines import MachineType, region_of
from .reservations import Consume, Held, Reservations
from .scenario import ANY, InstanceError, Quota, Reservation, Stock
from .shortage import Shortage

PLENTY = 10**6
PREEMPTIBLE = ("spot", "flex-start")
ALL_REGIONS = "GPUS_ALL_REGIONS"


@dataclass(frozen=True, slots=True)
class Want:
    """One machine in one zone; `mode` is on-demand, spot or flex-start.

    `consume` and `reservation` say which reserved machines will do; `held` is the reservation that it came from.
    """

    zone: str
    machine: MachineType
    mode: str = "on-demand"
    consume: Consume = Consume.NONE
    reservation: str = ""
    held: Held | None = None

    @property
    def preemptible(self) -> bool:
        return self.mode in PREEMPTIBLE

    @property
    def quota_mode(self) -> str:
        return "preemptible" if self.preemptible else "on-demand"

    @property
    def quota_name(self) -> str:
        return quota_name(self.machine, self.quota_mode)

    @property
    def region(self) -> str:
        return region_of(self.zone)


QuotaKey = tuple[str, str, str]
"""Region, quota, and the accelerator: some quotas have a limit for each family."""


class Warehouse:
    """Counts machines out and in. Entries can be added at run time; the latest one that matches decides."""

    def __init__(
        self,
        project: str,
        stock: Iterable[Stock] = (),
        quota: Iterable[Quota] = (),
        reservations: Iterable[Reservation] = (),
        gpus_all_regions: int = PLENTY,
        errors: Iterable[InstanceError] = (),
    ) -> None:
        self._project = project
        self._stock = list(stock)
        self._quota = list(quota)
        self._errors = list(errors)
        self._machines: Counter[tuple[str, str, str]] = Counter()
        self._devices: Counter[QuotaKey] = Counter()
        self._gpus = 0
        self.gpus_all_regions = gpus_all_regions
        self.reservations = Reservations(project, reservations)

    @property
    def gpus_used(self) -> int:
        """GPUs that count against GPUS_ALL_REGIONS."""
        return self._gpus

    def set_stock(self, entry: Stock) -> None:
        """What runs already stays, even beyond the new stock."""
        self._stock.append(entry)

    def set_quota(self, entry: Quota) -> None:
        """What runs already stays, even beyond the new quota."""
        self._quota.append(entry)

    def set_error(self, entry: InstanceError) -> None:
        """No such machine starts from now on."""
        self._errors.append(entry)

    def clear_errors(self) -> None:
        """Machines start again."""
        self._errors.clear()

    def free(self, want: Want) -> int:
        """So many more machines of this kind are in stock in the zone, reserved ones included that will do."""
        reserved = self.reservations.free(want.consume, want.reservation, want.machine.name, want.zone)
        if want.consume in (Consume.SPECIFIC, Consume.ANY_THEN_FAIL):
            return reserved
        return reserved + max(0, self._stock_of(want) - self._machines[_key(want)])

    def take(self, want: Want) -> Want | Shortage:
        """Count one machine out, or say why not; quota is looked at first, as Compute Engine does.

        The answer names the reservation that the machine came from, if one: give that back.
        """
        for error in reversed(self._errors):
            if _concerns(error, want):
                return Shortage(error.code, error.message)
        held = self.reservations.take(want.consume, want.reservation, want.machine.name, want.zone)
        if isinstance(held, Shortage):
            return held
        if held:
            return replace(want, held=held)
        if shortage := self._over_quota(want):
            return shortage
        if self._stock_of(want) - self._machines[_key(want)] < 1:
            zone = f"projects/{self._project}/zones/{want.zone}"
            lack = "does not have enough resources available to fulfill the request. '(resource type:compute)'."
            return Shortage("GCE_STOCKOUT", f"The zone '{zone}' {lack}")
        self._count(want, 1)
        return want

    def take_all(self, wants: Sequence[Want]) -> list[Want] | tuple[int, Shortage]:
        """Count all of them out, or none; then the answer is the number (from 0) of one that is lacking, and why."""
        taken: list[Want] = []
        for number, want in enumerate(wants):
            answer = self.take(want)
            if isinstance(answer, Shortage):
                for each in taken:
                    self.give_back(each)
                return number, answer
            taken.append(answer)
        return taken

    def occupy(self, want: Want) -> Want:
        """Count one machine out without asking: it ran before."""
        held = self.reservations.take(want.consume, want.reservation, want.machine.name, want.zone)
        if isinstance(held, Held):
            return replace(want, held=held)
        self._count(want, 1)
        return want

    def give_back(self, want: Want) -> None:
        """Count one machine in."""
        if want.held:
            self.reservations.give_back(want.held)
        else:
            self._count(want, -1)

    def limit(self, region: str, machine: MachineType, mode: str) -> int:
        """The quota for a machine type's devices; `mode` is on-demand or preemptible."""
        if not machine.quota:
            return PLENTY
        names = (mode, "spot") if mode == "preemptible" else (mode,)
        for entry in reversed(self._quota):
            if (
                entry.accelerator in (ANY, machine.accelerator)
                and entry.mode in (ANY, *names)
                and entry.region in (ANY, region)
            ):
                return entry.limit
        return PLENTY

    def usage(self, region: str, machine: MachineType, mode: str) -> int:
        """Devices that count against that quota now."""
        return self._devices[region, quota_name(machine, mode), machine.accelerator]

    def describe(self) -> dict[str, object]:
        """Entries and use, for people and tests."""
        return {
            "stock": [
                {"zone": s.zone, "machine_type": s.machine_type, "mode": s.mode, "nodes": s.nodes} for s in self._stock
            ],
            "quota": [{"accelerator": q.accelerator, "mode": q.mode, "limit": q.limit} for q in self._quota],
            "used": [
                {"zone": zone, "machine_type": machine, "mode": mode, "nodes": count}
                for (zone, machine, mode), count in sorted(self._machines.items())
                if count
            ],
        }

    def _over_quota(self, want: Want) -> Shortage | None:
        machine, more = want.machine, want.machine.devices
        limit = self.limit(want.region, machine, want.quota_mode)
        if self.usage(want.region, machine, want.quota_mode) + more > limit:
            text = f"Quota '{want.quota_name}' exceeded.  Limit: {limit:.1f} in region {want.region}."
            return Shortage("GCE_QUOTA_EXCEEDED", text)
        if machine.gpus and self._gpus + more > self.gpus_all_regions:
            return Shortage(
                "GCE_QUOTA_EXCEEDED", f"Quota '{ALL_REGIONS}' exceeded.  Limit: {self.gpus_all_regions:.1f} globally."
            )
        return None

    def _count(self, want: Want, number: int) -> None:
        self._machines[_key(want)] += number
        self._devices[want.region, want.quota_name, want.machine.accelerator] += number * want.machine.devices
        self._gpus += number * want.machine.gpus

    def _stock_of(self, want: Want) -> int:
        for entry in reversed(self._stock):
            if _concerns(entry, want):
                return entry.nodes
        sold = {"on-demand": want.machine.on_demand, "spot": want.machine.spot, "flex-start": want.machine.flex_start}
        return PLENTY if sold[want.mode] else 0


def quota_name(machine: MachineType, mode: str) -> str:
    """Compute Engine's name of the quota; `mode` is on-demand or preemptible."""
    if mode == "preemptible" and machine.quota:
        return machine.spot_quota or f"PREEMPTIBLE_{machine.quota}"
    return machine.quota


def _concerns(entry: Stock | InstanceError, want: Want) -> bool:
    names = ((entry.zone, want.zone), (entry.machine_type, want.machine.name), (entry.mode, want.mode))
    return all(pattern in (ANY, value) for pattern, value in names)


def _key(want: Want) -> tuple[str, str, str]:
    return want.zone, want.machine.name, want.mode
