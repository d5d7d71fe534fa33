"""What Google has for us: machines in a zone (stock) and the region's quota, and what is taken of both."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .machines import MachineType, region_of
from .scenario import ANY, Quota, Stock

PLENTY = 10**6


@dataclass(frozen=True, slots=True)
class Shortage:
    """Why a machine wasn't given: Google's code for it, and its words for one instance."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Want:
    """One machine in one zone."""

    zone: str
    machine: MachineType
    spot: bool

    @property
    def mode(self) -> str:
        return "spot" if self.spot else "on-demand"

    @property
    def quota_name(self) -> str:
        if self.spot:
            return self.machine.spot_quota or f"PREEMPTIBLE_{self.machine.quota}"
        return self.machine.quota


class Warehouse:
    """Counts machines out and in. Entries can be added at run time; the latest one that matches decides."""

    def __init__(self, project: str, stock: Iterable[Stock], quota: Iterable[Quota]) -> None:
        self._project = project
        self._stock = list(stock)
        self._quota = list(quota)
        self._machines: Counter[tuple[str, str, str]] = Counter()
        self._devices: Counter[str] = Counter()

    def set_stock(self, entry: Stock) -> None:
        """What runs already stays, even beyond the new stock."""
        self._stock.append(entry)

    def set_quota(self, entry: Quota) -> None:
        """What runs already stays, even beyond the new quota."""
        self._quota.append(entry)

    def free(self, want: Want) -> int:
        """So many more machines of this kind are in stock in the zone."""
        return max(0, self._stock_of(want) - self._machines[_key(want)])

    def take(self, want: Want) -> Shortage | None:
        """Count one machine out, or say why not; quota is looked at first, as Compute Engine does."""
        limit = self._quota_of(want)
        if self._devices[want.quota_name] + want.machine.devices > limit:
            place = f"in region {region_of(want.zone)}"
            return Shortage("GCE_QUOTA_EXCEEDED", f"Quota '{want.quota_name}' exceeded.  Limit: {limit:.1f} {place}.")
        if self.free(want) < 1:
            zone = f"projects/{self._project}/zones/{want.zone}"
            lack = "does not have enough resources available to fulfill the request. '(resource type:compute)'."
            return Shortage("GCE_STOCKOUT", f"The zone '{zone}' {lack}")
        self.occupy(want)
        return None

    def take_all(self, wants: Sequence[Want]) -> tuple[int, Shortage] | None:
        """Count all of them out, or none; then the answer is the number (from 0) of one that is lacking, and why."""
        for number, want in enumerate(wants):
            if shortage := self.take(want):
                for taken in wants[:number]:
                    self.give_back(taken)
                return number, shortage
        return None

    def occupy(self, want: Want) -> None:
        """Count one machine out without asking: it ran before."""
        self._machines[_key(want)] += 1
        self._devices[want.quota_name] += want.machine.devices

    def give_back(self, want: Want) -> None:
        """Count one machine in."""
        self._machines[_key(want)] -= 1
        self._devices[want.quota_name] -= want.machine.devices

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

    def _stock_of(self, want: Want) -> int:
        for entry in reversed(self._stock):
            names = ((entry.zone, want.zone), (entry.machine_type, want.machine.name), (entry.mode, want.mode))
            if all(pattern in (ANY, value) for pattern, value in names):
                return entry.nodes
        return PLENTY if want.spot or want.machine.on_demand else 0

    def _quota_of(self, want: Want) -> int:
        if not want.machine.quota:
            return PLENTY
        for entry in reversed(self._quota):
            if entry.accelerator in (ANY, want.machine.accelerator) and entry.mode in (ANY, want.mode):
                return entry.limit
        return PLENTY


def _key(want: Want) -> tuple[str, str, str]:
    return want.zone, want.machine.name, want.mode
