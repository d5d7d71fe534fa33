"""GKE in trouble: pools are adopted or left alone, refusals are quoted, retried and outlived, nodes are replaced.

One sandbox for the whole file, whose GKE takes one operation at a time; each test has a tenant of its own.
"""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from tests.support.light_stack import light_stack
from tests.support.namespaces import new_namespace
from tests.support.polling import eventually
from tests.support.stack import MODELS, Stack
from tests.support.world import World, make_model

from mistral_operator.sandbox.kube import KubeError

pytestmark = [pytest.mark.cluster, pytest.mark.asyncio(loop_scope="module")]

Json = dict[str, Any]
MODEL = "mistral-7b-v0.3"
OTHER_POOL = {"options": [{"accelerator": "l4", "devices": 2}]}
ONE_RUNG = {"options": [{"machineType": "g2-standard-8"}]}
TAKEN = "team-with-a-taken-name"
BUSY = "Cluster is running incompatible operation operation-1700000000000-12345678."
DENIED = 'Required "container.clusters.update" permission(s) for "projects/sandbox-project/locations/us-central1".'


def pool_name(namespace: str) -> str:
    """The name of the pool that the model would get in that namespace."""
    model = make_model("chat")
    model["metadata"]["namespace"] = namespace
    (claim,) = World(model=model).decide().claims
    return f"mm-{claim['metadata']['name']}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ground(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    strangers = {"name": pool_name(TAKEN), "machine_type": "g2-standard-8", "resource_labels": {"team": "somebody"}}
    scenario: Json = {"concurrent_operations": 1, "foreign_pools": [strangers]}
    async with light_stack(tmp_path_factory.mktemp("cloud-faults"), **scenario) as (stack, _):
        stack.operator.start()
        yield stack
        await stack.operator.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def stack(ground: Stack) -> AsyncIterator[Stack]:
    """The ground in a fresh namespace; afterwards all of its pools must be gone, and the operator still there."""
    async with new_namespace(ground.kube) as name:
        ground.namespace = name
        yield ground
        await ground.heal_gke()
        if not ground.operator.running:
            ground.operator.start()
        await ground.kube.delete(MODELS.format(namespace=name))
        await ground.expect_no_trace()


async def calls(stack: Stack, rpc: str) -> list[Json]:
    """What was asked of GKE about the namespace's own pool, and how it answered."""
    suffix = f"/nodePools/{pool_name(stack.namespace)}"
    return [call for call in (await stack.gke())["calls"] if call["rpc"] == rpc and call["target"].endswith(suffix)]


@pytest.mark.parametrize("code", ["UNAVAILABLE", "ALREADY_EXISTS"])
async def test_a_pool_whose_creation_was_never_confirmed_is_adopted(stack: Stack, code: str) -> None:
    """The pool comes, the answer says otherwise: lost on its way, or that of a repeated request."""
    await stack.change_gke("faults", rpc="CreateNodePool", calls=[1], code=code, message=code, lost_response=True)
    await stack.apply("chat", model=MODEL)
    await stack.expect_ready("chat")
    assert [call["code"] for call in await calls(stack, "CreateNodePool")] == [code]
    await stack.expect_one_pool_per_claim()


async def test_a_pool_that_was_begun_by_a_killed_process_is_adopted(stack: Stack) -> None:
    await stack.apply("chat", model=MODEL)
    await eventually(lambda: calls(stack, "CreateNodePool"), 30, stack.story, interval_s=0.01)
    await stack.operator.kill()
    stack.operator.start()
    await stack.expect_ready("chat")
    assert [call["code"] for call in await calls(stack, "CreateNodePool")] == ["OK"]
    await stack.expect_one_pool_per_claim()


async def test_a_strangers_pool_is_left_alone(ground: Stack) -> None:
    async def strangers() -> Json:
        return next(pool for pool in (await ground.gke())["pools"] if pool["name"] == pool_name(TAKEN))

    ground.namespace = TAKEN
    await ground.kube.create("/api/v1/namespaces", {"metadata": {"name": TAKEN}})
    before = await strangers()
    await ground.apply("chat", model=MODEL, capacity=ONE_RUNG)
    told = await ground.expect("chat", "CapacityReady", "False", "PoolNameTaken")
    assert f"Node pool {pool_name(TAKEN)} exists and was not made by this operator" in told["message"]
    assert f"gcloud container node-pools delete {pool_name(TAKEN)}" in told["message"]
    assert (await ground.condition("chat", "Stalled"))["reason"] == "PoolNameTaken"
    await ground.delete("chat")
    await ground.expect_no_trace()
    assert await strangers() == before
    assert await calls(ground, "DeleteNodePool") == []


