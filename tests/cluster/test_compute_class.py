"""ComputeClasses on a real control plane: GKE makes the pools, goes on to the next priority, and takes them away."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from tests.support.compute_classes import schemas
from tests.support.light_stack import light_stack
from tests.support.polling import eventually
from tests.support.stack import Stack

from mistral_operator.sandbox.gke.auto_creation import CLASSES

pytestmark = [pytest.mark.cluster, pytest.mark.asyncio(loop_scope="module")]

Json = dict[str, Any]
CAPACITY = {
    "provisioner": "ComputeClass",
    "options": [{"machineType": "g2-standard-8", "consumption": "Spot"}, {"machineType": "g2-standard-8"}],
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """An Autopilot cluster, where nobody but GKE can make a node pool."""
    folder = tmp_path_factory.mktemp("compute-class")
    delays = {"scale_down_unneeded": 150}
    async with light_stack(folder, schemas=schemas(), autopilot=True, delays_s=delays) as (stack, _):
        stack.operator.args = ("--provisioner=ComputeClass",)
        stack.operator.start()
        yield stack
        await stack.operator.stop()


async def classes(stack: Stack) -> list[Json]:
    return await stack.kube.list(CLASSES)


async def modes(stack: Stack) -> set[str]:
    """How the machines are bought that GKE has made by itself."""
    pools = (await stack.gke())["pools"]
    return {pool["mode"] for pool in pools if pool["name"].startswith("nap-") and pool["nodes"]}


async def test_a_class_serves_by_its_next_priority_and_leaves_nothing(stack: Stack) -> None:
    await stack.change_gke("stock", mode="spot", nodes=0)
    await stack.apply("chat", model="mistral-7b-v0.3", capacity=CAPACITY)
    await stack.expect_ready("chat")
    assert await modes(stack) == {"on-demand"}

    (claim,) = await stack.claims()
    (compute_class,) = await classes(stack)
    assert compute_class["metadata"]["name"] == f"mm-{claim['metadata']['name']}"
    assert [priority.get("spot", False) for priority in compute_class["spec"]["priorities"]] == [True, False]
    assert [(c["type"], c["status"]) for c in compute_class["status"]["conditions"]] == [("Health", "True")]

    async def told() -> bool:
        (claim,) = await stack.claims()
        status = claim["status"]
        return (
            status.get("priorities")
            == [
                {"consumption": "Spot", "nodes": 0},
                {"consumption": "OnDemand", "nodes": 1},
            ]
            and float(status["hourlyCost"]) > 0
        )

    await eventually(told, 30, lambda: f"the claim says of which priority its node is\n{stack.story()}")
    (pod,) = await stack.children("Pod")
    assert pod["spec"]["nodeSelector"].keys() == {
        "cloud.google.com/compute-class",
        "serving.mistral-operator.dev/shape",
    }

    await stack.delete("chat")
    await stack.expect_no_trace()
    assert await classes(stack) == []

    async def emptied() -> bool:
        return not [pool for pool in (await stack.gke())["pools"] if pool["name"].startswith("nap-")]

    await eventually(emptied, 60, "GKE has removed its pools")
    calls = {call["rpc"] for call in (await stack.gke())["calls"] if call["rpc"] != "GetCluster"}
    assert not calls, "on Autopilot no call is about node pools"
