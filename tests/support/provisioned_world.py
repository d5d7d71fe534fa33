"""The claim reconciler with a provisioner's own adapter, and what that adapter is in front of: one harness for each.

The API server is the stand-in of `claim_world`; what answers the adapter is the simulated GKE, or a stand-in that the
provisioner's own tests use. Time is the claims' own clock: the cloud's runs beside it, much faster than a real one.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import Any, ClassVar

from tests.support.claim_cases import NAME, POOL, claim_body
from tests.support.claim_world import Kills, World
from tests.support.node_cases import a_node
from tests.support.simulated_gke import Gke, l4_pool, running_gke

from mistral_operator.capacity.cloud import CloudPools
from mistral_operator.capacity.container_api import ContainerApi
from mistral_operator.capacity.existing import ExistingNode
from mistral_operator.capacity.pools import NodeFacts
from mistral_operator.capacity.port import Bounds, ClusterView, NodePools, OperationView, PoolSpec, PoolView
from mistral_operator.cluster.kinds import CLAIM
from mistral_operator.cluster.store import Key
from mistral_operator.controller.claims import ClaimReconciler
from mistral_operator.controller.existing_nodes import read_node
from mistral_operator.controller.orphans import OrphanWatch
from mistral_operator.planning.types import Provisioner
from mistral_operator.sandbox.gke.scenario import Fault

Json = dict[str, Any]
STRANGER = "batch"
DEFAULT_POOL = "default-pool"
TICK_S = 0.005
"""Real time for a cloud that works beside the claims' clock, at each look."""


class Watched:
    """A port that writes down its calls, and where the process may end before or after each change."""

    def __init__(self, port: NodePools, kills: Kills) -> None:
        self._port = port
        self._kills = kills
        self.calls: list[str] = []

    async def describe_cluster(self) -> ClusterView:
        return await self._port.describe_cluster()

    async def list_pools(self) -> tuple[PoolView, ...]:
        self.calls.append("list")
        return await self._port.list_pools()

    async def create_pool(self, spec: PoolSpec) -> OperationView:
        return await self._change("create", lambda: self._port.create_pool(spec))

    async def set_autoscaling(self, name: str, bounds: Bounds) -> OperationView:
        return await self._change("resize", lambda: self._port.set_autoscaling(name, bounds))

    async def delete_pool(self, name: str) -> OperationView:
        return await self._change("delete", lambda: self._port.delete_pool(name))

    async def get_operation(self, name: str) -> OperationView:
        self.calls.append("get")
        return await self._port.get_operation(name)

    async def close(self) -> None:
        await self._port.close()

    async def _change(self, call: str, begin: Callable[[], Any]) -> OperationView:
        self.calls.append(call)
        self._kills.about_to()
        view: OperationView = await begin()
        self._kills.did()
        return view


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why the provisioner can't serve a claim for now, and what the claim says then."""

    reason: str
    words: str
    """A part of the message: the cloud's own text, or the figures."""
    raise_: Callable[[], None]
    remove: Callable[[], None]


class Harness(ABC):
    """What the suite needs of one provisioner's surroundings."""

    provisioner: ClassVar[Provisioner]
    makes_pools: ClassVar[bool] = True
    has_bounds: ClassVar[bool] = True
    terms: ClassVar[Mapping[str, Any]] = {}
    """What the claim's spec says beside what all claims do."""
    impossible: ClassVar[tuple[Mapping[str, Any], ...]] = ()
    """Terms of claims that it can't serve, whatever the cloud has."""

    def __init__(self) -> None:
        self.kills = Kills()
        self.port: Watched | None = None

    @abstractmethod
    async def own(self) -> set[str]:
        """Names of what was made for claims, as the cloud has it."""

    @abstractmethod
    async def bounds(self) -> int | None:
        """The most nodes that what was made may grow to; None where nothing bounds it."""

    @abstractmethod
    async def put_stranger(self, name: str) -> None:
        """Somebody else's, of that name."""

    @abstractmethod
    async def has_stranger(self, name: str) -> bool:
        """Whether it is there as it was."""

    @abstractmethod
    def obstacles(self) -> dict[str, Obstacle]:
        """What can be in the way: `stock-out`, `quota`, `permission`, or others of its own."""

    @abstractmethod
    def lose_answer(self) -> None:
        """Let the next create take effect without an answer; nothing where none is ever asked for one."""

    @property
    def nodes(self) -> tuple[ExistingNode, ...]:
        """Nodes that are there, for provisioners that make none."""
        return ()


