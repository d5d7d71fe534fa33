"""Plans are remembered by the spec, and forgotten with what all models have in common."""

from dataclasses import replace
from typing import Any

from tests.support.world import CLUSTER, SETTINGS, make_model

from mistral_operator.api.model import MistralModel
from mistral_operator.catalogue.load import load_catalogue
from mistral_operator.catalogue.types import Catalogue
from mistral_operator.planning.plan import plan_model
from mistral_operator.planning.remember import PlanMemory
from mistral_operator.planning.terms import NO_TERMS, Terms
from mistral_operator.planning.types import ClusterProfile, Plan, PlanRefused, Settings

CATALOGUE = load_catalogue()


class Counting:
    """The real planner, and for which models it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def plan(
        self,
        model: MistralModel,
        catalogue: Catalogue,
        cluster: ClusterProfile,
        settings: Settings,
        rung: str = "",
        terms: Terms = NO_TERMS,
    ) -> Plan | PlanRefused:
        self.asked.append(model.metadata.name)
        return plan_model(model, catalogue, cluster, settings, rung, terms)


def a_model(name: str, **spec: Any) -> MistralModel:
    return MistralModel.model_validate(make_model(name, **spec))


def test_the_same_spec_is_planned_once_whatever_the_model_is_called() -> None:
    planner = Counting()
    memory = PlanMemory(planner.plan)
    first = memory.plan(a_model("first"), CATALOGUE, CLUSTER, SETTINGS)
    assert memory.plan(a_model("second"), CATALOGUE, CLUSTER, SETTINGS) is first
    assert first == plan_model(a_model("second"), CATALOGUE, CLUSTER, SETTINGS)
    assert planner.asked == ["first"]


def test_another_spec_is_another_plan() -> None:
    memory = PlanMemory()
    small = memory.plan(a_model("chat"), CATALOGUE, CLUSTER, SETTINGS)
    long = memory.plan(a_model("chat", engine={"contextLength": 4096}), CATALOGUE, CLUSTER, SETTINGS)
    assert isinstance(small, Plan)
    assert isinstance(long, Plan)
    assert small.chosen.context_length != long.chosen.context_length == 4096


def test_two_classes_take_turns_without_forgetting() -> None:
    planner = Counting()
    memory = PlanMemory(planner.plan)
    l4, h100 = (Terms("MistralServingClass x", accelerators=(name,)) for name in ("l4", "h100-80"))
    for _ in range(2):
        plans = [memory.plan(a_model("chat"), CATALOGUE, CLUSTER, SETTINGS, terms=terms) for terms in (l4, h100)]
    assert [isinstance(plan, Plan) and plan.chosen.accelerator for plan in plans] == ["l4", "h100-80"]
    assert len(planner.asked) == 2


def test_each_rung_of_a_ladder_has_a_plan_of_its_own() -> None:
    memory = PlanMemory()
    best = memory.plan(a_model("chat"), CATALOGUE, CLUSTER, SETTINGS)
    assert isinstance(best, Plan)
    second = memory.plan(a_model("chat"), CATALOGUE, CLUSTER, SETTINGS, best.rung_names[1])
    assert isinstance(second, Plan)
    assert (second.options, second.chosen) == (best.options, best.options[1])
    assert memory.plan(a_model("chat"), CATALOGUE, CLUSTER, SETTINGS) is best


def test_refusals_are_remembered_too() -> None:
    planner = Counting()
    memory = PlanMemory(planner.plan)
    answers = [memory.plan(a_model(name, model="mistral-8b"), CATALOGUE, CLUSTER, SETTINGS) for name in ("a", "b")]
    assert isinstance(answers[0], PlanRefused)
    assert planner.asked == ["a"]


def test_other_settings_or_another_cluster_forget_everything() -> None:
    planner = Counting()
    memory = PlanMemory(planner.plan)
    memory.plan(a_model("old"), CATALOGUE, CLUSTER, SETTINGS)
    other = replace(SETTINGS, images={"vllm-gpu": "example.com/vllm:other"})
    with_image = memory.plan(a_model("image"), CATALOGUE, CLUSTER, other)
    memory.plan(a_model("zones"), CATALOGUE, replace(CLUSTER, zones=CLUSTER.zones[:1]), other)
    assert isinstance(with_image, Plan)
    assert with_image.chosen.image == "example.com/vllm:other"
    assert planner.asked == ["old", "image", "zones"]


def test_memory_is_bounded() -> None:
    planner = Counting()
    memory = PlanMemory(planner.plan)
    for length in range(2000, 2300):
        memory.plan(a_model(f"m-{length}", engine={"contextLength": length}), CATALOGUE, CLUSTER, SETTINGS)
    asked = len(planner.asked)
    memory.plan(a_model("latest", engine={"contextLength": 2299}), CATALOGUE, CLUSTER, SETTINGS)
    assert len(planner.asked) == asked, "the latest is remembered"
    memory.plan(a_model("oldest", engine={"contextLength": 2000}), CATALOGUE, CLUSTER, SETTINGS)
    assert len(planner.asked) == asked + 1, "the oldest is not"
