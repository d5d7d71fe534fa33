"""The simulated GKE, put together: the gRPC service, the machines, the autoscaler and the control API."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Self

import grpc

from mistral_operator.sandbox.compute.server import ComputeApi
from mistral_operator.sandbox.kube import Kube

from .actions import Actions, NoNodeError
from .autoscaler import Autoscaler
from .cloud import Cloud
from .control import ControlApi
from .errors import RpcError
from .events import EventWriter
from .faults import Faults
from .fleet import Fleet, NodePort
from .inventory import Inventory
from .nodes import KubeNodes
from .operations import Operations
from .pace import Pace
from .policies import Policies
from .pools import Instance, Pool
from .scenario import Scenario, Step
from .server import ClusterManager
from .stock import Warehouse
from .upgrades import Upgrades

log = logging.getLogger(__name__)

WAITED_OUT = (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.NOT_FOUND)
"""Answers to a step of the timeline that may be others a second later."""
Loss = Callable[[Pool, Instance], Awaitable[bool]]
"""A way to lose a machine; False: somebody else took it away."""


class GkeApi:
    """The cloud's half: API, pools and machines, whose nodes go wherever `nodes` puts them. Needs no API server."""

    def __init__(self, scenario: Scenario, nodes: NodePort, speed: float = 1.0) -> None:
        self.pace = Pace(speed)
        s = scenario
        self.warehouse = Warehouse(s.project, s.stock, s.quota, s.reservations, s.gpus_all_regions, s.instance_errors)
        self.fleet = Fleet(scenario, self.pace, self.warehouse, nodes)
        self.operations = Operations(scenario, self.pace)
        self.policies = Policies(scenario, self._users_of_policy)
        self.inventory = Inventory(scenario, self.warehouse, self.policies)
        self.cloud = Cloud(scenario, self.pace, self.fleet, self.operations, self.policies)
        # Not the fleet's generator: names of nodes must not depend on how many calls there were.
        self.faults = Faults(scenario.faults, Random(scenario.seed))
        self.manager = ClusterManager(self.cloud, self.faults, self.pace)
        self.compute = ComputeApi(self.inventory, self.faults, frozenset(scenario.denied_permissions))
        self.upgrades = Upgrades(self.cloud, self.pace)
        self.actions = Actions(self)
        self.autoscaler: Autoscaler | None = None
        self.address = ""
        self._scenario = scenario
        self.fleet.on_expiry = self._expire

    async def __aenter__(self) -> Self:
        await self.cloud.open()
        self.address = await self.manager.start()
        await self.compute.start()
        for exclusion in self._scenario.maintenance_exclusions:
            self.upgrades.exclude(exclusion)
        for error in self._scenario.host_errors:
            self.fleet.spawn(self._happen(Step(error.after, "host-error", {"pool": error.pool})))
        for step in self._scenario.timeline:
            self.fleet.spawn(self._happen(step))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.manager.stop()
        await self.compute.stop()
        await self.operations.close()
        await self.fleet.close()

    async def lose(self, pool: Pool, instance: Instance, loss: Loss) -> None:
        """A machine goes, by one of the fleet's ways; its instance group asks for another one, a slice is repaired."""
        if not await loss(pool, instance):
            return
        if pool.deleting or self.cloud.pools.get(pool.name) is not pool:
            return
        if pool.flex_start:
            # Nothing repairs them. What is left of a slice is of no use, and in the way of a new one.
            rest = list(pool.instances.values()) if pool.slice_hosts else []
            await asyncio.gather(*(self.fleet.remove(pool, instance) for instance in rest))
        elif pool.slice_hosts:
            self.fleet.spawn(self.cloud.provisioner.repair(pool))
        elif pool.autoscaled and self.autoscaler:
            self.autoscaler.lost(pool, instance.zone)
        else:
            self.fleet.spawn(self.cloud.provisioner.refill(pool, instance.zone))

    async def _expire(self, pool: Pool, instance: Instance) -> None:
        await self.lose(pool, instance, self.fleet.reclaim)

    def _users_of_policy(self, name: str) -> list[str]:
        """The instance groups that are placed by it, in Compute Engine's words."""
        return [
            url.partition("/compute/v1/")[2]
            for pool in self.cloud.pools.values()
            for url in pool.message.instance_group_urls
            if pool.message.placement_policy.policy_name.rsplit("/", 1)[-1] == name
        ]

    async def _happen(self, step: Step) -> None:
        """Do it at its time, or as soon as there is a machine for it and the cluster isn't busy."""
        await self.pace.wait(step.at)
        while True:
            try:
                self.actions.do(step.do, step.body)
                return
            except NoNodeError:
                await self.pace.wait(1)
            except RpcError as error:
                if error.code not in WAITED_OUT:
                    log.warning("a step of the scenario's timeline is refused: %s: %s", step.do, error)
                    return
                await self.pace.wait(1)


class SimulatedGke:
    """A GKE over the API server of `kubeconfig`. `address` is gRPC's `host:port`, `control_url` the tests' HTTP API.

    `compute_url` is where Compute Engine's REST calls are answered.

    `inventory` reads quotas, reservations and workload policies once it runs.

    `speed` divides every delay of the scenario. Everything lives in memory and ends with this context.
    `compute_classes`: the API server serves their kind, so pools are made for them.
    """

    def __init__(
        self, kubeconfig: Path, scenario: Scenario, speed: float = 1.0, *, compute_classes: bool = False
    ) -> None:
        self._kubeconfig = kubeconfig
        self._compute_classes = compute_classes
        self._scenario = scenario
        self._speed = speed
        self._stack = AsyncExitStack()
        self.address = ""
        self.control_url = ""
        self.compute_url = ""
        self.inventory: Inventory | None = None

    async def __aenter__(self) -> Self:
        try:
            await self._open()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _open(self) -> None:
        kube = await self._stack.enter_async_context(Kube(self._kubeconfig))
        nodes = KubeNodes(kube, self._scenario)
        api = await self._stack.enter_async_context(GkeApi(self._scenario, nodes, self._speed))
        self.inventory = api.inventory
        events = EventWriter(kube, api.pace)
        api.autoscaler = Autoscaler(api.cloud, kube, nodes, events, api.pace)
        control = ControlApi(api)
        self.control_url = await control.start()
        self._stack.push_async_callback(control.stop)
        self.address, self.compute_url = api.address, api.compute.url
        works = [nodes.run(), events.run(), api.autoscaler.watch(), api.autoscaler.run()]
        if self._compute_classes:
            works.append(api.autoscaler.watch_classes())
        for work in works:
            self._stack.push_async_callback(_cancel, asyncio.create_task(work))


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
