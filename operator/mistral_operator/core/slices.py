"""Which slices of a model are needed: found each time by the nodes that its pods are on, and by what it has."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from mistral_operator.catalogue.types import Catalogue
from mistral_operator.core.types import Observed
from mistral_operator.manifests.revision import KIND as REVISION_KIND
from mistral_operator.manifests.revision import Revision, claims_of_revision
from mistral_operator.manifests.slices import choose_slices, read_slice_name
from mistral_operator.planning.estimate import price_machine
from mistral_operator.planning.types import Consumption, Settings
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


def price_unnamed(
    claims: Iterable[Mapping[str, Any]], children: Iterable[Mapping[str, Any]], catalogue: Catalogue, settings: Settings
) -> Decimal:
    """US dollars an hour of the slices that none of the model's revisions among its children names any more.

    A revision goes with its pods, and its slices cost until their claims are gone. What has no known price isn't
    counted.
    """
    named = {read_slice_name(name)[0] for child in children if child["kind"] == REVISION_KIND
             for name in claims_of_revision(child)}  # fmt: skip
    slices = (claim["spec"] for claim in claims if claim["spec"].get("slice"))
    unnamed = (spec for spec in slices if spec["slice"]["group"] not in named)
    return sum((_price_slice(spec, catalogue, settings) for spec in unnamed), Decimal(0))


def _price_slice(spec: Mapping[str, Any], catalogue: Catalogue, settings: Settings) -> Decimal:
    found = catalogue.machine(spec["shape"].get("machineType", ""))
    if found is None:
        return Decimal(0)
    price, _ = price_machine(*found, Consumption(spec["consumption"]), "", settings)
    return (price or Decimal(0)) * int(spec["shape"].get("hosts", 1))


def price_slices(claims: Iterable[Mapping[str, Any]], revisions: Iterable[Revision]) -> tuple[Decimal | None, ...]:
    """US dollars an hour of each slice that stands, at the price of the newest revision that it is for."""
    prices = {each.claim_name: each.plan.chosen.hourly_cost for each in revisions if each.spans_hosts}
    groups = [(claim["spec"].get("slice") or {}).get("group") for claim in claims if is_true(claim, "Ready")]
    return tuple(prices[group] for group in groups if group in prices)
