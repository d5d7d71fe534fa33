"""How objects are kept in the store, found again, and handed to `core.sync` as what was observed of one model."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Protocol

from pydantic import ValidationError

from mistral_operator.api.claim import NodePoolClaim
from mistral_operator.api.names import (
    APP_INSTANCE_LABEL,
    CLAIM_LABEL,
    CONVERTER_ROLE,
    MODEL_LABEL,
    PART_LABEL,
    ROLE_LABEL,
    SHAPE_LABEL,
)
from mistral_operator.capacity.claims.line import list_needs
from mistral_operator.cluster.apply import controller_of
from mistral_operator.cluster.kinds import (
    CHILDREN,
    CLAIM,
    DEPLOYMENT,
    EVENT,
    HPA,
    JOB,
    MODEL,
    NODE,
    POD,
    REVISION,
    SERVING_CLASS,
    Kind,
)
from mistral_operator.cluster.store import Key, Meta, Rules, Store
from mistral_operator.core.serving_class import is_default
from mistral_operator.core.types import Observed, PoolUse
from mistral_operator.manifests.revision import claims_of_revision, read_most_replicas
from mistral_operator.planning.types import ClusterProfile
from mistral_operator.status.findings import is_true
from mistral_operator.status.pods import FINISHED

Json = dict[str, Any]

OWNER: Final = "owner"
"""Index: uid of the controlling owner."""
MODEL_NAME: Final = "model"
"""Index: name of the model, from the label; of NodePoolClaims that are slices, the model that they are for."""
CLAIM_NAME: Final = "claim"
"""Index of ControllerRevisions: the claims that their pods need. Of Nodes: the claim whose pool they are in."""
UID: Final = "uid"
"""Index of Pods: namespace and their own uid, `namespace/uid`."""
NODE_NAME: Final = "node"
"""Index of Pods: the node that they are on."""
OCCUPIED_NODE: Final = "occupies"
"""Index of Pods that have not ended: the node that they are on."""
NAME: Final = "name"
"""Index of NodePoolClaims: their own name."""
TENANT: Final = "tenant"
"""Index of NodePoolClaims: the namespace whose models share the pool."""
NEED: Final = "need"
"""Index of NodePoolClaims without their slice: what they may have to wait for."""
RANK: Final = "rank"
"""Index of MistralModels: their priority, and when they were made."""
CLASS_NAME: Final = "class"
"""Index of MistralModels: the serving class that they name, or an empty text."""
PART: Final = "part"
"""Index of ControllerRevisions: the part of a spread model that they are of, where that isn't the first."""
MOST_REPLICAS: Final = "most"
"""Index of ControllerRevisions: as many replicas as spend limits pay for on their claim; none without a limit."""
IS_DEFAULT: Final = "default"
"""Index of MistralServingClasses: `true` for those that are marked as the default."""
INVOLVED: Final = "involved"
"""Index of Events: their own namespace and the uid of the object that they are about, `namespace/uid`. An Event of
another namespace than its pod's was made up.
"""

AUTOSCALER_EVENTS: Final = "involvedObject.kind=Pod,source=cluster-autoscaler"
"""Why the cluster autoscaler adds no node is told nowhere but in its Events on the pending pods."""

EVENTS_PER_POD: Final = 10
"""So many are read of a pod, the latest."""
_MESSAGE_CHARS: Final = 1024
"""Kubernetes' own bound for newer Events; older ones have none."""
_WORD_CHARS: Final = 128
_OF_CONTROLLERS: Final = "deployment.kubernetes.io/"
"""Annotations that Kubernetes' own controllers write on our objects."""


class KnownPools(Protocol):
    """What is needed of `pool_use.PoolUses`."""

    def find(self, claim: str, user: Key) -> PoolUse | None:
        """How a claim's pool is used, for one of its users."""
        ...

    def idle_nodes(self, claim: str) -> Iterable[str]:
        """The nodes of its pool on which nothing is."""
        ...


