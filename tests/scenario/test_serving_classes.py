"""A class over a model's life: it binds new plans, tells of what it no longer allows, and stops nothing that runs."""

import copy
from datetime import timedelta
from typing import Any

import pytest
from tests.support.world import SETTINGS, World, autoscaler_event, make_model

Json = dict[str, Any]
L4_HOURLY = 0.8536


def serving(world: World | None = None, **spec: Any) -> World:
    """A world with a model that serves."""
    world = world or World(model=make_model(**spec))
    world.step()
    world.provision()
    world.start_pod()
    world.make_ready()
    world.step()
    assert world.condition("Ready")["status"] == "True"
    return world


def in_class(name: str = "standard", *, model: Json | None = None, **spec: Any) -> World:
    world = World(model=model or make_model())
    world.set_class(name, **spec)
    return world


def running(world: World) -> Json:
    """What must not change for as long as what runs is left alone."""
    return {
        "template": world.deployment["spec"]["template"],
        "claims": {name: claim["spec"] for name, claim in world.claims.items()},
        "revisions": {item["metadata"]["name"]: item["data"] for item in world.revisions},
    }


def test_a_new_model_gets_the_default_class_and_says_so() -> None:
    limits = {"accelerators": ["l4"], "consumption": ["Spot"], "zones": ["us-central1-b"], "maxHourlyCost": "2.00"}
    defaults = {
        "resourceLabels": {"cost-center": "ai"},
        "images": [{"engine": "vllm-gpu", "image": "mirror.example/vllm:1"}],
    }
    world = in_class(limits=limits, defaults=defaults)
    outcome = world.step()
    assert outcome.status["servingClassName"] == "standard"
    assert "It is under MistralServingClass standard." in world.condition("Accepted")["message"]
    (claim,) = outcome.claims
    assert (claim["spec"]["consumption"], claim["spec"]["zones"]) == ("Spot", ["us-central1-b"])
    assert claim["spec"]["resourceLabels"] == {"cost-center": "ai"}
    engine = world.deployment["spec"]["template"]["spec"]["containers"][0]
    assert engine["image"] == "mirror.example/vllm:1"
    world.step()
    settled, again = world.step(), world.decide()
    assert (again.status, again.manifests, again.events) == (settled.status, settled.manifests, ())


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"allowedNamespaces": ["team-b"]}, "NamespaceNotAllowed"),
        ({"limits": {"provisioners": ["Existing"]}}, "ProvisionerNotEnabled"),
        ({"limits": {"zones": ["us-east1-b"]}}, "NothingAllowed"),
    ],
)
def test_a_model_that_the_class_does_not_allow_is_refused_and_nothing_is_made(spec: Json, reason: str) -> None:
    world = in_class(**spec)
    outcome = world.step()
    assert not outcome.manifests
    assert not outcome.claims
    for kind in ("Ready", "Accepted"):
        condition = world.condition(kind)
        assert (condition["status"], condition["reason"]) == ("False", reason)
    assert "MistralServingClass standard" in world.condition("Accepted")["message"]
    assert world.condition("Stalled")["status"] == "True"
    assert [(note.type, note.reason) for note in outcome.events] == [("Warning", reason)]


def test_a_refused_model_is_planned_once_the_class_allows_it() -> None:
    world = in_class(limits={"accelerators": ["l4"]}, model=make_model(model="mixtral-8x7b"))
    world.step()
    assert world.condition("Accepted")["reason"] == "NothingAllowed"
    world.set_class(limits={"accelerators": ["l4", "a100-80"]})
    world.step()
    assert world.condition("Accepted")["reason"] == "Planned"
    (claim,) = world.claims.values()
    assert claim["spec"]["shape"]["machineType"] == "a2-ultragpu-2g"


