"""What comes first: the bill, a lone request's time, or capacity that is there and stays."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.world import CLUSTER, SETTINGS, make_model

from mistral_operator.api.model import MistralModel, OptimizeFor
from mistral_operator.catalogue.load import load_catalogue
from mistral_operator.planning.order import SAME_LATENCY, option_key, request_ms
from mistral_operator.planning.plan import plan_model
from mistral_operator.planning.types import Consumption, Plan, PlannedOption

CATALOGUE = load_catalogue()


def ladder(**spec: Any) -> tuple[PlannedOption, ...]:
    plan = plan_model(MistralModel.model_validate(make_model(**spec)), CATALOGUE, CLUSTER, SETTINGS)
    assert isinstance(plan, Plan), plan
    return plan.options


def duration_ms(option: PlannedOption) -> float:
    assert option.throughput is not None
    return request_ms(option.throughput)


def test_cost_is_the_default_and_takes_the_smallest_bill() -> None:
    options = ladder()
    assert options == ladder(optimizeFor="Cost")
    costs = [option.hourly_cost for option in options]
    assert costs == sorted(costs, key=lambda cost: cost or Decimal("Infinity"))


def test_latency_takes_faster_hardware_and_pays_no_more_than_needed() -> None:
    cheapest, fastest = ladder()[0], ladder(optimizeFor="Latency")[0]
    assert duration_ms(fastest) * SAME_LATENCY < duration_ms(cheapest)
    options = ladder(optimizeFor="Latency")
    same = [item for item in options if duration_ms(item) <= duration_ms(fastest)]
    assert fastest.hourly_cost is not None
    assert all(item.hourly_cost is None or item.hourly_cost >= fastest.hourly_cost for item in same)


def test_availability_takes_what_more_zones_list() -> None:
    options = ladder(optimizeFor="Availability", allowExperimental=True)
    zones = [len(option.zones) for option in options]
    assert zones == sorted(zones, reverse=True)


def test_latency_keeps_the_limit_of_the_bill() -> None:
    limit = Decimal(6)
    options = ladder(optimizeFor="Latency", capacity={"maxHourlyCost": str(limit)})
    assert options
    assert all(option.hourly_cost is not None and option.hourly_cost <= limit for option in options)


@pytest.mark.parametrize("optimize_for", OptimizeFor)
def test_equal_options_are_ordered_by_name(optimize_for: OptimizeFor) -> None:
    option = ladder()[0]
    assert option_key(optimize_for, replace(option, name="a")) < option_key(optimize_for, replace(option, name="b"))


def test_what_can_be_taken_back_is_not_available() -> None:
    option = ladder()[0]
    spot = replace(option, consumption=Consumption.SPOT, hourly_cost=Decimal("0.01"))
    assert option_key(OptimizeFor.AVAILABILITY, option) < option_key(OptimizeFor.AVAILABILITY, spot)
    assert option_key(OptimizeFor.COST, spot) < option_key(OptimizeFor.COST, option)


@given(st.sampled_from(OptimizeFor), st.randoms(use_true_random=False))
def test_the_order_of_the_catalogue_changes_nothing(optimize_for: OptimizeFor, random: Any) -> None:
    names = list(CATALOGUE.accelerators)
    random.shuffle(names)
    shuffled = replace(CATALOGUE, accelerators={name: CATALOGUE.accelerators[name] for name in names})
    model = MistralModel.model_validate(make_model(optimizeFor=optimize_for))
    first, second = (plan_model(model, known, CLUSTER, SETTINGS) for known in (CATALOGUE, shuffled))
    assert isinstance(first, Plan)
    assert isinstance(second, Plan)
    assert first.options == second.options
