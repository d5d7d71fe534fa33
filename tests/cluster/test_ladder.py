"""The ladder on a real control plane: down when there is no capacity, back up beside what serves, through kills."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from tests.support.light_stack import light_stack
from tests.support.namespaces import new_namespace
from tests.support.polling import eventually
from tests.support.stack import MODELS, Stack

pytestmark = [pytest.mark.cluster, pytest.mark.asyncio(loop_scope="module")]

Json = dict[str, Any]
MODEL = "mistral-7b-v0.3"
L4, A100 = {"machineType": "g2-standard-8"}, {"machineType": "a2-highgpu-1g"}
LADDER = {"options": [L4, A100]}
BELOW = "a2-highgpu-1g-ondemand"
QUICK = ("--zone-patience-s=0.5", "--stockout-cooldown-s=4", "--refused-cooldown-s=4", "--return-interval-s=4")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ground(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with light_stack(tmp_path_factory.mktemp("ladder"), delays_s={"maintenance_notice": 3000}) as (stack, _):
        stack.operator.args = QUICK
        stack.operator.start()
        yield stack
        await stack.operator.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def stack(ground: Stack) -> AsyncIterator[Stack]:
    """The ground in a fresh namespace, with machines for everybody again after the test."""
    async with new_namespace(ground.kube) as name:
        ground.namespace = name
        yield ground
        await fill(ground)
        if not ground.operator.running:
            ground.operator.start()
        await ground.kube.delete(MODELS.format(namespace=name))
        await ground.expect_no_trace()


async def empty(stack: Stack, *machine_types: str) -> None:
    for machine_type in machine_types:
        await stack.change_gke("stock", machine_type=machine_type, nodes=0)


async def fill(stack: Stack) -> None:
    await stack.change_gke("stock", nodes=100)
    await stack.change_gke("quota", limit=100)


async def rungs(stack: Stack) -> dict[str, Json]:
    options = (await stack.get("chat")).get("status", {}).get("capacity", {}).get("options", ())
    return {rung["name"]: rung for rung in options}


async def machines(stack: Stack) -> set[str]:
    """The machine types of the nodes that the model's pools have."""
    return {pool["machine_type"] for pool in await stack.pools() if pool["nodes"]}


async def on_machines(stack: Stack, *machine_types: str) -> None:
    async def as_wanted() -> bool:
        return await machines(stack) == set(machine_types)

    await eventually(as_wanted, 60, lambda: f"nodes of {machine_types}\n{stack.story()}")


async def test_the_next_rung_serves_when_the_first_has_no_machines(stack: Stack) -> None:
    await empty(stack, "g2-standard-8")
    await stack.apply("chat", model=MODEL, capacity=LADDER)
    degraded = await stack.expect("chat", "Degraded", "True", "OnLowerRung")
    assert f"rung 2 of 2, {BELOW}" in degraded["message"]
    assert "GCE out of resources" in degraded["message"]
    assert (await stack.condition("chat", "Ready"))["status"] == "True"
    assert await machines(stack) == {"a2-highgpu-1g"}


async def test_it_returns_when_the_first_has_machines_again_and_serves_all_the_while(stack: Stack) -> None:
    await empty(stack, "g2-standard-8")
    await stack.apply("chat", model=MODEL, capacity=LADDER)
    await stack.expect("chat", "Degraded", "True", "OnLowerRung")
    seen: list[str] = []

    async def returned() -> bool:
        ready = await stack.condition("chat", "Ready")
        seen.append(ready["status"])
        names = await rungs(stack)
        return next(iter(names.values()))["state"] == "Active" and await machines(stack) == {"g2-standard-8"}

    await fill(stack)
    await eventually(returned, 90, lambda: f"it has returned\n{stack.story()}")
    assert set(seen) == {"True"}
    await stack.expect_ready("chat")
    await stack.expect("chat", "Degraded", "False")
    await stack.expect_one_pool_per_claim()


async def test_attempts_to_return_leave_what_serves_alone(stack: Stack) -> None:
    await empty(stack, "g2-standard-8")
    await stack.apply("chat", model=MODEL, capacity=LADDER)
    await stack.expect("chat", "Degraded", "True", "OnLowerRung")
    (serving,) = [pod["metadata"]["uid"] for pod in await stack.children("Pod")]
    first = (await rungs(stack))["g2-standard-8-ondemand"]["since"]

    async def tried_again() -> bool:
        rung = (await rungs(stack))["g2-standard-8-ondemand"]
        return bool(rung["state"] == "Exhausted" and rung["since"] != first)

    await eventually(tried_again, 60, lambda: f"the better rung is tried again\n{stack.story()}")
    await eventually(lambda: _is_alone(stack, serving), 30, lambda: f"only what serves is left\n{stack.story()}")
    assert (await stack.condition("chat", "Ready"))["status"] == "True"


async def _is_alone(stack: Stack, uid: str) -> bool:
    return [pod["metadata"]["uid"] for pod in await stack.children("Pod")] == [uid]


