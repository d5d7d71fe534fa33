"""A plan keeps to the terms of its class, whatever is asked; and what a class refuses says what to write instead."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.world import CLUSTER, SETTINGS, make_model

from mistral_operator.api.model import MistralModel
from mistral_operator.catalogue.load import load_catalogue
from mistral_operator.planning.plan import plan_model
from mistral_operator.planning.survey import survey
from mistral_operator.planning.terms import NO_TERMS, Terms, check_option
from mistral_operator.planning.types import Consumption, Plan, PlannedOption, PlanRefused

CATALOGUE = load_catalogue()
SOURCE = "MistralServingClass standard"
NAMES = st.sampled_from([*CATALOGUE.accelerators, *(item.label for item in CATALOGUE.accelerators.values())])
ZONES = st.sampled_from([*CLUSTER.zones, "europe-west4-a"])
PRICES = st.decimals(min_value=0, max_value=60, places=2)
TERMS = st.builds(
    Terms,
    source=st.just(SOURCE),
    accelerators=st.lists(NAMES, max_size=4, unique=True).map(tuple),
    consumption=st.lists(st.sampled_from(["OnDemand", "Spot", "FlexStart", "Reservation"]), unique=True).map(tuple),
    zones=st.lists(ZONES, max_size=3, unique=True).map(tuple),
    max_hourly_cost=st.none() | PRICES,
)
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "accelerator": st.sampled_from(["l4", "h100-80", "nvidia-l4", "v6e"]),
        "consumption": st.sampled_from([mode.value for mode in Consumption]),
        "zones": st.lists(st.sampled_from(CLUSTER.zones), min_size=1, max_size=2, unique=True),
    },
)
SPECS = st.fixed_dictionaries(
    {"model": st.sampled_from(["mistral-7b-v0.3", "mixtral-8x7b", "mistral-small-3.2-24b-2506"])},
    optional={
        "capacity": OPTIONS.map(lambda option: {"options": [option]}),
        "optimizeFor": st.sampled_from(["Cost", "Latency", "Availability"]),
        "allowExperimental": st.booleans(),
    },
)


def plan(terms: Terms, **spec: Any) -> Plan | PlanRefused:
    return plan_model(MistralModel.model_validate(make_model(**spec)), CATALOGUE, CLUSTER, SETTINGS, terms=terms)


@settings(max_examples=60)
@given(terms=TERMS, spec=SPECS)
def test_no_option_of_a_plan_is_outside_of_its_terms(terms: Terms, spec: dict[str, Any]) -> None:
    answer = plan(terms, **spec)
    if isinstance(answer, PlanRefused):
        assert answer.message
        return
    for option in answer.options:
        _assert_within(terms, option)
        assert check_option(terms, option) is None


def _assert_within(terms: Terms, option: PlannedOption) -> None:
    """Said again in other words than the planner's."""
    names = {option.accelerator, option.accelerator_label}
    assert not terms.accelerators or names & set(terms.accelerators)
    assert not terms.consumption or option.consumption.value in terms.consumption
    assert not terms.zones or (option.zones and set(option.zones) <= set(terms.zones))
    if terms.max_hourly_cost is not None:
        assert option.hourly_cost is not None
        assert option.hourly_cost <= terms.max_hourly_cost


@settings(max_examples=20)
@given(terms=TERMS)
def test_what_a_class_leaves_is_found(terms: Terms) -> None:
    """A model that asks for nothing is refused only where a look at every machine finds none, either.

    More than four devices over PCIe are never chosen unasked, so they don't count.
    """
    answer = plan(terms)
    spec = MistralModel.model_validate(make_model()).spec
    found = survey(spec, CATALOGUE, CLUSTER, SETTINGS, terms=terms)
    assert not isinstance(found, PlanRefused)
    usual = terms.usual_consumption
    able = [each.answer for each in found if isinstance(each.answer, PlannedOption)]
    able = [option for option in able if option.consumption is usual and option.devices <= 4]
    assert isinstance(answer, Plan) or not able


def test_without_terms_all_is_as_before() -> None:
    assert plan(NO_TERMS) == plan(Terms())
    answer = plan(NO_TERMS)
    assert isinstance(answer, Plan)
    assert not any("limits of" in note for note in answer.notes)


@pytest.mark.parametrize(
    ("name", "chosen"), [("h100-80", {"h100-80"}), ("nvidia-h100-80gb", {"h100-80", "h100-80-edge"})]
)
def test_accelerators_go_by_either_name(name: str, chosen: set[str]) -> None:
    """GKE has one name for some that the catalogue tells apart."""
    answer = plan(Terms(SOURCE, accelerators=(name,)))
    assert isinstance(answer, Plan)
    assert {option.accelerator for option in answer.options} == chosen
    assert f"planned within the limits of {SOURCE}" in answer.notes


