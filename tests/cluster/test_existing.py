"""Models on nodes that are there, on a real control plane that isn't GKE's: no cloud is named, and none is called."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio
from tests.support.light_stack import light_stack
from tests.support.node_cases import a_node, nvidia_labels
from tests.support.polling import eventually
from tests.support.stack import Stack

pytestmark = [pytest.mark.cluster, pytest.mark.asyncio(loop_scope="module")]

Json = dict[str, Any]
NODES = "/api/v1/nodes"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with light_stack(tmp_path_factory.mktemp("existing")) as (made, _):
        made.operator.sandbox = replace(made.sandbox, container_api="", project="", location="", cluster="")
        made.operator.start()
        yield made
        await made.operator.stop()


async def ready_of(stack: Stack) -> Json | None:
    """The Ready condition of the only claim; None while there is none."""
    conditions = [found for claim in await stack.claims() for found in claim.get("status", {}).get("conditions", ())]
    return next((found for found in conditions if found["type"] == "Ready"), None)


async def test_a_model_alone_runs_on_a_node_that_somebody_brought(stack: Stack) -> None:
    await stack.apply("chat", model="mistral-7b-v0.3")
    await stack.expect("chat", "Accepted", "False", "NoNodesMatch")
    assert "no cluster of GKE" in stack.operator.log(200)

    node = a_node("gpu-box", nvidia_labels(), devices=8, cpu="192", memory="1900Gi")
    await stack.kube.create(NODES, node)
    await stack.expect_ready("chat")
    (claim,) = await stack.claims()
    assert "finalizers" not in claim["metadata"]
    pods = await stack.children("Pod")
    assert [pod["spec"]["nodeName"] for pod in pods] == ["gpu-box"]
    assert await stack.pools() == []
    found = await ready_of(stack)
    assert found is not None
    assert (found["status"], found["reason"]) == ("True", "NodesFit")

    taints = [*node["spec"]["taints"], {"key": "dedicated", "value": "others", "effect": "NoSchedule"}]
    await stack.kube.merge_patch(f"{NODES}/gpu-box", {"spec": {"taints": taints}})

    async def tells() -> bool:
        told = await ready_of(stack)
        return told is not None and told["reason"] == "NodesDontFit" and "dedicated=others" in told["message"]

    await eventually(tells, 30, message="the claim tells of the taint")
    assert len(await stack.children("ControllerRevision")) == 1
    assert [pod["metadata"]["uid"] for pod in await stack.children("Pod")] == [pods[0]["metadata"]["uid"]]

    await stack.delete("chat")

    async def gone() -> bool:
        return not await stack.claims()

    await eventually(gone, 30, message="the claim goes with its last user")
    there = await stack.kube.get(f"{NODES}/gpu-box")
    assert there is not None
    assert {key: there["metadata"]["labels"].get(key) for key in nvidia_labels()} == nvidia_labels()
