"""The cluster and its node pools: what each call of the API does."""

import asyncio
import time
from typing import Any

import grpc
from google.cloud import container_v1

from . import rules
from .errors import Failure, RpcError, invalid, not_yet
from .fleet import Fleet
from .operations import Operations, Type
from .pace import Pace
from .pools import Instance, NodePoolPb, Pool, PoolStatus, group_url
from .scenario import ForeignPool, Scenario
from .stock import Shortage

ClusterPb = container_v1.Cluster.pb()
Condition = container_v1.StatusCondition.Code

SYSTEM_POOL = "default-pool"
UPDATABLE = (
    "labels",
    "taints",
    "resource_labels",
    "locations",
    "upgrade_settings",
    "node_drain_config",
    "tags",
    "gcfs_config",
)
IGNORED = ("project_id", "zone", "cluster_id", "node_pool_id", "name", "etag", "node_version", "image_type")


class Cloud:
    """One cluster, all of its pools, and the operations on them."""

    def __init__(self, scenario: Scenario, pace: Pace, fleet: Fleet, operations: Operations) -> None:
        self.scenario = scenario
        self.fleet = fleet
        self.operations = operations
        self.pools: dict[str, Pool] = {}
        self._pace = pace

    @property
    def name(self) -> str:
        s = self.scenario
        return f"projects/{s.project}/locations/{s.location}/clusters/{s.cluster}"

    def cluster(self) -> Any:
        """The cluster's message, pools included."""
        s = self.scenario
        return ClusterPb(
            name=s.cluster,
            location=s.location,
            zone=s.location,
            locations=s.zones,
            initial_cluster_version=s.version,
            current_master_version=s.version,
            current_node_version=s.version,
            status=container_v1.Cluster.Status.RUNNING,
            self_link=f"https://container.googleapis.com/v1/{self.name}",
            network="default",
            node_pools=[pool.message for pool in self.pools.values()],
            current_node_count=sum(pool.size() for pool in self.pools.values()),
            workload_identity_config={"workload_pool": f"{s.project}.svc.id.goog"},
        )

    def find(self, name: str) -> Pool:
        """Raises RpcError NOT_FOUND."""
        if name not in self.pools:
            raise RpcError(grpc.StatusCode.NOT_FOUND, f"Not found: {self.name}/nodePools/{name}.")
        return self.pools[name]

    async def open(self) -> None:
        """The pools that are there before anybody calls."""
        system = ForeignPool(SYSTEM_POOL, nodes=self.scenario.system_nodes)
        for foreign in (system, *self.scenario.foreign_pools):
            await self._open_pool(foreign)

    def create(self, requested: Any, failure: Failure | None) -> Any:
        """CreateNodePool. `failure`: the operation is to end like this."""
        message = rules.default_pool(requested, self.scenario)
        if message.name in self.pools:
            text = f"Already exists: {self.name}/nodePools/{message.name}."
            raise RpcError(grpc.StatusCode.ALREADY_EXISTS, text)
        rules.check_new_pool(self.scenario, message)
        self.operations.admit(message.name)
        pool = self._enter(message, PoolStatus.PROVISIONING)
        return self.operations.start(
            Type.CREATE_NODE_POOL,
            pool.name,
            lambda: self._create(pool, failure),
            lambda: _set_status(pool, PoolStatus.ERROR),
        )

    def update(self, request: Any, name: str, failure: Failure | None) -> Any:
        """UpdateNodePool: labels, taints, resource labels, zones and a few settings that change nothing here."""
        pool = self.find(name)
        given = [field.name for field, _ in request.ListFields() if field.name not in IGNORED]
        for field in given:
            if field not in UPDATABLE:
                raise not_yet(f"changing {field} of a node pool")
        if not given:
            raise invalid("Nothing to update: the request has no field to change.")
        if request.HasField("labels"):
            rules.check_labels(request.labels.labels)
        if request.HasField("taints"):
            rules.check_taints(request.taints.taints)
        if request.HasField("resource_labels"):
            rules.check_resource_labels(request.resource_labels.labels)
        rules.check_machine(self.scenario, pool.machine.name, list(request.locations) or pool.zones)
        return self._change(pool, lambda: self._update(pool, request), failure)

    def resize(self, name: str, per_zone: int, failure: Failure | None) -> Any:
        """SetNodePoolSize: so many nodes in each zone."""
        pool = self.find(name)
        rules.check_size(per_zone, pool.message)
        work = self._resize
        self.operations.admit(name)
        return self.operations.start(Type.SET_NODE_POOL_SIZE, name, lambda: _end(work(pool, per_zone), failure))

    def set_autoscaling(self, name: str, bounds: Any, failure: Failure | None) -> Any:
        """SetNodePoolAutoscaling."""
        pool = self.find(name)
        if bounds.enabled:
            rules.check_autoscaling(bounds)

        async def change() -> None:
            pool.message.autoscaling.CopyFrom(bounds)
            pool.message.autoscaling.location_policy = (
                bounds.location_policy or rules.default_pool(pool.message, self.scenario).autoscaling.location_policy
            )

        return self._change(pool, change, failure)

    def set_management(self, name: str, management: Any, failure: Failure | None) -> Any:
        """SetNodePoolManagement: remembered, without effect."""
        pool = self.find(name)

        async def change() -> None:
            pool.message.management.CopyFrom(management)

        return self._change(pool, change, failure, Type.SET_NODE_POOL_MANAGEMENT)

    def delete(self, name: str, failure: Failure | None) -> Any:
        """DeleteNodePool: pods are evicted, machines given back, then the pool goes."""
        pool = self.find(name)
        self.operations.admit(name)
        before = pool.message.status
        pool.message.status = PoolStatus.STOPPING
        return self.operations.start(
            Type.DELETE_NODE_POOL,
            name,
            lambda: self._delete(pool, before, failure),
            lambda: _set_status(pool, before),
        )

    async def refill(self, pool: Pool, zone: str) -> None:
        """An instance group of fixed size lost a machine: try until there is one again."""
        while self.pools.get(pool.name) is pool and not pool.deleting:
            shortage = await self.fleet.obtain(pool, self.fleet.place(pool, zone))
            if shortage is None:
                return
            await self._pace.wait(self.scenario.delays_s.resize_retry)

    def _enter(self, message: Any, status: Any) -> Pool:
        name = message.name
        message.status = status
        message.self_link = f"https://container.googleapis.com/v1/{self.name}/nodePools/{name}"
        message.etag = f"{time.time_ns():x}"
        managers = [
            group_url(self.scenario, name, zone).replace("instanceGroups", "instanceGroupManagers")
            for zone in message.locations
        ]
        message.instance_group_urls.extend(managers)
        self.pools[name] = Pool(message)
        return self.pools[name]

    async def _open_pool(self, foreign: ForeignPool) -> None:
        autoscaling = {"enabled": True, "total_max_node_count": foreign.max_nodes} if foreign.max_nodes else None
        message = NodePoolPb(
            name=foreign.name,
            locations=foreign.zones,
            config={
                "machine_type": foreign.machine_type,
                "spot": foreign.spot,
                "labels": dict(foreign.labels),
                "resource_labels": dict(foreign.resource_labels),
            },
            autoscaling=autoscaling,
        )
        machine = rules.check_machine(self.scenario, foreign.machine_type, foreign.zones)
        if machine.gpus:
            message.config.accelerators.add(accelerator_type=machine.accelerator, accelerator_count=machine.gpus)
        pool = self._enter(rules.default_pool(message, self.scenario), PoolStatus.RUNNING)
        zones = pool.zones
        await asyncio.gather(*(self.fleet.start_at_once(pool, zones[i % len(zones)]) for i in range(foreign.nodes)))

    def _change(self, pool: Pool, change: Any, failure: Failure | None, kind: Any = Type.UPDATE_CLUSTER) -> Any:
        self.operations.admit(pool.name)

        async def work() -> Failure | None:
            before = pool.message.status
            pool.message.status = PoolStatus.RECONCILING
            try:
                await self._pace.wait(self.scenario.delays_s.operation)
                if failure is None:
                    await change()
                    pool.message.etag = f"{time.time_ns():x}"
            finally:
                pool.message.status = before
            return failure

        return self.operations.start(kind, pool.name, work)

    async def _create(self, pool: Pool, failure: Failure | None) -> Failure | None:
        await self._pace.wait(self.scenario.delays_s.operation)
        failure = failure or await self._resize(pool, pool.message.initial_node_count)
        if failure is None:
            pool.message.status = PoolStatus.RUNNING
        elif not failure.condition:
            pool.message.status = PoolStatus.ERROR
            pool.message.status_message = failure.message
        return failure

    async def _update(self, pool: Pool, request: Any) -> None:
        config = pool.message.config
        if request.HasField("resource_labels"):
            _replace_map(config.resource_labels, request.resource_labels.labels)
        if request.HasField("labels"):
            _replace_map(config.labels, request.labels.labels)
        if request.HasField("taints"):
            del config.taints[:]
            config.taints.extend(request.taints.taints)
        if request.locations:
            await self._move(pool, list(request.locations))
        for instance in list(pool.instances.values()):
            await self.fleet.nodes.relabel(pool, instance)

    async def _move(self, pool: Pool, zones: list[str]) -> None:
        """Machines in zones that are given up go; a pool of fixed size gets as many in each new zone."""
        per_zone = max((pool.size(zone) for zone in pool.zones), default=0)
        del pool.message.locations[:]
        pool.message.locations.extend(zones)
        gone = [i for i in pool.instances.values() if i.zone not in zones]
        await asyncio.gather(*(self.fleet.remove(pool, i, self.scenario.delays_s.drain_limit) for i in gone))
        if not pool.autoscaled:
            await self._resize(pool, per_zone)

    async def _resize(self, pool: Pool, per_zone: int) -> Failure | None:
        """Bring every zone to this size; what can't be had until the time limit is a failure."""
        delays = self.scenario.delays_s
        surplus: list[Instance] = []
        for zone in pool.zones:
            there = [i for i in pool.instances.values() if i.zone == zone]
            surplus += there[per_zone:]
        await asyncio.gather(*(self.fleet.remove(pool, i, delays.drain_limit) for i in surplus))
        began_s = self._pace.now_s()
        while missing := [z for z in pool.zones for _ in range(per_zone - pool.size(z))]:
            placed = [self.fleet.place(pool, zone) for zone in missing]
            answers = await asyncio.gather(*(self.fleet.obtain(pool, instance) for instance in placed))
            lacking = [(i, s) for i, s in zip(placed, answers, strict=True) if s]
            waited_s = self._pace.now_s() - began_s
            # Quota is known at once; stock is asked for again and again.
            if any(s.code == "GCE_QUOTA_EXCEEDED" for _, s in lacking) or (
                lacking and waited_s > delays.resize_give_up
            ):
                return self._fall_short(pool, per_zone, waited_s, lacking)
            if lacking:
                await self._pace.wait(min(delays.resize_retry, delays.resize_give_up))
        await asyncio.gather(
            *(i.task for i in pool.instances.values() if i.task and not i.usable), return_exceptions=True
        )
        del pool.message.conditions[:]
        pool.message.status = PoolStatus.RUNNING
        pool.message.status_message = ""
        return None

    def _fall_short(
        self, pool: Pool, per_zone: int, waited_s: float, lacking: list[tuple[Instance, Shortage]]
    ) -> Failure:
        instance, shortage = lacking[0]
        expected = per_zone * len(pool.zones)
        text = (
            f"Not all instances running in IGM after {waited_s:.9f}s. Expected {expected}, running {pool.size()}, "
            f"transitioning {len(lacking)}. Current errors: [{shortage.code}]: "
            f"Instance '{instance.name}' creation failed: {shortage.text}"
        )
        if shortage.code == "GCE_QUOTA_EXCEEDED":
            text = f"Insufficient quota to satisfy the request: {text}"
        else:
            text = f"Google Compute Engine: {text}"
        pool.message.status = PoolStatus.RUNNING_WITH_ERROR if pool.size() else PoolStatus.ERROR
        pool.message.status_message = text
        del pool.message.conditions[:]
        pool.message.conditions.add(
            code=Condition[shortage.code], message=text, canonical_code=grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
        )
        return Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, text, shortage.code)

    async def _delete(self, pool: Pool, before: Any, failure: Failure | None) -> Failure | None:
        await self._pace.wait(self.scenario.delays_s.operation)
        if failure:
            pool.message.status = before
            return failure
        drain_s = self.scenario.delays_s.drain_limit
        await asyncio.gather(*(self.fleet.remove(pool, i, drain_s) for i in list(pool.instances.values())))
        while pool.instances:  # what the autoscaler was taking down already
            await self._pace.wait(1)
        del self.pools[pool.name]
        return None


async def _end(work: Any, failure: Failure | None) -> Failure | None:
    """Do the work; an error from the scenario outweighs what it says."""
    return failure or await work


def _set_status(pool: Pool, status: Any) -> None:
    pool.message.status = status


def _replace_map(target: Any, source: Any) -> None:
    target.clear()
    target.update(source)
