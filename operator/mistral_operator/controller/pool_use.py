"""How each claim's pool is used: counted as nodes, pods, revisions and models come and go, never at a look.

A pool may have a thousand nodes and a thousand users, and each of those is looked at by itself.
"""

from collections.abc import Callable
from typing import Final

from mistral_operator.cluster.kinds import CLAIM, MODEL, NODE, POD, REVISION
from mistral_operator.cluster.store import Key, Meta, Store
from mistral_operator.controller.observation import CLAIM_NAME, MODEL_NAME, OCCUPIED_NODE, OWNER, TENANT
from mistral_operator.core.types import PoolUse

MOST_WOKEN: Final = 16
"""Users of a pool who are told that what its idle nodes cost them has changed; of more, each learns of it when it is
looked at for another reason, which is at the next resync at the latest.
"""
COALESCE_S: Final = 2.0
"""A node comes, gets its devices and then its replica: one look after a while sees them all."""

_Groups = dict[str, set[str]]


class PoolUses:
    """Nodes and users by claim. For the event loop only, and made before anything is put into the store."""

    def __init__(self, store: Store, wake: Callable[[Key, float], None] = lambda _key, _after_s: None) -> None:
        """`wake` is called with a model whose part of what idle nodes cost has changed, and the seconds to wait."""
        self._store = store
        self._wake = wake
        self._nodes: _Groups = {}
        """Claim → the nodes of its pool."""
        self._idle: _Groups = {}
        """Claim → those of them on which no replica and no conversion is."""
        self._users: dict[tuple[str, str], set[Key]] = {}
        """Claim and namespace → the living models there whose revisions need it."""
        store[NODE].listen(self._on_node)
        store[POD].listen(self._on_pod)
        store[REVISION].listen(self._on_revision)
        store[MODEL].listen(self._on_model)

    def find(self, claim: str, user: Key) -> PoolUse | None:
        """What one of its users may know; None for a model that doesn't use it."""
        users = self._users.get((claim, user.namespace), ())
        if user not in users:
            return None
        nodes, idle = len(self._nodes.get(claim, ())), len(self._idle.get(claim, ()))
        return PoolUse(nodes=nodes, occupied=nodes - idle, users=len(users))

    def idle_nodes(self, claim: str) -> frozenset[str]:
        """The nodes of its pool on which no replica and no conversion is."""
        return frozenset(self._idle.get(claim, ()))

    def _on_node(self, old: Meta | None, new: Meta | None) -> None:
        before, after = _first(old, CLAIM_NAME), _first(new, CLAIM_NAME)
        if before == after:
            return
        for meta in _those_of(old, new):
            self._count_node(meta.first(CLAIM_NAME), meta.key.name)

    def _on_pod(self, old: Meta | None, new: Meta | None) -> None:
        before, after = _first(old, OCCUPIED_NODE), _first(new, OCCUPIED_NODE)
        for name in {before, after} if before != after else ():
            node = self._store[NODE].meta(Key("", name))
            if node is not None:
                self._count_node(node.first(CLAIM_NAME), name)

    def _on_revision(self, old: Meta | None, new: Meta | None) -> None:
        if old is not None and new is not None and old.indexed == new.indexed:
            return
        for meta in _those_of(old, new):
            for claim in meta.indexed.get(CLAIM_NAME, ()):
                self._count_user(claim, Key(*meta.first(MODEL_NAME).partition("/")[::2]))

    def _on_model(self, old: Meta | None, new: Meta | None) -> None:
        if old is not None and new is not None and (old.uid, old.deleting) == (new.uid, new.deleting):
            return
        for meta in _those_of(old, new):
            for claim in self._needs_of(meta):
                self._count_user(claim, meta.key)

    def _needs_of(self, model: Meta) -> set[str]:
        """The claims that its revisions name; owners are of the same namespace."""
        metas = self._store[REVISION].find_metas(OWNER, model.uid)
        own = (meta for meta in metas if meta.key.namespace == model.key.namespace)
        return {claim for meta in own for claim in meta.indexed.get(CLAIM_NAME, ())}

    def _count_node(self, claim: str, name: str) -> None:
        idle = len(self._idle.get(claim, ()))
        node = self._store[NODE].meta(Key("", name))
        there = node is not None and node.first(CLAIM_NAME) == claim
        _keep(self._nodes, claim, name, there=there)
        _keep(self._idle, claim, name, there=there and not self._store[POD].find_metas(OCCUPIED_NODE, name))
        if len(self._idle.get(claim, ())) != idle:
            self._tell(claim)

    def _count_user(self, claim: str, key: Key) -> None:
        model, users = self._store[MODEL].meta(key), self._users.setdefault((claim, key.namespace), set())
        count = len(users)
        if model is not None and not model.deleting and claim in self._needs_of(model):
            users.add(key)
        else:
            users.discard(key)
        if not users:
            del self._users[claim, key.namespace]
        if len(users) != count and claim in self._idle:
            self._tell(claim)

    def _tell(self, claim: str) -> None:
        meta = self._store[CLAIM].meta(Key("", claim))
        users = self._users.get((claim, _first(meta, TENANT)), ())
        for key in users if len(users) <= MOST_WOKEN else ():
            self._wake(key, COALESCE_S)


def _those_of(*metas: Meta | None) -> list[Meta]:
    return [meta for meta in metas if meta is not None]


def _first(meta: Meta | None, index: str) -> str:
    return meta.first(index) if meta is not None else ""


def _keep(groups: _Groups, name: str, member: str, *, there: bool) -> None:
    """Have it in its group, or not; a group without any isn't kept."""
    if there:
        groups.setdefault(name, set()).add(member)
    elif name in groups:
        groups[name].discard(member)
        if not groups[name]:
            del groups[name]
