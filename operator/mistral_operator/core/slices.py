"""Which slices of a model are needed: found each time by the nodes that its pods are on, and by what it has."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from mistral_operator.core.types import Observed
from mistral_operator.manifests.revision import Revision
from mistral_operator.manifests.slices import choose_slices, read_slice_name
from mistral_operator.status.findings import Finding, is_true, unmet
from mistral_operator.status.pods import PodView

Occupied = Mapping[str, Sequence[int]]
"""Group of slices → the numbers of those on which pods are."""


def find_occupied(observed: Observed, revisions: Iterable[Revision]) -> Occupied:
    """The slices of these revisions on which pods of the model are, whatever becomes of them.

    A slice is known by its node's label, whether its claim is among those that a revision names or not: a group may
    come back, after its hosts were away, on one that was thought to be free.
    """
    groups = {revision.claim_name: set[int]() for revision in revisions if revision.spans_hosts}
    for pod in observed.pods:
        claim = observed.nodes.get(pod.get("spec", {}).get("nodeName", ""), "")
        group, number = read_slice_name(claim)
        if number is not None and group in groups:
            groups[group].add(number)
    return {group: sorted(used) for group, used in groups.items()}


def number_slices(revision: Revision, occupied: Occupied, held: Iterable[int], replicas: int) -> Revision:
    """Say which slices the plan needs for so many replicas; a plan without slices is left as it is."""
    if not revision.spans_hosts:
        return revision
    return replace(revision, slices=choose_slices(occupied.get(revision.claim_name, ()), held, replicas))


def find_held(revision: Revision, revisions: Iterable[Revision]) -> set[int]:
    """The slices that the model has already of those that this plan can use, by all its revisions."""
    return {number for each in revisions if each.claim_name == revision.claim_name for number in each.slices}


def number_former(
    revisions: Iterable[Revision], occupied: Occupied, leaders: Iterable[PodView]
) -> tuple[Revision, ...]:
    """Revisions that go away need a slice for each replica that they still have, whatever their annotations say."""
    replicas = Counter(pod.revision for pod in leaders)
    return tuple(number_slices(each, occupied, each.slices, replicas[each.hash]) for each in revisions)


def explain_missing_controller(revision: Revision | None, *, served: bool) -> Finding | None:
    """What to do when the controller of a pinned plan's groups was taken out of the cluster, and the groups with it."""
    if revision is None or served or not revision.spans_hosts:
        return None
    hosts = revision.plan.chosen.hosts
    return unmet(
        "NeedsLeaderWorkerSet",
        f"A slice of {hosts} machines needs the LeaderWorkerSet controller, which the cluster no longer serves; install"
        " it again (lws.sigs.k8s.io), or choose a machine that holds the model by itself in spec.capacity.options.",
    )


def price_slices(claims: Iterable[Mapping[str, Any]], revisions: Iterable[Revision]) -> tuple[Decimal | None, ...]:
    """US dollars an hour of each slice that stands, at the price of the newest revision that it is for."""
    prices = {each.claim_name: each.plan.chosen.hourly_cost for each in revisions if each.spans_hosts}
    groups = [(claim["spec"].get("slice") or {}).get("group") for claim in claims if is_true(claim, "Ready")]
    return tuple(prices[group] for group in groups if group in prices)
