"""Reserved machines: who may have them, how many are left, and Compute Engine's words where there are none.

The phrases are those by which the cluster autoscaler tells these errors apart; what stands around them is ours.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from .scenario import Reservation
from .shortage import Shortage

PATH = re.compile(r"projects/(?P<project>[^/]+)/reservations/(?P<name>[^/]+)(?:/reservationBlocks/.+)?")
"""How a pool names another project's reservation; blocks of it are not told apart."""


class Consume(StrEnum):
    """Which reserved machines a machine may be. ANY falls back to stock, ANY_THEN_FAIL and SPECIFIC don't."""

    NONE = "none"
    ANY = "any"
    ANY_THEN_FAIL = "any-then-fail"
    SPECIFIC = "specific"


@dataclass(frozen=True, slots=True)
class Held:
    """A reservation by project, zone and name."""

    project: str
    zone: str
    name: str

    @property
    def path(self) -> str:
        return f"projects/{self.project}/zones/{self.zone}/reservations/{self.name}"


class Reservations:
    """All reservations that this cluster's project knows of. Entries can be added and replaced at run time."""

    def __init__(self, project: str, reservations: Iterable[Reservation]) -> None:
        self._project = project
        self._known: dict[Held, Reservation] = {}
        self._taken: Counter[Held] = Counter()
        for reservation in reservations:
            self.put(reservation)

    def put(self, reservation: Reservation) -> None:
        """Add it, or change the one of that project, zone and name; machines that run stay."""
        self._known[self._key(reservation)] = reservation

    def remove(self, name: str) -> None:
        """Delete all of this name."""
        for key in [key for key in self._known if key.name == name]:
            del self._known[key]

    def all(self) -> list[tuple[Held, Reservation, int]]:
        """Each one, and how many of its machines run, in this cluster or elsewhere."""
        return [
            (key, r, r.in_use + self._taken[key]) for key, r in sorted(self._known.items(), key=lambda i: i[0].path)
        ]

    def free(self, consume: Consume, name: str, machine_type: str, zone: str) -> int:
        """So many machines could be had like this."""
        if consume is Consume.NONE:
            return 0
        if consume is Consume.SPECIFIC:
            found = self._specific(name, machine_type, zone)
            return 0 if isinstance(found, Shortage) else self._left(found)
        return sum(self._left(key) for key in self._open_to_all(machine_type, zone))

    def take(self, consume: Consume, name: str, machine_type: str, zone: str) -> Held | Shortage | None:
        """One reserved machine, or why there is none; None: it need not be a reserved one."""
        if consume is Consume.NONE:
            return None
        if consume is Consume.SPECIFIC:
            found = self._specific(name, machine_type, zone)
            if isinstance(found, Shortage):
                return found
            if self._left(found) < 1:
                lack = "does not have available resources for the request."
                return Shortage("RESERVATION_CAPACITY_EXCEEDED", f"Specified reservation '{found.path}' {lack}")
            return self._hold(found)
        for key in self._open_to_all(machine_type, zone):
            if self._left(key) > 0:
                return self._hold(key)
        if consume is Consume.ANY:
            return None
        where = f"No available resources in specified reservations of projects/{self._project}/zones/{zone}"
        return Shortage("RESERVATION_INCOMPATIBLE", f"{where} for machine type {machine_type}.")

    def give_back(self, held: Held) -> None:
        """The machine is free again."""
        self._taken[held] -= 1

    def _key(self, reservation: Reservation) -> Held:
        return Held(reservation.project or self._project, reservation.zone, reservation.name)

    def _specific(self, name: str, machine_type: str, zone: str) -> Held | Shortage:
        path = PATH.fullmatch(name)
        key = Held(path["project"], zone, path["name"]) if path else Held(self._project, zone, name)
        reservation = self._known.get(key)
        if reservation is None:
            return Shortage("RESERVATION_NOT_FOUND", f"Specified reservations [{key.path}] do not exist.")
        if key.project != self._project and not reservation.shared:
            return Shortage(
                "INVALID_RESERVATION",
                f"The reservation must exist in the same project as the instance, or be shared with it: {key.path}.",
            )
        if reservation.status != "READY":
            state = f"'{key.path}' is {reservation.status}; it requires reservation to be in READY state."
            return Shortage("RESERVATION_NOT_READY", f"Cannot use reservation {state}")
        if reservation.machine_type != machine_type:
            text = f"No available resources in specified reservations [{key.path}] for machine type {machine_type}: "
            return Shortage("RESERVATION_INCOMPATIBLE", text + f"it has {reservation.machine_type}.")
        return key

    def _open_to_all(self, machine_type: str, zone: str) -> list[Held]:
        return [
            key
            for key, r in self._known.items()
            if not r.specific
            and r.status == "READY"
            and (r.machine_type, r.zone) == (machine_type, zone)
            and (r.shared or key.project == self._project)
        ]

    def _left(self, key: Held) -> int:
        reservation = self._known[key]
        return max(0, reservation.count - reservation.in_use - self._taken[key])

    def _hold(self, key: Held) -> Held:
        self._taken[key] += 1
        return key
