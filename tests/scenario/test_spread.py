"""Replicas spread over rungs: so many on one option at most, the rest on the next, with one endpoint for all."""

from datetime import timedelta
from itertools import count, islice
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.world import MODEL_LABEL, REVISION_LABEL, SETTINGS, World, autoscaler_event, make_model

from mistral_operator.core.parts import divide

L4 = {"accelerator": "l4", "devices": 1}
SPOT = L4 | {"consumption": "Spot"}
A100 = {"accelerator": "a100-40", "devices": 1}
SECOND = "chat-part-2"
STOCKED_OUT = "Node scale up in zones us-central1-a associated with this pod failed: GCE out of resources"


def spread(most: int = 2, replicas: int = 3, rest: dict[str, Any] = SPOT, **spec: Any) -> World:
    options = [L4 | {"replicas": most}, rest]
    capacity = {"options": options, **spec.pop("capacity", {})}
    world = World(model=make_model(capacity=capacity, replicas=replicas, **spec))
    world.step()
    world.provision()
    return world


def asked(world: World) -> dict[str, int]:
    """Deployment → replicas."""
    return {name: each["spec"]["replicas"] for (kind, name), each in world.children.items() if kind == "Deployment"}


def run(world: World, *, ready: bool = True) -> None:
    """As many ready pods as each Deployment asks for, and no others, as its controller and the nodes make it."""
    for name, replicas in asked(world).items():
        selector = world.children["Deployment", name]["spec"]["selector"]["matchLabels"]
        mine = [pod for pod, each in world.pods.items() if selector.items() <= each["metadata"]["labels"].items()]
        for gone in mine[replicas:]:
            del world.pods[gone]
        free = (index for index in count() if f"{name}-{index}" not in world.pods)
        for index in list(islice(free, max(0, replicas - len(mine)))):
            world.start_pod(f"{name}-{index}", workload=name, node=f"node-of-{name}-{index}")
            if ready:
                world.make_ready(f"{name}-{index}")


def settle(world: World) -> None:
    for _ in range(6):
        run(world)
        world.step()
        world.provision()


def serving(**given: Any) -> World:
    world = spread(**given)
    settle(world)
    return world


def rungs(world: World) -> dict[str, tuple[str, int]]:
    return {each["name"]: (each["state"], each.get("replicas", 0)) for each in options(world)}


def options(world: World) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = world.model["status"]["capacity"]["options"]
    return found


def test_each_part_has_its_own_workload_and_all_have_one_endpoint() -> None:
    world = serving()
    assert asked(world) == {"chat": 2, SECOND: 1}
    templates = [world.children["Deployment", name]["spec"]["template"] for name in ("chat", SECOND)]
    selectors = [each["spec"]["nodeSelector"] for each in templates]
    assert [each.get("cloud.google.com/gke-spot") for each in selectors] == [None, "true"]
    assert len(world.claims) == 2
    assert sum(kind in ("Service", "PodDisruptionBudget") for kind, _ in world.children) == 2
    assert world.condition("Ready")["message"] == "3 of 3 replicas answer."
    assert world.condition("Reconciling")["status"] == "False"
    counted = "Part 1: 2 of 2 replicas are ready. Part 2: 1 of 1 replicas are ready."
    assert world.condition("WorkloadReady")["message"] == counted
    assert world.condition("EndpointReady")["message"].endswith("/v1 is answered by 3 replicas.")
    status = world.model["status"]
    assert (status["replicas"], status["readyReplicas"], status["summary"]["ready"]) == (3, 3, "3/3")
    assert rungs(world) == {"g2-standard-8-ondemand": ("Active", 2), "g2-standard-8-spot": ("Active", 1)}
    assert [(part["workload"], part["replicas"]) for part in status["parts"]] == [("chat", 2), (SECOND, 1)]
    assert world.step().prune == ()


