"""The claim reconciler on the real control plane, with the simulated GKE behind Google's own client."""

import asyncio
import itertools
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.support.claim_cases import QUOTA, claim_body
from tests.support.polling import eventually

from mistral_operator.api.names import API_VERSION, CLAIM_FINALIZER, CLAIM_LABEL, MODEL_KIND, MODEL_LABEL
from mistral_operator.capacity.advice import ClusterPlace
from mistral_operator.capacity.claim_types import ClaimSettings
from mistral_operator.capacity.cloud import CloudPace, CloudPools
from mistral_operator.capacity.container_api import ContainerApi
from mistral_operator.capacity.pools import NodeFacts
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
from mistral_operator.sandbox.control_plane import ControlPlane
from mistral_operator.sandbox.gke.scenario import parse_scenario
from mistral_operator.sandbox.gke.simulated import SimulatedGke

SPEED = 50.0
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


Start = Callable[..., Awaitable[Place]]


@pytest.fixture
async def start(cluster: ControlPlane, crds: Path, namespace: str) -> AsyncIterator[Start]:
    """`await start(**scenario)` gives a place with its own simulated GKE; no reconciler runs yet."""
    async with AsyncExitStack() as stack:

        async def run(**scenario: Any) -> Place:
            client = await ApiClient.connect(cluster.kubeconfig)
            stack.push_async_callback(client.close)
            http = await stack.enter_async_context(aiohttp.ClientSession())
            full = parse_scenario({"system_nodes": 0, **scenario})
            gke = await stack.enter_async_context(SimulatedGke(cluster.kubeconfig, full, SPEED))
            place = Place(client, gke, http, namespace)
            stack.push_async_callback(remove_claim, place)
            return place

        yield run


async def remove_claim(place: Place) -> None:
    """What a failed test leaves behind."""
    if await place.claim() is not None:
        await place.client.merge_patch(CLAIM, place.claim_name, "", {"metadata": {"finalizers": None}})
        await place.client.delete(CLAIM, place.claim_name)


async def test_a_pool_comes_grows_and_goes_with_its_models(start: Start) -> None:
    place = await start()
    async with place.reconciling():
        await place.serve()
        await place.ready()
        pool = await place.pool_in_gke()
        assert pool is not None
        claim = await place.claim()
        assert claim is not None
        assert claim["metadata"]["finalizers"] == [CLAIM_FINALIZER]
        assert claim["status"]["users"] == [{"namespace": place.namespace, "name": "chat", "nodes": 2}]
        await place.serve("draft", scaling={"maxReplicas": 3})
        await place.ready(total_max=6)
        await place.delete_model("draft")
        await place.ready(total_max=2)
        await place.delete_model()
        await place.released()
    assert await place.calls("CreateNodePool") == 1


async def test_a_settled_claim_is_written_no_more(start: Start) -> None:
    place = await start()
    async with place.reconciling():
        await place.serve()
        await place.ready()
        before = await place.claim()
        lists = await place.calls("ListNodePools")

        async def looked_again() -> bool:
            return await place.calls("ListNodePools") >= lists + 2

        await eventually(looked_again, message="the claim was looked at again")
        assert await place.claim() == before


async def test_applying_the_claim_again_keeps_the_finalizer(start: Start) -> None:
    place = await start()
    async with place.reconciling():
        await place.serve()
        await place.ready()
        await place.apply_claim()
        claim = await place.claim()
        assert claim is not None
        assert claim["metadata"]["finalizers"] == [CLAIM_FINALIZER]


async def test_a_process_that_ends_while_the_pool_is_made_leaves_it_to_the_next(start: Start) -> None:
    place = await start(delays_s={"operation": 50})
    async with place.reconciling():
        await place.serve()
        await eventually(place.pool_in_gke, message="the pool is being created")
    async with place.reconciling():
        await place.ready()
    assert await place.calls("CreateNodePool") == 1