@pytest.mark.parametrize(
    ("allowed", "got"),
    [(("Spot",), "Spot"), (("Spot", "OnDemand"), "OnDemand"), (("Reservation", "Spot"), "Spot"), ((), "OnDemand")],
)
def test_a_model_that_does_not_say_how_to_buy_gets_what_is_allowed(allowed: tuple[str, ...], got: str) -> None:
    for spec in ({}, {"capacity": {"options": [{"accelerator": "l4"}]}}):
        answer = plan(Terms(SOURCE, consumption=allowed), **spec)
        assert isinstance(answer, Plan)
        assert answer.chosen.consumption.value == got


def test_zones_are_those_that_are_allowed() -> None:
    answer = plan(Terms(SOURCE, zones=("us-central1-c", "us-central1-a", "europe-west4-a")))
    assert isinstance(answer, Plan)
    assert set(answer.chosen.zones) == {"us-central1-a", "us-central1-c"}


REFUSED = {
    "an accelerator": (
        Terms(SOURCE, accelerators=("l4", "v6e")),
        {"accelerator": "nvidia-h100-80gb"},
        "AcceleratorNotAllowed",
        "accelerator: nvidia-h100-80gb is not allowed: {} allows the accelerators l4, v6e; write one of them",
    ),
    "a machine type": (
        Terms(SOURCE, accelerators=("v6e",)),
        {"machineType": "g2-standard-8"},
        "AcceleratorNotAllowed",
        "machineType: g2-standard-8 is not allowed: {} allows the accelerators v6e; write one of them",
    ),
    "a way to buy": (
        Terms(SOURCE, consumption=("OnDemand",)),
        {"consumption": "Spot"},
        "ConsumptionNotAllowed",
        "consumption: Spot is not allowed: {} allows OnDemand; write one of them",
    ),
    "no way to buy, where one has to be named": (
        Terms(SOURCE, consumption=("Reservation",)),
        {"accelerator": "l4"},
        "ConsumptionNotAllowed",
        "consumption is not allowed: {} allows Reservation; write one of them",
    ),
    "a zone among others": (
        Terms(SOURCE, zones=("us-central1-a",)),
        {"zones": ["us-central1-a", "us-central1-b"]},
        "ZoneNotAllowed",
        "zones: us-central1-b is not allowed: {} allows the zones us-central1-a; write one of them",
    ),
}


@pytest.mark.parametrize(("terms", "option", "reason", "words"), REFUSED.values(), ids=REFUSED)
def test_what_is_asked_for_and_not_allowed_is_refused(
    terms: Terms, option: dict[str, Any], reason: str, words: str
) -> None:
    answer = plan(terms, capacity={"options": [option]})
    assert isinstance(answer, PlanRefused)
    assert (answer.reason, answer.message) == (reason, f"spec.capacity.options[0].{words.format(SOURCE)}")


def test_hardware_that_costs_more_than_the_class_pays_is_left_out() -> None:
    answer = plan(Terms(SOURCE, max_hourly_cost=Decimal("1.20")))
    assert isinstance(answer, Plan)
    assert all(option.hourly_cost and option.hourly_cost <= Decimal("1.20") for option in answer.options)
    told = [refusal.message for refusal in answer.refusals if refusal.reason == "ExceedsHourlyCost"]
    assert told
    assert all(f"more than limits.maxHourlyCost of {SOURCE}: $1.20/h" in message for message in told)


def test_a_class_that_allows_nothing_that_would_do_says_what_would_do_without_it() -> None:
    answer = plan(Terms(SOURCE, accelerators=("l4",)), model="mixtral-8x7b")
    assert isinstance(answer, PlanRefused)
    assert answer.reason == "NothingAllowed"
    assert f"{SOURCE} allows only l4" in answer.message
    assert f"{SOURCE} allows nothing that would do: name another class in spec.servingClassName" in answer.message
    assert "The cheapest that would do: 2 × a100-80" in answer.message


def test_where_something_that_is_allowed_would_do_it_is_suggested() -> None:
    """The user's own limit is what is in the way, not the class."""
    capacity = {"maxHourlyCost": "0.10"}
    answer = plan(Terms(SOURCE, accelerators=("a100-40",)), capacity=capacity)
    assert isinstance(answer, PlanRefused)
    assert answer.reason == "NothingFits"
    assert "The cheapest that would do: 1 × a100-40" in answer.message
    assert "spec.capacity.maxHourlyCost: $0.10/h" in answer.message


def test_an_option_without_a_price_is_not_within_a_limit() -> None:
    answer = plan(NO_TERMS)
    assert isinstance(answer, Plan)
    unpriced = replace(answer.chosen, hourly_cost=None, price_note="no price known")
    misfit = check_option(Terms(SOURCE, max_hourly_cost=Decimal(5)), unpriced)
    assert misfit
    assert misfit.reason == "PriceUnknown"
    assert check_option(Terms(SOURCE), unpriced) is None