async def test_a_model_without_any_capacity_waits_on_its_first_rung_and_takes_what_comes(stack: Stack) -> None:
    await empty(stack, "g2-standard-8", "a2-highgpu-1g")
    await stack.apply("chat", model=MODEL, capacity=LADDER)

    async def all_failed() -> bool:
        states = [rung["state"] for rung in (await rungs(stack)).values()]
        return states == ["Exhausted", "Exhausted"]

    await eventually(all_failed, 60, lambda: f"both have had their turn\n{stack.story()}")
    assert (await stack.condition("chat", "Ready"))["status"] == "False"
    await fill(stack)
    await stack.expect_ready("chat", timeout_s=90)
    await on_machines(stack, "g2-standard-8")


async def test_a_kill_in_the_middle_of_a_move_changes_nothing_about_its_end(stack: Stack) -> None:
    await empty(stack, "g2-standard-8")
    await stack.apply("chat", model=MODEL, capacity=LADDER)

    async def moving() -> bool:
        return any(rung["state"] == "Exhausted" for rung in (await rungs(stack)).values())

    await eventually(moving, 60, stack.story, interval_s=0.01)
    await stack.operator.kill()
    stack.operator.start()
    await stack.expect("chat", "Degraded", "True", "OnLowerRung")
    await stack.operator.kill()
    stack.operator.start()
    await stack.expect("chat", "Degraded", "True", "OnLowerRung")
    await on_machines(stack, "a2-highgpu-1g")


async def test_a_model_that_is_deleted_on_its_way_leaves_nothing(stack: Stack) -> None:
    await empty(stack, "g2-standard-8")
    await stack.apply("chat", model=MODEL, capacity=LADDER)
    await eventually(lambda: _has_claims(stack, 2), 60, lambda: f"two rungs have claims\n{stack.story()}")
    await stack.delete("chat")
    await stack.expect_no_trace()


async def _has_claims(stack: Stack, number: int) -> bool:
    return len(await stack.claims()) >= number


async def test_a_replica_has_its_successor_before_the_host_is_maintained_and_the_right_one_goes(stack: Stack) -> None:
    await stack.apply("chat", model=MODEL, replicas=2, capacity={"options": [L4]})
    await stack.expect_ready("chat", replicas=2)
    ending, staying = await stack.children("Pod")
    await stack.change_gke("maintain", node=ending["spec"]["nodeName"])
    answering: list[int] = []

    async def replaced() -> bool:
        answering.append((await stack.get("chat"))["status"].get("readyReplicas", 0))
        uids = {pod["metadata"]["uid"] for pod in await stack.children("Pod")}
        return len(uids) == 2 and ending["metadata"]["uid"] not in uids

    await eventually(replaced, 60, lambda: f"another replica has taken its place\n{stack.story()}")
    assert min(answering) == 2, "no replica was missing before"
    names = {pod["metadata"]["name"]: pod["spec"]["nodeName"] for pod in await stack.children("Pod")}
    assert staying["metadata"]["name"] in names
    assert ending["spec"]["nodeName"] not in names.values()
    told = [entry for entry in (await stack.get("chat"))["status"]["timeline"] if entry["reason"] == "ReplicaEndsSoon"]
    assert [ending["metadata"]["name"] in entry["message"] for entry in told] == [True]
    await stack.expect_ready("chat", replicas=2)


async def test_so_many_replicas_on_one_rung_and_the_rest_on_the_next_have_one_endpoint(stack: Stack) -> None:
    spread = {"options": [L4 | {"replicas": 2}, A100]}
    await stack.apply("chat", model=MODEL, replicas=3, capacity=spread)
    await stack.expect_ready("chat", replicas=3)
    nodes = {pool["machine_type"]: len(pool["nodes"]) for pool in await stack.pools()}
    assert nodes == {"g2-standard-8": 2, "a2-highgpu-1g": 1}
    slices = f"/apis/discovery.k8s.io/v1/namespaces/{stack.namespace}/endpointslices"

    async def led_to_all() -> bool:
        listed = (await stack.kube.request("GET", slices))["items"]
        return sum(len(each["endpoints"] or ()) for each in listed) == 3

    await eventually(led_to_all, 30, lambda: f"the Service leads to all replicas\n{stack.story()}")
    await stack.scale("chat", 2)
    await on_machines(stack, "g2-standard-8")
    await stack.expect_ready("chat", replicas=2)
    assert [each["metadata"]["name"] for each in await stack.children("Deployment")] == ["chat"]
    await stack.apply("chat", model=MODEL, replicas=2, capacity={"options": [A100 | {"replicas": 1}, L4]})

    async def turned_round() -> bool:
        found = {pool["machine_type"]: len(pool["nodes"]) for pool in await stack.pools()}
        return found == {"g2-standard-8": 1, "a2-highgpu-1g": 1}

    await eventually(turned_round, 60, lambda: f"each option has its replica\n{stack.story()}")
    await stack.expect_ready("chat", replicas=2)
