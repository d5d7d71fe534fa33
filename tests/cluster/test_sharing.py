"""Two models on one GPU of the simulated GKE, which offers it to pods as often as it may be shared."""

import pytest
from tests.support.stack import Stack

pytestmark = pytest.mark.cluster


async def nodes_of_pods(stack: Stack) -> list[str]:
    pods = await stack.children("Pod")
    return [pod["spec"].get("nodeName", "") for pod in pods]


async def test_two_models_share_a_gpu_and_its_machine_goes_with_the_last(stack: Stack) -> None:
    first, second = [await stack.apply_example(name) for name in ("shared-gpu", "shared-gpu-neighbour")]
    for name in (first, second):
        await stack.expect_ready(name)
    (claim,) = await stack.claims()
    (pool,) = await stack.pools()
    (node,) = pool["nodes"]
    assert await nodes_of_pods(stack) == [node["name"], node["name"]]
    assert {user["name"] for user in claim["status"]["users"]} == {first, second}
    assert await stack.ask(second, "Which of you answers?", "ministral-3-3b-2512")
    await stack.delete(first)
    await stack.expect_ready(second)
    await stack.delete(second)
    await stack.expect_no_trace()
