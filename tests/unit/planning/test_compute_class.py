"""Runs of rungs that one ComputeClass can be for, and what a class can't do."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.world import CLUSTER, SETTINGS, make_model

from mistral_operator.api.model import MistralModel
from mistral_operator.catalogue.load import load_catalogue
from mistral_operator.planning.compute_class import merge_runs
from mistral_operator.planning.plan import plan_model
from mistral_operator.planning.serialize import option_from_dict, option_to_dict
from mistral_operator.planning.terms import Terms, check_option
from mistral_operator.planning.types import (
    ClusterProfile,
    Consumption,
    Plan,
    PlannedOption,
    PlanRefused,
    Provisioner,
    Purchase,
)

GKE = replace(CLUSTER, provisioners=tuple(Provisioner))
SPOT_THEN_ON_DEMAND = [{"machineType": "g2-standard-8", "consumption": "Spot"}, {"machineType": "g2-standard-8"}]
MACHINES = ("g2-standard-8", "a2-highgpu-1g", "g2-standard-12")


def plan(*options: dict[str, object], cluster: ClusterProfile = GKE, **spec: object) -> Plan | PlanRefused:
    capacity = {"provisioner": "ComputeClass", "options": list(options)}
    model = MistralModel.model_validate(make_model(capacity=capacity, **spec))
    return plan_model(model, load_catalogue(), cluster, SETTINGS)


def planned(*options: dict[str, object], **changes: object) -> tuple[PlannedOption, ...]:
    found = plan(*options, **changes)  # type: ignore[arg-type]
    assert isinstance(found, Plan), found
    return found.options


BASE = planned({"machineType": "g2-standard-8"})[0]


def test_ways_to_buy_one_machine_are_one_rung() -> None:
    first, second = planned(*SPOT_THEN_ON_DEMAND, {"machineType": "a2-highgpu-1g"})
    assert [(each.consumption.value, each.hourly_cost) for each in first.purchases] == [
        ("Spot", Decimal("0.4799")),
        ("OnDemand", Decimal("0.8536")),
    ]
    assert (first.name, first.hourly_cost) == ("g2-standard-8-spot-ondemand", Decimal("0.8536"))
    assert first.throughput == BASE.throughput
    assert "spot in us-central1-a, us-central1-b, us-central1-c at $0.4799/h, then on demand" in "\n".join(first.notes)
    assert second.alternatives == ()
    assert all("no bound on its machines" in "\n".join(each.notes) for each in (first, second))


def test_another_machine_between_them_keeps_them_apart() -> None:
    names = [
        each.name for each in planned(SPOT_THEN_ON_DEMAND[0], {"machineType": "a2-highgpu-1g"}, SPOT_THEN_ON_DEMAND[1])
    ]
    assert names == ["g2-standard-8-spot", "a2-highgpu-1g-ondemand", "g2-standard-8-ondemand"]


def test_other_provisioners_merge_nothing() -> None:
    model = MistralModel.model_validate(make_model(capacity={"options": SPOT_THEN_ON_DEMAND}))
    found = plan_model(model, load_catalogue(), GKE, SETTINGS)
    assert isinstance(found, Plan)
    assert [len(each.purchases) for each in found.options] == [1, 1]


prices = st.one_of(st.none(), st.decimals(1, 100, places=2))
rungs = st.builds(
    lambda machine, mode, zones, price: replace(
        BASE,
        name=f"{machine}-{mode.value.lower()}",
        machine_type=machine,
        consumption=mode,
        zones=zones,
        hourly_cost=price,
    ),
    st.sampled_from(MACHINES),
    st.sampled_from(Consumption),
    st.sampled_from([("a",), ("a", "b")]),
    prices,
)


def bought(options: Sequence[PlannedOption]) -> list[tuple[str, Purchase]]:
    return [(option.machine_type, purchase) for option in options for purchase in option.purchases]


@given(st.lists(rungs, max_size=8))
def test_merging_keeps_order_and_counts_the_dearest(options: list[PlannedOption]) -> None:
    merged = merge_runs(options)
    assert bought(merged) == bought(options), "nothing is lost, added or moved"
    for left, right in pairwise(merged):
        assert left.machine_type != right.machine_type, "what can be one class is one"
    for option in merged:
        costs = [purchase.hourly_cost for purchase in option.purchases]
        known = [cost for cost in costs if cost is not None]
        assert option.hourly_cost == (max(known) if len(known) == len(costs) else None)


@given(st.lists(rungs, min_size=1, max_size=4))
def test_a_merged_rung_survives_being_stored(options: list[PlannedOption]) -> None:
    for option in merge_runs(options):
        assert option_from_dict(option_to_dict(option)) == option


def test_a_serving_class_is_held_against_every_way_to_buy() -> None:
    (option,) = planned(*SPOT_THEN_ON_DEMAND)
    misfit = check_option(Terms(source="MistralServingClass frugal", consumption=("Spot",)), option)
    assert misfit is not None
    assert misfit.reason == "ConsumptionNotAllowed"


@pytest.mark.parametrize(
    ("found", "reason", "advice"),
    [
        (
            plan(cluster=replace(GKE, version="1.33.2-gke.1000000")),
            "ClusterTooOld",
            "the cluster has 1.33.2-gke.1000000; upgrade it, or write spec.capacity.provisioner: ContainerAPI",
        ),
        (
            plan({"machineType": "ct6e-standard-4t", "topology": "4x4"}, model="mixtral-8x7b"),
            "NothingFits",
            "a slice of 4 machines needs a node pool of its own, which ComputeClass doesn't make",
        ),
        (plan(resourceLabels={"team": "a"}), "ResourceLabelsNeedNodePools", "remove them"),
    ],
)
def test_what_a_class_cannot_do_is_refused(found: Plan | PlanRefused, reason: str, advice: str) -> None:
    assert isinstance(found, PlanRefused)
    assert found.reason == reason
    assert advice in found.message


def test_autopilot_comes_to_a_class() -> None:
    model = MistralModel.model_validate(make_model())
    found = plan_model(model, load_catalogue(), replace(GKE, autopilot=True), SETTINGS)
    assert isinstance(found, Plan)
    assert {option.provisioner for option in found.options} == {Provisioner.COMPUTE_CLASS}