def test_no_workload_selects_anothers_pods_and_service_and_budget_select_all() -> None:
    world = serving()
    labels = {name: pod["metadata"]["labels"] for name, pod in world.pods.items()}

    def selected(selector: dict[str, str]) -> set[str]:
        return {name for name, own in labels.items() if selector.items() <= own.items()}

    first, second = (world.children["Deployment", each]["spec"]["selector"]["matchLabels"] for each in ("chat", SECOND))
    assert first == {MODEL_LABEL: "chat"}, "as it was before the model was spread: it can't be changed"
    assert selected(first) == {"chat-0", "chat-1"}
    assert selected(second) == {"chat-part-2-0"}
    assert selected(world.children["Service", "chat"]["spec"]["selector"]) == set(labels)
    budget = world.children["PodDisruptionBudget", "chat"]["spec"]["selector"]["matchLabels"]
    assert selected(budget) == set(labels)
    scale = dict(pair.split("=") for pair in world.model["status"]["selector"].split(","))
    assert selected(scale) == set(labels)


def test_scaling_takes_from_the_last_part_first_and_fills_the_first_part_first() -> None:
    world = serving(replicas=3)
    for replicas, expected in ((5, {"chat": 2, SECOND: 3}), (2, {"chat": 2}), (1, {"chat": 1}), (0, {"chat": 0})):
        world.change(replicas=replicas)
        settle(world)
        assert asked(world) == expected
    world.change(replicas=3)
    settle(world)
    assert asked(world) == {"chat": 2, SECOND: 1}


def test_a_model_that_is_spread_later_keeps_its_pods_and_moves_one_only_when_the_other_answers() -> None:
    world = World(model=make_model(capacity={"options": [L4, SPOT]}, replicas=3))
    world.step()
    world.provision()
    settle(world)
    (before,) = world.revisions
    world.change(capacity={"options": [L4 | {"replicas": 2}, SPOT]})
    world.step()
    assert asked(world) == {"chat": 3, SECOND: 1}, "nothing goes before the other one answers"
    assert before["metadata"]["name"] in {each["metadata"]["name"] for each in world.revisions}
    settle(world)
    assert asked(world) == {"chat": 2, SECOND: 1}
    kept = [pod["metadata"]["labels"][REVISION_LABEL] for name, pod in world.pods.items() if "part" not in name]
    assert set(kept) == {before["metadata"]["labels"][REVISION_LABEL]}


def test_a_part_that_is_taken_out_of_the_spec_goes_when_the_others_answer_and_leaves_nothing() -> None:
    world = serving()
    world.change(capacity={"options": [L4, SPOT]})
    world.step()
    assert asked(world) == {"chat": 3, SECOND: 1}
    run(world, ready=False)
    world.step()
    assert asked(world) == {"chat": 3, SECOND: 1}, "a replica that doesn't answer yet replaces nobody"
    world.make_ready("chat-2")
    settle(world)
    assert asked(world) == {"chat": 3}
    assert len(world.revisions) == 1
    assert "parts" not in world.model["status"]
    assert world.children["Service", "chat"]["spec"]["selector"][MODEL_LABEL] == "chat"


def test_a_part_whose_rung_has_nothing_moves_down_and_the_other_stays() -> None:
    world = World(model=make_model(capacity={"options": [SPOT | {"replicas": 1}, A100, L4]}, replicas=2))
    world.step()
    world.provision()
    settle(world)
    gone = [name for name in world.pods if "part" not in name]
    for name in gone:
        del world.pods[name]
    pod = world.start_pod("chat-9", node="")
    world.events.append(autoscaler_event(pod, "FailedScaleUp", STOCKED_OUT, world.now.strftime("%Y-%m-%dT%H:%M:%SZ")))
    world.step()
    assert world.condition("Ready")["status"] == "True"
    degraded = world.condition("Degraded")
    assert (degraded["status"], degraded["reason"]) == ("True", "ReplicasMissing")
    assert "Part 1: " in degraded["message"]
    assert STOCKED_OUT in degraded["message"]
    world.now += timedelta(seconds=SETTINGS.ladder.zone_patience_s * 3)
    assert world.step().requeue_after_s == 0
    world.step()
    del world.pods["chat-9"]
    settle(world)
    assert rungs(world)["a2-highgpu-1g-ondemand"] == ("Active", 2)
    first, second = world.model["status"]["parts"]
    assert first["options"][0]["state"] == "Exhausted"
    assert [rung["name"] for rung in second["options"]] == ["a2-highgpu-1g-ondemand", "g2-standard-8-ondemand"]
    assert world.condition("Degraded")["reason"] == "OnLowerRung"


