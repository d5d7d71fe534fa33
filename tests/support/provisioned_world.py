"""The claim reconciler with a provisioner's own adapter, and what that adapter is in front of: one harness for each.

The API server is the stand-in of `claim_world`; what answers the adapter is the simulated GKE, or a stand-in that the
provisioner's own tests use. Time is the claims' own clock: the cloud's runs beside it, much faster than a real one.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, ClassVar

from tests.support.claim_cases import NAME, claim_body
from tests.support.claim_world import Kills, World

from mistral_operator.capacity.cloud import CloudPools
from mistral_operator.capacity.existing import ExistingNode
from mistral_operator.capacity.pools import NodeFacts
from mistral_operator.capacity.port import (
    Bounds,
    ClusterView,
    Mend,
    NodePools,
    OperationView,
    PoolRepairs,
    PoolSpec,
    PoolView,
)
from mistral_operator.cluster.kinds import CLAIM
from mistral_operator.cluster.store import Key
from mistral_operator.controller.claims import ClaimReconciler
from mistral_operator.controller.orphans import OrphanWatch
from mistral_operator.planning.types import Provisioner

Json = dict[str, Any]
STRANGER = "batch"
TICK_S = 0.005
"""Real time for a cloud that works beside the claims' clock, at each look."""


class Watched:
    """A port that writes down its calls, and where the process may end before or after each change."""

    def __init__(self, port: NodePools, kills: Kills) -> None:
        self._port = port
        self._kills = kills
        self.calls: list[str] = []
        self.before_delete: Callable[[str], Awaitable[None]] | None = None
        """What others do with the pool between a look and its deletion."""

    async def describe_cluster(self) -> ClusterView:
        return await self._port.describe_cluster()

    async def list_pools(self) -> tuple[PoolView, ...]:
        self.calls.append("list")
        return await self._port.list_pools()

    async def create_pool(self, spec: PoolSpec) -> OperationView:
        return await self._change("create", lambda: self._port.create_pool(spec))

    async def set_autoscaling(self, name: str, bounds: Bounds) -> OperationView:
        return await self._change("resize", lambda: self._port.set_autoscaling(name, bounds))

    async def delete_pool(self, name: str, uid: str = "") -> OperationView:
        if self.before_delete is not None:
            await self.before_delete(name)
        return await self._change("delete", lambda: self._port.delete_pool(name, uid))

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


class WatchedRepairs(Watched):
    """The same of a provisioner that puts pools right."""

    def __init__(self, port: NodePools, kills: Kills) -> None:
        super().__init__(port, kills)
        assert isinstance(port, PoolRepairs)
        self._repairs = port

    @property
    def mends(self) -> frozenset[type[Mend]]:
        return self._repairs.mends

    async def mend_pool(self, name: str, mend: Mend) -> OperationView:
        return await self._change("mend", lambda: self._repairs.mend_pool(name, mend))


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
    has_uids: ClassVar[bool] = False
    """Whether what is made is told from another of the same name."""
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

    async def usurp(self, name: str) -> None:
        """Ours goes and somebody else's takes its name; only asked of what `has_uids`."""
        raise NotImplementedError

    async def spoil(self) -> int:
        """Somebody changes what can be put right of what was made: so many things."""
        return 0

    async def kept(self) -> Any:
        """What of it should stay as it is."""
        return None

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
