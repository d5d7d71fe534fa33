"""Every file in examples/ is taken by the API server as it is, and nothing of it is dropped."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.kubectl import kubectl

from mistral_operator.api.names import API_VERSION, MODEL_PLURAL
from mistral_operator.sandbox.control_plane import ControlPlane
from mistral_operator.sandbox.kube import Kube

pytestmark = pytest.mark.usefixtures("crds")

EXAMPLES = {path: yaml.safe_load(path.read_text()) for path in (Path(__file__).parents[2] / "examples").glob("*.yaml")}


def test_there_are_examples() -> None:
    assert {"mistral-7b", "mistral-small-24b", "mixtral-8x7b"} <= {path.stem for path in EXAMPLES}


@pytest.mark.parametrize("path", sorted(EXAMPLES), ids=lambda path: path.stem)
async def test_an_example_is_applied(cluster: ControlPlane, kube: Kube, namespace: str, path: Path) -> None:
    written = EXAMPLES[path]
    applied = await kubectl(cluster, "apply", "--validate=strict", "-n", namespace, "-f", path)
    assert (applied.code, applied.errors) == (0, "")
    stored = await kube.get(f"/apis/{API_VERSION}/namespaces/{namespace}/{MODEL_PLURAL}/{written['metadata']['name']}")
    assert stored is not None
    assert stored["spec"] == with_defaults(written["spec"])


@pytest.mark.parametrize("path", sorted(EXAMPLES), ids=lambda path: path.stem)
async def test_an_example_is_applied_by_the_server_too(cluster: ControlPlane, namespace: str, path: Path) -> None:
    command = ("apply", "--server-side", "--validate=strict", "-n", namespace, "-f", path)
    applied = await kubectl(cluster, *command)
    assert (applied.code, applied.errors) == (0, "")


def with_defaults(spec: dict[str, Any]) -> dict[str, Any]:
    return {"replicas": 1, **spec}


async def test_the_classes_are_taken_as_they_are(cluster: ControlPlane) -> None:
    """Tried and not kept: a default class would concern every other test's models."""
    file = Path(__file__).parents[2] / "examples" / "serving-classes" / "classes.yaml"
    applied = await kubectl(cluster, "apply", "--dry-run=server", "--validate=strict", "-f", file)
    assert (applied.code, applied.errors) == (0, "")
    assert applied.output.count("created") == len(list(yaml.safe_load_all(file.read_text())))
