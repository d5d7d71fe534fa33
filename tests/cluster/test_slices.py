"""Models on multi-host slices: the real LeaderWorkerSet controller, a node pool a replica, and a host that dies."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
from tests.support.polling import eventually
from tests.support.stack import CHILDREN, Stack, running_stack

pytestmark = pytest.mark.cluster

SPEED = 50
GROUPS = "leaderworkerset.x-k8s.io/v1"
SIGS = "leaderworkerset.sigs.k8s.io"
BEFORE, NEXT = "1.36.3-gke.1000000", "1.36.4-gke.1000000"
POD = {"containers": [{"name": "other", "image": "other"}]}
ONE_MACHINE = {"accelerator": "v6e", "topology": "2x4"}
QUICK = "delays_s: {master_upgrade: 10}\n"
SHORTAGE = """
stock:
- {zone: us-central1-a, machine_type: ct6e-standard-4t, nodes: 3}
- {zone: us-central1-b, machine_type: ct6e-standard-4t, nodes: 0}
"""


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    """A sandbox of its own, with the controller."""
    scenario = tmp_path / "scenario.yaml"
    scenario.write_text(QUICK)
    async with running_stack(tmp_path, scenario=scenario, speed=SPEED, neighbours=["lws"]) as stack:
        stack.operator.start()
        yield stack


async def hosts(stack: Stack) -> dict[str, list[dict[str, Any]]]:
    """Node pool → its nodes as the simulated GKE has them."""
    return {pool["name"]: pool["nodes"] for pool in await stack.pools()}


async def ask(stack: Stack, name: str) -> str:
    async with stack.client(name) as client:
        answer = await client.chat.completions.create(
            model="mixtral-8x7b", messages=[{"role": "user", "content": "Who are you?"}], max_tokens=64
        )
    return str(answer.choices[0].message.content)


async def test_a_slice_serves_scales_loses_a_host_and_goes(stack: Stack) -> None:
    name = await stack.apply_example("mixtral-tpu-slice")
    await stack.expect_ready(name)
    assert "stand-in" in await ask(stack, name)
    (claim,) = await stack.claims()
    assert (claim["status"]["zone"], claim["status"]["nodes"]) == (
        "us-central1-a",
        {"desiredMax": 4, "current": 4},
    )
    await scale_by_a_slice(stack, name)
    await upgrade_by_slices(stack, name)
    await lose_a_host(stack, name)
    await stack.scale(name, 1)
    await stack.expect_ready(name)

    async def one_slice() -> bool:
        return len(await stack.claims()) == len(await stack.pools()) == 1

    await eventually(one_slice, 60, lambda: f"the empty slice is given back\n{stack.story()}")
    assert "stand-in" in await ask(stack, name)
    await stack.delete(name)
    await stack.expect_no_trace()


async def scale_by_a_slice(stack: Stack, name: str) -> None:
    await stack.scale(name, 2)
    await stack.expect_ready(name, replicas=2)
    assert {len(nodes) for nodes in (await hosts(stack)).values()} == {4}
    assert len(await stack.claims()) == 2
    pools_of_groups: dict[str, set[str]] = {}
    names = {node["name"]: pool for pool, nodes in (await hosts(stack)).items() for node in nodes}
    for pod in await stack.children("Pod"):
        group = pod["metadata"]["labels"][f"{SIGS}/group-index"]
        pools_of_groups.setdefault(group, set()).add(names[pod["spec"]["nodeName"]])
    assert sorted(map(len, pools_of_groups.values())) == [1, 1]
    assert len(set.union(*pools_of_groups.values())) == 2


async def upgrade_by_slices(stack: Stack, name: str) -> None:
    """GKE upgrades its control plane and leaves the slices to the operator, who starts anew when that is done."""
    await stack.operator.kill()
    await stack.change_gke("upgrade", version=NEXT)

    async def control_plane() -> bool:
        return any(
            op["operation_type"] == "UPGRADE_MASTER" and op["status"] == "DONE"
            for op in (await stack.gke())["operations"]
        )

    await eventually(control_plane, 30, "the control plane has the version")
    assert {pool["message"]["version"] for pool in await stack.pools()} == {BEFORE}
    stack.operator.start()

    async def upgraded() -> bool:
        pools = await stack.pools()
        at_work = sum(pool["message"]["status"] == "RECONCILING" for pool in pools)
        assert at_work <= 1
        assert await answering(stack), "one of the groups is whole"
        versions = {pool["message"]["version"] for pool in pools}
        return versions == {NEXT} and not at_work and len(await answering(stack)) == 2

    await eventually(upgraded, 120, lambda: f"both slices have the version\n{stack.story()}")
    await stack.expect_ready(name, replicas=2)
    assert "stand-in" in await ask(stack, name)


async def answering(stack: Stack) -> set[str]:
    """The groups whose leader is ready."""
    pods = [pod for pod in await stack.children("Pod") if "deletionTimestamp" not in pod["metadata"]]
    return {pod["metadata"]["labels"][f"{SIGS}/group-index"] for pod in pods if is_ready_leader(pod)}


def is_ready_leader(pod: dict[str, Any]) -> bool:
    conditions = {each["type"]: each["status"] for each in pod.get("status", {}).get("conditions", ())}
    return pod["metadata"]["labels"][f"{SIGS}/worker-index"] == "0" and conditions.get("Ready") == "True"


async def lose_a_host(stack: Stack, name: str) -> None:
    """The other slice goes on serving; the one that lost a host comes back as a group."""
    pods = {pod["metadata"]["uid"]: pod for pod in await stack.children("Pod")}
    lost = next(iter(await hosts(stack)))
    await stack.change_gke("host-error", pool=lost)
    await stack.expect(name, "Degraded", "True", "ReplicasMissing")
    assert (await stack.condition(name, "Ready"))["status"] == "True"

    async def answers() -> bool:
        try:
            return "stand-in" in await ask(stack, name)
        except openai.InternalServerError:
            return False  # Until the Service has no endpoint any more where the host was.

    await eventually(answers, 10, lambda: f"the other slice goes on serving\n{stack.story()}")
    await stack.expect_ready(name, replicas=2, timeout_s=120)
    after = {
        pod["metadata"]["uid"] for pod in await stack.children("Pod") if "deletionTimestamp" not in pod["metadata"]
    }
    assert len(after & pods.keys()) == 4  # The other group's pods, all of them.
    assert len(after) == 8


async def test_a_zone_without_the_whole_slice_is_left_for_the_next(tmp_path: Path) -> None:
    scenario = tmp_path / "scenario.yaml"
    scenario.write_text(SHORTAGE)
    async with running_stack(tmp_path, scenario=scenario, speed=200, neighbours=["lws"]) as stack:
        stack.operator.start()
        name = await stack.apply_example("mixtral-tpu-slice")
        capacity = await stack.expect(name, "CapacityReady", "False", "StockedOut")
        assert "does not have enough resources available" in capacity["message"]
        await stack.expect_ready(name, timeout_s=120)
        (claim,) = await stack.claims()
        assert claim["status"]["zone"] == "us-central1-c"
        assert len(await stack.pools()) == 1
        await stack.delete(name)
        await stack.expect_no_trace()
        await serve_on_a_slice_that_a_policy_places(stack)


async def serve_on_a_slice_that_a_policy_places(stack: Stack) -> None:
    """TPU7x, whose pool fails without a workload policy; nothing is left of either."""
    capacity = {"options": [{"accelerator": "v7x", "topology": "2x2x2"}]}
    await stack.apply("ring", model="mixtral-8x7b", allowExperimental=True, capacity=capacity)
    await stack.expect_ready("ring", timeout_s=120)
    (pool,), (claim,) = await stack.pools(), await stack.claims()
    placement = pool["message"]["placement_policy"]
    assert (placement["policy_name"], placement["tpu_topology"]) == (pool["name"], "2x2x2")
    assert claim["status"]["policyName"] == pool["name"]
    (policy,) = (await stack.gke())["workload_policies"]
    assert (policy["name"], policy["accelerator_topology"]) == (pool["name"], "2x2x2")
    await stack.delete("ring")
    await stack.expect_no_trace()
    assert (await stack.gke())["workload_policies"] == []


async def test_a_killed_operator_finds_its_slices_again(stack: Stack) -> None:
    name = await stack.apply_example("mixtral-tpu-slice")

    async def under_way() -> bool:
        return bool(await stack.pools())

    await eventually(under_way, 60, stack.story)
    await stack.operator.kill()
    stack.operator.start()
    await stack.expect_ready(name)
    await stack.operator.kill()
    await stack.delete(name)
    stack.operator.start()
    await stack.expect_no_trace()


async def test_a_strangers_group_is_left_alone_and_a_slice_gives_way_to_one_machine(stack: Stack) -> None:
    path = CHILDREN["LeaderWorkerSet"].format(namespace=stack.namespace)
    others = {"replicas": 0, "leaderWorkerTemplate": {"size": 2, "workerTemplate": {"spec": POD}}}
    await stack.kube.create(
        path,
        {"apiVersion": GROUPS, "kind": "LeaderWorkerSet", "metadata": {"name": "mixtral-slice-slices"}, "spec": others},
    )
    name = await stack.apply_example("mixtral-tpu-slice")
    told = await stack.expect(name, "Stalled", "True", "NameTaken")
    assert "LeaderWorkerSet mixtral-slice-slices is already there" in told["message"]
    await stack.kube.delete(f"{path}/{name}-slices")
    await stack.scale(name, 2)
    await stack.expect_ready(name, replicas=2)
    spec = (await stack.get(name))["spec"]
    await stack.apply(name, **{**spec, "replicas": 1, "capacity": {"options": [ONE_MACHINE]}})

    async def moved() -> bool:
        pools = [pool["message"]["config"]["machine_type"] for pool in await stack.pools()]
        return pools == ["ct6e-standard-8t"] and not await stack.children("LeaderWorkerSet")

    await eventually(moved, 90, lambda: f"the slices are given back\n{stack.story()}")
    await stack.expect_ready(name)
    assert "stand-in" in await ask(stack, name)
    await stack.delete(name)
    await stack.expect_no_trace()


async def test_without_the_controller_a_slice_is_refused(tmp_path: Path) -> None:
    async with running_stack(tmp_path, speed=SPEED) as stack:
        stack.operator.start()
        name = await stack.apply_example("mixtral-tpu-slice")
        accepted = await stack.expect(name, "Accepted", "False", "NothingFits")
        assert "LeaderWorkerSet controller" in accepted["message"]
        assert not await stack.claims()