def test_the_spend_limit_holds_over_all_parts_and_cuts_the_last_first() -> None:
    world = spread(most=2, replicas=5, rest=A100, capacity={"maxHourlyCost": "5.50"})
    assert asked(world) == {"chat": 2, SECOND: 1}, "from the first look on"
    settle(world)
    hourly = {rung["name"]: rung for rung in options(world)}
    assert set(hourly) == {"g2-standard-8-ondemand", "a2-highgpu-1g-ondemand"}
    assert asked(world) == {"chat": 2, SECOND: 1}
    assert float(world.model["status"]["cost"]["hourly"]) <= 5.50
    assert world.condition("Degraded")["reason"] == "HourlyCostLimit"


def test_the_limit_of_a_class_holds_over_all_parts_and_takes_nothing_away_when_it_falls() -> None:
    world = World(model=make_model(capacity={"options": [L4 | {"replicas": 2}, A100]}, replicas=5))
    world.set_class(limits={"maxHourlyCost": "5.50"})
    world.step()
    world.provision()
    assert asked(world) == {"chat": 2, SECOND: 1}
    settle(world)
    assert asked(world) == {"chat": 2, SECOND: 1}
    world.set_class(limits={"maxHourlyCost": "4.00"})
    settle(world)
    assert asked(world) == {"chat": 2, SECOND: 1}, "what stands stays, and gets no more"


@pytest.mark.parametrize("first", [L4 | {"replicas": 1}, L4], ids=["nobody takes the rest", "the rest comes first"])
def test_replicas_that_the_options_do_not_divide_are_refused(first: dict[str, Any]) -> None:
    world = World(model=make_model(capacity={"options": [first, SPOT | {"replicas": 1}]}))
    world.step()
    accepted = world.condition("Accepted")
    assert (accepted["status"], accepted["reason"]) == ("False", "FieldConflict")
    assert "spec.capacity.options[1].replicas" in accepted["message"]


def test_a_refused_edit_leaves_all_parts_as_they_are() -> None:
    world = serving()
    names = {each["metadata"]["name"] for each in world.revisions}
    world.change(capacity={"options": [L4 | {"replicas": 2}, SPOT | {"replicas": 2}]})
    settle(world)
    assert asked(world) == {"chat": 2, SECOND: 1}
    assert {each["metadata"]["name"] for each in world.revisions} == names
    assert world.condition("Accepted")["reason"] == "FieldConflict"
    assert world.condition("Ready")["status"] == "True"


def test_slices_of_several_hosts_are_refused_as_a_part() -> None:
    slices = {"accelerator": "v6e", "topology": "4x4"}
    capacity = {"options": [slices | {"replicas": 1}, slices]}
    world = World(model=make_model(model="mixtral-8x7b", allowExperimental=True, capacity=capacity, replicas=2))
    world.step()
    assert world.condition("Accepted")["reason"] == "SlicesNotSpread"
    assert not asked(world)


