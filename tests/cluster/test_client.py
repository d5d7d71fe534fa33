"""The client and the reflector against a real API server, and against every way in which it can fail."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.support.polling import eventually
from tests.support.raw import create_raw

from mistral_operator.cluster import client as client_module
from mistral_operator.cluster import kinds
from mistral_operator.cluster.apply import Applier, NameTaken
from mistral_operator.cluster.capabilities import discover
from mistral_operator.cluster.client import ApiClient
from mistral_operator.cluster.connection import ConnectionSetupError
from mistral_operator.cluster.errors import (
    AlreadyExists,
    ApiError,
    Conflict,
    Expired,
    Forbidden,
    Invalid,
    NotFound,
    Throttled,
    Unavailable,
    Unreachable,
)
from mistral_operator.cluster.kinds import REVISION, SERVICE, Kind
from mistral_operator.cluster.reflector import Reflector
from mistral_operator.cluster.store import Key, Rules, Shelf, Store
from mistral_operator.manifests.identity import seal
from mistral_operator.sandbox.control_plane import ControlPlane
from mistral_operator.sandbox.faults import Fault, FaultProxy
from mistral_operator.sandbox.kube import Kube

CONFIG_MAP = Kind("v1", "ConfigMap", "configmaps")
MINE = "mine=yes"


def service(namespace: str, name: str = "one", port: int = 80, **metadata: Any) -> dict[str, Any]:
    labels = {"mine": "yes"}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace, "labels": labels, **metadata},
        "spec": {"selector": {"app": "x"}, "ports": [{"name": "http", "port": port}]},
    }


def deployment(namespace: str, env: list[dict[str, str]], **spec: Any) -> dict[str, Any]:
    container = {"name": "c", "image": "i", "env": env}
    labels = {"app": "x"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "one", "namespace": namespace},
        "spec": {"selector": {"matchLabels": labels}, "template": template, "replicas": 0, **spec},
    }


@pytest.fixture
async def client(cluster: ControlPlane) -> AsyncIterator[ApiClient]:
    connected = await ApiClient.connect(cluster.kubeconfig)
    yield connected
    await connected.close()


@pytest.fixture
async def proxy(cluster: ControlPlane, tmp_path: Path) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(cluster.kubeconfig, tmp_path) as running:
        yield running


@pytest.fixture
async def proxied(proxy: FaultProxy) -> AsyncIterator[ApiClient]:
    connected = await ApiClient.connect(proxy.kubeconfig)
    yield connected
    await connected.close()


async def test_verbs(client: ApiClient, namespace: str) -> None:
    assert await client.get(SERVICE, "one", namespace) is None
    made = await client.apply(service(namespace))
    assert (await client.get(SERVICE, "one", namespace) or {})["metadata"]["uid"] == made["metadata"]["uid"]
    again = await client.apply(service(namespace))
    assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
    with pytest.raises(AlreadyExists):
        await client.create(service(namespace))
    patched = await client.merge_patch(SERVICE, "one", namespace, {"metadata": {"labels": {"more": "yes"}}})
    assert patched["metadata"]["labels"]["more"] == "yes"
    with pytest.raises(Conflict):
        await client.replace(made)
    assert not await client.delete(SERVICE, "one", namespace, uid="00000000-0000-0000-0000-000000000000")
    assert await client.delete(SERVICE, "one", namespace, uid=made["metadata"]["uid"])
    assert not await client.delete(SERVICE, "one", namespace)
    with pytest.raises(NotFound):
        await client.merge_patch(SERVICE, "one", namespace, {"metadata": {}})


async def test_list_reads_all_pages_and_types_the_items(
    client: ApiClient, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "_PAGE", 2)
    for name in ("a", "b", "c", "d", "e"):
        await client.apply(service(namespace, name))
    listed = await client.list(SERVICE, namespace, label_selector=MINE)
    assert [(item["kind"], item["metadata"]["name"]) for item in listed.items] == [("Service", n) for n in "abcde"]
    assert int(listed.resource_version) > 0


async def test_schema_errors_are_permanent(client: ApiClient, namespace: str) -> None:
    """One comes as 400, one as 422 and two as 500, depending on who finds it."""
    twice = [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]
    for refused in (
        deployment(namespace, [], nope=1),
        deployment(namespace, [], replicas="many"),
        deployment(namespace, [], replicas=-1),
        deployment(namespace, twice),
    ):
        with pytest.raises(Invalid) as caught:
            await client.apply(refused)
        assert caught.value.permanent


async def test_a_strangers_object_is_never_taken_over(client: ApiClient, kube: Kube, namespace: str) -> None:
    owner = await kube.create(
        f"/api/v1/namespaces/{namespace}/configmaps",
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owner"}},
    )
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    ours = seal(service(namespace, port=8000, ownerReferences=[{**reference, "controller": True}]))
    await client.create(service(namespace, port=80), manager="stranger")
    applier = Applier(client, Store({SERVICE: Rules()}))
    with pytest.raises(NameTaken, match="Service one is already there"):
        await applier.apply_if_needed(ours)
    untouched = await client.get(SERVICE, "one", namespace)
    assert untouched is not None
    assert untouched["spec"]["ports"][0]["port"] == 80

    # One that somebody fills with endpoints by hand has nothing that could conflict.
    await client.delete(SERVICE, "one", namespace)
    by_hand = service(namespace)
    by_hand["spec"] = {"ports": [{"name": "web", "port": 9000}]}
    await client.create(by_hand, manager="stranger")
    with pytest.raises(NameTaken, match="Service one is already there"):
        await applier.apply_if_needed(ours)
    untouched = await client.get(SERVICE, "one", namespace)
    assert untouched is not None
    assert "selector" not in untouched["spec"]

    await client.delete(SERVICE, "one", namespace)
    assert await applier.apply_if_needed(ours)
    forgetful = Applier(client, Store({SERVICE: Rules()}))
    await client.merge_patch(SERVICE, "one", namespace, {"spec": {"selector": {"app": "other"}}})
    assert await forgetful.apply_if_needed(ours)
    mended = await client.get(SERVICE, "one", namespace)
    assert mended is not None
    assert mended["spec"]["selector"] == {"app": "x"}


async def test_applied_object_costs_nothing_until_it_drifts(
    proxied: ApiClient, proxy: FaultProxy, namespace: str
) -> None:
    store = Store({SERVICE: Rules()})
    manifest = seal(service(namespace))
    applier = Applier(proxied, store)
    assert await applier.apply_if_needed(manifest)
    proxy.forget()
    assert not await applier.apply_if_needed(manifest)
    assert not await Applier(proxied, store).apply_if_needed(manifest)
    assert proxy.requests == []
    drifted = await proxied.merge_patch(SERVICE, "one", namespace, {"spec": {"selector": {"app": "other"}}})
    store[SERVICE].put(drifted)
    assert await applier.apply_if_needed(manifest)
    assert (store[SERVICE].get(Key(namespace, "one")) or {})["spec"]["selector"] == {"app": "x"}


async def test_capabilities(client: ApiClient) -> None:
    found = await discover(client)
    assert found.has("apps", "v1")
    assert found.has("autoscaling", "v2")
    assert not found.has("apps", "v9")
    assert not found.custom_metrics


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault(status=403), Forbidden),
        (Fault(status=409), Conflict),
        (Fault(status=410), Expired),
        (Fault(status=429, headers={"Retry-After": "4"}), Throttled),
        (Fault(status=500), Unavailable),
        (Fault(status=503), Unavailable),
        (Fault(drop=True), Unreachable),
        (Fault(lose_answer=True), Unreachable),
        (Fault(hang_s=5), Unreachable),
        (Fault(status=500, message="failed to create typed patch object (a/b; v1, Kind=Service): .x"), Invalid),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
async def test_each_failure_has_its_class(
    proxied: ApiClient, proxy: FaultProxy, namespace: str, fault: Fault, expected: type[ApiError]
) -> None:
    proxied.timeout = aiohttp.ClientTimeout(total=1)
    seen: list[tuple[str, str, int]] = []
    proxied.after_request = lambda verb, plural, status, _seconds: seen.append((verb, plural, status))
    proxy.inject(fault)
    with pytest.raises(expected) as caught:
        await proxied.apply(service(namespace))
    assert type(caught.value) is expected
    assert seen == [("PATCH", "services", fault.status or 0)]
    assert caught.value.retry_after_s == (4 if fault.status == 429 else None)


async def test_expired_credentials_are_read_again(proxied: ApiClient, proxy: FaultProxy, namespace: str) -> None:
    proxy.inject(Fault(status=401, times=1))
    assert await proxied.get(SERVICE, "none", namespace) is None
    assert proxy.count("GET", "/services/none") == 2


async def test_no_way_to_a_cluster(tmp_path: Path) -> None:
    with pytest.raises(ConnectionSetupError):
        await ApiClient.connect(tmp_path / "missing")


@asynccontextmanager
async def reflecting(
    client: ApiClient, on_reconnect: Callable[[], None] = lambda: None, kind: Kind = CONFIG_MAP
) -> AsyncIterator[Shelf]:
    shelf = Shelf(kind, Rules())
    reflector = Reflector(client, shelf, label_selector=MINE, on_reconnect=on_reconnect)
    running = asyncio.create_task(reflector.run())
    try:
        async with asyncio.timeout(30):
            await reflector.synced.wait()
        yield shelf
        assert not running.done(), "a reflector never ends by itself"
    finally:
        running.cancel()


class Maps:
    """ConfigMaps in one namespace, changed behind the reflector's back."""

    def __init__(self, kube: Kube, namespace: str) -> None:
        self._kube = kube
        self._path = f"/api/v1/namespaces/{namespace}/configmaps"
        self._namespace = namespace

    async def make(self, name: str, **data: str) -> None:
        metadata = {"name": name, "labels": {"mine": "yes"}}
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
        await self._kube.create(self._path, body)

    async def remove(self, name: str) -> None:
        await self._kube.delete(f"{self._path}/{name}")

    def names(self, shelf: Shelf) -> set[str]:
        return {key.name for key in shelf.keys() if key.namespace == self._namespace}  # noqa: SIM118


