"""One model and all that belongs to it, read from a cluster: what the operator has in its caches, asked for once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mistral_operator.api.names import CLAIM_LABEL, MODEL_LABEL
from mistral_operator.cluster.client import ApiClient
from mistral_operator.cluster.kinds import CHILDREN, CLAIM, EVENT, MODEL, POD

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


async def read_belongings(client: ApiClient, name: str, namespace: str) -> Belongings | None:
    """Read them; None when there is no such model. `name` is a name, so it needs no quoting in a label selector."""
    model = await client.get(MODEL, name, namespace)
    if model is None:
        return None
    selector = f"{MODEL_LABEL}={name}"
    children = [
        item for kind in CHILDREN for item in (await client.list(kind, namespace, label_selector=selector)).items
    ]
    pods = (await client.list(POD, namespace, label_selector=selector)).items
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
    )


def claim_names(children: list[Json]) -> set[str]:
    """Names of the claims that the model's revisions need."""
    labels = [child["metadata"].get("labels") or {} for child in children]
    return {label[CLAIM_LABEL] for label in labels if CLAIM_LABEL in label}


def last_seen(event: Mapping[str, Any]) -> str:
    """When an Event happened last, RFC 3339."""
    return str(event.get("lastTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp") or "")


def _about(event: Mapping[str, Any]) -> str:
    return str(event.get("involvedObject", {}).get("uid", ""))


def _slim(item: Mapping[str, Any]) -> Json:
    return {**item, "metadata": {k: v for k, v in item["metadata"].items() if k != "managedFields"}}
