"""What may change a pinned plan and what may not, and what a stored revision is worth."""

import copy
from typing import Any

import pytest
from tests.support.world import World, make_model


@pytest.mark.parametrize(
    "change",
    [
        {"capacity": {"maxHourlyCost": "60.00"}},
        {"rollout": {"strategy": "Recreate"}},
        {"allowExperimental": True},
        {"engine": {"type": "VLLM", "precision": "Auto"}},
        {"endpoint": {"mode": "Service"}},
        {"capacity": {"provisioner": "ContainerAPI", "options": [{"consumption": "OnDemand"}]}},
        {"optimizeFor": "Cost"},
        {"upgradePolicy": "Manual"},
        {"scaling": {"maxReplicas": 3}},
        {"license": {"accept": "apache-2.0"}},
    ],
)
def test_an_edit_that_changes_nothing_of_the_pods_rolls_nothing(change: dict[str, Any]) -> None:
    world = World()
    world.step()
    template = world.deployment["spec"]["template"]
    world.change(**change)
    world.step()
    assert world.deployment["spec"]["template"] == template
    assert len(world.revisions) == 1


def test_the_order_of_zones_says_nothing() -> None:
    zones = ["us-central1-a", "us-central1-b"]
    world = World(model=make_model(capacity={"options": [{"zones": zones}]}))
    world.step()
    world.change(capacity={"options": [{"zones": zones[::-1]}]})
    world.step()
    assert len(world.revisions) == 1


@pytest.mark.parametrize("change", [{"pod": {"labels": {"a": "b"}}}, {"rollout": {"drainTimeout": "90s"}}])
def test_an_edit_of_the_pods_makes_a_revision(change: dict[str, Any]) -> None:
    world = World()
    world.step()
    world.start_pod()
    world.change(**change)
    world.step()
    assert len(world.revisions) == 2


def test_a_newer_record_is_read_and_left_as_it_is() -> None:
    world = World()
    before = world.step()
    world.revisions[0]["data"]["plan"]["options"][0]["from_the_future"] = "1"
    after = world.decide()
    assert world.condition("Accepted")["status"] == "True"
    assert [m for m in after.manifests if m["kind"] == "Deployment"] == [
        m for m in before.manifests if m["kind"] == "Deployment"
    ]


def test_an_unreadable_plan_is_told_and_nothing_is_touched() -> None:
    world = World()
    world.step()
    world.start_pod()
    world.make_ready()
    world.revisions[0]["data"]["plan"]["options"] = "in another way"
    outcome = world.step()
    assert outcome.manifests == outcome.claims == outcome.prune == ()
    assert world.condition("Accepted")["reason"] == "PlanUnreadable"
    assert world.condition("Ready")["status"] == "True"


def _forge(world: World, **claim: Any) -> None:
    world.revisions[0]["data"] = copy.deepcopy(world.revisions[0]["data"])
    world.revisions[0]["data"]["claim"] |= claim


@pytest.mark.parametrize(
    "claim",
    [
        {"kind": "ClusterRoleBinding"},
        {"apiVersion": "apps/v1", "kind": "Deployment"},
        {"spec": {"tenant": "kube-system"}},
        {"status": {"state": "Ready"}},
        {"metadata": {"name": "other", "labels": {}}},
        {"metadata": {"name": "g2-standard-8-od-88acfce9fb", "finalizers": ["x"]}},
    ],
)
def test_a_stored_claim_is_applied_only_if_the_operator_would_have_written_it(claim: dict[str, Any]) -> None:
    world = World()
    world.step()
    _forge(world, **claim)
    outcome = world.decide()
    assert [c["kind"] for c in outcome.claims] == ["NodePoolClaim"]
    assert all(
        c["spec"]["tenant"] == "team-a" and c.keys() == {"apiVersion", "kind", "metadata", "spec"}
        for c in outcome.claims
    )
    assert all("finalizers" not in c["metadata"] for c in outcome.claims)


def test_a_child_of_another_namespace_counts_for_nothing() -> None:
    world = World()
    world.step()
    forged = copy.deepcopy(world.revisions[0])
    forged["metadata"] |= {"namespace": "elsewhere", "name": "chat-forged"}
    forged["revision"] = 9
    forged["data"]["podTemplate"]["spec"]["containers"][0]["image"] = "example.com/evil"
    world.children["ControllerRevision", "chat-forged"] = forged
    outcome = world.decide()
    images = [
        m["spec"]["template"]["spec"]["containers"][0]["image"] for m in outcome.manifests if m["kind"] == "Deployment"
    ]
    assert images == ["vllm/vllm-openai:v0.33.0"]
    assert outcome.prune == ()


def test_a_withdrawn_license_is_noticed_and_what_runs_stays() -> None:
    license_id = "mistral-non-production-license"
    world = World(model=make_model(model="codestral-22b-v0.1", license={"accept": license_id}, allowExperimental=True))
    world.step()
    assert world.condition("Accepted")["status"] == "True"
    before = world.deployment
    del world.model["spec"]["license"]
    world.step()
    assert world.condition("Accepted")["reason"] == "LicenseNotAccepted"
    assert world.deployment == before


def test_a_refused_edit_keeps_the_autoscaler() -> None:
    world = World(model=make_model(scaling={"maxReplicas": 3}))
    world.step()
    world.change(scaling={"maxReplicas": 3, "autoscaler": "KEDA"})
    assert world.step().prune == ()
    assert ("HorizontalPodAutoscaler", "chat") in world.children
