"""Which claims wait for the same reservation or quota, read from what the store has of them and their models."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from mistral_operator.api.claim import NodePoolClaim
from mistral_operator.capacity.arbitration import Contender, Place
from mistral_operator.capacity.claims.line import Rival, find_claim_place, list_needs, read_rival
from mistral_operator.cluster.kinds import CLAIM, MODEL
from mistral_operator.cluster.store import Key, Store
from mistral_operator.controller.observation import NEED, RANK

_MOST_WOKEN: Final = 4
"""So many are tried anew when something has been given back."""


def find_place_of(store: Store, claim: NodePoolClaim, now: datetime) -> Place | None:
    """Where the claim stands in line; None when it is its turn, or when it needs nothing that others may lack."""
    spec = claim.spec
    who = _find_user(store, spec.tenant, spec.model) if spec.slice else None
    return find_claim_place(claim, who, _list_rivals(store, claim), now) if who else None


def list_next(store: Store, given_back: NodePoolClaim) -> list[str]:
    """The first claims of those that may use what a claim has given back."""
    rivals = sorted(_list_rivals(store, given_back), key=lambda each: each.who.rank)
    return [each.claim for each in rivals[:_MOST_WOKEN]]


def _list_rivals(store: Store, claim: NodePoolClaim) -> Iterable[Rival]:
    """Read from the bodies as they are: each of many claims in a line looks at all the others."""
    needs = list_needs(claim)
    keys = {meta.key for need in needs for meta in store[CLAIM].find_metas(NEED, need) if not meta.deleting}
    for key in sorted(keys):
        body = store[CLAIM].get(key) if key.name != claim.metadata.name else None
        rival = _read_rival(store, key.name, body) if body else None
        if rival:
            yield rival


def _read_rival(store: Store, name: str, body: Mapping[str, Any]) -> Rival | None:
    spec = body["spec"]
    who = _find_user(store, spec["tenant"], spec.get("model"))
    return read_rival(name, body.get("status") or {}, who) if who else None


def _find_user(store: Store, tenant: str, model: str | None) -> Contender | None:
    """The model that a slice is for; None when it has gone."""
    meta = store[MODEL].meta(Key(tenant, model or ""))
    if meta is None or meta.deleting:
        return None
    priority, created = meta.indexed[RANK]
    return Contender(meta.key.namespace, meta.key.name, int(priority), created)
