"""Claims for which GKE itself gets nodes by a ComputeClass: the ways to buy them, and of which a node is. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from mistral_operator.api.capacity import Consumption, Provisioner
from mistral_operator.api.claim import MAX_RUN_DURATION_S, ClaimAlternative, NodePoolClaim, NodePoolClaimSpec
from mistral_operator.capacity.port import Purchase
from mistral_operator.planning.nodes import SPOT_LABEL, ZONE_LABEL

FLEX_START_LABEL: Final = "cloud.google.com/gke-flex-start"
RESERVATION_LABEL: Final = "cloud.google.com/reservation-name"


def is_class(claim: NodePoolClaim) -> bool:
    """Whether a ComputeClass is made for the claim, and node pools are GKE's own matter."""
    return claim.spec.provisioner is Provisioner.COMPUTE_CLASS


def ways_of(claim: NodePoolClaim) -> tuple[NodePoolClaimSpec | ClaimAlternative, ...]:
    """All ways to buy the claim's nodes, in the order in which they are tried."""
    return (claim.spec, *claim.spec.alternatives)


def max_run_s(way: NodePoolClaimSpec | ClaimAlternative) -> int:
    """Seconds after which nodes bought in this way end; 0 where they don't."""
    if way.consumption is not Consumption.FLEX_START:
        return 0
    return way.max_run_duration_seconds or MAX_RUN_DURATION_S


def purchases_of(claim: NodePoolClaim) -> tuple[Purchase, ...]:
    """What a ComputeClass has as its priorities."""
    return tuple(
        Purchase(
            spot=way.consumption is Consumption.SPOT,
            locations=tuple(sorted(way.zones)),
            reservation=way.reservation or "",
            max_run_s=max_run_s(way),
        )
        for way in ways_of(claim)
    )


def word_purchase(purchase: Purchase) -> str:
    """A way to buy nodes in a few words, the same for the same one."""
    if purchase.reservation:
        mode = f"reservation {purchase.reservation}"
    elif purchase.max_run_s:
        mode = f"flex-start for {purchase.max_run_s} s"
    else:
        mode = "spot" if purchase.spot else "on demand"
    return f"{mode} in {', '.join(sorted(purchase.locations)) or 'any zone'}"


def word_purchases(purchases: Iterable[Purchase]) -> str:
    """All of them in their order."""
    return ", then ".join(map(word_purchase, purchases))


def count_by_way(claim: NodePoolClaim, nodes: Iterable[Mapping[str, str]]) -> tuple[int, ...]:
    """How many nodes are of each of the claim's ways, by GKE's labels on them; of none: counted nowhere.

    A way that differs from an earlier one only by its zones is told by the node's zone.
    """
    ways = ways_of(claim)
    counts = [0] * len(ways)
    for labels in nodes:
        found = _find_way(ways, labels)
        if found is not None:
            counts[found] += 1
    return tuple(counts)


def _find_way(ways: Sequence[NodePoolClaimSpec | ClaimAlternative], labels: Mapping[str, str]) -> int | None:
    alike = [number for number, way in enumerate(ways) if _is_bought_so(way, labels)]
    here = [number for number in alike if labels.get(ZONE_LABEL) in ways[number].zones]
    return next(iter(here or alike), None)


def _is_bought_so(way: NodePoolClaimSpec | ClaimAlternative, labels: Mapping[str, str]) -> bool:
    reserved = labels.get(RESERVATION_LABEL, "")
    match way.consumption:
        case Consumption.SPOT:
            return labels.get(SPOT_LABEL) == "true"
        case Consumption.FLEX_START:
            return labels.get(FLEX_START_LABEL) == "true"
        case Consumption.RESERVATION:
            return reserved == (way.reservation or "").rpartition("/")[2]
    return not reserved and not {SPOT_LABEL, FLEX_START_LABEL} & labels.keys()
