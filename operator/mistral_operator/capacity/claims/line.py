"""Slices that need the same reservation or quota when there is none left: whose claim is tried next. Pure.

The one that was told so goes on trying, and those behind it by rank wait, or the first to ask after something became
free would have it. What waits is found in the claims' own status, so a restart changes no place.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from mistral_operator.api.capacity import Consumption
from mistral_operator.api.claim import NodePoolClaim
from mistral_operator.capacity.arbitration import Contender, Place, find_place

WAITS_IN_LINE: Final = "WaitsInLine"
_TOLD: Final = frozenset({"ReservationExhausted", "QuotaExceeded"})
_CREATING: Final = "PoolCreating"
_CREATE: Final = "CREATE_NODE_POOL"
_LONGEST: Final = timedelta(hours=1)
"""A claim may need more than there is at all. After so long it lets the next one try, too."""


@dataclass(frozen=True, slots=True)
class Rival:
    """Another slice that isn't there and needs the same."""

    claim: str
    who: Contender
    """The model that it is for."""
    told_at: datetime | None = None
    """When the cloud first said that there is none left; None when it hasn't."""
    in_line: bool = False
    """Whether it waits for others, by its status."""
    asks: bool = False
    """Whether its create is under way, and nothing has been refused that could hold it up."""


def list_needs(claim: NodePoolClaim) -> tuple[str, ...]:
    """What a slice may have to wait for: its reservation in each of its zones, or a quota; nothing for other pools,
    which are made without nodes.
    """
    spec = claim.spec
    if spec.slice is None:
        return ()
    if spec.reservation:
        return tuple(f"{spec.reservation} in {zone}" for zone in spec.zones)
    kind = "on demand" if spec.consumption is Consumption.ON_DEMAND else "preemptible"
    return (f"quota of {spec.shape.accelerator.type}, {kind}",)


def read_rival(name: str, status: Mapping[str, Any], who: Contender) -> Rival | None:
    """The claim of that name and status as one that others may have to wait for; None when it has its slice."""
    conditions = {each["type"]: each for each in status.get("conditions", ())}
    ready, degraded = conditions.get("Ready", {}), conditions.get("Degraded", {})
    if ready.get("status") == "True":
        return None
    refused, reason = degraded.get("status") == "True", ready.get("reason")
    told = refused and degraded.get("reason") in _TOLD
    told_at = datetime.fromisoformat(degraded["lastTransitionTime"]) if told else None
    creates = reason == _CREATING or (status.get("operation") or {}).get("type") == _CREATE
    return Rival(name, who, told_at, in_line=reason == WAITS_IN_LINE, asks=creates and not refused)


def find_claim_place(claim: NodePoolClaim, who: Contender, rivals: Iterable[Rival], now: datetime) -> Place | None:
    """Where the claim stands in line; None when it is its turn. Slices of one model don't wait for each other.

    One that has waited also waits for those ahead that are being tried: the cloud's answer may be under way.
    """
    mine = read_rival(claim.metadata.name, claim.status, who)
    others = [each for each in rivals if (each.who.namespace, each.who.name) != (who.namespace, who.name)]
    if mine is None or claim.metadata.deletion_timestamp is not None:
        return None
    ahead = [each for each in others if each.who.rank < who.rank and _is_waited_for(each, mine.in_line, now)]
    if not ahead:
        return None
    waiting = {each.who for each in others if each in ahead or each.in_line}
    return find_place(who, waiting, _name_need(claim))


def _is_waited_for(rival: Rival, waits: bool, now: datetime) -> bool:
    late = rival.told_at is not None and now - rival.told_at >= _LONGEST
    return not late and (rival.in_line or rival.told_at is not None or (waits and rival.asks))


def _name_need(claim: NodePoolClaim) -> str:
    if claim.spec.reservation:
        return f"reservation {claim.spec.reservation}"
    return list_needs(claim)[0]
