"""The ComputeClass provisioner for tests: where its definition is, what a claim of it looks like, its port."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.claim_cases import claim_body

from mistral_operator.api.claim import NodePoolClaim
from mistral_operator.capacity.port import ClusterView
from mistral_operator.capacity.provisioners.compute_class import ClassClient, ComputeClasses
from mistral_operator.cluster.client import ListResult
from mistral_operator.cluster.errors import AlreadyExists, ApiError, Unreachable
from mistral_operator.cluster.kinds import Kind

Json = dict[str, Any]

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


class Shelf:
    """In place of the API server: one kind, by name. `refusal` is what it answers instead; with `loses_answer` the next
    create takes effect, and nobody hears of it.
    """

    def __init__(self, refusal: ApiError | None = None) -> None:
        self.bodies: dict[str, Json] = {}
        self.refusal = refusal
        self.loses_answer = False
        self.made = 0

    async def list(self, kind: Kind, namespace: str = "", *, label_selector: str = "") -> ListResult:
        self._answer()
        return ListResult(tuple(self.bodies.values()), "1")

    async def create(self, manifest: Mapping[str, Any]) -> Json:
        self._answer()
        name = manifest["metadata"]["name"]
        if name in self.bodies:
            raise AlreadyExists(409, "AlreadyExists", f'computeclasses "{name}" already exists')
        self.made += 1
        self.bodies[name] = {**manifest, "metadata": {**manifest["metadata"], "uid": f"uid-{self.made}"}}
        if self.loses_answer:
            self.loses_answer = False
            raise Unreachable(0, "Unreachable", "cut")
        return self.bodies[name]

    async def delete(self, kind: Kind, name: str, namespace: str = "", *, uid: str = "") -> bool:
        self._answer()
        if name not in self.bodies or uid not in ("", self.bodies[name]["metadata"].get("uid")):
            return False
        del self.bodies[name]
        return True

    def _answer(self) -> None:
        if self.refusal is not None:
            raise self.refusal


def open_compute_classes(client: ClassClient, *, autopilot: bool = False) -> ComputeClasses:
    """The port over an API server that serves ComputeClasses."""

    async def describe() -> ClusterView:
        return CLUSTER_VIEW

    return ComputeClasses(client, describe, autopilot=autopilot)
