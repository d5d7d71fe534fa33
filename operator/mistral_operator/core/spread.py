"""A spread model: each of its parts is decided like a model, and what comes of it is put together. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from mistral_operator.api.capacity import Capacity
from mistral_operator.api.model import MistralModel
from mistral_operator.api.part import ModelPart
from mistral_operator.api.status import ModelStatus
from mistral_operator.capacity.arbitration import Account, Budget
from mistral_operator.core.events import note_changes
from mistral_operator.core.parts import (
    Share,
    Stock,
    find_shares,
    list_floors,
    note_decision,
    read_part,
    take_stock,
    view_part,
)
from mistral_operator.core.serving_class import rule
from mistral_operator.core.types import Manifest, ObjectRef, Observed, Outcome
from mistral_operator.manifests.identity import is_owned_by, name_workload
from mistral_operator.manifests.revision import claims_of_revision
from mistral_operator.status.build import read_status
from mistral_operator.status.findings import is_true
from mistral_operator.status.parts import PartView, merge_statuses, read_part_status

_Object = Mapping[str, Any]


def is_spread(model: MistralModel, observed: Observed) -> bool:
    """Whether the spec divides the replicas, or something of a later part is still there."""
    options = model.spec.capacity.options if model.spec.capacity else ()
    if list_floors(options):
        return True
    return any(read_part(child) > 1 and is_owned_by(child, model.metadata.uid) for child in observed.children)


def sync_parts(
    model: MistralModel, observed: Observed, now: datetime, decide: Callable[[ModelPart, Observed], Outcome]
) -> Outcome:
    """Decide each part by `decide`, the first one first, with what is seen by it: the others have their shares of the
    class's budget.
    """
    before, stock = read_status(model), take_stock(model, observed.children, observed.pods)
    shares, limits = find_shares(model, stock), rule(model, observed.serving_classes).model.spec.capacity or Capacity()
    told = {share.part: read_part_status(before, share.part) for share in shares}
    parts: list[ModelPart] = []
    outcomes: list[Outcome] = []
    for share in shares:
        known = told[share.part].model_dump(by_alias=True, exclude_defaults=True, mode="json")
        parts.append(view_part(model, limits, share, shares, stock, known))
        seen = _leave_pools(_leave_budget(observed, share, stock, outcomes), share)
        outcomes.append(decide(parts[-1], seen))
        # What a part is to cost that was planned just now counts for those after it, and so does what it has more.
        known_stock = stock.get(share.part, Stock())
        stock[share.part] = note_decision(known_stock, parts[-1], outcomes[-1], observed.pods)
    views = [
        PartView(part.part, name_workload(part), ModelStatus.model_validate(outcome.status), told[part.part])
        for part, outcome in zip(parts, outcomes, strict=True)
    ]
    status = merge_statuses(model, views, before, now)
    manifests = _merge(manifest for outcome in outcomes for manifest in outcome.manifests)
    gone = tuple(_find_leftovers(model, observed, shares)) if is_accepted(outcomes[0]) else ()
    looks = [outcome.requeue_after_s for outcome in outcomes if outcome.requeue_after_s is not None]
    return Outcome(
        manifests=manifests,
        claims=tuple(sorted(_merge_claims(outcomes), key=lambda claim: str(claim["metadata"]["name"]))),
        prune=(*_find_unwanted(outcomes, manifests), *gone),
        status=status.model_dump(by_alias=True, exclude_defaults=True, mode="json"),
        events=note_changes(before, status),
        account=_add_accounts(outcomes),
        requeue_after_s=min(looks, default=None),
        marks=tuple(mark for outcome in outcomes for mark in outcome.marks),
    )


def _leave_budget(observed: Observed, share: Share, stock: Mapping[int, Stock], decided: Sequence[Outcome]) -> Observed:
    """What the parts before this one got, and what stands of those after it, isn't this one's."""
    budget = observed.budget or Budget()
    later = sum((there.cost_of(there.standing) for part, there in stock.items() if part > share.part), Decimal(0))
    others = budget.others_hold + later + sum((each.account.held for each in decided), Decimal(0))
    return replace(observed, budget=replace(budget, others_hold=others, held=None))


def _leave_pools(observed: Observed, share: Share) -> Observed:
    """However many of its parts need a claim, the model is one user of it: the first of them pays."""
    earlier = (child for child in observed.children if read_part(child) < share.part)
    paid = {claim for child in earlier for claim in claims_of_revision(child)}
    return replace(observed, pools={claim: use for claim, use in observed.pools.items() if claim not in paid})


def _add_accounts(outcomes: Sequence[Outcome]) -> Account:
    accounts = [outcome.account for outcome in outcomes]
    held = sum((each.held for each in accounts), Decimal(0))
    return Account(accounts[0].who, held, sum((each.wanted for each in accounts), Decimal(0)))


def is_accepted(outcome: Outcome) -> bool:
    """Whether the spec was accepted for this part."""
    return is_true({"status": outcome.status}, "Accepted")


def _merge(manifests: Iterable[Manifest]) -> tuple[Manifest, ...]:
    """Each object once: the Service, the budget and the autoscaler are of all parts, and the first part's is taken."""
    merged: dict[tuple[str, str], Manifest] = {}
    for manifest in manifests:
        merged.setdefault((manifest["kind"], manifest["metadata"]["name"]), manifest)
    return tuple(merged.values())


def _merge_claims(outcomes: Iterable[Outcome]) -> Iterable[Manifest]:
    return {claim["metadata"]["name"]: claim for outcome in outcomes for claim in outcome.claims}.values()


def _find_unwanted(outcomes: Iterable[Outcome], manifests: Sequence[Manifest]) -> Iterable[ObjectRef]:
    """What one part doesn't need, another one may."""
    kept = {(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests}
    refs = {(ref.kind, ref.name): ref for outcome in outcomes for ref in outcome.prune}
    return (ref for key, ref in refs.items() if key not in kept)


def _find_leftovers(model: MistralModel, observed: Observed, shares: Sequence[Share]) -> Iterable[ObjectRef]:
    """Objects of parts of which nothing runs any more, and nothing is to run."""
    there = {share.part for share in shares}
    for child in observed.children:
        metadata = child["metadata"]
        own = is_owned_by(child, model.metadata.uid) and metadata.get("namespace") == model.metadata.namespace
        if own and read_part(child) not in there and "deletionTimestamp" not in metadata:
            yield ObjectRef(child["apiVersion"], child["kind"], metadata["name"], metadata.get("uid", ""))