async def test_a_model_deleted_while_nobody_reconciles_is_released_later(start: Start) -> None:
    place = await start()
    async with place.reconciling():
        await place.serve()
        await place.ready()
    await place.delete_model()

    async def collected() -> bool:
        return await place.client.get(REVISION, "chat-1", place.namespace) is None

    await eventually(collected, RELEASED_S, "the revision went with its model")
    assert await place.claim() is not None
    async with place.reconciling():
        await place.released()


async def test_a_create_whose_answer_got_lost_makes_one_pool(start: Start) -> None:
    fault = {"rpc": "CreateNodePool", "calls": [1], "code": "UNAVAILABLE", "lost_response": True}
    place = await start(faults=[fault])
    async with place.reconciling():
        await place.serve()
        await place.ready()
    assert await place.calls("CreateNodePool") == 1


async def test_a_pool_whose_claim_lost_its_finalizer_by_force_goes(start: Start) -> None:
    place = await start()
    async with place.reconciling():
        await place.serve()
        await place.ready()
    await place.delete_model()
    await remove_claim(place)
    assert await place.claim() is None
    assert await place.pool_in_gke() is not None
    async with place.reconciling():
        await place.released()


async def test_a_busy_cluster_is_asked_again(start: Start) -> None:
    words = "Cluster is running incompatible operation operation-1700000000000-aaaa."
    fault = {"rpc": "CreateNodePool", "calls": [1, 2], "code": "FAILED_PRECONDITION", "message": words}
    place = await start(faults=[fault])
    async with place.reconciling():
        await place.serve()
        await place.ready()
    assert await place.calls("CreateNodePool") == 3


async def test_a_missing_quota_is_quoted_and_named(start: Start) -> None:
    fault = {"rpc": "CreateNodePool", "code": "RESOURCE_EXHAUSTED", "message": QUOTA}
    place = await start(faults=[fault])
    async with place.reconciling():
        await place.serve()
        found = await eventually(lambda: place.has("QuotaExceeded"), message="the refusal is told")
        assert QUOTA in found["message"]
        assert "the quota NVIDIA_L4_GPUS (now 1.0) in us-central1" in found["message"]
        await place.delete_model()
        await place.released()


async def test_a_pool_whose_operation_failed_is_deleted_and_made_again(start: Start) -> None:
    stock_out = "[GCE_STOCKOUT] The zone does not have enough resources available."
    fault = {"rpc": "CreateNodePool", "calls": [1], "code": "RESOURCE_EXHAUSTED", "message": stock_out}
    place = await start(faults=[{**fault, "in_operation": True}])
    async with place.reconciling():
        await place.serve()
        found = await eventually(lambda: place.has("StockedOut"), message="the stock-out is told")
        assert stock_out in found["message"]
        await place.ready()
    assert await place.calls("CreateNodePool") == 2


async def test_a_strangers_pool_is_left_alone(start: Start) -> None:
    name = "g2-standard-12-od-ab5712a6e2"
    place = await start(foreign_pools=[{"name": f"mm-{name}"}])
    place.claim_name, place.pool = name, f"mm-{name}"
    async with place.reconciling():
        await place.serve()
        found = await eventually(lambda: place.has("PoolNameTaken"), message="the refusal is told")
        assert f"gcloud container node-pools delete mm-{name}" in found["message"]
        await place.delete_model()

        async def gone() -> bool:
            return await place.claim() is None

        await eventually(gone, RELEASED_S, "the claim is gone")
    assert await place.pool_in_gke() is not None
    assert await place.calls("DeleteNodePool") == 0


async def test_a_claim_deleted_in_use_keeps_its_pool(start: Start) -> None:
    place = await start()
    async with place.reconciling():
        await place.serve()
        await place.ready()
        await place.client.delete(CLAIM, place.claim_name)

        async def explained() -> bool:
            return (await place.condition("InUse")).get("reason") == "DeletionWaitsForUsers"

        await eventually(explained, message="the claim says why it stays")
        assert await place.pool_in_gke() is not None
        await place.delete_model()
        await place.released()
        await place.serve("later")
        await place.ready()