@pytest.fixture
def maps(kube: Kube, namespace: str) -> Maps:
    return Maps(kube, namespace)


async def test_reflector_follows(client: ApiClient, maps: Maps) -> None:
    await maps.make("before")
    async with reflecting(client) as shelf:
        assert maps.names(shelf) == {"before"}
        await maps.make("after")
        await eventually(lambda: maps.names(shelf) == {"before", "after"})
        await maps.remove("before")
        await eventually(lambda: maps.names(shelf) == {"after"})


async def test_reflector_takes_in_the_longest_object_that_anybody_can_make(
    proxied: ApiClient, proxy: FaultProxy, maps: Maps
) -> None:
    """Each < takes six bytes in JSON, so that one line of the watch has 6 MB; the same watch goes on after it."""
    async with reflecting(proxied) as shelf:
        await eventually(lambda: proxy.count(path="/configmaps", watch=True) == 1)
        await maps.make("long", text="<" * 1_000_000)
        await maps.make("after")
        await eventually(lambda: maps.names(shelf) == {"long", "after"})
        assert proxy.count(path="/configmaps", watch=True) == 1


ODD_DATA = {
    "9,000 levels": b'{"a":' * 9000 + b"1" + b"}" * 9000,
    "half a character": rb'{"a": "\ud800"}',
    "no text": b'{"\xff": "\xfe"}',
}