def test_the_end_of_a_later_parts_node_is_told_once_and_only_that_part_gets_a_successor() -> None:
    world = serving()
    world.set_machine("node-of-chat-part-2-0", taints=[{"key": "cloud.google.com/impending-node-termination"}])
    world.step()
    assert asked(world) == {"chat": 2, SECOND: 2}
    told = world.condition("WorkloadReady")
    assert (told["status"], told["reason"]) == ("True", "ReplicaEndsSoon")
    world.step()
    entries = [each for each in world.model["status"]["timeline"] if each["reason"] == "ReplicaEndsSoon"]
    assert [each["message"].startswith("Part 2: Pod chat-part-2-0") for each in entries] == [True]


def roll(world: World) -> None:
    """Pods of another revision than their Deployment's go, as a roll-out has it."""
    for name, pod in list(world.pods.items()):
        labels = pod["metadata"]["labels"]
        deployments = (each for (kind, _), each in world.children.items() if kind == "Deployment")
        mine = [d for d in deployments if d["spec"]["selector"]["matchLabels"].items() <= labels.items()]
        current = [d["spec"]["template"]["metadata"]["labels"][REVISION_LABEL] for d in mine]
        if current != [labels[REVISION_LABEL]]:
            del world.pods[name]


changes = st.lists(
    st.tuples(
        st.sampled_from(
            [[L4 | {"replicas": 1}, SPOT], [SPOT | {"replicas": 1}, L4 | {"replicas": 2}, A100], [L4, SPOT]]
        ),
        st.integers(0, 5),
        st.integers(0, 2),
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=5, deadline=None)
@given(changes=changes)
def test_after_any_changes_the_replicas_stand_as_divided_and_nothing_is_left_over(
    changes: list[tuple[list[dict[str, Any]], int, int]],
) -> None:
    world = serving()
    for options, replicas, looks in changes:
        world.change(replicas=replicas, capacity={"options": options})
        for _ in range(looks):
            run(world)
            world.step()
            world.provision()
    for _ in range(4):
        roll(world)
        settle(world)
    options, replicas, _ = changes[-1]
    floors = [option.get("replicas") for option in options]
    shares = divide(replicas, floors[: floors.index(None) + 1])
    names = ["chat", *(f"chat-part-{index}" for index in range(2, len(shares) + 1))]
    expected = {name: share for name, share in zip(names, shares, strict=True) if share or name == "chat"}
    assert asked(world) == expected
    assert len(world.revisions) == len(expected)
    assert world.condition("Reconciling")["status"] == "False"


def test_a_steady_state_is_told_in_the_same_words() -> None:
    world = serving()
    before = world.model["status"]
    world.now += timedelta(hours=1)
    world.step()
    assert world.model["status"] == before


def test_parts_that_roll_have_a_replica_more_one_after_the_other() -> None:
    """The surge limit pays for one machine: the second part has it as soon as the first has moved."""
    world = serving(most=1, replicas=2, rest=L4, capacity={"maxSurgeHourlyCost": "1.00"})
    world.change(engine={"contextLength": 4096})
    world.step()

    def surges() -> list[int]:
        deployments = (world.children["Deployment", name]["spec"] for name in ("chat", SECOND))
        return [spec["strategy"]["rollingUpdate"]["maxSurge"] for spec in deployments]

    assert surges() == [1, 0]
    del world.pods["chat-0"]
    run(world)
    world.step()
    assert surges() == [1, 1]


def test_a_later_part_gets_a_successor_when_the_surge_limit_pays_for_one_machine() -> None:
    world = serving(most=1, replicas=2, rest=SPOT, capacity={"maxSurgeHourlyCost": "1.00"})
    taint = {"key": "cloud.google.com/impending-node-termination", "effect": "NoSchedule"}
    world.set_machine(f"node-of-{SECOND}-0", taints=[taint])
    world.step()
    assert asked(world) == {"chat": 1, SECOND: 2}
    world.set_machine("node-of-chat-0", taints=[taint])
    for _ in range(3):
        world.step()
    assert asked(world) == {"chat": 1, SECOND: 2}, "one after the other"
    run(world)
    world.step()
    assert asked(world)[SECOND] == 1