CHANGES: dict[str, Json] = {
    "its accelerator": {"limits": {"accelerators": ["h100-80"]}},
    "its way to buy": {"limits": {"consumption": ["Spot"]}},
    "its zones": {"limits": {"zones": ["us-central1-a"]}},
    "its price": {"limits": {"maxHourlyCost": "0.10"}},
    "its namespace": {"allowedNamespaces": ["team-b"]},
    "its image": {"limits": {"forbiddenFields": ["EngineImage"]}},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_runs_stays_when_the_class_stops_allowing_it_and_the_model_says_so(change: Json) -> None:
    world = serving(in_class(model=make_model(engine={"image": "mine.example/vllm:1"})))
    before = running(world)
    world.set_class(**change)
    outcome = world.step()
    assert running(world) == before
    assert not outcome.prune
    assert world.deployment["spec"]["replicas"] == 1
    for kind, status in (("Ready", "True"), ("Accepted", "True"), ("Reconciling", "False"), ("Stalled", "False")):
        assert world.condition(kind)["status"] == status, kind
    degraded = world.condition("Degraded")
    assert (degraded["status"], degraded["reason"]) == ("True", "OutsideServingClass")
    assert "MistralServingClass standard" in degraded["message"]
    assert outcome.status["summary"]["reason"] == "OutsideServingClass"
    world.set_class()
    world.step()
    assert world.condition("Degraded")["reason"] == "AsWanted"


def test_a_changed_spec_is_planned_within_the_class_as_it_is_now() -> None:
    world = serving(in_class())
    assert running(world)["claims"].popitem()[1]["shape"]["machineType"] == "g2-standard-8"
    world.set_class(limits={"accelerators": ["a100-40"]})
    world.step()
    world.change(engine={"contextLength": 8192})
    world.step()
    assert "a2-highgpu-1g" in {claim["spec"]["shape"]["machineType"] for claim in world.claims.values()}
    assert world.condition("Accepted")["reason"] == "Planned"
    assert world.condition("Degraded")["reason"] != "OutsideServingClass"


def test_an_earlier_plan_that_comes_back_is_held_to_the_class_like_a_new_one() -> None:
    world = serving(in_class())
    world.set_class(limits={"accelerators": ["h100-80"]})
    world.change(engine={"contextLength": 8192})
    world.step()
    moved = world.deployment["spec"]["template"]
    assert len(world.revisions) == 2, "the earlier one still has its pod"
    world.change(engine={})
    world.step()
    accepted = world.condition("Accepted")
    assert (accepted["status"], accepted["reason"]) == ("False", "AcceleratorNotAllowed")
    assert "MistralServingClass standard allows only h100-80" in accepted["message"]
    assert world.deployment["spec"]["template"] == moved
    world.set_class()
    world.step()
    assert world.condition("Accepted")["status"] == "True"
    assert world.deployment["spec"]["template"] != moved


def test_to_name_another_class_is_a_change_of_the_spec() -> None:
    world = serving(in_class())
    world.set_class("large", default=False, limits={"accelerators": ["h100-80"]})
    world.step()
    assert len(world.revisions) == 1
    world.change(servingClassName="large")
    outcome = world.step()
    assert outcome.status["servingClassName"] == "large"
    assert len(world.revisions) == 2
    assert outcome.status["plan"]["chosen"]["accelerator"] == "h100-80"


def test_a_class_that_goes_stops_nothing_and_lets_nothing_new_be_planned() -> None:
    world = serving(in_class("large", default=False, model=make_model(servingClassName="large")))
    before = running(world)
    del world.classes["large"]
    outcome = world.step()
    assert running(world) == before
    assert not outcome.prune
    accepted = world.condition("Accepted")
    assert (accepted["status"], accepted["reason"]) == ("False", "ServingClassNotFound")
    assert world.condition("Ready")["status"] == "True"
    assert world.condition("Degraded")["reason"] == "ServingClassNotFound"
    world.change(engine={"contextLength": 8192})
    world.step()
    assert running(world) == before
    world.set_class("large", default=False)
    world.step()
    assert world.condition("Accepted")["reason"] == "Planned"


def test_a_default_class_that_goes_leaves_models_without_one() -> None:
    world = serving(in_class(limits={"accelerators": ["l4"]}))
    before = running(world)
    del world.classes["standard"]
    outcome = world.step()
    assert running(world) == before
    assert "servingClassName" not in outcome.status
    assert "MistralServingClass" not in world.condition("Accepted")["message"]
    assert world.condition("Degraded")["reason"] == "AsWanted"


def test_the_spend_limit_of_the_class_bounds_replicas() -> None:
    world = in_class(limits={"maxHourlyCost": f"{2.5 * L4_HOURLY:.2f}"}, model=make_model(replicas=4))
    world.step()
    assert world.deployment["spec"]["replicas"] == 2
    degraded = world.condition("Degraded")
    assert degraded["reason"] == "HourlyCostLimit"
    assert degraded["message"].startswith("limits.maxHourlyCost of MistralServingClass standard pays for 2 of 4")


def test_a_lower_spend_limit_stops_no_replica_but_lets_none_come() -> None:
    world = serving(in_class(model=make_model(replicas=3)))
    for name in ("chat-1", "chat-2"):
        world.start_pod(name)
    world.make_ready()
    world.set_class(limits={"maxHourlyCost": "1.00"})
    world.step()
    assert world.deployment["spec"]["replicas"] == 3
    assert world.condition("Ready")["status"] == "True"
    world.change(replicas=5)
    world.step()
    assert world.deployment["spec"]["replicas"] == 3
    world.change(replicas=2)
    world.step()
    world.change(replicas=3)
    world.step()
    assert world.deployment["spec"]["replicas"] == 2, "what was given back isn't given again"
    world.set_class(limits={"maxHourlyCost": "10.00"})
    world.step()
    assert world.deployment["spec"]["replicas"] == 3


def test_a_class_that_is_not_there_is_no_way_out_of_a_spend_limit() -> None:
    world = serving(in_class(limits={"maxHourlyCost": "1.00"}, model=make_model(replicas=4)))
    assert world.deployment["spec"]["replicas"] == 1
    world.change(servingClassName="none-such")
    world.step()
    assert world.condition("Accepted")["reason"] == "ServingClassNotFound"
    assert world.deployment["spec"]["replicas"] == 1
    world.set_class("other", default=False, allowedNamespaces=["team-b"])
    world.change(servingClassName="other")
    world.step()
    assert world.condition("Accepted")["reason"] == "NamespaceNotAllowed"
    assert world.deployment["spec"]["replicas"] == 1


def test_a_model_at_zero_whose_class_is_not_for_it_says_why_it_stays_there() -> None:
    world = serving(in_class())
    world.change(replicas=0)
    world.step()
    world.pods.clear()
    world.set_class(allowedNamespaces=["team-b"])
    world.change(replicas=1)
    world.step()
    assert world.deployment["spec"]["replicas"] == 0, "it gets no more than it has"
    assert world.condition("Ready")["reason"] == "OutsideServingClass"
    assert "only for team-b" in world.condition("Ready")["message"]
    world.change(servingClassName="none-such")
    world.step()
    assert world.deployment["spec"]["replicas"] == 0
    assert world.condition("Ready")["reason"] == "ServingClassNotFound"


@pytest.mark.parametrize("limits", [{"accelerators": ["h100-80"]}, {"consumption": ["Spot"]}])
def test_a_model_outside_its_class_keeps_its_replicas_and_gets_no_more(limits: dict[str, Any]) -> None:
    world = serving(in_class())
    world.set_class(limits=limits)
    world.change(replicas=50)
    world.step()
    assert world.deployment["spec"]["replicas"] == 1
    degraded = world.condition("Degraded")
    assert (degraded["status"], degraded["reason"]) == ("True", "OutsideServingClass")
    assert "No more replicas come, though 50 are wanted" in degraded["message"]


def test_what_a_cheaper_plan_has_pays_for_no_dearer_one() -> None:
    """A write that fails after the revision was made must not make the number of the old replicas a right."""
    world = World(model=make_model(replicas=5, capacity={"options": [{"accelerator": "l4", "devices": 1}]}))
    world.set_class(limits={"maxHourlyCost": "5.00"})
    world.step()
    assert world.deployment["spec"]["replicas"] == 5
    world.change(capacity={"options": [{"accelerator": "a100-40", "devices": 1}]})
    outcome = world.decide()
    revision = next(item for item in outcome.manifests if item["kind"] == "ControllerRevision")
    world.children["ControllerRevision", revision["metadata"]["name"]] = copy.deepcopy(revision)
    for _ in range(3):
        world.step()
        assert world.deployment["spec"]["replicas"] == 1


def test_stating_how_to_buy_says_more_to_a_class_than_to_a_hash() -> None:
    world = World(model=make_model(capacity={"options": [{"accelerator": "l4", "devices": 1}]}))
    world.set_class(limits={"consumption": ["Spot"]})
    world.step()
    assert world.model["status"]["plan"]["chosen"]["consumption"] == "Spot"
    world.set_class(limits={"consumption": ["OnDemand", "Spot"]})
    world.change(capacity={"options": [{"accelerator": "l4", "devices": 1, "consumption": "OnDemand"}]})
    for _ in range(3):
        world.step()
    assert world.model["status"]["plan"]["chosen"]["consumption"] == "OnDemand"
    assert world.decide() == world.decide()
    names = {revision["metadata"]["name"] for revision in world.revisions}
    world.step()
    assert {revision["metadata"]["name"] for revision in world.revisions} == names


def test_a_slice_is_bounded_like_any_replica() -> None:
    spec = {"model": "mixtral-8x7b", "allowExperimental": True, "replicas": 2}
    spec |= {"capacity": {"options": [{"accelerator": "v6e", "topology": "4x4"}]}}
    world = World(model=make_model(**spec))
    world.step()
    hourly = float(world.model["status"]["plan"]["chosen"]["hourlyCost"])
    assert len(world.claims) == 2
    world = in_class(limits={"maxHourlyCost": f"{1.5 * hourly:.2f}"}, model=make_model(**spec))
    world.step()
    assert len(world.claims) == 1
    assert world.leader_worker_set["spec"]["replicas"] == 1


def test_the_named_class_is_hashed_and_nothing_else_of_it() -> None:
    world = World()
    plain = world.decide().status["plan"]["revision"]
    world.set_class(limits={"accelerators": ["l4"]})
    assert world.decide().status["plan"]["revision"] == plain
    world.model["spec"]["servingClassName"] = "standard"
    assert world.decide().status["plan"]["revision"] != plain


OPTIONS = ({"accelerator": "l4", "devices": 1}, {"accelerator": "a100-40", "devices": 1})
RULES = SETTINGS.ladder


def out_of_stock(world: World) -> None:
    """The pod has no node for longer than a stock-out is waited out."""
    world.step()
    world.provision()
    pod = world.start_pod(node="")
    world.events.append(autoscaler_event(pod, "FailedScaleUp", "GCE out of resources"))
    world.step()
    world.now += timedelta(seconds=RULES.zone_patience_s * 3)
    world.step()
    world.step()


def machine(world: World) -> str:
    return str(world.model["status"]["plan"]["chosen"]["machineType"])


def test_a_rung_that_the_class_stops_allowing_has_no_turn_until_it_is_allowed_again() -> None:
    world = in_class(model=make_model(capacity={"options": list(OPTIONS)}))
    world.step()
    world.set_class(limits={"accelerators": ["l4"]})
    out_of_stock(world)
    assert machine(world) == "g2-standard-8"
    rung = world.model["status"]["capacity"]["options"][1]
    assert (rung["state"], rung["reason"]) == ("Refused", "AcceleratorNotAllowed")
    assert "MistralServingClass standard allows the accelerators l4" in rung["message"]
    world.set_class()
    for seconds in (RULES.refused_cooldown_s + 1, RULES.zone_patience_s * 3, 1):
        world.now += timedelta(seconds=seconds)
        world.step()
    assert machine(world) == "a2-highgpu-1g"


def test_a_ladder_under_a_class_has_only_rungs_that_it_allows() -> None:
    world = in_class(limits={"accelerators": ["l4", "a100-40"], "maxHourlyCost": "4.00"})
    world.step()
    names = [rung["name"] for rung in world.model["status"]["capacity"]["options"]]
    assert names == ["g2-standard-8-ondemand", "g2-standard-24-ondemand", "a2-highgpu-1g-ondemand"]


def test_no_replica_is_built_beside_another_where_the_class_does_not_pay_for_both() -> None:
    """A model's own surge doesn't come on top of the class's limit."""
    spec = {"capacity": {"maxSurgeHourlyCost": "10.00"}}
    for limit, surge in (("1.00", 0), ("2.00", 1)):
        world = serving(in_class(limits={"maxHourlyCost": limit}, model=make_model(**spec)))
        assert world.deployment["spec"]["strategy"]["rollingUpdate"]["maxSurge"] == surge


def test_single_machines_beside_slices_are_paid_for_together() -> None:
    spec = {"model": "mixtral-8x7b", "allowExperimental": True, "replicas": 2}
    world = World(model=make_model(**spec, capacity={"options": [{"accelerator": "v6e", "topology": "4x4"}]}))
    world.set_class(limits={"maxHourlyCost": "90.00"})
    world.step()
    world.provision()
    for number, claim in enumerate(sorted(world.claims)):
        world.make_ready(*world.start_group(f"chat-slices-{number}", claim))
    world.step()
    world.change(capacity={"options": [{"machineType": "a2-ultragpu-8g"}]})
    for _ in range(3):
        world.step()
        cost = float(world.model["status"]["plan"]["chosen"]["hourlyCost"])
        slices = sum(pod["metadata"]["labels"].get("serving.mistral-operator.dev/role") != "worker"
                     for pod in world.pods.values())  # fmt: skip
        machines = world.children.get(("Deployment", "chat"), {}).get("spec", {}).get("replicas", 0)
        assert slices * 43.2 + machines * cost <= 90
    world.pods.clear()
    world.step()
    assert world.deployment["spec"]["replicas"] == 2, "when the slices are gone there is money again"
