"""Which slices of a model are in use: found each time by the nodes that its pods are on."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from mistral_operator.core.types import Observed
from mistral_operator.manifests.revision import Revision
from mistral_operator.status.timeline import is_claim_ready


def find_occupied(observed: Observed) -> Mapping[str, Sequence[int]]:
    """Group of slices → the numbers of those on which pods of the model are, whatever becomes of them."""
    numbers: dict[str, set[int]] = defaultdict(set)
    named = {claim["metadata"]["name"]: claim["spec"].get("slice") for claim in observed.claims}
    for pod in observed.pods:
        claim = observed.nodes.get(pod.get("spec", {}).get("nodeName", ""), "")
        found = named.get(claim)
        if found:
            numbers[found["group"]].add(int(found["number"]))
    return {group: sorted(used) for group, used in numbers.items()}


def keep_occupied(revision: Revision, occupied: Mapping[str, Sequence[int]]) -> Revision:
    """A revision that goes away needs only what its pods are on, whatever its annotation says."""
    return replace(revision, slices=tuple(occupied.get(revision.claim_name, ()))) if revision.spans_hosts else revision


def price_slices(claims: Iterable[Mapping[str, Any]], revisions: Iterable[Revision]) -> tuple[Decimal | None, ...]:
    """US dollars an hour of each slice that stands, at the price of the newest revision that it is for."""
    prices = {each.claim_name: each.plan.chosen.hourly_cost for each in revisions if each.spans_hosts}
    groups = [(claim["spec"].get("slice") or {}).get("group") for claim in claims if is_claim_ready(claim)]
    return tuple(prices[group] for group in groups if group in prices)
