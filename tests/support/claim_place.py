"""One tenant with one claim on the real control plane, and what tests do and see there."""

import asyncio
import itertools
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from tests.support.claim_cases import claim_body
from tests.support.polling import eventually

from mistral_operator.api.names import API_VERSION, CLAIM_LABEL, MODEL_KIND, MODEL_LABEL
from mistral_operator.capacity.advice import ClusterPlace
from mistral_operator.capacity.claims.types import ClaimSettings
from mistral_operator.capacity.pools import NodeFacts
from mistral_operator.capacity.provisioners.cloud import CloudPace, CloudPools
from mistral_operator.capacity.provisioners.container_api import ContainerApi
from mistral_operator.cluster.client import ApiClient
from mistral_operator.cluster.kinds import CLAIM, MODEL, NODE, REVISION
from mistral_operator.cluster.reflector import Reflector
from mistral_operator.cluster.store import Store
from mistral_operator.controller.claims import ClaimReconciler
from mistral_operator.controller.metrics import Metrics
from mistral_operator.controller.observation import RULES
from mistral_operator.controller.orphans import OrphanWatch
from mistral_operator.controller.place import find_cluster_uid
from mistral_operator.controller.queue import KeyedQueue
from mistral_operator.controller.routing import Router
from mistral_operator.controller.workers import Workers
from mistral_operator.planning.types import Provisioner
from mistral_operator.sandbox.gke.simulated import SimulatedGke

RELEASED_S = 90.0
"""The garbage collector finds new kinds only every 30 s, and collects no revisions of models before."""
numbers = itertools.count()
Json = dict[str, Any]


