"""Existing, in front of nodes in memory."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, ClassVar

from tests.support.node_cases import a_node
from tests.support.provisioned_world import Harness, Obstacle

from mistral_operator.capacity.claims.existing import ExistingNode
from mistral_operator.controller.existing_nodes import read_node
from mistral_operator.planning.types import Provisioner

Json = dict[str, Any]


class ExistingHarness(Harness):
    """Nodes in memory. Whatever is asked of a cloud would fail, because there is none."""

    provisioner = Provisioner.EXISTING
    makes_pools = has_bounds = False
    terms: ClassVar[Mapping[str, Any]] = {
        "provisioner": "Existing",
        "zones": [],
        "nodes": {
            "selector": {"cloud.google.com/gke-accelerator": "nvidia-l4"},
            "requests": {"cpu": "10", "memory": "40Gi", "nvidia.com/gpu": "1"},
        },
    }
    impossible = ({"slice": {"group": "g", "number": 0}}, {"nodes": None})

    def __init__(self) -> None:
        super().__init__()
        self.there: dict[str, Json] = {"node-1": a_node("node-1")}
        self._labels: dict[str, Mapping[str, str]] = {}

    @property
    def nodes(self) -> tuple[ExistingNode, ...]:
        return tuple(read_node(node) for node in self.there.values())

    async def own(self) -> set[str]:
        return set()

    async def bounds(self) -> int | None:
        return None

    async def put_stranger(self, name: str) -> None:
        """A node of a pool that was made for another claim."""
        node = a_node(name)
        node["metadata"]["labels"]["serving.mistral-operator.dev/shape"] = "g2-standard-12-od-9876543210"
        self.there = {name: node}
        self._labels[name] = read_node(node).labels

    async def has_stranger(self, name: str) -> bool:
        return read_node(self.there[name]).labels == self._labels[name]

    def lose_answer(self) -> None:
        assert self.port is None

    def obstacles(self) -> dict[str, Obstacle]:
        def swap(nodes: dict[str, Json]) -> Callable[[], None]:
            return lambda: setattr(self, "there", nodes)

        good = self.there
        small = {"node-1": a_node("node-1", memory="20Gi")}
        taken = "leaves memory 20Gi to pods, and one asks for 40Gi"
        return {
            "stock-out": Obstacle("NoNodesMatch", "No node has cloud.google.com/gke-accelerator", swap({}), swap(good)),
            "too small": Obstacle("NodesDontFit", taken, swap(small), swap(good)),
        }


@asynccontextmanager
async def existing() -> AsyncIterator[Harness]:
    """Existing on one node."""
    yield ExistingHarness()
