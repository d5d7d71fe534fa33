"""ConfigConnector for the conformance suite: objects in memory, its stand-in controller, and the simulated GKE."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, ClassVar

from tests.support.claim_cases import POOL, a_claim
from tests.support.config_connector import NAMESPACE, PLACE, Objects, running_config_connector
from tests.support.gke_harness import GkeHarness
from tests.support.polling import eventually
from tests.support.provisioned_world import Harness, WatchedRepairs

from mistral_operator.api.names import TENANT_RESOURCE_LABEL
from mistral_operator.capacity.node_pool_object import node_pool_object
from mistral_operator.capacity.pools import NodeFacts, pool_spec
from mistral_operator.cluster.kinds import CONTAINER_NODE_POOL
from mistral_operator.planning.types import Provisioner

Json = dict[str, Any]


class ConfigConnectorHarness(GkeHarness):
    """ContainerNodePools in memory, of which the stand-in for Config Connector makes pools of the simulated GKE."""

    provisioner = Provisioner.CONFIG_CONNECTOR
    terms: ClassVar[Mapping[str, Any]] = {"provisioner": "ConfigConnector"}
    has_uids = True
    impossible = ({"consumption": "FlexStart"}, {"consumption": "Reservation"})

    def __init__(self, objects: Objects) -> None:
        super().__init__()
        self._objects = objects
        self._strangers_objects: dict[str, Json] = {}

    async def own(self) -> set[str]:
        """Objects and pools alike: neither may be left."""
        names = {path.rpartition("/")[2] for path in self._objects.by_path if f"/{CONTAINER_NODE_POOL.plural}/" in path}
        return (names | await super().own()) - set(self._strangers_objects)

    async def put_stranger(self, name: str) -> None:
        """An object of somebody else's; what has none can't be seen here."""
        spec = replace(pool_spec(a_claim(), total_max=2, facts=NodeFacts()), name=name, resource_labels={"team": "x"})
        kind = {"apiVersion": CONTAINER_NODE_POOL.api_version, "kind": CONTAINER_NODE_POOL.kind}
        made = await self._objects.create(kind | node_pool_object(spec, PLACE))
        self._strangers_objects[name] = made["spec"]["nodeConfig"]

    async def usurp(self, name: str) -> None:
        """Config Connector takes the pool itself over for the new object, as it is."""
        path = CONTAINER_NODE_POOL.path(namespace=NAMESPACE, name=name)
        self._objects.mark_deleted(path)
        there = self._objects.by_path[path]
        self._objects.put(path, {**there, "metadata": {**there["metadata"], "finalizers": []}})
        await self.put_stranger(name)

    async def spoil(self) -> int:
        """By its object; Config Connector has changed the pool by it when this returns."""
        before = await self.kept()
        taint = {"key": "team.example/mine", "value": "", "effect": "NO_SCHEDULE"}
        config = {"taint": [taint], "resourceLabels": {TENANT_RESOURCE_LABEL: "somebody"}}
        spec = {"nodeConfig": config, "management": {"autoRepair": False}, "upgradeSettings": {"maxSurge": 3}}
        await self._objects.merge_patch(CONTAINER_NODE_POOL, POOL, NAMESPACE, {"spec": spec})

        async def has_all() -> bool:
            return not any(now == then for now, then in zip(await self.kept(), before, strict=True))

        await eventually(has_all, message="Config Connector has changed the pool")
        return 4

    async def has_stranger(self, name: str) -> bool:
        there = self._objects.pool(name)
        unchanged = bool(there["spec"]["nodeConfig"] == self._strangers_objects[name])
        return unchanged and "deletionTimestamp" not in there["metadata"]

    def lose_answer(self) -> None:
        self._objects.lost_creates = 1


@asynccontextmanager
async def config_connector() -> AsyncIterator[Harness]:
    """ConfigConnector with its stand-in, and a simulated GKE behind that."""
    async with running_config_connector() as stack:
        harness = ConfigConnectorHarness(stack.objects)
        harness.gke, harness.port = stack.gke, WatchedRepairs(stack.pools, harness.kills)
        yield harness
