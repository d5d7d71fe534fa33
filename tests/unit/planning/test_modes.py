"""Ways to buy hardware: who is sold what, what each costs, and what a reader of the plan is told."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from tests.support.world import CLUSTER, SETTINGS, START, make_model

from mistral_operator.api.model import MistralModel, OptimizeFor
from mistral_operator.catalogue.load import load_catalogue
from mistral_operator.core.sync import sync
from mistral_operator.core.types import Observed, Outcome
from mistral_operator.manifests.claim import build_claim
from mistral_operator.planning.order import option_key
from mistral_operator.planning.plan import plan_model
from mistral_operator.planning.serialize import plan_from_dict, plan_to_dict
from mistral_operator.planning.types import ClusterProfile, Consumption, Plan, PlanRefused, Settings

CATALOGUE = load_catalogue()
ZONE = "us-central1-a"


def a_model(model: str = "mistral-7b-v0.3", **option: Any) -> MistralModel:
    capacity = {"options": [option]} if option else {}
    return MistralModel.model_validate(make_model(model=model, capacity=capacity, allowExperimental=True))


def answer(
    model: str = "mistral-7b-v0.3", cluster: ClusterProfile = CLUSTER, settings: Settings = SETTINGS, **option: Any
) -> Plan | PlanRefused:
    return plan_model(a_model(model, **option), CATALOGUE, cluster, settings)


def plan(**asked: Any) -> Plan:
    found = answer(**asked)
    assert isinstance(found, Plan), found
    return found


def reserved(**option: Any) -> dict[str, Any]:
    return {"consumption": "Reservation", "reservation": "team-gpus", "zones": [ZONE], **option}


def test_what_nobody_named_is_on_demand() -> None:
    assert {option.consumption for option in plan().options} == {Consumption.ON_DEMAND}


def test_flex_start_is_planned_with_the_end_of_its_nodes() -> None:
    option = plan(accelerator="l4", consumption="FlexStart").chosen
    assert (option.consumption, option.max_run_s) == (Consumption.FLEX_START, 604_800)
    assert option.name == "g2-standard-12-flexstart"
    assert any("ends after at most 7 days" in note and "write replicas: 2" in note for note in option.notes)


def test_flex_start_has_no_price_unless_somebody_sets_one() -> None:
    option = plan(accelerator="l4", consumption="FlexStart").chosen
    assert option.hourly_cost is None
    assert "no price known" in option.price_note
    assert "up to 53 % less than on demand, which is listed at $1.0004/h" in option.price_note
    own = replace(SETTINGS, prices={option.machine_type: {"FlexStart": Decimal("0.47")}})
    assert plan(accelerator="l4", consumption="FlexStart", settings=own).chosen.hourly_cost == Decimal("0.47")


@pytest.mark.parametrize("name", ["team-gpus", "projects/other/reservations/team-gpus"])
def test_a_reservation_is_carried_to_the_claim(name: str) -> None:
    found = plan(**reserved(accelerator="l4", reservation=name))
    option = found.chosen
    assert (option.consumption, option.reservation, option.zones) == (Consumption.RESERVATION, name, (ZONE,))
    assert any(name in note for note in option.notes)
    claim = build_claim(a_model(), option)
    assert claim["spec"]["reservation"] == name
    assert claim["metadata"]["name"].startswith(f"{option.machine_type}-res-")
    assert plan_from_dict(plan_to_dict(found)) == found


def test_claims_of_different_reservations_are_different() -> None:
    options = [plan(**reserved(accelerator="l4", reservation=name)).chosen for name in ("one", "other")]
    assert len({build_claim(a_model(), option)["metadata"]["name"] for option in options}) == 2


def test_a_reservation_is_priced_as_on_demand_and_says_so() -> None:
    bought, on_demand = plan(**reserved(accelerator="l4")).chosen, plan(accelerator="l4", zones=[ZONE]).chosen
    assert bought.hourly_cost == on_demand.hourly_cost
    assert "the price on demand, as a reservation's own terms aren't known" in bought.price_note
    own = replace(SETTINGS, prices={bought.machine_type: {"Reservation": Decimal("0.3"), "OnDemand": Decimal(9)}})
    agreed = plan(**reserved(accelerator="l4"), settings=own).chosen
    assert (agreed.hourly_cost, agreed.price_note) == (Decimal("0.3"), "from the operator's settings")


@pytest.mark.parametrize(
    ("option", "reason", "words"),
    [
        (
            reserved(reservation="projects/p/zones/us-central1-a/reservations/r"),
            "InvalidReservation",
            "write projects/p/reservations/r, and zones: [us-central1-a]",
        ),
        (reserved(reservation="team.gpus"), "InvalidReservation", "write the name alone"),
        (reserved(reservation="9-gpus"), "InvalidReservation", "write the name alone"),
        ({"consumption": "Reservation"}, "InvalidReservation", "write reservation: <name>"),
        (
            reserved(zones=[]),
            "ReservationNeedsZone",
            "`gcloud compute reservations list --filter=name=team-gpus --project sandbox` shows",
        ),
        (
            reserved(zones=[], reservation="projects/other/reservations/r"),
            "ReservationNeedsZone",
            "--filter=name=r --project other`",
        ),
    ],
)
def test_a_reservation_that_can_not_be_meant_is_refused(option: dict[str, Any], reason: str, words: str) -> None:
    found = answer(**option)
    assert isinstance(found, PlanRefused)
    assert found.reason == reason
    assert words in found.message


def test_a_cluster_of_one_zone_needs_none_written() -> None:
    zonal = replace(CLUSTER, zones=(ZONE,))
    assert plan(**reserved(accelerator="l4", zones=[]), cluster=zonal).chosen.zones == (ZONE,)


@pytest.mark.parametrize(
    ("option", "reason", "words"),
    [
        ({"accelerator": "h100-80-edge", "consumption": "FlexStart"}, "NotOffered", "write consumption: OnDemand"),
        ({"accelerator": "h200-141"}, "NotOffered", "only as Spot, FlexStart, Reservation; write consumption: Spot"),
        (
            {"accelerator": "v6e", "topology": "4x4", "consumption": "FlexStart"},
            "FlexStartIsSingleHost",
            "write consumption: Spot or Reservation, or hardware of one machine",
        ),
    ],
)
def test_a_machine_that_is_not_sold_like_that_is_refused(option: dict[str, Any], reason: str, words: str) -> None:
    found = answer("mixtral-8x7b", **option)
    assert isinstance(found, PlanRefused)
    assert (reason, True) in {(item.reason, words in item.message) for item in found.refusals}


@pytest.mark.parametrize(
    ("option", "version", "planned"),
    [
        ({"accelerator": "l4"}, "1.32.2-gke.1651999", False),
        ({"accelerator": "l4"}, "1.32.2-gke.1652000", True),
        ({"accelerator": "v6e", "devices": 4}, "1.32.9-gke.9999999", False),
        ({"accelerator": "v6e", "devices": 4}, "1.33.0-gke.1712000", True),
        ({"accelerator": "l4"}, "", True),
    ],
)
def test_flex_start_needs_a_gke_that_knows_it(option: dict[str, Any], version: str, planned: bool) -> None:
    found = answer(cluster=replace(CLUSTER, version=version), **option, consumption="FlexStart")
    assert isinstance(found, Plan) == planned
    if isinstance(found, PlanRefused):
        assert "ClusterTooOld" in {item.reason for item in found.refusals}


def test_a_slice_may_be_of_a_reservation() -> None:
    option = plan(model="mixtral-8x7b", **reserved(accelerator="v6e", topology="4x4")).chosen
    claim = build_claim(a_model("mixtral-8x7b"), option)
    assert (option.hosts, claim["spec"]["reservation"], claim["spec"]["shape"]["hosts"]) == (4, "team-gpus", 4)


def test_availability_prefers_what_stays() -> None:
    option = plan(accelerator="l4").chosen
    modes = [replace(option, consumption=mode, hourly_cost=Decimal(1)) for mode in Consumption]
    ranked = sorted(modes, key=lambda item: option_key(OptimizeFor.AVAILABILITY, item))
    assert [item.consumption.value for item in ranked] == ["Reservation", "OnDemand", "FlexStart", "Spot"]


def render(**option: Any) -> Outcome:
    return sync(a_model(**option), Observed(cluster=CLUSTER), CATALOGUE, SETTINGS, START)


def deployment_of(outcome: Outcome) -> dict[str, Any]:
    return next(item["spec"] for item in outcome.manifests if item["kind"] == "Deployment")


def test_a_roll_out_never_waits_for_a_machine_that_a_full_reservation_lacks() -> None:
    rolling = deployment_of(render(**reserved(accelerator="l4")))["strategy"]["rollingUpdate"]
    assert rolling == {"maxSurge": 0, "maxUnavailable": 1}
    assert deployment_of(render(accelerator="l4"))["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


def test_a_replica_that_waits_for_flex_start_is_no_failed_roll_out() -> None:
    waits = deployment_of(render(accelerator="l4", consumption="FlexStart"))["progressDeadlineSeconds"]
    assert waits - deployment_of(render(accelerator="l4"))["progressDeadlineSeconds"] == 86_400 - 1800


@pytest.mark.parametrize("option", [{"accelerator": "l4", "consumption": "FlexStart"}, reserved(accelerator="l4")])
def test_pods_find_the_nodes_by_the_pool_and_no_label_that_gke_may_not_set(option: dict[str, Any]) -> None:
    outcome = render(**option)
    claim = outcome.claims[0]["metadata"]["name"]
    assert deployment_of(outcome)["template"]["spec"]["nodeSelector"] == {
        "cloud.google.com/gke-accelerator": "nvidia-l4",
        "serving.mistral-operator.dev/shape": claim,
    }
