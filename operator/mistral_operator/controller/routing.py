"""Which model or claim has to be looked at again when an object changes."""

import random
from collections.abc import Sequence
from typing import Final

from mistral_operator.cluster.kinds import CHILDREN, CLAIM, EVENT, JOB, MODEL, NODE, POD, REVISION, SERVING_CLASS
from mistral_operator.cluster.store import Key, Meta, Store
from mistral_operator.controller.observation import (
    CLAIM_NAME,
    CLASS_NAME,
    INVOLVED,
    IS_DEFAULT,
    MODEL_NAME,
    NODE_NAME,
    OWNER,
    UID,
    changed,
    claims_needed_by,
)
from mistral_operator.controller.queue import KeyedQueue
from mistral_operator.planning.types import Provisioner

_COALESCE_S: Final = 0.1
"""Workloads change in bursts: one look after a tenth of a second sees them all."""
_CLAIM_COALESCE_S: Final = 2.0
"""So do a claim's users and nodes, and each look may change its pool, which takes the cloud longer than this."""
_PER_SECOND: Final = 100
"""At most so many models a second are looked at again on account of one change that concerns them all."""


class Router:
    """Listens to the store and adds keys to the queues: models by (namespace, name), claims by name."""

    def __init__(self, store: Store, models: KeyedQueue[Key], claims: KeyedQueue[str]) -> None:
        self._store = store
        self._models = models
        self._claims = claims
        self._rng = random.Random()  # noqa: S311
        store[MODEL].listen(self._on_model)
        store[CLAIM].listen(self._on_claim)
        store[SERVING_CLASS].listen(self._on_class)
        store[EVENT].listen(self._on_event)
        for kind in (*CHILDREN, POD):
            store[kind].listen(self._on_child)
        store[JOB].listen(self._on_job)
        store[REVISION].listen(self._add_claim_of)
        store[NODE].listen(self._add_claim_of)
        store[NODE].listen(self._on_node)

    def look_at_everything(self) -> None:
        """Has each model and claim looked at once more, spread over time."""
        self._spread(self._store[MODEL].keys())
        for _, name in self._store[CLAIM].keys():  # noqa: SIM118 - not a dict
            self._claims.add(name)

    def look_at_claims_on_nodes(self) -> None:
        """Has each claim on nodes that were there before looked at once more."""
        for _, name in self._store[CLAIM].keys():  # noqa: SIM118 - not a dict
            body = self._store[CLAIM].get(Key("", name))
            if body and body["spec"].get("provisioner") == Provisioner.EXISTING:
                self._claims.add(name)

    def _on_model(self, old: Meta | None, new: Meta | None) -> None:
        meta = new or old
        if meta is None or not changed(old, new):
            return
        if new is not None and new.own and old is not None and old.generation == new.generation:
            return  # Our own status.
        self._models.add(meta.key)
        for replaced in (old, new):
            if replaced is not None:
                self._add_claims(replaced.uid)

    def _on_child(self, old: Meta | None, new: Meta | None) -> None:
        if not changed(old, new) or (new is not None and new.own and old is None):
            return  # What we have just created ourselves tells us nothing.
        for meta in (old, new):
            if meta is not None:
                self._add_model_of(meta)

    def _on_job(self, old: Meta | None, new: Meta | None) -> None:
        """A conversion takes a node more, as long as it goes on."""
        if changed(old, new):
            for uid in {meta.first(OWNER) for meta in (old, new) if meta is not None}:
                self._add_claims(uid)

    def _add_claim_of(self, old: Meta | None, new: Meta | None) -> None:
        if changed(old, new):
            for name in {name for meta in (old, new) if meta is not None for name in meta.indexed.get(CLAIM_NAME, ())}:
                self._claims.add_after(name, _CLAIM_COALESCE_S)

    def _on_node(self, old: Meta | None, new: Meta | None) -> None:
        """A label or a taint may tell its replicas that it is going to end."""
        meta = new or old
        if meta is not None and changed(old, new):
            for pod in self._store[POD].find_metas(NODE_NAME, meta.key.name):
                self._add_model_of(pod)

    def _on_claim(self, old: Meta | None, new: Meta | None) -> None:
        meta = new or old
        if meta is None:
            return
        if old is None or new is None:
            self._claims.add(meta.key.name)
        elif not new.own:
            self._claims.add_after(meta.key.name, _COALESCE_S)
        # A model needn't be told of the claim that it has just made.
        if changed(old, new) and not (old is None and meta.own):
            self._spread(self._models_using(meta))

    def _on_class(self, old: Meta | None, new: Meta | None) -> None:
        """Models that name it, and those that name none where it is, or was, a default."""
        if changed(old, new):
            known = [meta for meta in (old, new) if meta is not None]
            names = [known[0].key.name, *([""] if any(meta.first(IS_DEFAULT) == "true" for meta in known) else [])]
            users = [meta.key for name in names for meta in self._store[MODEL].find_metas(CLASS_NAME, name)]
            self._spread(users)

    def _on_event(self, _old: Meta | None, new: Meta | None) -> None:
        if new is None:
            return  # Events are forgotten after an hour; what they said has long been read.
        for pod in self._store[POD].find_metas(UID, new.first(INVOLVED)):
            self._add_model_of(pod)

    def _add_model_of(self, meta: Meta) -> None:
        namespace, _, name = meta.first(MODEL_NAME).partition("/")
        if name:
            self._models.add_after(Key(namespace, name), _COALESCE_S)

    def _add_claims(self, model_uid: str) -> None:
        for name in claims_needed_by(self._store, model_uid):
            self._claims.add_after(name, _CLAIM_COALESCE_S)

    def _models_using(self, claim: Meta) -> list[Key]:
        """By their revisions, and the one that pays for a slice that no revision needs any more."""
        revisions = self._store[REVISION].find_metas(CLAIM_NAME, claim.key.name)
        names = {claim.first(MODEL_NAME), *(meta.first(MODEL_NAME) for meta in revisions if meta.first(OWNER))}
        return [Key(*name.split("/", 1)) for name in sorted(names) if name]

    def _spread(self, keys: Sequence[Key]) -> None:
        longest_s = (len(keys) - 1) / _PER_SECOND
        for key in keys:
            self._models.add_after(key, _COALESCE_S + self._rng.uniform(0.0, longest_s))
