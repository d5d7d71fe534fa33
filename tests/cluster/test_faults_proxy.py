"""The fault proxy: transparent until told otherwise, then exactly as bad as told."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.polling import eventually

from mistral_operator.sandbox.control_plane import ControlPlane
from mistral_operator.sandbox.faults import Fault, FaultProxy
from mistral_operator.sandbox.kube import Kube, KubeError


@pytest.fixture
async def proxy(cluster: ControlPlane, tmp_path: Path) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(cluster.kubeconfig, tmp_path) as running:
        yield running


@pytest.fixture
async def client(proxy: FaultProxy) -> AsyncIterator[Kube]:
    """A client that reaches the API server through the proxy."""
    async with Kube(proxy.kubeconfig) as kube:
        yield kube


def config_map(name: str) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}


async def test_requests_pass_and_are_counted(proxy: FaultProxy, client: Kube, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    await client.create(path, config_map("one"))
    await client.merge_patch(f"{path}/one", {"data": {"a": "ü"}})
    assert (await client.request("GET", f"{path}/one"))["data"] == {"a": "ü"}
    assert (proxy.count("POST"), proxy.count("PATCH", "/one$"), proxy.count("GET")) == (1, 1, 1)
    proxy.forget()
    assert proxy.count() == 0


async def test_a_status_comes_as_often_as_told(proxy: FaultProxy, client: Kube, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    fault = proxy.inject(Fault(method="POST", path=r"/configmaps$", status=429, headers={"Retry-After": "1"}, times=2))
    for _ in range(2):
        with pytest.raises(KubeError) as refused:
            await client.create(path, config_map("one"))
        assert (refused.value.status, refused.value.reason) == (429, "TooManyRequests")
        assert await client.get(f"{path}/one") is None
    await client.create(path, config_map("one"))
    assert fault.hits == 2


@pytest.mark.parametrize("fault", [Fault(drop=True), Fault(hang_s=0.01)])
async def test_a_connection_is_dropped(proxy: FaultProxy, client: Kube, fault: Fault) -> None:
    proxy.inject(fault)
    with pytest.raises(KubeError, match="Unreachable"):
        await client.list("/api/v1/namespaces")
    proxy.heal()
    assert await client.list("/api/v1/namespaces")


async def test_a_lost_answer_is_done_all_the_same(proxy: FaultProxy, client: Kube, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    proxy.inject(Fault(method="POST", lose_answer=True, times=1))
    with pytest.raises(KubeError, match="Unreachable"):
        await client.create(path, config_map("done"))
    assert await client.get(f"{path}/done")


async def test_everything_is_denied_for_a_while(proxy: FaultProxy, client: Kube) -> None:
    fault = proxy.inject(Fault(status=403, for_s=0.3))
    with pytest.raises(KubeError, match="403 Forbidden"):
        await client.list("/api/v1/namespaces")
    await eventually(lambda: not fault.active, 5)
    assert await client.list("/api/v1/namespaces")


async def test_a_watch_survives_cuts_and_410(proxy: FaultProxy, client: Kube, kube: Kube, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    seen: list[tuple[str, str]] = []

    async def follow() -> None:
        async for kind, item in client.watch(path, {"fieldSelector": "metadata.name!=kube-root-ca.crt"}):
            seen.append((kind, item["metadata"]["name"]))

    following = asyncio.create_task(follow())
    await kube.create(path, config_map("first"))
    await eventually(lambda: ("ADDED", "first") in seen)
    proxy.inject(Fault(watch=True, watch_error=410, times=2))
    await eventually(lambda: proxy.count(watch=True) > 0)
    assert proxy.cut_watches() == 1
    await kube.delete(f"{path}/first")
    await kube.create(path, config_map("second"))
    await eventually(lambda: ("DELETED", "first") in seen and ("ADDED", "second") in seen)
    following.cancel()
    assert seen == [("ADDED", "first"), ("DELETED", "first"), ("ADDED", "second")]


async def test_a_server_that_is_away_looks_away(
    proxy: FaultProxy, client: Kube, tmp_path: Path, cluster: ControlPlane
) -> None:
    tmp_path.joinpath("other").mkdir()
    nowhere = tmp_path / "nowhere"
    nowhere.write_text(cluster.kubeconfig.read_text().replace(cluster.server, "https://127.0.0.1:9"))
    async with FaultProxy(nowhere, tmp_path / "other") as lost, Kube(lost.kubeconfig) as other:
        with pytest.raises(KubeError, match="Unreachable"):
            await other.list("/api/v1/namespaces")
    assert await client.list("/api/v1/namespaces")


def test_a_fault_has_one_action() -> None:
    with pytest.raises(ValueError, match="exactly one"):
        Fault(status=500, drop=True)
