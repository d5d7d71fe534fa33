"""What becomes of a claim on nodes that are there: nothing is made, held or deleted; it is said whether they fit. Pure.

Such a claim needs no finalizer, because nothing of it outlives it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, NamedTuple

from mistral_operator.api.capacity import Consumption
from mistral_operator.api.claim import ClaimNodes, NodePoolClaim
from mistral_operator.api.common import quantity_amount
from mistral_operator.api.names import CLAIM_FINALIZER, SHAPE_LABEL
from mistral_operator.capacity.claims import status as claim_status
from mistral_operator.capacity.claims.types import (
    ClaimOutcome,
    ClaimSettings,
    ClaimState,
    Decision,
    DeleteClaim,
    RemoveFinalizer,
    Seen,
)
from mistral_operator.planning.nodes import (
    HARDWARE_LABELS,
    SPOT_LABEL,
    ZONE_LABEL,
    Taint,
    find_missing,
    find_untolerated,
    write_labels,
)

_MOST_TOLD: Final = 3


@dataclass(frozen=True, slots=True)
class ExistingNode:
    """One node of the cluster, as far as a claim can be wrong about it."""

    name: str
    labels: Mapping[str, str]
    allocatable: Mapping[str, str]
    """Resource → quantity that the node leaves to pods, whether or not pods have it already."""
    taints: tuple[Taint, ...] = ()
    ready: bool = True


class _Case(NamedTuple):
    claim: NodePoolClaim
    wanted: ClaimNodes
    nodes: tuple[ExistingNode, ...]
    seen: Seen


def sync_existing(
    claim: NodePoolClaim, nodes: tuple[ExistingNode, ...], seen: Seen, settings: ClaimSettings, now: datetime
) -> ClaimOutcome:
    """The next action on the claim, which never concerns a node, and its status. `now` is in UTC.

    `nodes` are those with devices. `seen` tells who uses the claim.
    """
    deleting = claim.metadata.deletion_timestamp is not None
    if deleting:
        held = CLAIM_FINALIZER in claim.metadata.finalizers
        return ClaimOutcome(action=RemoveFinalizer() if held else None, status=None, requeue_after_s=None)
    case = _Case(claim, claim.spec.nodes or ClaimNodes(), nodes, seen)
    decision = next(found for policy in _POLICIES if (found := policy(case)) is not None)
    counted = replace(seen, nodes=sum(1 for node in _matching(case) if not _misfit(case, node)))
    status = claim_status.build_status(claim, counted, decision, now=now)
    return ClaimOutcome(action=decision.action, status=status, requeue_after_s=settings.resync_s)


def _release(case: _Case) -> Decision | None:
    if case.seen.users or case.seen.held_by:
        return None
    words = "No model uses the claim any more; it is being deleted, and the nodes stay as they are."
    return Decision(ClaimState.RELEASING, "Releasing", words, action=DeleteClaim())


def _refuse_impossible(case: _Case) -> Decision | None:
    spec = case.claim.spec
    if spec.nodes is None:
        words = "spec.nodes says which nodes may be used; write it with provisioner: Existing."
    elif spec.slice is not None or spec.shape.hosts:
        words = "A slice needs a node pool of its own; write provisioner: ContainerAPI."
    elif spec.image_cache:
        words = "spec.imageCache is for nodes that are made, and those of Existing are there; leave it out."
    elif spec.alternatives:
        words = "spec.alternatives are ways to buy nodes, and those of Existing are there; leave them out."
    else:
        return None
    return Decision(ClaimState.REFUSED, "InvalidClaim", words)


def _find_none(case: _Case) -> Decision | None:
    """No node has the labels: which one comes closest, and what it lacks."""
    if _matching(case):
        return None
    asked = write_labels(case.wanted.selector) or "accelerators"
    others = f" in {', '.join(case.claim.spec.zones)}" if case.claim.spec.zones else ""
    words = f"No node{others} has {asked}, and isn't of a pool that the operator made. {_advise(case)}".strip()
    return Decision(ClaimState.FAILED, "NoNodesMatch", words)


def _advise(case: _Case) -> str:
    grows = "A pool that may grow from 0 nodes brings some for pending pods."
    lacks = [(find_missing(node.labels, case.wanted.selector), node.name) for node in case.nodes]
    near = [(missing, name) for missing, name in lacks if missing and not missing.keys() & set(HARDWARE_LABELS)]
    if not near:
        return grows
    missing, name = min(near, key=lambda item: (len(item[0]), item[1]))
    labels = " ".join(f"{key}={value}" for key, value in sorted(missing.items()))
    return f"Node {name} lacks only that: `kubectl label node {name} {labels}` if it may be used. {grows}"


def _find_misfits(case: _Case) -> Decision | None:
    """Nodes have the labels, and on none of them a pod could run."""
    misfits = [(node.name, _misfit(case, node)) for node in _matching(case)]
    if not all(text for _, text in misfits):
        return None
    told = "; ".join(f"{name} {text}" for name, text in misfits[:_MOST_TOLD])
    more = f"; and {len(misfits) - _MOST_TOLD} others" if len(misfits) > _MOST_TOLD else ""
    words = f"None of the {len(misfits)} nodes that match fits a pod: {told}{more}."
    return Decision(ClaimState.FAILED, "NodesDontFit", words)


def _tell_fit(case: _Case) -> Decision:
    fitting = [node.name for node in _matching(case) if not _misfit(case, node)]
    names = ", ".join(fitting[:_MOST_TOLD])
    more = f" and {len(fitting) - _MOST_TOLD} others" if len(fitting) > _MOST_TOLD else ""
    words = f"Pods fit on {names}{more}. The nodes were there before and stay; what other pods take isn't looked at."
    return Decision(ClaimState.READY, "NodesFit", words, ready=True)


_POLICIES: Final[tuple[Callable[[_Case], Decision | None], ...]] = (
    _release,
    _refuse_impossible,
    _find_none,
    _find_misfits,
    _tell_fit,
)


def _matching(case: _Case) -> list[ExistingNode]:
    """The nodes on which the scheduler may put the pods by their labels, by name."""
    spec, spot = case.claim.spec, case.claim.spec.consumption is Consumption.SPOT
    return sorted(
        (
            node
            for node in case.nodes
            if not find_missing(node.labels, case.wanted.selector)
            and SHAPE_LABEL not in node.labels
            and (spot or SPOT_LABEL not in node.labels)
            and (not spec.zones or node.labels.get(ZONE_LABEL) in spec.zones)
        ),
        key=lambda node: node.name,
    )


def _misfit(case: _Case, node: ExistingNode) -> str:
    """Why no pod could run there, even if the node were empty; empty when one could."""
    if not node.ready:
        return "isn't ready"
    taint = find_untolerated(node.taints, case.wanted.tolerations, _device_of(case.wanted))
    if taint:
        return f"has the taint {taint}, which spec.pod.tolerations doesn't name"
    for resource, amount in sorted(case.wanted.requests.items(), key=lambda item: ("/" not in item[0], item[0])):
        has = node.allocatable.get(resource, "0")
        if quantity_amount(has) < quantity_amount(amount):
            return f"leaves {resource} {has} to pods, and one asks for {amount}"
    return ""


def _device_of(wanted: ClaimNodes) -> str:
    """The resource of the accelerators, whose taint every pod with them tolerates."""
    return next((resource for resource in sorted(wanted.requests) if "/" in resource), "")