@pytest.mark.parametrize("data", ODD_DATA.values(), ids=ODD_DATA)
async def test_reflector_takes_in_whatever_the_api_server_does(
    cluster: ControlPlane, client: ApiClient, namespace: str, data: bytes
) -> None:
    """Seen when it comes, and again by the list of a new process."""
    body = b'{"apiVersion": "apps/v1", "kind": "ControllerRevision", "revision": 1, "metadata": {"name": "odd"'
    body += b', "labels": {"mine": "yes"}}, "data": ' + data + b"}"
    async with reflecting(client, kind=REVISION) as shelf:
        await create_raw(cluster.kubeconfig, REVISION.path(namespace=namespace), body)
        await eventually(lambda: shelf.meta(Key(namespace, "odd")))
        async with reflecting(client, kind=REVISION) as again:
            found = again.get(Key(namespace, "odd"))
            assert found is not None
            assert found["metadata"]["labels"] == {"mine": "yes"}


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=403, path="/configmaps"),
        Fault(status=401, path="/configmaps"),
        Fault(status=429, path="/configmaps"),
        Fault(status=500, path="/configmaps"),
        Fault(drop=True, path="/configmaps"),
        Fault(hang_s=0.5, path="/configmaps"),
        Fault(status=410, watch=True),
        Fault(watch_error=410, watch=True),
        Fault(watch_error=500, watch=True),
        Fault(watch_error=410, path="/configmaps"),
    ],
    ids=["403", "401", "429", "500", "drop", "hang", "410", "410-event", "500-event", "nonsense-list"],
)
async def test_reflector_survives(proxied: ApiClient, proxy: FaultProxy, maps: Maps, fault: Fault) -> None:
    """And notices what came and what went while it could see nothing."""
    reconnected: list[bool] = []
    await maps.make("goes")
    async with reflecting(proxied, lambda: reconnected.append(True)) as shelf:
        await eventually(lambda: proxy.count(path="/configmaps", watch=True) == 1)
        struck = proxy.inject(fault)
        proxy.cut_watches()
        await eventually(lambda: struck.hits >= 2)
        await maps.remove("goes")
        await maps.make("comes")
        proxy.heal()
        await eventually(lambda: maps.names(shelf) == {"comes"})
        await eventually(lambda: reconnected)


async def test_reflector_survives_a_restarted_api_server(cluster: ControlPlane, client: ApiClient, maps: Maps) -> None:
    await maps.make("goes")
    async with reflecting(client) as shelf:
        await cluster.restart_api_server(kill=True)
        await maps.remove("goes")
        await maps.make("comes")
        await eventually(lambda: maps.names(shelf) == {"comes"})


def test_kind_paths() -> None:
    assert kinds.MODEL.path(namespace="a b") == (
        "/apis/serving.mistral-operator.dev/v1alpha1/namespaces/a%20b/mistralmodels"
    )
    assert kinds.POD.path() == "/api/v1/pods"
    assert kinds.CLAIM.path(namespace="ignored", name="x", subresource="status").endswith("/nodepoolclaims/x/status")
    with pytest.raises(LookupError, match="does not handle Secret"):
        kinds.kind_of({"apiVersion": "v1", "kind": "Secret"})
