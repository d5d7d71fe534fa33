"""Environment and volumes say what is missing in the kubelet's own words."""

import base64
from typing import Any

import pytest

from mistral_operator.sandbox.kubelet.environment import ConfigError, check_volumes, environment, expand


class Objects:
    """A client that knows two objects."""

    def __init__(self) -> None:
        namespace = "/api/v1/namespaces/team"
        self.found = {
            f"{namespace}/secrets/hf-token": {"data": {"token": base64.b64encode(b"hf_secret").decode()}},
            f"{namespace}/configmaps/settings": {"data": {"COLOUR": "blue"}},
        }

    async def get(self, path: str) -> dict[str, Any] | None:
        return self.found.get(path)


def pod(**spec: Any) -> dict[str, Any]:
    metadata = {"name": "chat-1", "namespace": "team", "uid": "u", "labels": {"app": "chat"}}
    return {"metadata": metadata, "spec": {"nodeName": "n1", "containers": [], **spec}}


def secret_ref(name: str, key: str, **more: Any) -> dict[str, Any]:
    return {"valueFrom": {"secretKeyRef": {"name": name, "key": key, **more}}}


async def read(env: list[dict[str, Any]], **more: Any) -> dict[str, str]:
    return await environment(Objects(), pod(), {"env": env, **more}, "10.64.0.1", "10.0.0.9")  # type: ignore[arg-type]


async def test_values_references_and_expansion() -> None:
    values = await read(
        [
            {"name": "HF_TOKEN", **secret_ref("hf-token", "token")},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
            {"name": "URL", "value": "http://$(IP):8000/$(MISSING)/$$(IP)"},
            {"name": "NONE", **secret_ref("hf-token", "other", optional=True)},
        ],
        envFrom=[{"prefix": "X_", "configMapRef": {"name": "settings"}}],
    )
    assert values == {
        "HF_TOKEN": "hf_secret",
        "IP": "10.64.0.1",
        "APP": "chat",
        "URL": "http://10.64.0.1:8000/$(MISSING)/$(IP)",
        "X_COLOUR": "blue",
    }


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (secret_ref("absent", "token"), 'secret "absent" not found'),
        (secret_ref("hf-token", "other"), "couldn't find key other in Secret team/hf-token"),
        ({"valueFrom": {"configMapKeyRef": {"name": "gone", "key": "k"}}}, 'configmap "gone" not found'),
        (
            {"valueFrom": {"configMapKeyRef": {"name": "settings", "key": "k"}}},
            "couldn't find key k in ConfigMap team/settings",
        ),
    ],
)
async def test_missing_references(reference: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        await read([{"name": "X", **reference}])
    assert str(error.value) == message


async def test_a_missing_volume_source() -> None:
    volumes = [{"name": "keys", "secret": {"secretName": "absent"}}]
    with pytest.raises(ConfigError, match=r'MountVolume\.SetUp failed for volume "keys" : secret "absent" not found'):
        await check_volumes(Objects(), pod(volumes=volumes))  # type: ignore[arg-type]
    items = [{"name": "keys", "secret": {"secretName": "hf-token", "items": [{"key": "other", "path": "p"}]}}]
    with pytest.raises(ConfigError, match="references non-existent secret key: other"):
        await check_volumes(Objects(), pod(volumes=items))  # type: ignore[arg-type]


def test_expand_leaves_what_it_does_not_know() -> None:
    assert expand("$(A) $(B) $$(A) $A", {"A": "1"}) == "1 $(B) $(A) $A"