def observe(store: Store, model: Mapping[str, Any], cluster: ClusterProfile, pools: KnownPools) -> Observed:
    """All that the store knows about a model, nothing being asked of the API server."""
    uid, key = model["metadata"]["uid"], model["metadata"]
    owned = (child for kind in CHILDREN for child in store[kind].find(OWNER, uid))
    # Owners are of the same namespace: whoever names our model as owner in another one has made that up.
    children = tuple(child for child in owned if child["metadata"]["namespace"] == key["namespace"])
    mine = f"{key['namespace']}/{key['name']}"
    pods, needed = tuple(store[POD].find(MODEL_NAME, mine)), claims_needed_by(store, uid)
    found = ((claim, pools.find(claim, Key(key["namespace"], key["name"]))) for claim in needed)
    return Observed(
        cluster=cluster,
        children=children,
        pods=pods,
        pod_events=tuple(_events_on(store, pods)),
        claims=tuple(_claims_of(store, needed, mine)),
        nodes=dict(_nodes_of(store, pods)),
        machines=tuple(_machines_of(store, pods, (node for claim in needed for node in pools.idle_nodes(claim)))),
        pools={claim: use for claim, use in found if use is not None},
        serving_classes=tuple(_read_classes(store)),
    )


def _read_classes(store: Store) -> Iterable[Json]:
    """All of them: a model that names one which isn't there is told which there are."""
    shelf = store[SERVING_CLASS]
    return (body for key in sorted(shelf.keys()) if (body := shelf.get(key)))


def claims_needed_by(store: Store, model_uid: str) -> list[str]:
    """Names of the claims that the model's revisions refer to."""
    metas = store[REVISION].find_metas(OWNER, model_uid)
    return sorted({name for meta in metas for name in meta.indexed.get(CLAIM_NAME, ())})


def _nodes_of(store: Store, pods: Iterable[Mapping[str, Any]]) -> Iterable[tuple[str, str]]:
    """Each pod's node, with the claim whose pool it is in; a node that isn't there any more is left out."""
    for pod in pods:
        node = (pod.get("spec") or {}).get("nodeName", "")
        meta = store[NODE].meta(Key("", node))
        if meta is not None:
            yield node, meta.first(CLAIM_NAME)


def _machines_of(store: Store, pods: Iterable[Mapping[str, Any]], idle: Iterable[str]) -> Iterable[Json]:
    """The nodes of these pods, and the idle ones of the model's pools."""
    named = {str((pod.get("spec") or {}).get("nodeName", "")) for pod in pods}
    return (body for name in sorted({*named, *idle}) if (body := store[NODE].get(Key("", name))))


def _claims_of(store: Store, needed: Iterable[str], mine: str) -> Iterable[Json]:
    """Those that its revisions need, and slices that it needs no more, which cost as long as they are there."""
    slices = (meta.key.name for meta in store[CLAIM].find_metas(MODEL_NAME, mine))
    found = (store[CLAIM].find(NAME, name) for name in sorted({*needed, *slices}))
    return (claim for claims in found for claim in claims)


def _events_on(store: Store, pods: Iterable[Mapping[str, Any]]) -> list[Json]:
    shelf = store[EVENT]
    latest = [meta for pod in pods for meta in _newest(shelf.find_metas(INVOLVED, _uid_key(pod)))[:EVENTS_PER_POD]]
    return sorted((event for meta in latest if (event := shelf.get(meta.key))), key=_event_time)


def _newest(metas: Iterable[Meta]) -> list[Meta]:
    """The latest written first."""
    return sorted(metas, key=lambda meta: meta.version, reverse=True)


def _event_time(event: Mapping[str, Any]) -> str:
    """RFC 3339 in UTC, so that text sorts as time."""
    return str(event.get("lastTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp") or "")


def _labels(body: Json) -> Mapping[str, str]:
    labels: Mapping[str, str] = body["metadata"].get("labels") or {}
    return labels


