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
        # Else the autoscaler finds a machine for the pool that failed, whose stock-out is over then.
        await stack.change_gke("stock", nodes=0)
        stack.operator.start()
        await stack.apply("chat", model="mistral-7b-v0.3", capacity={"provisioner": "ConfigConnector"})
        await eventually(lambda: _tells_stock_out(stack), 60, stack.story)
        await stack.heal_gke()
        await stack.change_gke("stock", nodes=100)
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
        await eventually(lambda: _may_have_nodes(stack, 4), 30, stack.story)
        await stack.expect_ready("chat", replicas=3)


async def test_an_edited_object_is_put_right(tmp_path: Path) -> None:
    async with light_stack(tmp_path, schemas=find_schemas(), neighbours=["config-connector"]) as (stack, _):
        await allow_config_connector(stack.kube)
        stack.operator.args = PROVISIONERS
        stack.operator.start()
        await stack.apply("chat", model="mistral-7b-v0.3", capacity={"provisioner": "ConfigConnector"})
        await stack.expect_ready("chat")
        (body,) = (await stack.kube.request("GET", POOLS))["items"]
        before = (body["spec"]["nodeConfig"], body["spec"]["management"], body["spec"]["upgradeSettings"])
        taint = {"key": "team.example/mine", "value": "", "effect": "NO_EXECUTE"}
        labels = dict.fromkeys(body["spec"]["nodeConfig"]["labels"], "other")
        config = {"labels": labels, "resourceLabels": {"mistral-operator-tenant": "x"}, "taint": [taint]}
        edit = {"nodeConfig": config, "management": {"autoRepair": False}, "upgradeSettings": {"maxSurge": 5}}
        await stack.kube.merge_patch(f"{POOLS}/{body['metadata']['name']}", {"spec": edit})
        # A new process looks at once, not only within a minute.
        await stack.operator.kill()
        stack.operator.start()

        async def is_as_before() -> bool:
            (now,) = (await stack.kube.request("GET", POOLS))["items"]
            kept = {key: value for key, value in now["spec"]["nodeConfig"].items() if value != []}
            up_to_date = now["status"]["conditions"][0]["reason"] == "UpToDate"
            return up_to_date and (kept, now["spec"]["management"], now["spec"]["upgradeSettings"]) == before

        await eventually(is_as_before, 60, stack.story)
        changed = {"NodeLabelsChanged", "TaintsAdded", "ResourceLabelsChanged", "ManagementChanged"}

        async def is_told() -> bool:
            told = {note["finding"] for claim in await stack.claims() for note in claim["status"]["drift"]}
            assert told == {*changed, "UpgradeSettingsChanged"}
            return True

        await eventually(is_told, 30, stack.story)


async def test_bounds_follow_the_replicas_after_a_stock_out_that_is_over(tmp_path: Path) -> None:
    """Nobody saw the failed making; Config Connector took the pool over, and stock came back for the autoscaler."""
    stock_out = {"rpc": "CreateNodePool", "code": "RESOURCE_EXHAUSTED", "message": STOCK_OUT, "in_operation": True}
    fault = {**stock_out, "calls": [1], "operation_latency": 500}
    neighbours = ["config-connector"]
    async with light_stack(tmp_path, schemas=find_schemas(), neighbours=neighbours, faults=[fault]) as (stack, _):
        await allow_config_connector(stack.kube)
        await stack.change_gke("stock", nodes=0)
        stack.operator.args = PROVISIONERS
        stack.operator.start()
        await stack.apply("chat", model="mistral-7b-v0.3", capacity={"provisioner": "ConfigConnector"})
        await eventually(lambda: _has_pod_and_object(stack), 30, stack.story)
        await stack.operator.kill()
        (before,) = (await stack.kube.request("GET", POOLS))["items"]
        await eventually(lambda: _has_event(stack, "UpdateFailed", STOCK_OUT), 60, stack.story)
        await stack.change_gke("stock", nodes=100)
        await eventually(lambda: _has_node(stack, before["metadata"]["name"]), 60, stack.story)
        await eventually(lambda: _has_event(stack, "UpToDate"), 60, stack.story)
        stack.operator.start()
        await stack.expect_ready("chat")
        await stack.scale("chat", 3)
        await eventually(lambda: _may_have_nodes(stack, 4), 30, stack.story)
        await stack.expect_ready("chat", replicas=3)
        (after,) = (await stack.kube.request("GET", POOLS))["items"]
        assert after["metadata"]["uid"] == before["metadata"]["uid"], "the pool is the one that it was"


async def _has_pod_and_object(stack: Stack) -> bool:
    pods = (await stack.kube.request("GET", f"/api/v1/namespaces/{stack.namespace}/pods"))["items"]
    return bool(pods and (await stack.kube.request("GET", POOLS))["items"])


async def _has_event(stack: Stack, reason: str, words: str = "") -> bool:
    events = (await stack.kube.request("GET", f"/api/v1/namespaces/{NAMESPACE}/events"))["items"]
    return any(event["reason"] == reason and words in event["message"] for event in events)


async def _has_node(stack: Stack, pool: str) -> bool:
    nodes = (await stack.kube.request("GET", "/api/v1/nodes"))["items"]
    return any(node["metadata"]["labels"].get("cloud.google.com/gke-nodepool") == pool for node in nodes)


async def _may_have_nodes(stack: Stack, most: int) -> bool:
    bodies = (await stack.kube.request("GET", POOLS))["items"]
    return [body["spec"]["autoscaling"]["totalMaxNodeCount"] for body in bodies] == [most]


async def _tells_stock_out(stack: Stack) -> bool:
    conditions: list[dict[str, Any]] = [
        condition for claim in await stack.claims() for condition in claim.get("status", {}).get("conditions", ())
    ]
    told = [condition for condition in conditions if condition["type"] == "Ready"]
    return any(each["reason"] == "StockedOut" and STOCK_OUT in each["message"] for each in told)
