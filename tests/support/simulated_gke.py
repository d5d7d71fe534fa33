"""A simulated GKE without Kubernetes: its nodes go into a dictionary. The client is Google's own."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.cloud import container_v1
from google.cloud.container_v1.services.cluster_manager.transports import ClusterManagerGrpcAsyncIOTransport
from tests.support.polling import eventually

from mistral_operator.sandbox.gke.pools import Instance, Pool
from mistral_operator.sandbox.gke.scenario import parse_scenario
from mistral_operator.sandbox.gke.simulated import GkeApi

CLUSTER = "projects/sandbox-project/locations/us-central1/clusters/sandbox"
SPEED = 2000.0


@dataclass
class PaperNodes:
    """A NodePort that only writes down what it was told."""

    there: dict[str, str] = field(default_factory=dict)
    relabelled: list[str] = field(default_factory=list)
    drained: list[str] = field(default_factory=list)
    warned: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    announced: list[str] = field(default_factory=list)
    impending: list[str] = field(default_factory=list)

    async def join(self, pool: Pool, instance: Instance) -> None:
        self.there[instance.name] = "ready"

    async def show_devices(self, pool: Pool, instance: Instance) -> None:
        self.there[instance.name] = "with devices"

    async def relabel(self, pool: Pool, instance: Instance) -> None:
        self.relabelled.append(instance.name)

    async def announce(self, instance: Instance, at_s: float) -> None:
        self.announced.append(instance.name)

    async def impend(self, instance: Instance) -> None:
        self.impending.append(instance.name)

    async def warn(self, instance: Instance, grace_s: float) -> None:
        self.warned.append(instance.name)

    async def fail(self, instance: Instance) -> None:
        self.failed.append(instance.name)

    async def drain(self, instance: Instance, limit_s: float) -> None:
        self.drained.append(instance.name)

    async def leave(self, instance: Instance) -> None:
        self.there.pop(instance.name, None)


@dataclass
class Gke:
    """The simulated API, its nodes, and a real client."""

    api: GkeApi
    nodes: PaperNodes
    client: container_v1.ClusterManagerAsyncClient

    async def create(self, **pool: Any) -> container_v1.Operation:
        return await self.client.create_node_pool(parent=CLUSTER, node_pool=pool, retry=None)

    async def pool(self, name: str = "mm-pool") -> container_v1.NodePool:
        return await self.client.get_node_pool(name=f"{CLUSTER}/nodePools/{name}", retry=None)

    async def names(self) -> list[str]:
        return [p.name for p in (await self.client.list_node_pools(parent=CLUSTER, retry=None)).node_pools]

    async def operation(self, name: str) -> container_v1.Operation:
        path = f"projects/sandbox-project/locations/us-central1/operations/{name}"
        return await self.client.get_operation(name=path, retry=None)

    def nodes_of(self, pool: str = "mm-pool") -> list[str]:
        """The names of a pool's nodes."""
        return sorted(name for name in self.nodes.there if f"-{pool}-" in name)

    async def done(self, started: container_v1.Operation) -> container_v1.Operation:
        """Wait for the operation's end."""

        async def ended() -> container_v1.Operation | None:
            operation = await self.operation(started.name)
            return operation if operation.status == container_v1.Operation.Status.DONE else None

        return await eventually(ended, message=f"operation {started.name} is done")


Start = Callable[..., Awaitable[Gke]]


def l4_pool(**changes: Any) -> dict[str, Any]:
    """A create request that GKE accepts: autoscaled L4 machines, none at first."""
    config = {
        "machine_type": "g2-standard-12",
        "accelerators": [{"accelerator_type": "nvidia-l4", "accelerator_count": 1}],
        **changes.pop("config", {}),
    }
    autoscaling = {"enabled": True, "total_max_node_count": 3, "location_policy": "ANY"}
    return {"name": "mm-pool", "config": config, "initial_node_count": 0, "autoscaling": autoscaling, **changes}


def fixed_pool(size: int, **changes: Any) -> dict[str, Any]:
    """The same with so many nodes in one zone and no autoscaler."""
    return l4_pool(initial_node_count=size, autoscaling={}, locations=["us-central1-a"], **changes)


def flex_pool(**changes: Any) -> dict[str, Any]:
    """The autoscaled one, as flex-start wants it."""
    affinity = {"consume_reservation_type": "NO_RESERVATION"}
    return l4_pool(
        config={"flex_start": True, "reservation_affinity": affinity, **changes.pop("config", {})}, **changes
    )


def tpu_pool(machine_type: str = "ct6e-standard-8t", **changes: Any) -> dict[str, Any]:
    """Single-host TPU machines in one zone: autoscaled, none at first."""
    config = {"machine_type": machine_type, **changes.pop("config", {})}
    autoscaling = {"enabled": True, "max_node_count": 4}
    return {"name": "mm-pool", "config": config, "locations": ["us-central1-a"], "autoscaling": autoscaling, **changes}


def slice_pool(topology: str = "4x4", hosts: int = 4, **changes: Any) -> dict[str, Any]:
    """A whole multi-host slice of v6e without an autoscaler."""
    placement = {"type_": "COMPACT", "tpu_topology": topology}
    shape = {"autoscaling": {}, "initial_node_count": hosts, "placement_policy": placement}
    return tpu_pool("ct6e-standard-4t", **shape | changes)


@asynccontextmanager
async def running_gke(speed: float = SPEED, **scenario: Any) -> AsyncIterator[Gke]:
    """Serve a simulated GKE while the block runs."""
    nodes = PaperNodes()
    async with GkeApi(parse_scenario(scenario), nodes, speed) as api, grpc.aio.insecure_channel(api.address) as channel:
        transport = ClusterManagerGrpcAsyncIOTransport(channel=channel)
        yield Gke(api, nodes, container_v1.ClusterManagerAsyncClient(transport=transport))