def _model_index(body: Json) -> list[str]:
    """Models are namespaced, and so is the index: `namespace/name`."""
    name = _labels(body).get(MODEL_LABEL)
    return [f"{body['metadata']['namespace']}/{name}"] if name else []


def _model_of_pod_index(pod: Json) -> list[str]:
    """A replica's by the label that its workload selects it by, unless that is a later part's; a conversion's by
    another one.
    """
    labels = _labels(pod)
    if labels.get(ROLE_LABEL) != CONVERTER_ROLE and PART_LABEL not in labels:
        return _model_index(pod)
    name = labels.get(APP_INSTANCE_LABEL)
    return [f"{pod['metadata']['namespace']}/{name}"] if name else []


def _owner_index(body: Json) -> list[str]:
    uid = controller_of(body).get("uid")
    return [str(uid)] if uid else []


def _class_index(model: Json) -> list[str]:
    return [str((model.get("spec") or {}).get("servingClassName") or "")]


def _rank_index(model: Json) -> list[str]:
    priority = ((model.get("spec") or {}).get("capacity") or {}).get("priority") or 0
    return [str(priority), str(model["metadata"].get("creationTimestamp") or "")]


def _need_index(claim: Json) -> list[str]:
    """Only slices have to wait; one that can't be read waits for nothing."""
    if is_true(claim, "Ready") or not (claim.get("spec") or {}).get("slice"):
        return []
    try:
        return list(list_needs(NodePoolClaim.model_validate(claim)))
    except ValidationError:
        return []


def _model_of_slice_index(claim: Json) -> list[str]:
    """Other pools are shared within the namespace."""
    spec = claim.get("spec") or {}
    return [f"{spec.get('tenant')}/{spec['model']}"] if spec.get("slice") and spec.get("model") else []


def _part_index(revision: Json) -> list[str]:
    part = _labels(revision).get(PART_LABEL)
    return [part] if part else []


def _most_index(revision: Json) -> list[str]:
    most = read_most_replicas(revision)
    return [] if most is None else [str(most)]


def _default_index(serving_class: Json) -> list[str]:
    return ["true" if is_default(serving_class) else ""]


def _uid_key(pod: Mapping[str, Any]) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['uid']}"


def _node_index(pod: Json) -> list[str]:
    name = (pod.get("spec") or {}).get("nodeName")
    return [str(name)] if name else []


def _occupied_index(pod: Json) -> list[str]:
    return [] if (pod.get("status") or {}).get("phase") in FINISHED else _node_index(pod)


def _tenant_index(claim: Json) -> list[str]:
    return [str((claim.get("spec") or {}).get("tenant") or "")]


def _involved_index(event: Json) -> list[str]:
    return [f"{event['metadata']['namespace']}/{event['involvedObject'].get('uid', '')}"]


def _pool_index(node: Json) -> list[str]:
    """A slice's node names its claim; that of an ordinary pool has the shape, which is its claim's name."""
    labels = _labels(node)
    name = labels.get(CLAIM_LABEL) or labels.get(SHAPE_LABEL)
    return [name] if name else []


def _slim_pod(pod: Json) -> Json:
    """A pod's spec is that of its revision; what happens to it is in its status."""
    spec = pod.get("spec") or {}
    kept = {name: spec[name] for name in ("nodeName", "nodeSelector") if name in spec}
    return {**pod, "spec": kept}


def _slim_node(node: Json) -> Json:
    """Of a node only what a claim can be wrong about: labels, taints, devices, and whether it is ready."""
    status = node.get("status") or {}
    kept = {name: status[name] for name in ("allocatable", "capacity") if name in status}
    conditions = [{k: c.get(k) for k in ("type", "status", "reason")} for c in status.get("conditions") or ()]
    return {**node, "status": {**kept, "conditions": conditions}}


