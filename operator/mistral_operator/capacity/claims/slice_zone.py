"""Where a multi-host slice is made: it stands in one zone, and a claim may allow several. Pure."""

from collections.abc import Iterable
from typing import Final

from mistral_operator.api.claim import NodePoolClaim
from mistral_operator.capacity.claims.types import Call, FailedCall, Seen

_MOVES_ON: Final = frozenset({
    "StockedOut", "QuotaExceeded", "InvalidRequest", "ReservationNotFound", "ReservationExhausted",
    "ReservationIncompatible",
})  # fmt: skip
"""What another zone may well not say."""


def choose_zone(claim: NodePoolClaim, failures: Iterable[FailedCall]) -> str:
    """The zone to try next: the first one by the slice's number, so that a model's slices spread over zones; the one
    after it, in a circle, when a zone had nothing.
    """
    zones, number = sorted(claim.spec.zones), claim.spec.slice.number if claim.spec.slice else 0
    failure = _failed_create(failures)
    tried = (failure.zone if failure else "") or claim.status.get("zone", "")
    if tried not in zones:
        return zones[number % len(zones)]
    moves = failure is not None and failure.finding.reason in _MOVES_ON
    return zones[(zones.index(tried) + moves) % len(zones)]


def describe_zone(claim: NodePoolClaim, seen: Seen) -> str:
    """Where the slice stands, or was tried last; empty for other pools, and before the first try."""
    if claim.spec.slice is None:
        return ""
    if seen.pool is not None and seen.pool.locations:
        return seen.pool.locations[0]
    failure = _failed_create(seen.failures)
    return (failure.zone if failure else "") or str(claim.status.get("zone", ""))


def _failed_create(failures: Iterable[FailedCall]) -> FailedCall | None:
    return next((failure for failure in failures if failure.call is Call.CREATE), None)
