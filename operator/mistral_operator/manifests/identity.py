"""Whose an object is: labels, owner references, content hashes, and names that are the same at every attempt."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from mistral_operator.api.model import MistralModel
from mistral_operator.api.names import (
    API_VERSION,
    APP_INSTANCE_LABEL,
    APP_NAME_LABEL,
    APPLIED_HASH_ANNOTATION,
    LEADER_ROLE,
    MANAGED_BY,
    MANAGED_BY_LABEL,
    MODEL_KIND,
    MODEL_LABEL,
    PART_LABEL,
    ROLE_LABEL,
)
from mistral_operator.api.part import ModelPart

APP_NAME: Final = "mistral-model"
"""On every object of a model and its replicas' pods; a conversion's have another name."""
Manifest = dict[str, Any]
"""A Kubernetes object as JSON; never changed in place."""

OFFLINE_UID: Final = "00000000-0000-0000-0000-000000000000"
"""Stands for the model's uid where a manifest is rendered without a cluster."""


def hash_content(content: Any, length: int = 10) -> str:
    """Hash JSON content: the same for the same content, whatever the order of its keys."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def object_labels(model: MistralModel) -> dict[str, str]:
    """Labels of every object that belongs to `model`."""
    return {
        APP_NAME_LABEL: APP_NAME,
        APP_INSTANCE_LABEL: model.metadata.name,
        MANAGED_BY_LABEL: MANAGED_BY,
        MODEL_LABEL: model.metadata.name,
    }


def pod_selector(model: MistralModel) -> dict[str, str]:
    """Labels that select the one pod of each replica that answers requests and reports metrics."""
    return {**replica_selector(model), ROLE_LABEL: LEADER_ROLE}


def replica_selector(model: MistralModel) -> dict[str, str]:
    """Labels that select the pods of all replicas: of a spread model, those of every part."""
    if isinstance(model, ModelPart):
        return {APP_NAME_LABEL: APP_NAME, APP_INSTANCE_LABEL: model.metadata.name}
    return workload_selector(model)


def workload_selector(model: MistralModel) -> dict[str, str]:
    """Labels that only the pods of one workload have. They can't be changed in its life, and no other workload may
    select them, so the pods of later parts have another value than a model's name can be.
    """
    number = part_number(model)
    return {MODEL_LABEL: model.metadata.name if number == 1 else f"{model.metadata.name}.part-{number}"}


def part_number(model: MistralModel) -> int:
    """From 1 on; 1 also for a model that is not spread."""
    return model.part if isinstance(model, ModelPart) else 1


def name_workload(model: MistralModel) -> str:
    """The model's own name, or one with the number of the part."""
    number = part_number(model)
    return model.metadata.name if number == 1 else f"{model.metadata.name}-part-{number}"


def part_labels(model: MistralModel) -> dict[str, str]:
    """What tells the objects and pods of later parts from those of the first."""
    number = part_number(model)
    return {} if number == 1 else {PART_LABEL: str(number)}


def owner_reference(model: MistralModel) -> Manifest:
    """The reference by which the API server deletes the object after its model."""
    return {
        "apiVersion": API_VERSION,
        "kind": MODEL_KIND,
        "name": model.metadata.name,
        "uid": model.metadata.uid or OFFLINE_UID,
        "controller": True,
        "blockOwnerDeletion": False,
    }


def own(model: MistralModel, *, api_version: str, kind: str, name: str, labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None, **content: Any) -> Manifest:  # fmt: skip
    """Make a namespaced object that belongs to `model`, sealed with the hash of its content."""
    manifest: Manifest = {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": model.metadata.namespace,
            "labels": {**object_labels(model), **(labels or {})},
            **({"annotations": dict(annotations)} if annotations else {}),
            "ownerReferences": [owner_reference(model)],
        },
        **content,
    }
    return seal(manifest)


def seal(manifest: Manifest) -> Manifest:
    """Note the hash of the whole manifest in it, so that a field that is no longer rendered shows without a read."""
    metadata = manifest["metadata"]
    annotations = {**metadata.get("annotations", {}), APPLIED_HASH_ANNOTATION: hash_content(manifest, 16)}
    return {**manifest, "metadata": {**metadata, "annotations": annotations}}


def is_owned_by(manifest: Mapping[str, Any], uid: str) -> bool:
    """True when the object's controller is the model with `uid`."""
    references = manifest.get("metadata", {}).get("ownerReferences") or ()
    return any(reference.get("uid") == uid and reference.get("controller") for reference in references)