def _slim_event(event: Json) -> Json:
    """What is read of an Event, cut to a decent length: whoever may create Events may make them of any length."""
    metadata = event["metadata"]
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    return {
        **{name: event[name] for name in ("apiVersion", "kind", "lastTimestamp", "eventTime") if name in event},
        "metadata": {name: metadata[name] for name in kept if name in metadata},
        "involvedObject": {"uid": str((event.get("involvedObject") or {}).get("uid", ""))[:_WORD_CHARS]},
        "reason": str(event.get("reason") or "")[:_WORD_CHARS],
        "message": str(event.get("message") or "")[:_MESSAGE_CHARS],
    }


def _digest_of_object(body: Json) -> object:
    """Everything but the version, and the times that are rewritten without a change."""
    metadata = {name: value for name, value in body["metadata"].items() if name != "resourceVersion"}
    return {**body, "metadata": metadata}


def _digest_by(**told: str) -> Callable[[Json], object]:
    """A digest of all but the status: of that, models read only these conditions, and their words only when the
    condition has the given status. The rest changes all the time.
    """

    def digest(body: Json) -> object:
        metadata = {name: value for name, value in body["metadata"].items() if name != "finalizers"}
        annotations = metadata.get("annotations") or {}
        metadata["annotations"] = {k: v for k, v in annotations.items() if not k.startswith(_OF_CONTROLLERS)}
        conditions = (body.get("status") or {}).get("conditions") or ()
        status = [
            (c["status"], *((c.get("reason"), c.get("message")) if c["status"] == told[c["type"]] else ()))
            for c in conditions
            if c["type"] in told
        ]
        return _digest_of_object({**body, "metadata": metadata, "status": status})

    return digest


def _digest_of_revision(revision: Json) -> object:
    """The data of a revision never changes, and is long."""
    return _digest_of_object({name: value for name, value in revision.items() if name != "data"})


_CHILD_INDEXES: Final = {OWNER: _owner_index, MODEL_NAME: _model_index}

RULES: Final[Mapping[Kind, Rules]] = {
    MODEL: Rules(indexes={CLASS_NAME: _class_index, RANK: _rank_index}, digest=_digest_of_object),
    SERVING_CLASS: Rules(indexes={IS_DEFAULT: _default_index}, digest=_digest_of_object),
    CLAIM: Rules(
        indexes={
            NAME: lambda body: [body["metadata"]["name"]],
            NEED: _need_index,
            MODEL_NAME: _model_of_slice_index,
            TENANT: _tenant_index,
        },
        digest=_digest_by(Ready="False"),
    ),
    **{kind: Rules(indexes=_CHILD_INDEXES, digest=_digest_by()) for kind in CHILDREN},
    DEPLOYMENT: Rules(indexes=_CHILD_INDEXES, digest=_digest_by(ReplicaFailure="True")),
    JOB: Rules(indexes=_CHILD_INDEXES, digest=_digest_by(Complete="True", Failed="True")),
    HPA: Rules(indexes=_CHILD_INDEXES, digest=_digest_by(ScalingActive="False")),
    REVISION: Rules(
        indexes={
            **_CHILD_INDEXES,
            CLAIM_NAME: claims_of_revision,
            PART: _part_index,
            MOST_REPLICAS: _most_index,
        },
        digest=_digest_of_revision,
    ),
    POD: Rules(
        indexes={
            MODEL_NAME: _model_of_pod_index,
            UID: lambda body: [_uid_key(body)],
            NODE_NAME: _node_index,
            OCCUPIED_NODE: _occupied_index,
        },
        slim=_slim_pod,
        digest=_digest_of_object,
    ),
    NODE: Rules(indexes={CLAIM_NAME: _pool_index}, slim=_slim_node, digest=_digest_of_object),
    EVENT: Rules(
        indexes={INVOLVED: _involved_index},
        slim=_slim_event,
        digest=_digest_of_object,
    ),
}
"""The kinds that the operator keeps, and how."""


def changed(old: Meta | None, new: Meta | None) -> bool:
    """Whether something changed that reconcilers care about."""
    return old is None or new is None or old.digest != new.digest or old.uid != new.uid
