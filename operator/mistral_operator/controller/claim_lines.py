"""Which claims wait for the same reservation or quota, read from what the store has of them and their models."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from mistral_operator.api.claim import NodePoolClaim
from mistral_operator.capacity.arbitration import Contender, Place
from mistral_operator.capacity.claim_line import Rival, find_claim_place, list_needs, read_rival
from mistral_operator.cluster.kinds import CLAIM, MODEL
from mistral_operator.cluster.store import Key, Store
from mistral_operator.controller.observation import NEED, RANK

_MOST_WOKEN: Final = 4
"""So many are tried anew when something has been given back."""


def find_place_of(store: Store, claim: NodePoolClaim, now: datetime) -> Place | None:
    """Where the claim stands in line; None when it is its turn, or when it needs nothing that others may lack."""
    who = _find_user(store, claim)
    return find_claim_place(claim, who, _list_rivals(store, claim), now) if who else None


def list_next(store: Store, given_back: NodePoolClaim) -> list[str]:
    """The first claims of those that may use what a claim has given back."""
    rivals = sorted(_list_rivals(store, given_back), key=lambda each: each.who.rank)
    return [each.claim for each in rivals[:_MOST_WOKEN]]


def _list_rivals(store: Store, claim: NodePoolClaim) -> Iterable[Rival]:
    metas = {meta.key: meta for need in list_needs(claim) for meta in store[CLAIM].find_metas(NEED, need)}
    for key in sorted(metas):
        body = store[CLAIM].get(key) if key.name != claim.metadata.name else None
        other = NodePoolClaim.model_validate(body) if body else None
        who = _find_user(store, other) if other else None
        rival = read_rival(other, who) if other and who else None
        if rival:
            yield rival


def _find_user(store: Store, claim: NodePoolClaim) -> Contender | None:
    """The model that a slice is for; None for other pools, and when it has gone."""
    meta = store[MODEL].meta(Key(claim.spec.tenant, claim.spec.model or ""))
    if claim.spec.slice is None or meta is None or meta.deleting:
        return None
    priority, created = meta.indexed[RANK]
    return Contender(meta.key.namespace, meta.key.name, int(priority), created)
