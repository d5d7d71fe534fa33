"""The sandbox's control plane is a real one: it schedules, garbage-collects, enforces RBAC, records what was done."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.polling import eventually

from mistral_operator.sandbox.control_plane import ControlPlane, ControlPlaneError
from mistral_operator.sandbox.kube import Kube, KubeError


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


@pytest.fixture
async def own_plane(tmp_path: Path) -> AsyncIterator[ControlPlane]:
    """A control plane that a test may break."""
    async with ControlPlane(tmp_path / "plane") as plane:
        yield plane


async def test_a_deployment_gets_pods(kube: Kube, namespace: str) -> None:
    labels = {"app": "web"}
    containers = [{"name": "web", "image": "example/web"}]
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": containers, "nodeSelector": {"there": "is-none"}},
    }
    await kube.create(
        f"/apis/apps/v1/namespaces/{namespace}/deployments",
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web"},
            "spec": {"replicas": 2, "selector": {"matchLabels": labels}, "template": template},
        },
    )

    async def unschedulable_pods() -> bool:
        pods = await kube.list(f"/api/v1/namespaces/{namespace}/pods")
        reasons = [
            c["reason"] for pod in pods for c in pod["status"].get("conditions", []) if c["type"] == "PodScheduled"
        ]
        return reasons == ["Unschedulable"] * 2

    await eventually(unschedulable_pods, message="two pods the scheduler has looked at")


async def test_the_audit_log_has_each_write(cluster: ControlPlane, kube: Kube, namespace: str) -> None:
    await kube.create(f"/api/v1/namespaces/{namespace}/configmaps", config_map("seen"))
    events = [json.loads(line) for line in cluster.audit_log.read_text().splitlines()]
    writes = [e for e in events if e["verb"] == "create" and e["objectRef"].get("namespace") == namespace]
    names = [e["user"]["username"] for e in writes if e["objectRef"]["resource"] == "configmaps"]
    assert "mistral-sandbox-admin" in names


async def test_a_service_account_has_only_its_rights(cluster: ControlPlane, namespace: str, tmp_path: Path) -> None:
    path = await cluster.service_account_kubeconfig(namespace, "default", tmp_path / "kubeconfig")
    async with Kube(path) as limited:
        with pytest.raises(KubeError, match=f"system:serviceaccount:{namespace}:default") as refused:
            await limited.list("/api/v1/secrets")
    assert (refused.value.status, refused.value.reason) == (403, "Forbidden")
    assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("kill", [False, True])
async def test_a_watch_notices_what_went_during_a_restart(own_plane: ControlPlane, kill: bool) -> None:
    path = "/api/v1/namespaces/default/configmaps"
    seen: list[tuple[str, str]] = []
    async with Kube(own_plane.kubeconfig) as kube:
        await kube.create(path, config_map("kept"))
        await kube.create(path, config_map("gone"))
        events = kube.watch(path)
        while ("ADDED", "gone") not in seen or ("ADDED", "kept") not in seen:
            kind, item = await anext(events)
            seen.append((kind, item["metadata"]["name"]))
        await own_plane.restart_api_server(kill=kill)
        await kube.delete(f"{path}/gone")
        while ("DELETED", "gone") not in seen:
            kind, item = await anext(events)
            seen.append((kind, item["metadata"]["name"]))
    assert ("DELETED", "kept") not in seen
    assert seen.count(("ADDED", "kept")) == 1


async def test_a_directory_has_one_control_plane(own_plane: ControlPlane) -> None:
    with pytest.raises(ControlPlaneError, match="another sandbox runs in"):
        await ControlPlane(own_plane.directory).start()
    async with Kube(own_plane.kubeconfig) as kube:
        assert await kube.list("/api/v1/namespaces")


async def test_what_is_not_a_sandbox_is_left_alone(tmp_path: Path) -> None:
    precious = tmp_path / "etcd" / "precious"
    precious.mkdir(parents=True)
    with pytest.raises(ControlPlaneError, match="choose another directory"):
        await ControlPlane(tmp_path).start()
    assert precious.exists()


async def test_an_unreachable_server_is_a_kube_error(own_plane: ControlPlane) -> None:
    await own_plane.stop_api_server()
    async with Kube(own_plane.kubeconfig) as kube:
        with pytest.raises(KubeError) as refused:
            await kube.list("/api/v1/namespaces")
        assert (refused.value.status, refused.value.reason) == (0, "Unreachable")
        await own_plane.start_api_server()
        assert await kube.list("/api/v1/namespaces")
