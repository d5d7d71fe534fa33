"""A model on multi-host slices, through `sync` alone: one slice a replica, whole or not at all."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.support.world import CLUSTER, World, make_model

from mistral_operator.manifests.slices import choose_slices, read_slices, write_slices

SLICE = {"accelerator": "v6e", "topology": "4x4"}
OTHER_SLICE = {"accelerator": "v5e", "topology": "4x4"}


def slice_world(**spec: Any) -> World:
    asked = {"model": "mixtral-8x7b", "allowExperimental": True, "capacity": {"options": [SLICE]}, **spec}
    return World(model=make_model("mix", **asked))


def serving_world(replicas: int) -> World:
    """As many slices as replicas, all of them serving."""
    world = slice_world(replicas=replicas)
    world.step()
    world.provision()
    for number, claim in enumerate(sorted(world.claims)):
        world.make_ready(*world.start_group(f"mix-{number}", claim))
    world.step()
    return world


def remove_group(world: World, leader: str) -> None:
    """What LeaderWorkerSet does with a group that is no longer wanted."""
    for name in [name for name in world.pods if name == leader or name.startswith(f"{leader}-")]:
        del world.pods[name]


def numbers(world: World) -> list[int]:
    return [claim["spec"]["slice"]["number"] for claim in world.decide().claims]


def test_a_replica_is_a_slice_with_a_claim_of_its_own() -> None:
    world = slice_world(replicas=2)
    outcome = world.step()
    assert [m["kind"] for m in outcome.manifests] == [
        "ControllerRevision",
        "Service",
        "LeaderWorkerSet",
        "PodDisruptionBudget",
    ]
    first, second = outcome.claims
    group = first["spec"]["slice"]["group"]
    assert (first["metadata"]["name"], second["metadata"]["name"]) == (f"{group}-0", f"{group}-1")
    assert first["spec"]["shape"] == {
        "machineType": "ct6e-standard-4t",
        "accelerator": {"type": "tpu-v6e-slice", "count": 4},
        "topology": "4x4",
        "hosts": 4,
    }
    assert len(second["metadata"]["name"]) <= 37
    spec = world.leader_worker_set["spec"]
    assert (spec["replicas"], spec["leaderWorkerTemplate"]["size"]) == (2, 4)
    for template in (spec["leaderWorkerTemplate"]["leaderTemplate"], spec["leaderWorkerTemplate"]["workerTemplate"]):
        selector = template["spec"]["nodeSelector"]
        assert selector["serving.mistral-operator.dev/shape"] == group
        assert selector["cloud.google.com/gke-tpu-topology"] == "4x4"
        limits = template["spec"]["containers"][0]["resources"]["limits"]
        assert limits["google.com/tpu"] == "4"


def test_a_slice_serves_when_its_leader_answers_and_only_leaders_count() -> None:
    world = slice_world()
    world.step()
    world.provision()
    (claim,) = world.claims
    pods = world.start_group("mix-0", claim)
    world.step()
    assert world.condition("CapacityReady")["status"] == "True"
    assert world.condition("Ready")["status"] == "False"
    world.make_ready(pods[0])
    world.step()
    assert world.condition("Ready")["message"] == "1 of 1 replicas answer."
    status = world.model["status"]
    assert (status["replicas"], status["readyReplicas"]) == (1, 1)
    assert status["capacity"]["claims"] == [claim]
    assert status["cost"]["hourly"] == "43.20"


def test_hosts_without_a_node_keep_the_capacity_from_being_ready() -> None:
    world = slice_world()
    world.step()
    world.provision()
    (claim,) = world.claims
    pods = world.start_group("mix-0", claim)
    del world.pods[pods[3]]["spec"]["nodeName"]
    world.step()
    capacity = world.condition("CapacityReady")
    assert capacity["status"] == "False"
    assert "3 of 4 hosts" in capacity["message"]


def test_scaling_down_gives_back_the_slice_that_is_left_empty_whichever_number_it_has() -> None:
    world = serving_world(3)
    world.change(replicas=2)
    world.step()
    assert world.leader_worker_set["spec"]["replicas"] == 2
    assert numbers(world) == [0, 1, 2]  # The third group's pods are still there.
    remove_group(world, "mix-0")  # It was the first slice that its group ran on.
    world.step()
    assert numbers(world) == [1, 2]
    annotation = world.revisions[0]["metadata"]["annotations"]["serving.mistral-operator.dev/slices"]
    assert read_slices(annotation) == (1, 2)


def test_a_slice_costs_once_while_a_new_revision_takes_it_over() -> None:
    world = serving_world(2)
    both = world.model["status"]["cost"]["hourly"]
    world.change(engine={"contextLength": 4096})
    world.step()
    world.step()
    assert len(world.revisions) == 2
    assert world.model["status"]["cost"]["hourly"] == both


def test_scaling_up_takes_the_lowest_free_number() -> None:
    world = serving_world(3)
    world.change(replicas=2)
    remove_group(world, "mix-1")
    world.step()
    assert numbers(world) == [0, 2]
    world.change(replicas=3)
    assert numbers(world) == [0, 1, 2]


def test_more_slices_than_the_status_can_list_are_served_all_the_same() -> None:
    world = slice_world(replicas=100)
    world.step()
    assert len(world.step().claims) == 100
    assert len(world.model["status"]["capacity"]["claims"]) == 64


def test_at_zero_replicas_no_slice_is_kept() -> None:
    world = serving_world(1)
    world.change(replicas=0)
    remove_group(world, "mix-0")
    world.step()
    assert numbers(world) == []
    assert world.condition("Ready")["reason"] == "ScaledToZero"
    assert world.revisions[0]["metadata"]["labels"]["serving.mistral-operator.dev/claim"]


def test_a_lost_host_keeps_the_slice_and_says_what_is_missing() -> None:
    world = serving_world(2)
    remove_group(world, "mix-1")
    world.step()
    assert numbers(world) == [0, 1]
    assert world.condition("Ready")["reason"] == "ServingPartially"
    assert world.condition("Degraded")["status"] == "True"


def test_the_old_workload_serves_until_the_new_kind_does() -> None:
    world = World(model=make_model("mix", model="mixtral-8x7b", allowExperimental=True))
    world.step()
    world.provision()
    world.start_pod("mix-old")
    world.make_ready()
    world.step()
    world.change(capacity={"options": [SLICE]})
    world.step()
    assert "LeaderWorkerSet" not in {kind for kind, _ in world.children}  # Its groups would have nothing to run on.
    old = [claim for claim in world.claims.values() if "slice" not in claim["spec"]]
    assert old[0]["metadata"]["name"] in [claim["metadata"]["name"] for claim in world.decide().claims]
    world.provision()
    world.step()
    assert {"Deployment", "LeaderWorkerSet"} <= {kind for kind, _ in world.children}
    slices = [name for name, claim in world.claims.items() if "slice" in claim["spec"]]
    world.make_ready(*world.start_group("mix-0", slices[0]))
    world.step()
    assert "Deployment" not in {kind for kind, _ in world.children}
    del world.pods["mix-old"]
    world.step()
    assert [claim["metadata"]["name"] for claim in world.decide().claims] == slices
    assert len(world.revisions) == 1


def test_a_group_whose_hosts_were_away_comes_back_to_its_own_slice() -> None:
    """The survivor of three, on the third slice: a node that is away must not make it look free."""
    world = serving_world(3)
    world.change(replicas=1)
    remove_group(world, "mix-0")
    remove_group(world, "mix-1")
    world.step()
    assert numbers(world) == [2]
    away = dict(world.nodes)
    world.nodes.clear()
    world.step()
    assert numbers(world) == [2]
    assert world.revisions[0]["metadata"]["annotations"]["serving.mistral-operator.dev/slices"] == "2"
    world.nodes.update(away)
    world.step()
    assert numbers(world) == [2]


def test_a_slice_on_which_pods_are_is_kept_although_no_revision_names_it() -> None:
    world = serving_world(2)
    world.revisions[0]["metadata"]["annotations"]["serving.mistral-operator.dev/slices"] = "0"
    assert numbers(world) == [0, 1]


def test_other_hardware_takes_no_replica_away_before_it_has_a_slice() -> None:
    world = serving_world(1)
    before = world.leader_worker_set["spec"]
    world.change(capacity={"options": [OTHER_SLICE]})
    world.step()
    assert world.leader_worker_set["spec"] == before
    assert [claim["spec"]["shape"]["machineType"] for claim in world.decide().claims] == [
        "ct5lp-hightpu-4t",
        "ct6e-standard-4t",
    ]
    assert world.condition("Ready")["status"] == "True"
    assert world.condition("CapacityReady")["reason"] == "ClaimPending"
    world.provision()
    world.step()
    assert world.leader_worker_set["spec"]["leaderWorkerTemplate"] != before["leaderWorkerTemplate"]
    remove_group(world, "mix-0")
    world.step()
    assert [claim["spec"]["shape"]["machineType"] for claim in world.decide().claims] == ["ct5lp-hightpu-4t"]


def test_former_slices_are_given_back_one_by_one() -> None:
    world = serving_world(3)
    world.change(capacity={"options": [OTHER_SLICE]})
    world.step()
    remove_group(world, "mix-1")
    world.step()
    former = world.revisions[0]["metadata"]["annotations"]["serving.mistral-operator.dev/slices"]
    assert read_slices(former) == (0, 2)


def test_a_limit_that_pays_for_one_slice_replaces_it_by_another_in_place() -> None:
    world = slice_world(capacity={"options": [SLICE], "maxHourlyCost": "60"})
    world.step()
    world.provision()
    (claim,) = world.claims
    world.make_ready(*world.start_group("mix-0", claim))
    world.step()
    before = world.leader_worker_set["spec"]["leaderWorkerTemplate"]
    world.change(capacity={"options": [OTHER_SLICE], "maxHourlyCost": "60"})
    world.step()
    assert [each["metadata"]["name"] for each in world.decide().claims] == [claim]
    assert world.leader_worker_set["spec"]["leaderWorkerTemplate"] != before
    remove_group(world, "mix-0")
    world.step()
    (other,) = world.decide().claims
    assert other["spec"]["shape"]["machineType"] == "ct5lp-hightpu-4t"


def test_a_controller_that_is_taken_away_is_said_and_its_empty_slices_are_given_back() -> None:
    world = serving_world(1)
    world.cluster = replace(CLUSTER, leader_worker_set=False)
    del world.children["LeaderWorkerSet", "mix-slices"]
    outcome = world.step()
    accepted = world.condition("Accepted")
    assert (accepted["status"], accepted["reason"]) == ("False", "NeedsLeaderWorkerSet")
    assert "install it again" in accepted["message"]
    assert "LeaderWorkerSet" not in {manifest["kind"] for manifest in outcome.manifests}
    assert numbers(world) == [0]
    remove_group(world, "mix-0")
    world.step()
    assert numbers(world) == []
    assert world.condition("Ready")["reason"] == "NeedsLeaderWorkerSet"
    world.cluster = CLUSTER
    world.step()
    assert numbers(world) == [0]
    assert world.condition("Accepted")["status"] == "True"


def test_pods_that_nobody_makes_are_not_waited_for_in_silence() -> None:
    world = slice_world()
    world.step()
    world.provision()
    world.step()
    told = world.condition("CapacityReady")
    assert (told["status"], told["reason"]) == ("False", "WaitingForPods")
    assert "-l leaderworkerset.sigs.k8s.io/name=mix-slices" in told["message"]
    assert "autoscaler" not in told["message"]


def test_without_the_controller_it_is_refused_with_what_to_install() -> None:
    world = slice_world()
    world.cluster = replace(CLUSTER, leader_worker_set=False)
    outcome = world.step()
    accepted = world.condition("Accepted")
    assert (accepted["status"], accepted["reason"]) == ("False", "NothingFits")
    assert "needs the LeaderWorkerSet controller" in accepted["message"]
    assert outcome.manifests == outcome.claims == ()


def test_a_revision_that_somebody_has_tampered_with_gets_no_slices_by_that() -> None:
    world = serving_world(1)
    world.change(engine={"contextLength": 4096})
    world.step()
    first = world.revisions[0]
    first["metadata"]["annotations"]["serving.mistral-operator.dev/slices"] = write_slices(range(100))
    assert numbers(world) == [0]  # What its pods are on, and that is what the new revision runs on, too.


@pytest.mark.parametrize("text", ["", "x", "1,,2", "-1", "1.5", ",".join(["1"] * 2000)])
def test_a_broken_annotation_names_no_slice(text: str) -> None:
    assert read_slices(text) == ()


@pytest.mark.parametrize(
    ("occupied", "held", "replicas", "chosen"),
    [
        ((), (), 0, ()),
        ((), (), 2, (0, 1)),
        ((1,), (), 2, (0, 1)),
        ((0, 5), (), 1, (0, 5)),
        ((2,), (), 3, (0, 1, 2)),
        ((), (2,), 1, (2,)),
        ((), (2,), 2, (0, 2)),
        ((0,), (0, 2, 3), 2, (0, 2)),
        ((), (1, 2), 0, ()),
    ],
)
def test_slices_are_kept_while_used_and_numbered_from_below(
    occupied: tuple[int, ...], held: tuple[int, ...], replicas: int, chosen: tuple[int, ...]
) -> None:
    assert choose_slices(occupied, held, replicas) == chosen


def test_a_slice_that_stands_in_line_shows_its_place_and_the_ladder_goes_on() -> None:
    options = [{"machineType": "ct6e-standard-4t", "topology": "4x4"}, {"accelerator": "a100-80"}]
    world = World(model=make_model(model="mixtral-8x7b", allowExperimental=True, capacity={"options": options}))
    world.step()
    (claim,) = world.claims.values()
    queue = {"position": 2, "of": 2, "for": "reservation ours"}
    ready = {"type": "Ready", "status": "False", "reason": "WaitsInLine", "message": "2nd of 2 in line"}
    claim["status"] = {"conditions": [ready], "queue": queue}
    outcome = world.step()
    assert outcome.status["capacity"]["queue"] == queue
    assert world.condition("CapacityReady")["reason"] == "WaitsInLine"
    assert "2nd of 2 in line" in world.condition("Ready")["message"]
    world.now += timedelta(minutes=5)
    world.step()
    world.step()
    states = [rung["state"] for rung in world.model["status"]["capacity"]["options"]]
    assert states[0] == "Exhausted"
    assert "queue" not in world.model["status"]["capacity"]


def test_a_slice_that_is_wanted_no_more_is_paid_for_until_its_claim_is_gone() -> None:
    world = serving_world(2)
    world.set_class(limits={"maxTotalHourlyCost": "100"})
    two = world.step().account.held
    world.change(replicas=1)
    world.step()
    remove_group(world, "mix-1")
    assert len(world.step().claims) == 1
    assert world.decide().account.held == two, "its pods are gone, and its machines are still being removed"
    del world.claims[sorted(world.claims)[1]]
    assert world.decide().account.held == two / 2
