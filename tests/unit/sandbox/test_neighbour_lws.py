"""The LeaderWorkerSet controller's webhooks, made fit for a server on loopback."""

import base64
from pathlib import Path
from typing import Any

import pytest
import yaml

from mistral_operator.sandbox.neighbours.errors import NeighbourError
from mistral_operator.sandbox.neighbours.lws import webhook_configurations

CA = "-----BEGIN CERTIFICATE-----\n"


def webhook(name: str, path: str) -> dict[str, Any]:
    service = {"name": "webhook-service", "namespace": "system", "path": path}
    return {"name": name, "clientConfig": {"service": service}, "failurePolicy": "Fail"}


@pytest.fixture
def module(tmp_path: Path) -> Path:
    """Manifests and patches as the module has them."""
    directory = tmp_path / "config" / "webhook"
    directory.mkdir(parents=True)
    configurations = []
    for kind, word in (("MutatingWebhookConfiguration", "mutate"), ("ValidatingWebhookConfiguration", "validate")):
        webhooks = [webhook("sets", f"/{word}-sets"), webhook("pods", f"/{word}--v1-pod")]
        configurations.append({"kind": kind, "metadata": {"name": f"{word}-configuration"}, "webhooks": webhooks})
        selective = webhooks[1] | {"objectSelector": {"matchExpressions": [{"key": word, "operator": "Exists"}]}}
        patch = [{"op": "replace", "path": "/webhooks/1", "value": selective}]
        file = "mutating-patch.yaml" if word == "mutate" else "validating-patch.yaml"
        directory.joinpath(file).write_text(yaml.safe_dump(patch))
    directory.joinpath("manifests.yaml").write_text(yaml.safe_dump_all(configurations))
    return tmp_path


def test_webhooks_are_called_on_loopback(module: Path) -> None:
    mutating, validating = webhook_configurations(module, 20443, CA)
    assert mutating["metadata"]["name"] == "lws-mutate-configuration"
    assert [w["clientConfig"] for w in (*mutating["webhooks"], *validating["webhooks"])] == [
        {"url": f"https://127.0.0.1:20443{path}", "caBundle": base64.b64encode(CA.encode()).decode()}
        for path in ("/mutate-sets", "/mutate--v1-pod", "/validate-sets", "/validate--v1-pod")
    ]


def test_only_pods_of_sets_are_asked_about(module: Path) -> None:
    """Otherwise no pod at all could be made while the controller is away."""
    for configuration in webhook_configurations(module, 20443, CA):
        sets, pods = configuration["webhooks"]
        assert "objectSelector" not in sets
        assert pods["objectSelector"]["matchExpressions"][0]["operator"] == "Exists"
        assert pods["failurePolicy"] == "Fail"


def test_a_patch_of_another_shape_is_refused(module: Path) -> None:
    patch = [{"op": "add", "path": "/webhooks/1/timeoutSeconds", "value": 3}]
    module.joinpath("config", "webhook", "mutating-patch.yaml").write_text(yaml.safe_dump(patch))
    with pytest.raises(NeighbourError, match="add /webhooks/1/timeoutSeconds"):
        webhook_configurations(module, 20443, CA)