async def test_an_operation_in_the_way_is_waited_for(stack: Stack) -> None:
    refusal = {"rpc": "CreateNodePool", "calls": [1, 2], "code": "FAILED_PRECONDITION", "message": BUSY}
    await stack.change_gke("faults", **refusal)
    await stack.apply("chat", model=MODEL)
    told = await stack.expect("chat", "CapacityReady", "False", "ClusterBusy")
    assert BUSY in told["message"]
    await stack.expect_ready("chat")
    codes = [call["code"] for call in await calls(stack, "CreateNodePool")]
    assert codes == ["FAILED_PRECONDITION", "FAILED_PRECONDITION", "OK"]


async def test_too_many_operations_are_spread(stack: Stack) -> None:
    """This GKE really takes only one at a time, and says so."""
    await stack.apply("one", model=MODEL)
    await stack.apply("two", model=MODEL, capacity=OTHER_POOL)
    for name in ("one", "two"):
        await stack.expect_ready(name)
    await stack.expect_one_pool_per_claim()
    assert len(await stack.pools()) == 2


async def test_a_missing_permission_is_quoted_and_waited_for(stack: Stack) -> None:
    await stack.change_gke("faults", rpc="CreateNodePool", code="PERMISSION_DENIED", message=DENIED)
    await stack.apply("chat", model=MODEL)
    told = await stack.expect("chat", "CapacityReady", "False", "PermissionDenied")
    assert DENIED in told["message"]
    assert "gcloud projects add-iam-policy-binding sandbox-project" in told["message"]
    assert (await stack.condition("chat", "Stalled"))["reason"] == "PermissionDenied"
    await stack.heal_gke()
    await stack.expect_ready("chat")
    await stack.expect("chat", "Stalled", "False")


SHORTAGES = {
    "StockedOut": ("stock", {"nodes": 0}, {"nodes": 100}, "GCE out of resources"),
    "QuotaExceeded": ("quota", {"limit": 0}, {"limit": 100}, "GCE quota exceeded"),
}


@pytest.mark.parametrize("reason", SHORTAGES)
async def test_a_shortage_that_only_the_autoscaler_tells_of_is_quoted(stack: Stack, reason: str) -> None:
    """The pool is created without a complaint; the pending pod's Event is the only sign that no node comes."""
    what, lacking, plenty, words = SHORTAGES[reason]
    await stack.change_gke(what, **lacking)
    try:
        await stack.apply("chat", model=MODEL, capacity=ONE_RUNG)
        told = await stack.expect("chat", "CapacityReady", "False", reason)
    finally:
        await stack.change_gke(what, **plenty)
    assert "The cluster autoscaler says: Node scale up in zones us-central1-" in told["message"]
    assert f"associated with this pod failed: {words}" in told["message"]
    assert (await stack.condition("chat", "Ready"))["reason"] == reason
    assert [claim["status"]["state"] for claim in await stack.claims()] == ["Ready"]
    await stack.expect_ready("chat")
    await stack.expect("chat", "CapacityReady", "True", "NodesReady")


async def test_a_model_deleted_without_an_operator_does_not_wait_for_one(stack: Stack) -> None:
    await stack.apply("chat", model=MODEL)
    await stack.expect_ready("chat")
    await stack.operator.kill()
    await stack.delete("chat")
    with pytest.raises(KubeError, match="not found"):
        await stack.get("chat")
    assert len(await stack.pools()) == 1
    stack.operator.start()
    await stack.expect_no_trace()


async def test_a_lost_node_is_replaced(stack: Stack) -> None:
    await stack.apply("chat", model=MODEL)
    await stack.expect_ready("chat")
    (pod,) = await stack.children("Pod")
    await stack.change_gke("delete-node", node=pod["spec"]["nodeName"])

    async def successor() -> Json | None:
        others = [p for p in await stack.children("Pod") if p["metadata"]["name"] != pod["metadata"]["name"]]
        return next((other for other in others if other["spec"].get("nodeName")), None)

    replacing = await eventually(successor, 60, stack.story)
    assert replacing["spec"]["nodeName"] != pod["spec"]["nodeName"]
    await stack.expect_ready("chat")
    assert [p["metadata"]["name"] for p in await stack.children("Pod")] == [replacing["metadata"]["name"]]
    await stack.expect_one_pool_per_claim()