class Place:
    """One tenant with one claim, the simulated GKE, and a way to run claim reconcilers on them."""

    def __init__(self, client: ApiClient, gke: SimulatedGke, http: aiohttp.ClientSession, namespace: str) -> None:
        self.client = client
        self.namespace = namespace
        self.claim_name = f"g2-standard-12-od-{next(numbers):02}{secrets.token_hex(4)}"
        self.pool = f"mm-{self.claim_name}"
        self._gke = gke
        self._http = http

    @asynccontextmanager
    async def reconciling(self) -> AsyncIterator[None]:
        """A process's worth of reconciler: what it remembers ends with the block."""
        store, claims = Store(RULES), KeyedQueue[str]()
        Router(store, KeyedQueue(), claims)
        endpoint = f"http://{self._gke.address}"
        async with ContainerApi(
            project="sandbox-project", location="us-central1", cluster="sandbox", endpoint=endpoint
        ) as pools:
            cloud = CloudPools(pools, pace=CloudPace(list_interval_s=0.5, backoff_scale=0.1))
            clouds = {Provisioner.CONTAINER_API: cloud}
            orphans = OrphanWatch(store, clouds, found=claims.add, count=lambda _: None)
            uid = await find_cluster_uid(self.client)
            reconciler = ClaimReconciler(
                client=self.client,
                store=store,
                clouds=clouds,
                settings=ClaimSettings(
                    place=ClusterPlace("sandbox-project", "us-central1", "sandbox", uid),
                    fastest_poll_s=0.1,
                    slowest_poll_s=0.5,
                    unsettled_s=0.5,
                    resync_s=2.0,
                    orphan_after_s=1.0,
                ),
                wake=claims.add,
                facts=lambda _: NodeFacts(accelerator_memory_gib=24),
            )
            workers = Workers("claim", claims, self._only_ours(reconciler), maximum=4, metrics=Metrics())
            reflectors = [Reflector(self.client, store[kind]) for kind in (MODEL, CLAIM, REVISION, NODE)]
            tasks = [asyncio.create_task(reflector.run()) for reflector in reflectors]
            try:
                for reflector in reflectors:
                    await reflector.synced.wait()
                tasks += [asyncio.create_task(workers.run()), asyncio.create_task(orphans.run(1.0))]
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await workers.drain(0)
                await asyncio.gather(*tasks, return_exceptions=True)

    def _only_ours(self, reconciler: ClaimReconciler) -> Callable[[str], Awaitable[float | None]]:
        """The control plane is shared: other tests' claims are not ours to work on."""

        async def reconcile(name: str) -> float | None:
            return await reconciler.reconcile(name) if name == self.claim_name else None

        return reconcile

    async def serve(self, model: str = "chat", **spec: Any) -> None:
        """A model, its revision, and its claim, in the order in which the model reconciler applies them."""
        metadata = {"namespace": self.namespace, "name": model}
        made = await self.client.create(
            {
                "apiVersion": API_VERSION,
                "kind": MODEL_KIND,
                "metadata": metadata,
                "spec": {"model": "mistral-7b-v0.3", **spec},
            }
        )
        owner = {"apiVersion": API_VERSION, "kind": MODEL_KIND, "name": model, "uid": made["metadata"]["uid"]}
        await self.client.apply(
            {
                "apiVersion": "apps/v1",
                "kind": "ControllerRevision",
                "metadata": {
                    "namespace": self.namespace,
                    "name": f"{model}-1",
                    "labels": {MODEL_LABEL: model, CLAIM_LABEL: self.claim_name},
                    "ownerReferences": [{**owner, "controller": True}],
                },
                "revision": 1,
                "data": {},
            }
        )
        await self.apply_claim()

    async def apply_claim(self) -> None:
        body = claim_body(self.claim_name)
        spec = {**body["spec"], "tenant": self.namespace}
        await self.client.apply({**body, "metadata": {"name": self.claim_name}, "spec": spec})

    async def delete_model(self, model: str = "chat") -> None:
        await self.client.delete(MODEL, model, self.namespace)

    async def claim(self) -> Json | None:
        return await self.client.get(CLAIM, self.claim_name)

    async def condition(self, kind: str = "Ready") -> Json:
        conditions = ((await self.claim() or {}).get("status") or {}).get("conditions", ())
        return next((found for found in conditions if found["type"] == kind), {})

    async def has(self, reason: str) -> Json | None:
        found = await self.condition()
        return found if found.get("reason") == reason else None

    async def pool_in_gke(self) -> Json | None:
        state = await self._state()
        return next((pool for pool in state["pools"] if pool["name"] == self.pool), None)

    async def act(self, action: str, **body: Any) -> None:
        """What somebody with a console does to the claim's pool, once GKE has the time for it."""

        async def begun() -> bool:
            async with self._http.post(f"{self._gke.control_url}/{action}", json={"pool": self.pool, **body}) as answer:
                return answer.status == 200

        await eventually(begun, message=f"{action} of {self.pool}")

    async def drift(self) -> list[Json]:
        return list(((await self.claim() or {}).get("status") or {}).get("drift", ()))

    async def found(self, finding: str) -> bool:
        """Whether that was found of the pool, and it is as it should be again."""
        ready = await self.condition()
        return ready.get("reason") == "PoolReady" and any(note["finding"] == finding for note in await self.drift())

    async def calls(self, rpc: str) -> int:
        return sum(call["rpc"] == rpc for call in (await self._state())["calls"])

    async def ready(self, total_max: int = 2) -> None:
        async def with_those_bounds() -> bool:
            claim = await self.claim() or {}
            nodes = (claim.get("status") or {}).get("nodes") or {}
            return bool(await self.has("PoolReady")) and nodes.get("desiredMax") == total_max

        await eventually(with_those_bounds, message=f"the claim is ready for {total_max} nodes")

    async def released(self) -> None:
        async def gone() -> bool:
            return await self.claim() is None and await self.pool_in_gke() is None

        await eventually(gone, RELEASED_S, "claim and pool are gone")

    async def _state(self) -> Json:
        async with self._http.get(f"{self._gke.control_url}/state") as response:
            state: Json = await response.json()
            return state
