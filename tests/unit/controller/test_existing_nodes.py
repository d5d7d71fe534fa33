"""Nodes that the operator didn't make: watched by label, counted once, told of when they change."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from tests.support.node_cases import a_node, gke_labels
from tests.support.polling import eventually

from mistral_operator.cluster.client import ApiClient, ListResult
from mistral_operator.controller import existing_nodes
from mistral_operator.controller.existing_nodes import ExistingNodes

Json = dict[str, Any]


class Nodes:
    """A stand-in for the API server's nodes: lists by one label key, and watches that end when something changes."""

    def __init__(self) -> None:
        self.version = 1
        self.by_name: dict[str, Json] = {}
        self.lists: list[str] = []
        self._events: dict[str, asyncio.Queue[Any]] = {}

    def put(self, node: Json) -> None:
        self.version += 1
        node["metadata"]["resourceVersion"] = str(self.version)
        self.by_name[node["metadata"]["name"]] = node
        for label, events in self._events.items():
            if label in node["metadata"]["labels"]:
                events.put_nowait(("MODIFIED", node))

    def remove(self, name: str) -> None:
        self.version += 1
        node = self.by_name.pop(name)
        gone = {**node, "metadata": {**node["metadata"], "resourceVersion": str(self.version)}}
        for label, events in self._events.items():
            if label in node["metadata"]["labels"]:
                events.put_nowait(("DELETED", gone))

    async def pages(self, _kind: Any, *, label_selector: str, field_selector: str) -> AsyncIterator[ListResult]:
        self.lists.append(label_selector)
        self._events[label_selector] = asyncio.Queue()
        found = tuple(node for node in self.by_name.values() if label_selector in node["metadata"]["labels"])
        yield ListResult(found, str(self.version))

    async def watch(self, _kind: Any, _version: str, *, label_selector: str, field_selector: str) -> AsyncIterator[Any]:
        while True:
            kind, node = await self._events[label_selector].get()
            yield _Event(kind, node)


class _Event:
    def __init__(self, kind: str, node: Json) -> None:
        self.type, self.object = kind, node


@pytest.fixture
async def followed(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Nodes, ExistingNodes, list[str]]]:
    monkeypatch.setattr(existing_nodes, "_COALESCE_S", 0.01)
    server, told = Nodes(), list[str]()
    server.put(a_node("a"))
    watched = ExistingNodes(cast("ApiClient", server))
    running = [asyncio.create_task(reflector.run()) for reflector in watched.reflectors]
    await asyncio.gather(*(reflector.synced.wait() for reflector in watched.reflectors))
    running.append(asyncio.create_task(watched.follow(lambda: told.append("nodes"), lambda: told.append("kinds"))))
    yield server, watched, told
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


async def test_each_label_is_listed_once_and_nothing_else(followed: tuple[Nodes, ExistingNodes, list[str]]) -> None:
    server, watched, _ = followed
    assert sorted(server.lists) == [
        "cloud.google.com/gke-accelerator",
        "cloud.google.com/gke-tpu-accelerator",
        "nvidia.com/gpu.product",
        "serving.mistral-operator.dev/accelerator",
    ]
    assert [node.name for node in watched.nodes] == ["a"]
    assert [group.machine_type for group in watched.groups] == ["g2-standard-12"]


async def test_a_node_with_two_of_the_labels_counts_once(followed: tuple[Nodes, ExistingNodes, list[str]]) -> None:
    server, watched, _ = followed
    server.put(a_node("b", gke_labels(**{"nvidia.com/gpu.product": "NVIDIA-L4"})))

    async def two() -> bool:
        return len(watched.nodes) == 2

    await eventually(two, message="the node is known")
    server.remove("b")

    async def one() -> bool:
        return len(watched.nodes) == 1

    await eventually(one, message="it is forgotten")


async def test_other_kinds_are_told_apart_from_more_of_the_same(
    followed: tuple[Nodes, ExistingNodes, list[str]],
) -> None:
    server, _, told = followed

    async def hears(what: str) -> None:
        async def heard() -> bool:
            return what in told

        await eventually(heard, message=f"{what} are told of")

    await hears("nodes")
    told.clear()
    server.put(a_node("a", devices=0))
    await hears("kinds")
    told.clear()
    server.put(a_node("a", devices=0, ready=False))
    await hears("nodes")
    assert "kinds" not in told
    told.clear()
    server.put({**a_node("a", devices=0, ready=False), "spec": {"taints": [], "podCIDR": "10.0.0.0/24"}})
    await hears("nodes")


def test_heartbeats_change_nothing() -> None:
    slim, beat = existing_nodes._slim, a_node("a")
    beat["status"]["conditions"][0]["lastHeartbeatTime"] = "2026-11-26T12:00:00Z"
    assert slim(beat) == slim(a_node("a"))
