"""The cluster and its node pools: what each call of the API does."""

import asyncio
import time
from typing import Any

import grpc
from google.cloud import container_v1

from . import rules, tpu_rules
from .errors import Failure, RpcError, invalid, not_yet
from .fleet import Fleet
from .machines import MachineType
from .operations import Operations, Type
from .pace import Pace
from .policies import Policies
from .pools import Instance, InstanceState, LocationPolicy, NodePoolPb, Pool, PoolStatus, group_url
from .provisioning import Provisioner
from .scenario import ANY, ForeignPool, Scenario, ScenarioError

ClusterPb = container_v1.Cluster.pb()

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

    def __init__(
        self, scenario: Scenario, pace: Pace, fleet: Fleet, operations: Operations, policies: Policies
    ) -> None:
        self.scenario = scenario
        self.policies = policies
        self.fleet = fleet
        self.operations = operations
        self.pools: dict[str, Pool] = {}
        self.provisioner = Provisioner(scenario, pace, fleet, self.pools)
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

    def running(self, name: str) -> tuple[Pool, Instance] | None:
        """The first machine of a pool that runs; `*` means each pool with GPUs or TPUs."""
        for pool in self.pools.values():
            if pool.name == name or (name == ANY and pool.machine.devices):
                for instance in pool.instances.values():
                    if instance.state is InstanceState.RUNNING:
                        return pool, instance
        return None

    async def open(self) -> None:
        """The pools that are there before anybody calls. Raises ScenarioError for one that GKE wouldn't have."""
        system = ForeignPool(SYSTEM_POOL, nodes=self.scenario.system_nodes)
        for foreign in (system, *self.scenario.foreign_pools):
            try:
                await self._open_pool(foreign)
            except RpcError as error:
                raise ScenarioError(f"foreign_pools: {foreign.name}: {error.message}") from error

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
        rules.check_update(self.scenario, pool.message, request)
        return self._change(pool, lambda: self._update(pool, request), failure)

    def resize(self, name: str, per_zone: int, failure: Failure | None) -> Any:
        """SetNodePoolSize: so many nodes in each zone."""
        pool = self.find(name)
        rules.check_size(per_zone, pool.message)
        self.operations.admit(name)
        return self.operations.start(Type.SET_NODE_POOL_SIZE, name, lambda: self._resize(pool, per_zone, failure))

    def set_autoscaling(self, name: str, bounds: Any, failure: Failure | None) -> Any:
        """SetNodePoolAutoscaling."""
        pool = self.find(name)
        full = rules.default_bounds(bounds, pool.message)
        if full.enabled:
            rules.check_autoscaling(pool.message, full)

        async def change() -> None:
            pool.message.autoscaling.CopyFrom(full)

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
        machine = rules.check_machine(self.scenario, foreign.machine_type, foreign.zones)
        message = rules.default_pool(_foreign_message(foreign, machine), self.scenario)
        rules.check_shape(machine, message)
        pool = self._enter(message, PoolStatus.RUNNING)
        zones = pool.zones
        await asyncio.gather(*(self.fleet.start_at_once(pool, zones[i % len(zones)]) for i in range(foreign.nodes)))

    def _change(self, pool: Pool, change: Any, failure: Failure | None, kind: Any = Type.UPDATE_CLUSTER) -> Any:
        self.operations.admit(pool.name)

        async def work() -> Failure | None:
            async with pool.lock:
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
        failure = await self._resize(pool, pool.message.initial_node_count, failure)
        if failure is None:
            pool.message.status = PoolStatus.RUNNING
        elif not failure.condition:
            pool.message.status = PoolStatus.ERROR
            pool.message.status_message = failure.message
        return failure

    async def _resize(self, pool: Pool, per_zone: int, failure: Failure | None) -> Failure | None:
        async with pool.lock:
            return failure or await self.provisioner.resize(pool, per_zone)

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
            await self.provisioner.resize(pool, per_zone)

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


def _foreign_message(foreign: ForeignPool, machine: MachineType) -> Any:
    message = NodePoolPb(
        name=foreign.name,
        locations=foreign.zones,
        config={
            "machine_type": foreign.machine_type,
            "spot": foreign.spot,
            "labels": dict(foreign.labels),
            "resource_labels": dict(foreign.resource_labels),
        },
    )
    if machine.gpus:
        message.config.accelerators.add(accelerator_type=machine.accelerator, accelerator_count=machine.gpus)
    bounds: dict[str, Any] = {"total_max_node_count": foreign.max_nodes}
    if foreign.topology:
        message.placement_policy.type_ = tpu_rules.PlacementType.COMPACT
        message.placement_policy.tpu_topology = foreign.topology
        message.initial_node_count = foreign.nodes
        bounds = {"max_node_count": foreign.max_nodes, "location_policy": LocationPolicy.ANY}
    if foreign.max_nodes:
        message.MergeFrom(NodePoolPb(autoscaling={"enabled": True, **bounds}))
    return message


def _set_status(pool: Pool, status: Any) -> None:
    pool.message.status = status


def _replace_map(target: Any, source: Any) -> None:
    target.clear()
    target.update(source)
