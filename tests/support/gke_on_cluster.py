"""A simulated GKE on a real control plane: its nodes are there, and its autoscaler looks at the pods."""

import itertools
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import grpc
from google.cloud import container_v1
from google.cloud.container_v1.services.cluster_manager.transports import ClusterManagerGrpcAsyncIOTransport
from tests.support.polling import eventually

from mistral_operator.sandbox.gke.scenario import parse_scenario
from mistral_operator.sandbox.gke.simulated import SimulatedGke
from mistral_operator.sandbox.kube import Kube, Object

ZONES = ["us-central1-a", "us-central1-b"]
SPEED = 50.0
NODES = "/api/v1/nodes"
clusters = itertools.count()


class ClusterGke:
    """The simulated GKE, its control API and Google's client."""

    def __init__(
        self, simulated: SimulatedGke, kube: Kube, channel: Any, http: aiohttp.ClientSession, name: str
    ) -> None:
        transport = ClusterManagerGrpcAsyncIOTransport(channel=channel)
        self.client = container_v1.ClusterManagerAsyncClient(transport=transport)
        self.parent = f"projects/sandbox-project/locations/us-central1/clusters/{name}"
        self.pool = f"mm-{name}"
        self.simulated = simulated
        self._kube = kube
        self._http = http

    @property
    def pool_path(self) -> str:
        return f"{self.parent}/nodePools/{self.pool}"

    async def request(self, config: dict[str, Any], **pool: Any) -> container_v1.Operation:
        """Request the pool; its nodes carry its name as label."""
        full = {"name": self.pool, "config": {"labels": {"pool": self.pool}, **config}, **pool}
        return await self.client.create_node_pool(parent=self.parent, node_pool=full, retry=None)

    async def runs(self) -> bool:
        pool = await self.client.get_node_pool(name=self.pool_path)
        return bool(pool.status == container_v1.NodePool.Status.RUNNING)

    async def done(self, started: container_v1.Operation) -> container_v1.Operation:
        """Wait for the operation's end."""
        name = f"projects/sandbox-project/locations/us-central1/operations/{started.name}"

        async def ended() -> container_v1.Operation | None:
            operation = await self.client.get_operation(name=name)
            return operation if operation.status == container_v1.Operation.Status.DONE else None

        return await eventually(ended, message=f"operation {started.name} is done")

    async def nodes(self) -> list[Object]:
        return await self._kube.list(NODES, {"labelSelector": f"pool={self.pool}"})

    async def post(self, path: str, **body: Any) -> Any:
        async with self._http.post(f"{self.simulated.control_url}{path}", json=body) as response:
            assert response.status == 200, await response.text()
            return json.loads(await response.text())

    async def state(self) -> Any:
        async with self._http.get(f"{self.simulated.control_url}/state") as response:
            return json.loads(await response.text())


StartGke = Callable[..., Awaitable[ClusterGke]]


@asynccontextmanager
async def gke_on_cluster(
    kubeconfig: Path, kube: Kube, speed: float = SPEED, **scenario: Any
) -> AsyncIterator[ClusterGke]:
    """Run one while the block runs, then remove its nodes. It has a cluster name of its own."""
    name = f"t{next(clusters)}-{secrets.token_hex(2)}"
    full = parse_scenario({"cluster": name, "zones": ZONES, "system_nodes": 0, **scenario})
    try:
        async with (
            SimulatedGke(kubeconfig, full, speed) as simulated,
            grpc.aio.insecure_channel(simulated.address) as channel,
            aiohttp.ClientSession() as http,
        ):
            yield ClusterGke(simulated, kube, channel, http, name)
    finally:
        for node in await kube.list(NODES):
            if node["metadata"]["name"].startswith(f"gke-{name}-"):
                await kube.delete(f"{NODES}/{node['metadata']['name']}")


async def node_of(kube: Kube, path: str) -> str:
    """The node that a pod was bound to, or "" as long as there is none."""
    pod = await kube.get(path)
    return str(pod["spec"].get("nodeName", "")) if pod else ""


async def messages(kube: Kube, namespace: str, reason: str) -> list[str]:
    """What the autoscaler told pods, for one reason."""
    events = await kube.list(f"/api/v1/namespaces/{namespace}/events", {"fieldSelector": f"reason={reason}"})
    return [e["message"] for e in events if e["source"]["component"] == "cluster-autoscaler"]
