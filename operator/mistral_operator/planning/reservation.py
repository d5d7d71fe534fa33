"""What `spec.capacity.options[].reservation` may say: a name, or a path for a reservation that a project shares."""

import re
from typing import Final

from mistral_operator.api.capacity import CapacityOption
from mistral_operator.planning.types import ClusterProfile, Consumption, PlanRefused

_NAME: Final = re.compile(r"[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?")
PROJECT: Final = r"(?:[a-z0-9][-a-z0-9.]*:)?[a-z][-a-z0-9]*"
_SHARED: Final = re.compile(rf"projects/{PROJECT}/reservations/{_NAME.pattern}")
_ZONAL: Final = re.compile(
    rf"(?:.*/)?projects/(?P<project>{PROJECT})/zones/(?P<zone>[-a-z0-9]+)/reservations/(?P<name>{_NAME.pattern})"
)
"""What the Compute API calls it; GKE takes it without the zone."""


def check_reservation(option: CapacityOption, field: str, cluster: ClusterProfile) -> PlanRefused | None:
    """Check the name of a reservation that is asked for, and that its zone is known."""
    if option.consumption is None or option.consumption.value != Consumption.RESERVATION.value:
        return None
    named = option.reservation or ""
    if not (_NAME.fullmatch(named) or _SHARED.fullmatch(named)):
        return PlanRefused("InvalidReservation", f"{field}.reservation: {_word_name(named)}")
    if option.zones or len(cluster.zones) <= 1:
        return None
    name = named.rpartition("/")[2]
    project = named.split("/")[1] if "/" in named else cluster.project
    return PlanRefused(
        "ReservationNeedsZone",
        f"{field}.zones: a reservation is of one zone, and nodes anywhere else find none of its machines; write its"
        f" zone, which `gcloud compute reservations list --filter=name={name}"
        f"{f' --project {project}' if project else ''}` shows",
    )


def _word_name(named: str) -> str:
    if not named:
        return "consumption: Reservation needs the reservation's name; write reservation: <name>"
    zonal = _ZONAL.fullmatch(named)
    if zonal:
        path = f"projects/{zonal['project']}/reservations/{zonal['name']}"
        return f"GKE takes no zone in it; write {path}, and zones: [{zonal['zone']}]"
    return (
        f"{named} is no reservation's name; write the name alone, such as team-gpus, or"
        " projects/PROJECT/reservations/NAME for one that another project shares"
    )
