"""ContainerAPI in front of the simulated GKE, and what other provisioners that end there have in common."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from google.cloud import container_v1
from tests.support.claim_cases import POOL
from tests.support.provisioned_world import Harness, Obstacle, WatchedRepairs
from tests.support.simulated_gke import CLUSTER, Gke, l4_pool, running_gke

from mistral_operator.api.names import SHAPE_LABEL
from mistral_operator.capacity.container_api import ContainerApi
from mistral_operator.planning.types import Provisioner
from mistral_operator.sandbox.gke.scenario import Fault

DEFAULT_POOL = "default-pool"


class GkeHarness(Harness):
    """What ends in the simulated GKE, whichever way it gets there."""

    gke: Gke

    async def own(self) -> set[str]:
        return set(await self.gke.names()) - {DEFAULT_POOL} - await self._strangers()

    async def bounds(self) -> int | None:
        return int((await self.gke.pool(POOL)).autoscaling.total_max_node_count)

    async def kept(self) -> Any:
        pool = await self.gke.pool(POOL)
        labels = dict(pool.config.labels), dict(pool.config.resource_labels)
        return labels, list(pool.config.taints), pool.management, pool.upgrade_settings

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

    async def spoil(self) -> int:
        labels = container_v1.NodeLabels(labels={SHAPE_LABEL: "other"})
        name = f"{CLUSTER}/nodePools/{POOL}"
        change = container_v1.UpdateNodePoolRequest(name=name, labels=labels)
        await self.gke.done(await self.gke.client.update_node_pool(request=change, retry=None))
        off = container_v1.SetNodePoolManagementRequest(name=name, management={"auto_upgrade": True})
        await self.gke.done(await self.gke.client.set_node_pool_management(request=off, retry=None))
        return 2

    def lose_answer(self) -> None:
        self.gke.api.faults.add(Fault(rpc="CreateNodePool", calls=(1,), code="UNAVAILABLE", lost_response=True))


@asynccontextmanager
async def container_api() -> AsyncIterator[Harness]:
    """ContainerAPI against a simulated GKE."""
    harness = ContainerApiHarness()
    async with running_gke() as gke:
        endpoint = f"http://{gke.api.address}"
        client = ContainerApi(project="sandbox-project", location="us-central1", cluster="sandbox", endpoint=endpoint)
        async with client:
            harness.gke, harness.port = gke, WatchedRepairs(client, harness.kills)
            yield harness
