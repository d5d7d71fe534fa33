"""The page on the planner: its worked example is executed, and its numbers are the planner's."""

import doctest
from pathlib import Path

from tests.support.world import CLUSTER, SETTINGS, make_model

from mistral_operator.api.model import MistralModel
from mistral_operator.catalogue.load import load_catalogue
from mistral_operator.planning.plan import plan_model
from mistral_operator.planning.types import Plan, PlannedOption

PAGE = Path(__file__).parents[2] / "docs" / "how-the-planner-decides.md"


def plan_example() -> PlannedOption:
    capacity = {"options": [{"machineType": "g2-standard-48"}]}
    model = MistralModel.model_validate(make_model(model="mistral-small-3.2-24b-2506", capacity=capacity))
    plan = plan_model(model, load_catalogue(), CLUSTER, SETTINGS)
    assert isinstance(plan, Plan), plan
    return plan.chosen


def test_the_worked_example_is_what_the_planner_computes() -> None:
    result = doctest.testfile(str(PAGE), module_relative=False, globs={"plan_example": plan_example})
    assert result.attempted >= 25
    assert result.failed == 0
