"""Who uses a claim: derived from revisions and their models each time, stored nowhere.

A claim's users are the models of its tenant that live and own a ControllerRevision with the claim's label; several
revisions of one model count once. The same label in another namespace means nothing: whoever may make a
ControllerRevision there could otherwise raise the bounds of somebody else's pool, or keep it for ever.

A model needs as many nodes as its spec asks for, or fewer where its revisions say that its spend limits pay for fewer.
What a revision says can only lower that, since somebody else may have written it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from mistral_operator.api.names import MODEL_LABEL, PART_LABEL
from mistral_operator.capacity.claims.types import ClaimUser
from mistral_operator.cluster.apply import controller_of
from mistral_operator.cluster.kinds import JOB, MODEL, NODE, REVISION
from mistral_operator.cluster.store import Key, Store
from mistral_operator.controller.observation import CLAIM_NAME, MODEL_NAME, MOST_REPLICAS, OWNER, PART
from mistral_operator.manifests.revision import read_most_replicas
from mistral_operator.status.findings import is_true

Json = Mapping[str, Any]
_Owner = tuple[Key, str]
"""A model's key, and the uid that the revision names: a later model of that name has another one."""
_Limit = tuple[str, int | None]
"""A revision's part of a spread model, and so many replicas that the spend limits pay for; None without a limit."""


class ClaimUsers:
    """Answers from the store. Remembers what models need, because a claim may have a thousand of them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._nodes: dict[Key, tuple[tuple[int, bool], int]] = {}
        """Model → version of the object and whether it converts, nodes that it needs."""

    def known(self, claim: str, tenant: str) -> tuple[ClaimUser, ...]:
        """The claim's users by what the store knows, in the order of their names."""
        metas = self._store[REVISION].find_metas(CLAIM_NAME, claim)
        owners: defaultdict[_Owner, list[_Limit]] = defaultdict(list)
        for meta in metas:
            name, uid, most = meta.first(MODEL_NAME).partition("/")[2], meta.first(OWNER), meta.first(MOST_REPLICAS)
            if meta.key.namespace == tenant and name and uid:
                owners[Key(tenant, name), uid].append((meta.first(PART), int(most) if most else None))
        return self._living(owners)

    def divide(self, revisions: Iterable[Json]) -> tuple[tuple[ClaimUser, ...], tuple[str, ...]]:
        """The users by revisions that were just listed in the tenant's namespace, and those revisions
        (`namespace/name`) that have no living model.
        """
        owners: defaultdict[_Owner, list[_Limit]] = defaultdict(list)
        orphans = []
        for revision in revisions:
            metadata, uid = revision["metadata"], str(controller_of(revision).get("uid", ""))
            labels = metadata.get("labels") or {}
            owner = (Key(metadata["namespace"], labels.get(MODEL_LABEL, "")), uid)
            limit = (labels.get(PART_LABEL, ""), read_most_replicas(revision))
            if self._living({owner: [limit]}):
                owners[owner].append(limit)
            else:
                orphans.append(f"{metadata['namespace']}/{metadata['name']}")
        return self._living(owners), tuple(sorted(orphans))

    def _living(self, owners: Mapping[_Owner, Iterable[_Limit]]) -> tuple[ClaimUser, ...]:
        users = []
        for (key, uid), limits in sorted(owners.items()):
            model = self._store[MODEL].meta(key)
            if model is not None and model.uid == uid and not model.deleting:
                converting, paid = self._is_converting(key, uid), add_up(limits)
                nodes = self._nodes_of(key, model.version, converting=converting)
                # A conversion is no replica: it takes its node whatever these may cost.
                nodes = nodes if paid is None else min(nodes, paid + converting)
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


def add_up(limits: Iterable[_Limit]) -> int | None:
    """What a model's revisions on one claim may have together; None where one of them says nothing.

    Revisions of one part follow each other in its workload, so the highest limit is that of all; parts stand side by
    side.
    """
    highest: dict[str, int] = {}
    for part, most in limits:
        if most is None:
            return None
        highest[part] = max(most, highest.get(part, 0))
    return sum(highest.values())


def most_nodes(spec: Json, *, converting: bool) -> int:
    """One node for each replica, as many as the autoscaler may ask for, and one more while a new revision rolls out or
    its checkpoint is converted; none for a model that is suspended or scaled to zero.
    """
    scaling, rollout = spec.get("scaling") or {}, spec.get("rollout") or {}
    wanted = 0 if spec.get("suspend") else max(int(spec.get("replicas", 1)), int(scaling.get("maxReplicas") or 0))
    rolls = wanted and rollout.get("strategy") != "Recreate"
    return wanted + (1 if rolls or converting else 0)


def count_nodes(store: Store, claim: str) -> int:
    """Nodes of the claim's pool that are in the cluster."""
    return len(store[NODE].find_metas(CLAIM_NAME, claim))


def labels_of_nodes(store: Store, claim: str) -> tuple[Mapping[str, str], ...]:
    """The labels of each node of the claim's pool that is in the cluster."""
    nodes = store[NODE].find(CLAIM_NAME, claim)
    return tuple(node["metadata"].get("labels") or {} for node in nodes)
