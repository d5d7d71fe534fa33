"""The claim reconciler on the real control plane, with the simulated GKE behind Google's own client."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.support.claim_cases import QUOTA
from tests.support.claim_place import RELEASED_S, Place
from tests.support.polling import eventually

from mistral_operator.api.names import CLAIM_FINALIZER, SHAPE_LABEL
from mistral_operator.cluster.client import ApiClient
from mistral_operator.cluster.kinds import CLAIM, REVISION
from mistral_operator.sandbox.control_plane import ControlPlane
from mistral_operator.sandbox.gke.scenario import parse_scenario
from mistral_operator.sandbox.gke.simulated import SimulatedGke

SPEED = 50.0
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


async def test_what_somebody_changed_of_a_pool_is_put_right_and_told(start: Start) -> None:
    place = await start()
    async with place.reconciling():
        await place.serve()
        await place.ready()
        taint = {"key": "team.example/mine", "value": "yes", "effect": "NO_SCHEDULE"}
        await place.act("edit-pool", labels={"labels": {"team": "a"}})
        await eventually(lambda: place.found("NodeLabelsChanged"), message="the label is back")
        await place.act("edit-pool", taints={"taints": [taint]})
        await eventually(lambda: place.found("TaintsAdded"), message="the taint is gone")
        await place.act("autoscale-pool", enabled=True, total_max_node_count=9)
        await eventually(lambda: place.found("BoundsChanged"), message="the bounds are back")
        await place.act("delete-pool")
        await eventually(lambda: place.found("PoolGone"), message="the pool is made again")
        await place.ready()
        pool = await place.pool_in_gke()
    assert pool is not None
    message = pool["message"]
    assert message["config"]["labels"] == {SHAPE_LABEL: place.claim_name}
    assert "taints" not in message["config"]
    assert message["autoscaling"]["total_max_node_count"] == 2
    done = {note["finding"]: note["done"] for note in (await place.drift())}
    assert done == {
        "NodeLabelsChanged": "Repaired",
        "TaintsAdded": "Repaired",
        "BoundsChanged": "Repaired",
        "PoolGone": "Replaced",
    }
