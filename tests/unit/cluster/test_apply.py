"""When a live object already is what the manifest says."""

from decimal import Decimal
from typing import Any

import pytest

from mistral_operator.cluster.apply import covers, is_in_sync, parse_quantity
from mistral_operator.manifests.identity import seal

MANIFEST = seal(
    {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "chat", "namespace": "team", "labels": {"a": "b"}},
        "spec": {"replicas": 1, "template": {"spec": {"containers": [{"name": "vllm", "args": ["x", "--y"]}]}}},
    }
)


def live(**changes: Any) -> dict[str, Any]:
    metadata = {**MANIFEST["metadata"], "uid": "u", "resourceVersion": "5", "generation": 3}
    container = {"name": "vllm", "args": ["x", "--y"], "terminationMessagePath": "/dev/log", **changes}
    spec = {
        "replicas": 1,
        "paused": False,
        "template": {"spec": {"containers": [container], "dnsPolicy": "ClusterFirst"}},
    }
    return {**MANIFEST, "metadata": metadata, "spec": spec, "status": {"readyReplicas": 1}}


def test_defaults_and_status_do_not_matter() -> None:
    assert is_in_sync(MANIFEST, live())


def test_changed_field_matters() -> None:
    assert not is_in_sync(MANIFEST, live(args=["x"]))


def test_field_that_is_no_longer_rendered_shows_by_the_hash() -> None:
    fewer = {**MANIFEST, "metadata": {"name": "chat", "namespace": "team"}, "spec": {"replicas": 1}}
    assert not is_in_sync(seal(fewer), live())


@pytest.mark.parametrize(
    ("there", "wanted", "field", "expected"),
    [
        ([{"name": "a", "x": 1}, {"name": "injected"}], [{"name": "a"}], "containers", True),
        ([{"name": "a"}], [{"name": "a"}, {"name": "b"}], "containers", False),
        ([{"key": "a"}, {"key": "b"}], [{"key": "a"}], "tolerations", False),
        (["a", "b"], ["a"], "args", False),
        (["b", "a"], ["a"], "finalizers", True),
        ([{"port": 80, "protocol": "TCP"}], [{"port": 80}], "ports", True),
        ([{"containerPort": 80, "protocol": "UDP"}], [{"containerPort": 80, "protocol": "TCP"}], "ports", False),
        ({"cpu": "1", "memory": "1Gi"}, {"cpu": "1000m", "memory": "1024Mi"}, "limits", True),
        ({"cpu": "2"}, {"cpu": "1"}, "requests", False),
        ("1", "1000m", "name", False),
        (None, {}, "emptyDir", True),
        (None, [], "env", True),
        (None, "x", "name", False),
        ({}, {"a": {}}, "spec", True),
        ("text", {"a": 1}, "spec", False),
        ("text", ["a"], "args", False),
        (1, 1.0, "x", True),
    ],
)
def test_covers(there: Any, wanted: Any, field: str, expected: bool) -> None:
    assert covers(there, wanted, field) is expected


@pytest.mark.parametrize(
    ("text", "number"), [("100m", "0.1"), ("1Gi", "1073741824"), ("2k", "2000"), ("7.5", "7.5"), ("1e3", "1000")]
)
def test_parse_quantity(text: str, number: str) -> None:
    assert parse_quantity(text) == Decimal(number)
