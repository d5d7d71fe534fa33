"""The cluster and its node pools: what each call of the API does."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import grpc
from google.cloud import container_v1

from . import changes, rules, tpu_rules
from .errors import UNHARMED, Failure, Fate, RpcError
from .fleet import Fleet
from .machines import MachineType
from .mode_rules import RESERVATION_KEY, check_management
from .operations import CLUSTER, Operations, Type
from .pace import Pace
from .placement import resolve_placement, unsupported_placement
from .policies import Policies
from .pools import Affinity, Instance, InstanceState, LocationPolicy, NodePoolPb, Pool, PoolStatus, group_url
from .provisioning import Provisioner
from .scenario import ANY, ForeignPool, Scenario, ScenarioError
from .upgrade_rules import check_auto_upgrade

ClusterPb = container_v1.Cluster.pb()
MaintenancePb = container_v1.MaintenancePolicy.pb()

SYSTEM_POOL = "default-pool"
Change = Callable[[], Awaitable[Failure | None]]


class Cloud:
    """One cluster, all of its pools, and the operations on them."""

    def __init__(
        self, scenario: Scenario, pace: Pace, fleet: Fleet, operations: Operations, policies: Policies
    ) -> None:
        self.scenario = scenario
        self.policies = policies
        self.fleet = fleet
        self.operations = operations
        self.maintenance = MaintenancePb()
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
            release_channel={"channel": s.release_channel or "UNSPECIFIED"},
            status=container_v1.Cluster.Status.RUNNING,
            self_link=f"https://container.googleapis.com/v1/{self.name}",
            network="default",
            node_pools=[pool.message for pool in self.pools.values()],
            current_node_count=sum(pool.size() for pool in self.pools.values()),
            maintenance_policy=self.maintenance,
            workload_identity_config={"workload_pool": f"{s.project}.svc.id.goog"},
            autopilot={"enabled": s.autopilot},
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

    def create(self, requested: Any, fate: Fate = UNHARMED) -> Any:
        """CreateNodePool. `fate`: what is to become of the operation."""
        message = rules.default_pool(requested, self.scenario)
        if message.name in self.pools:
            text = f"Already exists: {self.name}/nodePools/{message.name}."
            raise RpcError(grpc.StatusCode.ALREADY_EXISTS, text)
        resolve_placement(message, self.policies)
        rules.check_new_pool(self.scenario, message)
        self.operations.admit(message.name)
        pool = self._enter(message, PoolStatus.PROVISIONING)
        return self.operations.start(
            Type.CREATE_NODE_POOL,
            pool.name,
            lambda: self._create(pool, fate.early),
            lambda: _set_status(pool, PoolStatus.ERROR),
            fate,
        )

    def update(self, request: Any, name: str, fate: Fate = UNHARMED) -> Any:
        """UpdateNodePool: another version, or other machines, labels, taints, resource labels, zones and settings."""
        pool = self.find(name)
        if request.node_version not in ("", pool.message.version):
            rules.check_version(self.scenario, pool.machine, request.node_version)
            return self.upgrade(pool, request.node_version, Type.UPGRADE_NODES, fate)
        changes.check_fields(request)
        rules.check_update(self.scenario, pool.message, request)
        if changes.rebuilds(request):
            rules.check_new_pool(self.scenario, changes.applied(request, pool.message))
        return self._change(pool, lambda: self._update(pool, request), fate)

    def resize(self, name: str, per_zone: int, fate: Fate = UNHARMED) -> Any:
        """SetNodePoolSize: so many nodes in each zone."""
        pool = self.find(name)
        rules.check_size(per_zone, pool.message)
        self.operations.admit(name)
        return self.operations.start(
            Type.SET_NODE_POOL_SIZE, name, lambda: self._resize(pool, per_zone, fate.early), fate=fate
        )

    def upgrade(self, pool: Pool, version: str, kind: Any, fate: Fate = UNHARMED) -> Any:
        """Make the pool's machines again with another version. `kind`: UPGRADE_NODES or AUTO_UPGRADE_NODES."""
        self.operations.admit(pool.name)

        async def work() -> Failure | None:
            async with pool.lock:
                return fate.early or await self.provisioner.upgrade(pool, version)

        before = pool.message.status
        return self.operations.start(kind, pool.name, work, lambda: _set_status(pool, before), fate)

    def upgrade_master(self, version: str) -> Any:
        """Upgrade the control plane; no other operation runs meanwhile."""
        self.operations.admit(CLUSTER)

        async def work() -> None:
            await self._pace.wait(self.scenario.delays_s.master_upgrade)
            self.scenario = replace(self.scenario, version=version)

        return self.operations.start(Type.UPGRADE_MASTER, CLUSTER, work)

    def occupy(self, seconds: float) -> Any:
        """Somebody changes the cluster, which takes so long; no other operation runs meanwhile."""
        self.operations.admit(CLUSTER)

        async def work() -> None:
            await self._pace.wait(seconds)

        return self.operations.start(Type.UPDATE_CLUSTER, CLUSTER, work)

    def set_maintenance_policy(self, policy: Any, fate: Fate = UNHARMED) -> Any:
        """SetMaintenancePolicy: the windows in which GKE upgrades nothing by itself."""
        self.operations.admit(CLUSTER)

        async def work() -> Failure | None:
            if fate.early is None:
                self.maintenance.CopyFrom(policy)
            return fate.early

        return self.operations.start(Type.SET_MAINTENANCE_POLICY, CLUSTER, work, fate=fate)

    def set_autoscaling(self, name: str, bounds: Any, fate: Fate = UNHARMED) -> Any:
        """SetNodePoolAutoscaling."""
        pool = self.find(name)
        full = rules.default_bounds(bounds, pool.message)
        rules.check_bounds(pool.message, full)

        async def change() -> None:
            pool.message.autoscaling.CopyFrom(full)
            pool.target = None

        return self._change(pool, change, fate)

    def set_management(self, name: str, management: Any, fate: Fate = UNHARMED) -> Any:
        """SetNodePoolManagement: automatic upgrades and repairs."""
        pool = self.find(name)
        check_management(pool.message, management)
        check_auto_upgrade(self.scenario, management)

        async def change() -> None:
            pool.message.management.CopyFrom(management)

        return self._change(pool, change, fate, Type.SET_NODE_POOL_MANAGEMENT)

    def delete(self, name: str, fate: Fate = UNHARMED) -> Any:
        """DeleteNodePool: pods are evicted, machines given back, then the pool goes."""
        pool = self.find(name)
        self.operations.admit(name)
        before = pool.message.status
        pool.message.status = PoolStatus.STOPPING
        return self.operations.start(
            Type.DELETE_NODE_POOL,
            name,
            lambda: self._delete(pool, before, fate.early),
            lambda: _set_status(pool, before),
            fate,
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

    def _change(self, pool: Pool, change: Change, fate: Fate, kind: Any = Type.UPDATE_CLUSTER) -> Any:
        self.operations.admit(pool.name)

        async def work() -> Failure | None:
            async with pool.lock:
                before = pool.message.status
                pool.message.status = PoolStatus.RECONCILING
                try:
                    await self._pace.wait(self.scenario.delays_s.operation)
                    failure = fate.early or await change()
                    pool.message.etag = f"{time.time_ns():x}"
                finally:
                    if pool.message.status == PoolStatus.RECONCILING:
                        pool.message.status = before
            return failure

        return self.operations.start(kind, pool.name, work, fate=fate)

    async def _create(self, pool: Pool, failure: Failure | None) -> Failure | None:
        await self._pace.wait(self.scenario.delays_s.operation)
        failure = await self._resize(pool, pool.message.initial_node_count, failure)
        if failure and pool.message.status == PoolStatus.PROVISIONING:
            pool.fail(failure)
        return failure

    async def _resize(self, pool: Pool, per_zone: int, failure: Failure | None) -> Failure | None:
        async with pool.lock:
            if failure is None and (failure := unsupported_placement(pool.machine, pool.message)):
                pool.fail(failure)
            return failure or await self.provisioner.resize(pool, per_zone)

    async def _update(self, pool: Pool, request: Any) -> Failure | None:
        changes.apply(request, pool.message)
        failure = await self._move(pool, list(request.locations)) if request.locations else None
        if failure is None and changes.rebuilds(request):
            failure = await self.provisioner.upgrade(pool, pool.message.version, list(pool.instances.values()))
        for instance in list(pool.instances.values()):
            await self.fleet.nodes.relabel(pool, instance)
        return failure

    async def _move(self, pool: Pool, zones: list[str]) -> Failure | None:
        """Machines in zones that are given up go; a pool of fixed size gets as many in each new zone."""
        per_zone = max((pool.size(zone) for zone in pool.zones), default=0)
        del pool.message.locations[:]
        pool.message.locations.extend(zones)
        gone = [i for i in pool.instances.values() if i.zone not in zones]
        await asyncio.gather(*(self.fleet.remove(pool, i, self.scenario.delays_s.drain_limit) for i in gone))
        return None if pool.autoscaled else await self.provisioner.resize(pool, per_zone)

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
            "reservation_affinity": _affinity(foreign),
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


def _affinity(foreign: ForeignPool) -> dict[str, Any]:
    if not foreign.reservation:
        return {}
    return {
        "consume_reservation_type": Affinity.SPECIFIC_RESERVATION,
        "key": RESERVATION_KEY,
        "values": [foreign.reservation],
    }


def _set_status(pool: Pool, status: Any) -> None:
    pool.message.status = status