class ProvisionedWorld(World):
    """`claim_world.World` in front of a harness."""

    def __init__(self, harness: Harness) -> None:
        self.harness = harness
        super().__init__(kills=harness.kills, provisioners=(harness.provisioner,))

    def start(self) -> None:
        """A new process, which remembers nothing."""
        self.cluster.restart_store()
        port, clock = self.harness.port, lambda: self.clock_s
        pools = port and CloudPools(port, pace=self.pace, clock=clock, now=self.now, rng=Random(7))
        self.clouds = {self.harness.provisioner: pools} if pools else {}
        self.reconciler = ClaimReconciler(
            client=self.cluster,
            store=self.cluster.store,
            clouds=self.clouds,
            settings=self.settings,
            wake=lambda _name: None,
            facts=lambda _: NodeFacts(accelerator_memory_gib=24),
            existing=None if pools else lambda: self.harness.nodes,
            now=self.now,
        )

    def apply_claim(self, name: str = NAME, **terms: Any) -> None:
        if (CLAIM, Key("", name)) not in self.cluster.objects:
            self.cluster.put(CLAIM, claim_body(name, finalizers=[], terms={**self.harness.terms, **terms}))

    async def step(self) -> float | None:
        """One look, and a moment for the cloud."""
        await asyncio.sleep(TICK_S)
        return await super().step()

    async def settle(self, *, for_s: float = 0.0, steps: int = 400) -> None:
        """As ever, with as many looks as a cloud needs that works beside."""
        await super().settle(for_s=for_s, steps=steps)

    async def find_orphans(self) -> list[str]:
        """One look for what has lost its claim."""
        found: list[str] = []
        await OrphanWatch(self.cluster.store, self.clouds, found=found.append, count=lambda _: None).look()
        return found

    @property
    def calls(self) -> list[str]:
        """What was asked of the cloud."""
        return self.harness.port.calls if self.harness.port else []


class GkeHarness(Harness):
    """What ends in the simulated GKE, whichever way it gets there."""

    gke: Gke

    async def own(self) -> set[str]:
        return set(await self.gke.names()) - {DEFAULT_POOL} - await self._strangers()

    async def bounds(self) -> int | None:
        return int((await self.gke.pool(POOL)).autoscaling.total_max_node_count)

    async def put_stranger(self, name: str) -> None:
        await self.gke.done(await self.gke.create(**l4_pool(name=name, config={"resource_labels": {"team": "x"}})))

    async def has_stranger(self, name: str) -> bool:
        return name in await self._strangers()

    async def _strangers(self) -> set[str]:
        names = await self.gke.names()
        pools = [await self.gke.pool(name) for name in names]
        return {pool.name for pool in pools if pool.config.resource_labels.get("team") == "x"}

    def obstacles(self) -> dict[str, Obstacle]:
        stock_out = "[GCE_STOCKOUT] The zone 'us-central1-a' does not have enough resources available."
        quota = "Quota 'NVIDIA_L4_GPUS' exceeded.  Limit: 1.0 in region us-central1."
        denied = 'Required "container.clusters.update" permission(s) for the project.'
        return {
            "stock-out": self._fail("StockedOut", stock_out, in_operation=True, code="RESOURCE_EXHAUSTED"),
            "quota": self._fail("QuotaExceeded", quota, in_operation=True, code="RESOURCE_EXHAUSTED"),
            "permission": self._fail("PermissionDenied", denied, code="PERMISSION_DENIED"),
        }

    def _fail(self, reason: str, text: str, **how: Any) -> Obstacle:
        fault = Fault(rpc="CreateNodePool", message=text, **how)
        faults = self.gke.api.faults
        return Obstacle(reason, text, lambda: faults.add(fault), faults.clear)


class ContainerApiHarness(GkeHarness):
    """Google's client, as it is, against the simulated GKE."""

    provisioner = Provisioner.CONTAINER_API
    impossible = (
        {"consumption": "Reservation"},
        {
            "consumption": "FlexStart",
            "slice": {"group": "g", "number": 0},
            "shape": {
                "machineType": "ct6e-standard-4t",
                "accelerator": {"type": "tpu-v6e-slice", "count": 4},
                "topology": "4x4",
                "hosts": 4,
            },
        },
    )

    def lose_answer(self) -> None:
        self.gke.api.faults.add(Fault(rpc="CreateNodePool", calls=(1,), code="UNAVAILABLE", lost_response=True))


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
        self._strangers: dict[str, Json] = {}

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
        self._strangers[name] = read_node(node).labels  # type: ignore[assignment]

    async def has_stranger(self, name: str) -> bool:
        return read_node(self.there[name]).labels == self._strangers[name]

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
async def container_api() -> AsyncIterator[Harness]:
    """ContainerAPI against a simulated GKE."""
    harness = ContainerApiHarness()
    async with running_gke() as gke:
        endpoint = f"http://{gke.api.address}"
        client = ContainerApi(project="sandbox-project", location="us-central1", cluster="sandbox", endpoint=endpoint)
        async with client:
            harness.gke, harness.port = gke, Watched(client, harness.kills)
            yield harness


@asynccontextmanager
async def existing() -> AsyncIterator[Harness]:
    """Existing on one node."""
    yield ExistingHarness()


HARNESSES = {Provisioner.CONTAINER_API: container_api, Provisioner.EXISTING: existing}
