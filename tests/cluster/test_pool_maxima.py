"""What a pool may grow to on a real control plane, whoever asks for its nodes: what the spend limit pays for."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.light_stack import light_stack
from tests.support.polling import eventually
from tests.support.stack import GONE_S, Stack

from mistral_operator.api.names import SHAPE_LABEL

Json = dict[str, Any]
PODS = "/api/v1/namespaces/default/pods"
EVENTS = "/api/v1/namespaces/default/events"


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    """A cluster of its own, whose idle nodes go after half a minute of its time; the operator runs."""
    async with light_stack(tmp_path / "sandbox", delays_s={"scale_down_unneeded": 30}) as (stack, _):
        stack.operator.start()
        yield stack


async def apply(stack: Stack, limit: str, **spec: Any) -> None:
    capacity = {"options": [{"accelerator": "l4"}], "maxHourlyCost": limit}
    await stack.apply("chat", model="mistral-7b-v0.3", replicas=3, capacity=capacity, **spec)


async def expect_pool(stack: Stack, *, total_max: int, nodes: int) -> None:
    """Wait until the one pool has this bound, and so many nodes."""

    async def as_wanted() -> bool:
        (pool,) = await stack.pools()
        found = (int(pool["message"]["autoscaling"]["total_max_node_count"]), len(pool["nodes"]))
        assert found == (total_max, nodes)
        return True

    await eventually(as_wanted, GONE_S, lambda: f"{total_max} nodes at most, {nodes} there\n{stack.story()}")


async def running(stack: Stack) -> set[str]:
    return {pod["metadata"]["uid"] for pod in await stack.children("Pod") if "deletionTimestamp" not in pod["metadata"]}


async def add_stranger(stack: Stack, claim: str) -> None:
    """A pod that is no model's, and asks for a node of the claim's pool as theirs do."""
    resources = {"limits": {"nvidia.com/gpu": "1"}}
    spec = {
        "containers": [{"name": "c", "image": "example/none", "resources": resources}],
        "nodeSelector": {SHAPE_LABEL: claim},
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
        "terminationGracePeriodSeconds": 0,
    }
    await stack.kube.create(PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "stranger"}, "spec": spec})


async def test_nobody_gets_more_nodes_of_a_pool_than_the_limit_pays_for(stack: Stack) -> None:
    await apply(stack, "1.00")
    await stack.expect_ready("chat", 1)
    await expect_pool(stack, total_max=1, nodes=1)
    first = await running(stack)
    (claim,) = await stack.claims()
    assert [user["nodes"] for user in claim["status"]["users"]] == [1]

    await add_stranger(stack, claim["metadata"]["name"])

    async def refused() -> Json | None:
        selector = {"fieldSelector": "involvedObject.name=stranger,reason=NotTriggerScaleUp"}
        events = (await stack.kube.request("GET", EVENTS, params=selector))["items"]
        return next((each for each in events if "max node group size reached" in each["message"]), None)

    await eventually(refused, GONE_S, lambda: f"the cluster autoscaler refuses the stranger\n{stack.story()}")
    await expect_pool(stack, total_max=1, nodes=1)
    await stack.kube.delete(f"{PODS}/stranger")

    revisions = [each["metadata"]["name"] for each in await stack.children("ControllerRevision")]
    await apply(stack, "2.00")
    await stack.expect_ready("chat", 2)
    await expect_pool(stack, total_max=2, nodes=2)
    assert first < await running(stack), "a higher limit restarts nothing"
    assert [each["metadata"]["name"] for each in await stack.children("ControllerRevision")] == revisions

    await apply(stack, "1.00")
    await expect_pool(stack, total_max=1, nodes=1)
    await stack.expect_ready("chat", 1)
    kept = await running(stack)
    assert len(kept) == 1


async def test_an_idle_pool_has_no_nodes_and_a_maximum_of_one(stack: Stack) -> None:
    await apply(stack, "9.00")
    await stack.expect_ready("chat", 3)
    await expect_pool(stack, total_max=4, nodes=3)
    await apply(stack, "9.00", suspend=True)
    await expect_pool(stack, total_max=1, nodes=0)
    await apply(stack, "9.00")
    await stack.expect_ready("chat", 3)
    await expect_pool(stack, total_max=4, nodes=3)
