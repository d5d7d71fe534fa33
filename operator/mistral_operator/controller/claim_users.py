"""Who uses a claim: derived from revisions and their models each time, stored nowhere.

A claim's users are the models of its tenant that live and own a ControllerRevision with the claim's label; several
revisions of one model count once. The same label in another namespace means nothing: whoever may make a
ControllerRevision there could otherwise raise the bounds of somebody else's pool, or keep it for ever.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from mistral_operator.api.names import MODEL_LABEL
from mistral_operator.capacity.claim_types import ClaimUser
from mistral_operator.cluster.apply import controller_of
from mistral_operator.cluster.kinds import JOB, MODEL, NODE, REVISION
from mistral_operator.cluster.store import Key, Store
from mistral_operator.controller.observation import CLAIM_NAME, MODEL_NAME, OWNER
from mistral_operator.status.findings import is_true

Json = Mapping[str, Any]
_Owner = tuple[Key, str]
"""A model's key, and the uid that the revision names: a later model of that name has another one."""


class ClaimUsers:
    """Answers from the store. Remembers what models need, because a claim may have a thousand of them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._nodes: dict[Key, tuple[tuple[int, bool], int]] = {}
        """Model → version of the object and whether it converts, nodes that it needs."""

    def known(self, claim: str, tenant: str) -> tuple[ClaimUser, ...]:
        """The claim's users by what the store knows, in the order of their names."""
        metas = self._store[REVISION].find_metas(CLAIM_NAME, claim)
        own = [meta for meta in metas if meta.key.namespace == tenant and meta.first(OWNER)]
        names = [(meta.first(MODEL_NAME).partition("/")[2], meta.first(OWNER)) for meta in own]
        return self._living({(Key(tenant, name), uid) for name, uid in names if name})

    def divide(self, revisions: Iterable[Json]) -> tuple[tuple[ClaimUser, ...], tuple[str, ...]]:
        """The users by revisions that were just listed in the tenant's namespace, and those revisions
        (`namespace/name`) that have no living model.
        """
        owners: set[_Owner] = set()
        orphans = []
        for revision in revisions:
            metadata = revision["metadata"]
            model = (metadata.get("labels") or {}).get(MODEL_LABEL, "")
            owner = (Key(metadata["namespace"], model), str(controller_of(revision).get("uid", "")))
            if self._living({owner}):
                owners.add(owner)
            else:
                orphans.append(f"{metadata['namespace']}/{metadata['name']}")
        return self._living(owners), tuple(sorted(orphans))

    def _living(self, owners: Iterable[_Owner]) -> tuple[ClaimUser, ...]:
        users = []
        for key, uid in sorted(owners):
            model = self._store[MODEL].meta(key)
            if model is not None and model.uid == uid and not model.deleting:
                nodes = self._nodes_of(key, model.version, converting=self._is_converting(key, uid))
                users.append(ClaimUser(namespace=key.namespace, name=key.name, nodes=nodes))
            elif model is None:
                self._nodes.pop(key, None)
        return tuple(users)

    def _is_converting(self, key: Key, uid: str) -> bool:
        """Whether a Job of the model goes on: its pod takes a node beside those of replicas that are kept meanwhile."""
        metas = self._store[JOB].find_metas(OWNER, uid)
        jobs = (self._store[JOB].get(meta.key) or {} for meta in metas if meta.key.namespace == key.namespace)
        return any(not _has_ended(job) for job in jobs)

    def _nodes_of(self, key: Key, version: int, *, converting: bool) -> int:
        seen, known = (version, converting), self._nodes.get(key)
        if known is None or known[0] != seen:
            body = self._store[MODEL].get(key) or {}
            known = self._nodes[key] = (seen, most_nodes(body.get("spec") or {}, converting=converting))
        return known[1]


def _has_ended(job: Json) -> bool:
    return is_true(job, "Complete") or is_true(job, "Failed")


def most_nodes(spec: Json, *, converting: bool) -> int:
    """One node for each replica, as many as the autoscaler may ask for, and one more while a new revision rolls out or
    its checkpoint is converted.
    """
    scaling, rollout = spec.get("scaling") or {}, spec.get("rollout") or {}
    surge = 0 if rollout.get("strategy") == "Recreate" and not converting else 1
    return max(int(spec.get("replicas", 1)), int(scaling.get("maxReplicas") or 0)) + surge


def count_nodes(store: Store, claim: str) -> int:
    """Nodes of the claim's pool that are in the cluster."""
    return len(store[NODE].find_metas(CLAIM_NAME, claim))


def labels_of_nodes(store: Store, claim: str) -> tuple[Mapping[str, str], ...]:
    """The labels of each node of the claim's pool that is in the cluster."""
    nodes = store[NODE].find(CLAIM_NAME, claim)
    return tuple(node["metadata"].get("labels") or {} for node in nodes)
