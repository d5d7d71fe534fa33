"""The ComputeClass provisioner for tests: where its definition is, what a claim of it looks like, its port."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.claim_cases import claim_body

from mistral_operator.api.claim import NodePoolClaim
from mistral_operator.capacity.compute_class import ComputeClasses
from mistral_operator.capacity.port import ClusterView
from mistral_operator.cluster.client import ApiClient

SCHEMAS = "MISTRAL_OPERATOR_CRDS"
DEFINITION = "cloud.google.com_computeclasses.yaml"
CLASS_CLAIM = "g2-standard-12-cc-0123456789"
CLUSTER_VIEW = ClusterView("team-project", "us-central1", "serving", ("us-central1-a",), "1.36.3-gke.1000000", False)


def schemas() -> Path:
    """The folder with the definitions of others; the test is skipped where there is none."""
    folder = Path(os.environ.get(SCHEMAS, ""))
    if not (folder / DEFINITION).is_file():
        pytest.skip(f"{SCHEMAS} names no folder with {DEFINITION}, which is Google's and not kept here")
    return folder


def read_schema() -> dict[str, Any]:
    """The definition's OpenAPI schema."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    definition = yaml.load((schemas() / DEFINITION).read_bytes(), loader)
    schema: dict[str, Any] = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def class_claim(*alternatives: dict[str, Any], **terms: Any) -> NodePoolClaim:
    """A claim of a ComputeClass: spot, and then what `alternatives` say; `terms` are more of its spec."""
    spec = {"provisioner": "ComputeClass", "alternatives": list(alternatives), **terms}
    return NodePoolClaim.model_validate(claim_body(CLASS_CLAIM, consumption="Spot", terms=spec))


def open_compute_classes(client: ApiClient, *, autopilot: bool = False) -> ComputeClasses:
    """The port over an API server that serves ComputeClasses."""

    async def describe() -> ClusterView:
        return CLUSTER_VIEW

    return ComputeClasses(client, describe, autopilot=autopilot)
