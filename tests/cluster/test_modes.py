"""Models on machines of a reservation and on flex-start machines, against the simulated GKE's rules for both."""

import secrets
from pathlib import Path
from typing import Any

import pytest
from tests.support.polling import eventually
from tests.support.stack import Stack, running_stack

pytestmark = pytest.mark.cluster

ZONE = "us-central1-a"
MACHINE = "g2-standard-12"
MODEL = "mistral-7b-v0.3"
SLICE_IN_ZONE_B = """
reservations:
- {name: slice-b, machine_type: ct6e-standard-4t, zone: us-central1-b, count: 4}
"""


def reserved(name: str, **option: Any) -> dict[str, Any]:
    option = {"machineType": MACHINE, "zones": [ZONE], **option}
    return {"options": [{"consumption": "Reservation", "reservation": name, **option}]}


async def reserve(stack: Stack, name: str, count: int) -> None:
    """So many machines under that name, or so many more or fewer than there were."""
    await stack.change_gke("reservations", name=name, machine_type=MACHINE, zone=ZONE, count=count)


async def nodes_in_reservation(stack: Stack, name: str) -> int:
    return sum(node["reservation"] == name for pool in await stack.pools() for node in pool["nodes"])


def is_ready(pod: dict[str, Any]) -> bool:
    conditions = pod.get("status", {}).get("conditions", ())
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


async def test_a_model_runs_on_reserved_machines_and_on_no_others(stack: Stack) -> None:
    name = f"team-{secrets.token_hex(3)}"
    await reserve(stack, name, 1)
    await stack.apply("chat", model=MODEL, capacity=reserved(name))
    await stack.expect_ready("chat")
    assert await nodes_in_reservation(stack, name) == 1
    await stack.scale("chat", 2)
    full = await stack.expect("chat", "CapacityReady", "False", "ReservationExhausted")
    assert "RESERVATION_CAPACITY_EXCEEDED" in full["message"]
    assert "gcloud compute reservations update NAME --zone ZONE --project" in full["message"]
    assert (await stack.condition("chat", "Ready"))["status"] == "True", "the first replica answers all the same"
    await reserve(stack, name, 2)
    await stack.expect_ready("chat", replicas=2)
    assert await nodes_in_reservation(stack, name) == 2
    await stack.delete("chat")
    await stack.expect_no_trace()


async def test_a_reservation_that_is_not_there_is_named_and_used_once_it_is(stack: Stack) -> None:
    name = f"later-{secrets.token_hex(3)}"
    await stack.apply("chat", model=MODEL, capacity=reserved(name))
    missing = await stack.expect("chat", "CapacityReady", "False", "ReservationNotFound")
    assert "gcloud compute reservations list --project" in missing["message"]
    await reserve(stack, name, 1)
    await stack.expect_ready("chat")
    await stack.delete("chat")
    await stack.expect_no_trace()


async def test_another_plan_rolls_out_in_a_reservation_without_a_machine_to_spare(stack: Stack) -> None:
    name = f"tight-{secrets.token_hex(3)}"
    await reserve(stack, name, 1)
    await stack.apply("chat", model=MODEL, capacity=reserved(name))
    await stack.expect_ready("chat")
    (before,) = await stack.children("ControllerRevision")
    await stack.apply("chat", model=MODEL, capacity=reserved(name), engine={"contextLength": 8192})

    async def replaced() -> bool:
        revisions = [each["metadata"]["name"] for each in await stack.children("ControllerRevision")]
        return revisions != [before["metadata"]["name"]] and len(revisions) == 1

    await eventually(replaced, 90, lambda: f"the new replica took the old one's place\n{stack.story()}")
    await stack.expect_ready("chat")
    assert await nodes_in_reservation(stack, name) == 1
    await stack.delete("chat")
    await stack.expect_no_trace()


async def test_a_flex_start_replica_comes_back_when_its_node_has_ended(stack: Stack) -> None:
    option = {"machineType": MACHINE, "consumption": "FlexStart", "zones": [ZONE]}
    await stack.apply("chat", model=MODEL, capacity={"options": [option]})
    await stack.expect_ready("chat")
    (claim,) = await stack.claims()
    assert claim["spec"]["maxRunDurationSeconds"] == 604_800
    (pod,) = await stack.children("Pod")
    await stack.change_gke("delete-node", node=pod["spec"]["nodeName"])

    async def succeeded() -> bool:
        pods = [each for each in await stack.children("Pod") if each["metadata"]["uid"] != pod["metadata"]["uid"]]
        return any(is_ready(each) and each["spec"]["nodeName"] != pod["spec"]["nodeName"] for each in pods)

    async def answers() -> bool:
        try:
            return "stand-in" in await stack.ask("chat", "Who are you?", MODEL)
        except AssertionError:
            return False  # Endpoints follow the pod a little later.

    await eventually(succeeded, 90, lambda: f"a replica on another node is ready\n{stack.story()}")
    await eventually(answers, 30, lambda: f"it answers\n{stack.story()}")
    await stack.expect_ready("chat")
    (same,) = await stack.claims()
    assert same["metadata"]["uid"] == claim["metadata"]["uid"]
    await stack.delete("chat")
    await stack.expect_no_trace()


async def test_a_slice_finds_the_zone_of_its_reservation(tmp_path: Path) -> None:
    scenario = tmp_path / "scenario.yaml"
    scenario.write_text(SLICE_IN_ZONE_B)
    async with running_stack(tmp_path, scenario=scenario, speed=200, neighbours=["lws"]) as stack:
        stack.operator.start()
        both = reserved("slice-b", machineType="ct6e-standard-4t", topology="4x4", zones=[ZONE, "us-central1-b"])
        await stack.apply("mix", model="mixtral-8x7b", allowExperimental=True, capacity=both)
        await stack.expect_ready("mix", timeout_s=120)
        (claim,) = await stack.claims()
        assert claim["status"]["zone"] == "us-central1-b"
        assert await nodes_in_reservation(stack, "slice-b") == 4
        await stack.delete("mix")
        await stack.expect_no_trace()
