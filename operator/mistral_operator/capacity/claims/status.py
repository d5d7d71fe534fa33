"""The status of a NodePoolClaim, written whole each time. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from mistral_operator.api.capacity import Provisioner
from mistral_operator.api.claim import NodePoolClaim
from mistral_operator.capacity.claims.drift import extend_notes
from mistral_operator.capacity.claims.line import WAITS_IN_LINE
from mistral_operator.capacity.claims.slice_zone import describe_zone
from mistral_operator.capacity.claims.types import ClaimUser, Decision, Seen
from mistral_operator.capacity.errors import CloudFinding
from mistral_operator.capacity.policies import needs_policy
from mistral_operator.capacity.pools import pool_name
from mistral_operator.capacity.purchases import is_class, ways_of

SHOWN_USERS: Final = 100
"""Users beyond that are only counted: a status with a thousand of them would be written anew for each."""


def build_status(claim: NodePoolClaim, seen: Seen, decision: Decision, *, now: datetime) -> dict[str, Any]:
    """The whole status. Transition times of conditions whose status stays are kept."""
    status: dict[str, Any] = {
        "observedGeneration": claim.metadata.generation,
        **({} if claim.spec.provisioner is Provisioner.EXISTING else {"poolName": pool_name(claim.metadata.name)}),
        "state": decision.state.value,
        "users": [_user(user, seen) for user in seen.users[:SHOWN_USERS]],
        "nodes": _nodes(claim, seen),
        "conditions": _conditions(claim, seen, decision, now=now),
    }
    if (place := seen.place) is not None and decision.reason == WAITS_IN_LINE:
        status["queue"] = {"position": place.position, "of": place.of, "for": place.waits_for}
    if needs_policy(claim) and ("policyName" in claim.status or not _is_policy_unknown(seen)):
        status["policyName"] = pool_name(claim.metadata.name)
    if zone := describe_zone(claim, seen):
        status["zone"] = zone
    if is_class(claim) and seen.nodes_by_way:
        status["priorities"] = [
            {
                "consumption": way.consumption.value,
                **({"reservation": way.reservation} if way.reservation else {}),
                "nodes": nodes,
            }
            for way, nodes in zip(ways_of(claim), seen.nodes_by_way, strict=True)
        ]
    if notes := extend_notes(claim, (*seen.notes, *decision.notes), timestamp(now)):
        status["drift"] = notes
    if seen.operation is not None:
        view = seen.operation.view
        status["operation"] = {
            "name": view.name,
            "type": seen.operation.call.value,
            **({"startedAt": view.started_at} if view.started_at else {}),
        }
    cost = _cost_nodes(claim, seen)
    if cost is not None:
        status["hourlyCost"] = str(cost.quantize(Decimal("0.01")))
    return status


def _cost_nodes(claim: NodePoolClaim, seen: Seen) -> Decimal | None:
    """US dollars an hour; None where a price isn't known. Of a ComputeClass each node costs what its own way does."""
    if not is_class(claim):
        return None if seen.facts.hourly_price is None else seen.facts.hourly_price * seen.nodes
    prices = (seen.facts.hourly_price, *seen.facts.further_prices)
    paid = [(price, nodes) for price, nodes in zip(prices, seen.nodes_by_way, strict=False) if nodes]
    if sum(seen.nodes_by_way) < seen.nodes or any(price is None for price, _ in paid):
        return None
    return sum((price * nodes for price, nodes in paid if price is not None), Decimal(0))


def _is_policy_unknown(seen: Seen) -> bool:
    """Whether the workload policy was never looked at: one that can't be read isn't made either."""
    return seen.blind is not None or isinstance(seen.policy, CloudFinding)


def unused_for_s(claim: NodePoolClaim, *, now: datetime) -> float:
    """Seconds since the last user was seen to have gone; 0 when that is only found now."""
    condition = _known_conditions(claim).get("InUse")
    if condition is None or condition["status"] != "False":
        return 0.0
    since = datetime.fromisoformat(condition["lastTransitionTime"])
    return max(0.0, (now - since).total_seconds())


def was_ready(claim: NodePoolClaim) -> bool:
    """What the status says already."""
    condition = _known_conditions(claim).get("Ready")
    return condition is not None and condition["status"] == "True"


def _user(user: ClaimUser, seen: Seen) -> dict[str, Any]:
    return {"namespace": user.namespace, "name": user.name, "nodes": seen.nodes_for(user.nodes)}


def _nodes(claim: NodePoolClaim, seen: Seen) -> Mapping[str, int]:
    """A slice has all its hosts or none, however many replicas its model wants; nodes that are there have no bounds."""
    if claim.spec.provisioner is Provisioner.EXISTING:
        return {"current": seen.nodes}
    hosts = claim.spec.shape.hosts if claim.spec.slice else None
    wanted = hosts if hosts and seen.users else seen.nodes_for(sum(user.nodes for user in seen.users))
    allowed = seen.pool.bounds.total_max if seen.pool and seen.pool.bounds else None
    return {"desiredMax": wanted, "current": seen.nodes, **({} if allowed is None else {"allowedMax": allowed})}


def _conditions(claim: NodePoolClaim, seen: Seen, decision: Decision, *, now: datetime) -> list[dict[str, Any]]:
    degraded = decision.degraded
    findings = (
        ("Ready", decision.ready, decision.reason, decision.message),
        (
            "Degraded",
            degraded is not None,
            degraded.reason if degraded else "AsExpected",
            degraded.text[:1500] if degraded else "The cloud has refused nothing lately.",
        ),
        ("InUse", *_use(claim, seen)),
    )
    before = _known_conditions(claim)
    conditions = []
    for kind, holds, reason, message in findings:
        status = "True" if holds else "False"
        last = before.get(kind)
        since = last["lastTransitionTime"] if last and last["status"] == status else timestamp(now)
        conditions.append(
            {
                "type": kind,
                "status": status,
                "reason": reason,
                "message": message,
                "lastTransitionTime": since,
                "observedGeneration": claim.metadata.generation,
            }
        )
    return conditions


def _known_conditions(claim: NodePoolClaim) -> dict[str, dict[str, str]]:
    return {found["type"]: found for found in claim.status.get("conditions", ())}


def _use(claim: NodePoolClaim, seen: Seen) -> tuple[bool, str, str]:
    if not seen.users:
        if not seen.held_by:
            return False, "NoUsers", "No model uses the claim."
        held = ", ".join(seen.held_by[:3])
        return True, "HeldByRevision", f"No living model uses the claim, but revision {held} still names it."
    count = len(seen.users)
    shown = f"; the first {SHOWN_USERS} are listed" if count > SHOWN_USERS else ""
    words = f"{count} model{'s' if count > 1 else ''} of namespace {claim.spec.tenant} use it{shown}."
    if claim.metadata.deletion_timestamp is not None:
        return (
            True,
            "DeletionWaitsForUsers",
            f"{words} The claim was deleted; its node pool stays until they have gone.",
        )
    return True, "HasUsers", words


def timestamp(moment: datetime) -> str:
    """RFC 3339 to the second, as metav1.Time has it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
