"""The operator as a process: it mends what others change, and a standby takes over from it."""

from collections.abc import AsyncIterator

import pytest
from tests.support.light_stack import light_stack
from tests.support.polling import eventually
from tests.support.stack import Operator, Stack

from mistral_operator.sandbox.processes import ProcessGroup

MODEL = "mistral-7b-v0.3"


@pytest.fixture
async def own_stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """A sandbox of this test's own: two operators must not meet the session's."""
    async with light_stack(tmp_path_factory.mktemp("operator")) as (stack, _):
        yield stack


async def test_a_deleted_child_comes_back_and_a_changed_one_is_mended(stack: Stack) -> None:
    await stack.apply("chat", model=MODEL)
    await stack.expect_ready("chat")
    service = f"/api/v1/namespaces/{stack.namespace}/services/chat"
    deployment = f"/apis/apps/v1/namespaces/{stack.namespace}/deployments/chat"
    await stack.kube.delete(service)
    await stack.kube.merge_patch(deployment, {"spec": {"minReadySeconds": 7, "replicas": 0}})

    async def mended() -> bool:
        there = await stack.kube.get(service)
        return there is not None and (await stack.kube.get(deployment) or {})["spec"]["replicas"] == 1

    await eventually(mended, 30, stack.story)


async def test_a_model_made_anew_at_once_waits_for_what_its_namesake_left(stack: Stack) -> None:
    await stack.apply("again", model=MODEL, replicas=0)
    await stack.expect("again", "Ready", "True", "ScaledToZero")
    former = (await stack.get("again"))["metadata"]["uid"]
    (left,) = await stack.children("ControllerRevision")
    # Held, so that the new model surely meets it.
    held = f"/apis/apps/v1/namespaces/{stack.namespace}/controllerrevisions/{left['metadata']['name']}"
    await stack.kube.merge_patch(held, {"metadata": {"finalizers": ["example.com/held"]}})
    await stack.delete("again")
    await stack.apply("again", model=MODEL, replicas=0)
    await eventually(lambda: "still belongs to an earlier MistralModel" in stack.operator.log(500), 30, stack.story)
    assert (await stack.condition("again", "Stalled")).get("status") != "True"
    await stack.kube.merge_patch(held, {"metadata": {"finalizers": None}})

    async def made_anew() -> bool:
        there = await stack.kube.get(held)
        return there is not None and former not in {owner["uid"] for owner in there["metadata"]["ownerReferences"]}

    await eventually(made_anew, 30, stack.story)
    await stack.expect("again", "Ready", "True", "ScaledToZero")


async def test_a_standby_takes_over_from_a_killed_leader_and_at_once_from_one_that_ends(own_stack: Stack) -> None:
    stack = own_stack
    elect = {"MISTRAL_OPERATOR_RUN_LEADER_ELECT": "1"}
    lease = "/apis/coordination.k8s.io/v1/namespaces/mistral-operator-system/leases/mistral-operator"
    scaler = f"/apis/autoscaling/v2/namespaces/{stack.namespace}/horizontalpodautoscalers/chat"

    async def holder() -> str:
        return str(((await stack.kube.get(lease)) or {})["spec"]["holderIdentity"])

    async def another_than(before: str) -> str:
        now = await holder()
        return now if now != before else ""

    async def expect_waiting(candidates: int) -> None:
        """Both processes write to one log."""
        await eventually(lambda: stack.operator.log(500).count("Waiting for the Lease") == candidates)

    async def expect_at_work(most: int) -> None:
        """A bound of the autoscaler needs no node."""
        await stack.apply("chat", model=MODEL, scaling={"maxReplicas": most})

        async def bound() -> bool:
            return ((await stack.kube.get(scaler)) or {})["spec"]["maxReplicas"] == most

        await eventually(bound, 60, lambda: f"maxReplicas is {most}\n{stack.story()}")

    with ProcessGroup() as processes:
        standby = Operator(stack.sandbox, processes, stack.operator.kubeconfig)
        standby.env = stack.operator.env = elect
        stack.operator.start()
        first = await eventually(holder)
        standby.start()
        await expect_waiting(2)
        await expect_at_work(2)
        await stack.operator.kill()
        second = await eventually(lambda: another_than(first), message=standby.log)
        await expect_at_work(3)
        stack.operator.start()
        await expect_waiting(3)
        await standby.stop()
        await eventually(lambda: another_than(second), 5, stack.operator.log)
        await expect_at_work(4)
