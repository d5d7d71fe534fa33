"""A model whose node pool is an object of Config Connector, on a real control plane and the simulated GKE."""

from pathlib import Path
from typing import Any

from tests.support.config_connector import find_schemas
from tests.support.light_stack import light_stack
from tests.support.operator_account import NAMESPACE, allow_config_connector
from tests.support.polling import eventually
from tests.support.stack import Stack

POOLS = f"/apis/container.cnrm.cloud.google.com/v1beta1/namespaces/{NAMESPACE}/containernodepools"
PROVISIONERS = ("--provisioner", "ContainerAPI", "--provisioner", "ConfigConnector")
STOCK_OUT = "[GCE_STOCKOUT] The zone does not have enough resources available to fulfill the request."


async def test_a_model_gets_its_pool_by_an_object(tmp_path: Path) -> None:
    """A stock-out is told in Google's words and waited out, then the model serves, and in the end nothing is left."""
    fault = {"rpc": "CreateNodePool", "code": "RESOURCE_EXHAUSTED", "message": STOCK_OUT, "in_operation": True}
    neighbours = ["config-connector"]
    async with light_stack(
        tmp_path, schemas=find_schemas(), neighbours=neighbours, faults=[{**fault, "probability": 1.0}]
    ) as (stack, _):
        await allow_config_connector(stack.kube)
        stack.operator.args = PROVISIONERS
        stack.operator.start()
        await stack.apply("chat", model="mistral-7b-v0.3", capacity={"provisioner": "ConfigConnector"})
        await eventually(lambda: _tells_stock_out(stack), 60, stack.story)
        await stack.heal_gke()
        await stack.expect_ready("chat")
        (body,) = (await stack.kube.request("GET", POOLS))["items"]
        (pool,) = await stack.pools()
        assert body["metadata"]["name"] == pool["name"]
        assert body["spec"]["clusterRef"]["external"].endswith("/clusters/sandbox")
        assert body["status"]["conditions"][0]["reason"] == "UpToDate"
        made_by = [call["rpc"] for call in (await stack.gke())["calls"] if call["target"].endswith(pool["name"])]
        assert "CreateNodePool" in made_by
        await stack.delete("chat")
        await stack.expect_no_trace()
        assert (await stack.kube.request("GET", POOLS))["items"] == []


async def test_bounds_follow_the_replicas(tmp_path: Path) -> None:
    async with light_stack(tmp_path, schemas=find_schemas(), neighbours=["config-connector"]) as (stack, _):
        await allow_config_connector(stack.kube)
        stack.operator.args = PROVISIONERS
        stack.operator.start()
        await stack.apply("chat", model="mistral-7b-v0.3", capacity={"provisioner": "ConfigConnector"})
        await stack.expect_ready("chat")
        await stack.scale("chat", 3)

        async def may_grow() -> bool:
            bodies = (await stack.kube.request("GET", POOLS))["items"]
            return [body["spec"]["autoscaling"]["totalMaxNodeCount"] for body in bodies] == [4]

        await eventually(may_grow, 30, stack.story)
        await stack.expect_ready("chat", replicas=3)


async def _tells_stock_out(stack: Stack) -> bool:
    conditions: list[dict[str, Any]] = [
        condition for claim in await stack.claims() for condition in claim.get("status", {}).get("conditions", ())
    ]
    told = [condition for condition in conditions if condition["type"] == "Ready"]
    return any(each["reason"] == "StockedOut" and STOCK_OUT in each["message"] for each in told)
