"""Who uses a claim: derived from revisions and their models each time, stored nowhere.

A claim's users are the models that live and own a ControllerRevision with the claim's label; several revisions of one
model count once.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from mistral_operator.api.names import CLAIM_LABEL, SHAPE_LABEL
from mistral_operator.capacity.claim_types import ClaimUser
from mistral_operator.cluster.kinds import CLAIM, MODEL, NODE, REVISION
from mistral_operator.cluster.store import Key, Meta, Store

CLAIM_INDEX: Final = "claim"
"""Of revisions and nodes: the claim that they belong to."""
OWNER_INDEX: Final = "owner"
"""Of revisions: `namespace/name/uid` of the model."""
NODES_INDEX: Final = "nodes"
"""Of models: most nodes that the replicas may need at once; kept there so that no model is parsed for it."""

Body = Mapping[str, Any]


def index_claim(body: Body) -> Iterable[str]:
    """For the shelf of revisions."""
    claim = (body["metadata"].get("labels") or {}).get(CLAIM_LABEL)
    return (claim,) if claim else ()


def index_shape(body: Body) -> Iterable[str]:
    """For the shelf of nodes."""
    claim = (body["metadata"].get("labels") or {}).get(SHAPE_LABEL)
    return (claim,) if claim else ()


def index_owner(body: Body) -> Iterable[str]:
    """For the shelf of revisions. One that its model no longer owns has none."""
    metadata = body["metadata"]
    for owner in metadata.get("ownerReferences") or ():
        if owner.get("controller"):
            return (f"{metadata['namespace']}/{owner['name']}/{owner['uid']}",)
    return ()


def index_nodes(body: Body) -> Iterable[str]:
    """For the shelf of models."""
    return (str(most_nodes(body.get("spec") or {})),)


def most_nodes(spec: Body) -> int:
    """One node for each replica, as many as the autoscaler may ask for, and one more while a new revision rolls out."""
    scaling, rollout = spec.get("scaling") or {}, spec.get("rollout") or {}
    surge = 0 if rollout.get("strategy") == "Recreate" else 1
    return max(int(spec.get("replicas", 1)), int(scaling.get("maxReplicas") or 0)) + surge


def find_users(store: Store, claim: str) -> tuple[ClaimUser, ...]:
    """The claim's users by what the store knows, in the order of their names."""
    owners = {meta.first(OWNER_INDEX) for meta in store[REVISION].find_metas(CLAIM_INDEX, claim)}
    return _living(store, owners)


def divide_revisions(store: Store, revisions: Iterable[Body]) -> tuple[tuple[ClaimUser, ...], tuple[str, ...]]:
    """The users by revisions that were just listed, and the revisions (`namespace/name`) without a living model."""
    owners: set[str] = set()
    orphans = []
    for revision in revisions:
        owner = next(iter(index_owner(revision)), "")
        if _living(store, {owner}):
            owners.add(owner)
        else:
            orphans.append(f"{revision['metadata']['namespace']}/{revision['metadata']['name']}")
    return _living(store, owners), tuple(sorted(orphans))


def _living(store: Store, owners: Iterable[str]) -> tuple[ClaimUser, ...]:
    users = []
    for owner in sorted(filter(None, owners)):
        namespace, name, uid = owner.split("/")
        model = store[MODEL].meta(Key(namespace, name))
        # A model of the same name may be a later one: its revisions are others.
        if model is not None and model.uid == uid and not model.deleting:
            users.append(ClaimUser(namespace=namespace, name=name, nodes=int(model.first(NODES_INDEX) or 1)))
    return tuple(users)


def count_nodes(store: Store, claim: str) -> int:
    """Nodes of the claim's pool that are in the cluster."""
    return len(store[NODE].find_metas(CLAIM_INDEX, claim))


def listen_for_claims(store: Store, enqueue: Callable[[str], None]) -> None:
    """Call `enqueue` with a claim's name whenever something changes that its reconciler looks at.

    Changes of a model count only when they change what it needs of its claims, those of a claim's status not at all.
    """

    def claim_changed(old: Meta | None, new: Meta | None) -> None:
        if old and new and (old.uid, old.deleting, old.generation) == (new.uid, new.deleting, new.generation):
            return
        for meta in {meta.key: meta for meta in (old, new) if meta}.values():
            enqueue(meta.key.name)

    def member_changed(old: Meta | None, new: Meta | None) -> None:
        if old and new and old.indexed == new.indexed:
            return
        for claim in {meta.first(CLAIM_INDEX) for meta in (old, new) if meta} - {""}:
            enqueue(claim)

    def model_changed(old: Meta | None, new: Meta | None) -> None:
        if old and new and (old.uid, old.deleting, old.indexed) == (new.uid, new.deleting, new.indexed):
            return
        for meta in (old, new):
            if meta is None:
                continue
            owner = f"{meta.key.namespace}/{meta.key.name}/{meta.uid}"
            for revision in store[REVISION].find_metas(OWNER_INDEX, owner):
                enqueue(revision.first(CLAIM_INDEX))

    store[CLAIM].listen(claim_changed)
    store[REVISION].listen(member_changed)
    store[MODEL].listen(model_changed)
    store[NODE].listen(member_changed)
