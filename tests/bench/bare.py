"""The bare client: applies what the operator would apply, and nothing else. The operator is compared with it."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.bench.fleet import PROFILE, Fleet, all_at_once
from tests.bench.site import SYSTEM, Site, new_namespace

from mistral_operator import __version__
from mistral_operator.api.model import MistralModel
from mistral_operator.api.names import FIELD_MANAGER, MODEL_LABEL, ROLE_LABEL
from mistral_operator.catalogue.load import load_catalogue
from mistral_operator.cluster.kinds import CLAIM, kind_of
from mistral_operator.core.sync import sync
from mistral_operator.core.types import Observed
from mistral_operator.planning.types import Settings
from mistral_operator.sandbox.kube import Kube

Json = dict[str, Any]

ACCOUNT = "bare-client"
OTHER_LABEL = MODEL_LABEL.replace("/model", "/bench")
OTHER_ROLE_LABEL = ROLE_LABEL.replace("/role", "/bench-role")
"""As long as the operator's own: with another label no operator takes notice of the objects."""


Addressed = tuple[str, Json]
"""A path and the object to apply there."""


async def apply_fleet(site: Site, kubeconfig: Path, fleet: Fleet) -> float:
    """Apply all objects of the fleet; answers the seconds from the first request to the last object."""
    anchors = {namespace: await _make_anchor(site.admin, namespace) for namespace in fleet.namespaces}
    objects = [found for body in fleet.models() for found in _render(body, anchors[body["metadata"]["namespace"]])]
    by_path = dict(objects)
    await site.journal.quiet(1)
    started = time.time()
    async with Kube(kubeconfig) as kube:
        await all_at_once(by_path.items(), lambda pair: kube.apply(pair[0], pair[1], FIELD_MANAGER))
    writes = site.journal.by(f"{SYSTEM}:{ACCOUNT}", since=started)
    assert sum(write.created for write in writes) == len(by_path), "the bare client has made every object"
    for path in by_path:
        if CLAIM.plural in path:
            await site.admin.delete(path)
    await site.journal.quiet(1)
    return max(write.done_at for write in writes) - min(write.received_at for write in writes)


async def _make_anchor(kube: Kube, namespace: str) -> Json:
    """A namespace with an object that owns the others, as a model would: they are collected without an owner."""
    await new_namespace(kube, namespace)
    made = await kube.create(f"/api/v1/namespaces/{namespace}/configmaps", {"metadata": {"name": "anchor"}})
    return {"apiVersion": "v1", "kind": "ConfigMap", "name": "anchor", "uid": made["metadata"]["uid"]}


def _render(body: Json, anchor: Json) -> list[Addressed]:
    """The objects of one model in the operator's order, owned by the anchor."""
    model = MistralModel.model_validate(body)
    outcome = sync(model, Observed(PROFILE), load_catalogue(), Settings(__version__), datetime.now(UTC))
    assert outcome.manifests, outcome.status
    return [_address(_disown(manifest, anchor)) for manifest in (*outcome.claims, *outcome.manifests)]


def _disown(manifest: Json, anchor: Json) -> Json:
    hidden = json.dumps(manifest).replace(f'"{MODEL_LABEL}"', f'"{OTHER_LABEL}"')
    changed: Json = json.loads(hidden.replace(f'"{ROLE_LABEL}"', f'"{OTHER_ROLE_LABEL}"'))
    if "ownerReferences" in changed["metadata"]:
        changed["metadata"]["ownerReferences"] = [anchor | {"controller": True, "blockOwnerDeletion": False}]
    return changed


def _address(manifest: Json) -> Addressed:
    metadata = manifest["metadata"]
    return kind_of(manifest).path(namespace=metadata.get("namespace", ""), name=metadata["name"]), manifest
