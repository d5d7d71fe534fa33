"""The promise: a model applied to a real API server is provisioned, served, scaled, and taken away without a trace."""

from decimal import Decimal

from tests.support.polling import eventually
from tests.support.stack import Stack


async def test_three_models_are_served_and_leave_nothing(stack: Stack) -> None:
    names = [await stack.apply_example(e) for e in ("mistral-7b", "mistral-small-24b", "mixtral-8x7b")]
    for name in names:
        await stack.expect_ready(name)
    hardware = {name: (await stack.get(name))["status"]["plan"]["chosen"] for name in names}
    assert {n: (h["devices"], h["accelerator"]) for n, h in hardware.items()} == {
        "chat": (1, "l4"),
        "assistant": (4, "l4"),
        "mixtral": (2, "a100-80"),
    }
    for name in names:
        served = (await stack.get(name))["status"]["endpoint"]["servedName"]
        assert "stand-in" in await stack.ask(name, "Who are you?", served)
    await stack.expect_one_pool_per_claim()
    for name in names:
        await stack.delete(name)
    await stack.expect_no_trace()


async def test_scaling_goes_through_the_models_own_scale(stack: Stack) -> None:
    name = await stack.apply_example("mistral-7b")
    await stack.expect_ready(name)
    await stack.scale(name, 2)
    await stack.expect_ready(name, replicas=2)
    assert len(await stack.children("ControllerRevision")) == 1
    await stack.scale(name, 0)
    await stack.expect(name, "Ready", "True", "ScaledToZero")
    await expect_cost(stack, name, nodes=2, paid="2", idle="2")
    await stack.scale(name, 1)
    await stack.expect_ready(name)
    await expect_cost(stack, name, nodes=1, paid="1", idle="0")
    autoscaling = await stack.condition(name, "AutoscalingReady")
    assert (autoscaling["status"], autoscaling["reason"]) == ("False", "NoMetricsAdapter")
    (scaler,) = await stack.children("HorizontalPodAutoscaler")
    assert scaler["spec"]["scaleTargetRef"]["kind"] == "MistralModel"


async def expect_cost(stack: Stack, name: str, *, nodes: int, paid: str, idle: str) -> None:
    """Wait until GKE has so many nodes for the namespace, and a model pays for so many of them, some of them idle."""

    async def told() -> bool:
        there = sum(len(pool["nodes"]) for pool in await stack.pools())
        status = (await stack.get(name))["status"]
        price = Decimal(status["plan"]["chosen"]["hourlyCost"])
        costs = Decimal(status["cost"]["hourly"]), Decimal(status["cost"].get("idle", 0))
        assert (there, *costs) == (nodes, price * Decimal(paid), price * Decimal(idle))
        return True

    await eventually(told, 60, lambda: f"{name} pays for {paid} of {nodes} nodes\n{stack.story()}")


async def test_a_new_spec_rolls_out_beside_the_old_replica(stack: Stack) -> None:
    await stack.apply("chat", model="mistral-7b-v0.3")
    await stack.expect_ready("chat")
    (before,) = await stack.children("ControllerRevision")
    await stack.apply("chat", model="mistral-7b-v0.3", engine={"contextLength": 8192})

    async def replaced() -> bool:
        revisions = await stack.children("ControllerRevision")
        assert (await stack.get("chat"))["status"]["readyReplicas"] >= 1
        return len(revisions) == 1 and revisions[0]["metadata"]["name"] != before["metadata"]["name"]

    await eventually(replaced, 60, lambda: f"the new revision is the only one\n{stack.story()}")
    await stack.expect_ready("chat")
    (pod,) = [p for p in await stack.children("Pod") if "deletionTimestamp" not in p["metadata"]]
    arguments = pod["spec"]["containers"][0]["args"]
    assert arguments[arguments.index("--max-model-len") + 1] == "8192"


async def test_models_of_one_tenant_share_a_pool(stack: Stack) -> None:
    await stack.apply("one", model="mistral-7b-v0.3")
    await stack.apply("two", model="mistral-7b-v0.3")
    await stack.expect_ready("one")
    await stack.expect_ready("two")
    (claim,) = await stack.claims()
    assert len(await stack.pools()) == 1
    await stack.scale("one", 0)
    for name, paid in (("one", "0.5"), ("two", "1.5")):
        await expect_cost(stack, name, nodes=2, paid=paid, idle="0.5")
    await stack.delete("one")
    await stack.expect_ready("two")
    await expect_cost(stack, "two", nodes=1, paid="1", idle="0")
    assert [c["metadata"]["name"] for c in await stack.claims()] == [claim["metadata"]["name"]]
    await stack.delete("two")
    await stack.expect_no_trace()
