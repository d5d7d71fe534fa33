"""One model and all that belongs to it, read from a cluster: what the operator has in its caches, asked for once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mistral_operator.api.names import (
    APP_INSTANCE_LABEL,
    CLAIM_LABEL,
    CONVERTER_ROLE,
    MODEL_LABEL,
    PART_LABEL,
    ROLE_LABEL,
)
from mistral_operator.cluster.client import ApiClient
from mistral_operator.cluster.errors import NotFound
from mistral_operator.cluster.kinds import (
    CHILDREN,
    CLAIM,
    EVENT,
    MODEL,
    NODE,
    OPTIONAL,
    POD,
    REVISION,
    SERVING_CLASS,
    Kind,
)
from mistral_operator.cluster.store import Key, Store
from mistral_operator.controller.observation import RULES
from mistral_operator.controller.pool_use import PoolUses
from mistral_operator.core.types import PoolUse
from mistral_operator.manifests.revision import claims_of_revision

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Belongings:
    """A live model with its objects, without managedFields."""

    model: Json
    children: tuple[Json, ...]
    pods: tuple[Json, ...]
    pod_events: tuple[Json, ...]
    """Oldest first."""
    model_events: tuple[Json, ...]
    claims: tuple[Json, ...]
    serving_classes: tuple[Json, ...] = ()
    """Every MistralServingClass of the cluster, where they were asked for."""
    nodes: Mapping[str, str] = field(default_factory=dict)
    """Node of a multi-host slice → the slice's claim."""
    machines: tuple[Json, ...] = ()
    """The nodes on which the model's pods are, and the idle ones of its pools, where they were asked for."""
    pools: Mapping[str, PoolUse] = field(default_factory=dict)
    """Claim → how its pool is used, where that was asked for."""


async def read_belongings(client: ApiClient, name: str, namespace: str) -> Belongings | None:
    """Read them; None when there is no such model. `name` is a name, so it needs no quoting in a label selector."""
    model = await client.get(MODEL, name, namespace)
    if model is None:
        return None
    selector = f"{MODEL_LABEL}={name}"
    children = [item for kind in CHILDREN for item in await list_served(client, kind, namespace, selector)]
    converter = f"{ROLE_LABEL}={CONVERTER_ROLE},{APP_INSTANCE_LABEL}={name}"
    part = f"{PART_LABEL},{APP_INSTANCE_LABEL}={name}"
    pods = [
        pod
        for labels in (selector, part, converter)
        for pod in (await client.list(POD, namespace, label_selector=labels)).items
    ]
    events = sorted((await client.list(EVENT, namespace)).items, key=last_seen)
    pod_uids = {pod["metadata"]["uid"] for pod in pods}
    claims = [await client.get(CLAIM, claim) for claim in sorted(claim_names(children))]
    return Belongings(
        model=_slim(model),
        children=tuple(_slim(child) for child in children),
        pods=tuple(_slim(pod) for pod in pods),
        pod_events=tuple(_slim(event) for event in events if _about(event) in pod_uids),
        model_events=tuple(_slim(event) for event in events if _about(event) == model["metadata"]["uid"]),
        claims=tuple(_slim(claim) for claim in claims if claim is not None),
        nodes=await _read_slices(client) if any(claim and claim["spec"].get("slice") for claim in claims) else {},
    )


async def read_classes(client: ApiClient) -> tuple[Json, ...]:
    """Every MistralServingClass of the cluster, without managedFields."""
    return tuple(_slim(item) for item in await list_served(client, SERVING_CLASS))


async def add_nodes(client: ApiClient, found: Belongings) -> Belongings:
    """With its nodes, and how the pools of its claims are used: counted as the operator does, from one namespace, as
    all users of a claim are.
    """
    namespace, store = found.model["metadata"]["namespace"], Store(RULES)
    uses = PoolUses(store)
    for kind, labels in ((MODEL, ""), (REVISION, CLAIM_LABEL), (POD, ROLE_LABEL)):
        for item in (await client.list(kind, namespace, label_selector=labels)).items:
            store[kind].put(item)
    nodes = (await client.list(NODE)).items
    for node in nodes:
        store[NODE].put(node)
    claims, user = sorted(claim_names(list(found.children))), Key(namespace, found.model["metadata"]["name"])
    named = {pod["spec"].get("nodeName") for pod in found.pods}.union(*map(uses.idle_nodes, claims))
    return replace(
        found,
        machines=tuple(_slim(node) for node in nodes if node["metadata"]["name"] in named),
        pools={claim: use for claim in claims if (use := uses.find(claim, user))},
    )


async def list_served(client: ApiClient, kind: Kind, namespace: str = "", selector: str = "") -> Sequence[Json]:
    """Objects of a kind; none of one that the cluster needn't have and hasn't."""
    try:
        return (await client.list(kind, namespace, label_selector=selector)).items
    except NotFound:
        if kind not in OPTIONAL:
            raise
        return ()


async def _read_slices(client: ApiClient) -> Mapping[str, str]:
    """Every node that is in a multi-host slice, with the slice's claim."""
    nodes = (await client.list(NODE, label_selector=CLAIM_LABEL)).items
    return {node["metadata"]["name"]: node["metadata"]["labels"][CLAIM_LABEL] for node in nodes}


def claim_names(children: list[Json]) -> set[str]:
    """Names of the claims that the model's revisions need."""
    return {name for child in children for name in claims_of_revision(child)}


def last_seen(event: Mapping[str, Any]) -> str:
    """When an Event happened last, RFC 3339."""
    return str(event.get("lastTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp") or "")


def _about(event: Mapping[str, Any]) -> str:
    return str(event.get("involvedObject", {}).get("uid", ""))


def _slim(item: Mapping[str, Any]) -> Json:
    return {**item, "metadata": {k: v for k, v in item["metadata"].items() if k != "managedFields"}}
