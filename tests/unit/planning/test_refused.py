"""What can't be served is refused with a reason and with what to write instead."""

import re
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
import yaml

from mistral_operator.api.model import MistralModel
from mistral_operator.catalogue.extend import Prices
from mistral_operator.catalogue.load import load_catalogue
from mistral_operator.catalogue.types import SupportRule
from mistral_operator.planning.estimate import override_prices
from mistral_operator.planning.plan import plan_model
from mistral_operator.planning.types import ClusterProfile, Plan, PlanRefused, Settings

CATALOGUE = load_catalogue()
CLUSTER = ClusterProfile(provider="GKE", project="p", location="us-central1", cluster="c", zones=("us-central1-a",))
CODESTRAL = "mistral-non-production-license"


def answer(spec: dict[str, Any], location: str = "us-central1") -> Plan | PlanRefused:
    model = MistralModel.model_validate({"metadata": {"name": "chat"}, "spec": {"model": "mistral-7b-v0.3", **spec}})
    return plan_model(model, CATALOGUE, replace(CLUSTER, location=location), Settings(operator_version="0"))


def one(**option: Any) -> dict[str, Any]:
    return {"capacity": {"options": [option]}}


@pytest.mark.parametrize(
    ("spec", "reason", "words"),
    [
        ({"model": "mistral-smal-3.2"}, "UnknownModel", "the nearest are mistral-small-3.2-24b-2506"),
        ({"model": "qqqq"}, "UnknownModel", "known are codestral-22b-v0.1"),
        ({"model": "codestral-22b-v0.1"}, "LicenseNotAccepted", f"write spec.license.accept: {CODESTRAL}"),
        (
            {"model": "codestral-22b-v0.1", "license": {"accept": "mrl-0.1"}},
            "LicenseNotAccepted",
            "but mrl-0.1 is accepted",
        ),
        ({"variant": "tiny"}, "UnknownVariant", "write one of instruct, base"),
        ({"model": "mistralai/Mistral-7B-v0.3", "variant": "instruct"}, "VariantMismatch", "remove spec.variant"),
        ({"engine": {"version": "0.9.0"}}, "UnsupportedEngine", "write 0.33.0"),
        ({"engine": {"precision": "INT4"}}, "PrecisionNotSupported", "write Auto, BF16 or FP8"),
        ({"engine": {"reasoning": "Enabled"}}, "FeatureNotSupported", "does not reason"),
        (
            {"model": "mixtral-8x7b", "engine": {"toolCalling": "Enabled"}},
            "FeatureNotSupported",
            "not trained for tool",
        ),
        ({"engine": {"contextLength": 65536}}, "ContextExceedsModel", "at most 32768 tokens"),
        (one(accelerator="l5"), "UnknownAccelerator", "write l4"),
        (one(accelerator="nvidia-l5"), "UnknownAccelerator", "write l4"),
        (one(machineType="g2-standard-9"), "UnknownMachineType", "g2-standard-96"),
        (one(machineType="g2-standard-8", devices=2), "HardwareMismatch", "g2-standard-8 has 1 × l4"),
        (one(accelerator="l4", devices=3), "UnknownDeviceCount", "no machine has 3 × l4; write one of 1, 2, 4, 8"),
        (one(devices=3), "UnknownDeviceCount", "no machine has 3 accelerators; write one of 1, 2, 4, 8"),
        (one(zones=["europe-west4-a"]), "ZoneNotInCluster", "write some of us-central1-a"),
    ],
)
def test_refused_with_what_to_write(spec: dict[str, Any], reason: str, words: str) -> None:
    result = answer(spec)
    assert isinstance(result, PlanRefused)
    assert result.reason == reason
    assert words in result.message


def test_hardware_that_is_too_small_names_what_would_do() -> None:
    result = answer({"model": "mistral-small-3.2", **one(accelerator="l4", devices=1)})
    assert isinstance(result, PlanRefused)
    assert result.reason == "NothingFits"
    assert "weights 44.7 GiB" in result.message
    assert "The cheapest that would do: 4 × l4 (g2-standard-48, $4.00/h, unverified)" in result.message
    assert result.refusals[0].reason == "WeightsExceedMemory"


def test_a_small_budget_names_the_price() -> None:
    result = answer({"model": "mixtral-8x7b", "capacity": {"maxHourlyCost": "10"}})
    assert isinstance(result, PlanRefused)
    assert "one replica costs $10.1376/h, unverified, more than spec.capacity.maxHourlyCost: $10.00/h" in result.message
    assert 'with maxHourlyCost: "10.14" or more' in result.message


def test_a_price_of_ones_own_is_not_called_unverified() -> None:
    model = MistralModel.model_validate(
        {"metadata": {"name": "chat"}, "spec": {"model": "mistral-7b-v0.3", "capacity": {"maxHourlyCost": "0.10"}}}
    )
    prices = {
        shape.machine_type: {"OnDemand": Decimal("7.5")}
        for accelerator in CATALOGUE.accelerators.values()
        for shape in accelerator.machines
    }
    settings = override_prices(Settings(operator_version="0"), Prices(prices, "us-central1, today, our contract"))
    result = plan_model(model, CATALOGUE, CLUSTER, settings)
    assert isinstance(result, PlanRefused)
    assert "one replica costs $7.50/h, more than spec.capacity.maxHourlyCost: $0.10/h" in result.message
    assert "unverified" not in result.message


@pytest.mark.parametrize("limit", ["0.10", "0.85", "0.8535"])
def test_the_advice_of_a_refusal_is_accepted(limit: str) -> None:
    refused = answer({"capacity": {"maxHourlyCost": limit}})
    assert isinstance(refused, PlanRefused)
    advised = re.search(r"spec\.capacity\.options: (\[.*?\]) with (maxHourlyCost: \S+) or more", refused.message)
    assert advised, refused.message
    plan = answer({"capacity": {"options": yaml.safe_load(advised[1]), **yaml.safe_load(advised[2])}})
    assert isinstance(plan, Plan)
    assert plan.chosen.hourly_cost == Decimal("0.8536")


@pytest.mark.parametrize(
    ("resources", "words"),
    [
        (
            {"requests": {"memory": "60Gi"}},
            "requests asks for memory 60Gi, and g2-standard-8 (8 CPUs, 32 GiB) leaves 26Gi for the engine",
        ),
        ({"requests": {"cpu": 8}}, "requests asks for cpu 8, and g2-standard-8 (8 CPUs, 32 GiB) leaves 7 for"),
        ({"limits": {"memory": "20Gi"}}, "limits gives memory 20Gi, and 26Gi are requested on g2-standard-8; write"),
        ({"limits": {"cpu": 2}}, "spec.pod.resources.requests with cpu: 2 or less too"),
    ],
)
def test_a_pod_that_no_node_could_hold_is_refused_with_the_numbers(resources: dict[str, Any], words: str) -> None:
    pinned = one(machineType="g2-standard-8")
    result = answer({**pinned, "pod": {"resources": resources}})
    assert isinstance(result, PlanRefused)
    assert words in result.message
    assert isinstance(answer({**pinned, "pod": {"resources": {"requests": {"cpu": 2, "memory": "20Gi"}}}}), Plan)


def test_a_pod_that_no_machine_holds_is_refused_with_what_would_do() -> None:
    result = answer({"pod": {"resources": {"requests": {"cpu": 5000}}}})
    assert isinstance(result, PlanRefused)
    assert "The cheapest that would do without spec.pod.resources: 1 × l4" in result.message


def test_a_region_without_the_hardware() -> None:
    result = answer(one(accelerator="h100-80"), location="us-west3")
    assert isinstance(result, PlanRefused)
    assert any(item.reason == "NotInRegion" for item in result.refusals)
    assert "is not offered in us-west3" in result.message


def test_an_unknown_region_offers_another() -> None:
    result = answer({}, location="mars-north1")
    assert isinstance(result, PlanRefused)
    assert "The cheapest that would do in another region: 1 × l4" in result.message


def test_what_is_not_sold_that_way() -> None:
    result = answer(one(machineType="a3-highgpu-1g"))
    assert isinstance(result, PlanRefused)
    assert "a3-highgpu-1g is not sold as OnDemand, only as Spot" in result.message


def test_experimental_pairs_need_consent() -> None:
    spec = {"model": "mistral-nemo", **one(accelerator="l4", devices=2)}
    result = answer(spec)
    assert isinstance(result, PlanRefused)
    assert result.reason == "ExperimentalNotAllowed"
    assert "asks for 56 GB at bf16, and the devices have 47 GB; write spec.allowExperimental: true" in result.message
    allowed = answer({**spec, "allowExperimental": True})
    assert isinstance(allowed, Plan)
    assert allowed.chosen.tier == "experimental"


def test_pairs_known_not_to_work_stay_refused() -> None:
    rule = SupportRule(
        "refused", ("mistral-7b-v0.3",), ("vllm-gpu",), ("l4",), ("bf16",), False, None, "crashes", "a test", "unknown"
    )
    catalogue = replace(CATALOGUE, support=replace(CATALOGUE.support, rules=(rule, *CATALOGUE.support.rules)))
    model = MistralModel.model_validate(
        {"metadata": {"name": "chat"}, "spec": {"model": "mistral-7b-v0.3", "allowExperimental": True}}
    )
    plan = plan_model(model, catalogue, CLUSTER, Settings(operator_version="0"))
    assert isinstance(plan, Plan)
    assert "l4" not in [option.accelerator for option in plan.options]
    assert "KnownNotToWork" in [item.reason for item in plan.refusals]


def test_a_limit_without_a_price_is_not_guessed() -> None:
    l4 = CATALOGUE.accelerators["l4"]
    priceless = replace(l4, machines=tuple(replace(shape, prices={}) for shape in l4.machines))
    catalogue = replace(CATALOGUE, accelerators={"l4": priceless})
    spec = {"model": "mistral-7b-v0.3", "capacity": {"maxHourlyCost": "5"}}
    model = MistralModel.model_validate({"metadata": {"name": "chat"}, "spec": spec})
    result = plan_model(model, catalogue, CLUSTER, Settings(operator_version="0"))
    assert isinstance(result, PlanRefused)
    assert "PriceUnknown" in [item.reason for item in result.refusals]
    unlimited = MistralModel.model_validate({"metadata": {"name": "chat"}, "spec": {"model": "mistral-7b-v0.3"}})
    plan = plan_model(unlimited, catalogue, CLUSTER, Settings(operator_version="0"))
    assert isinstance(plan, Plan)
    assert plan.chosen.hourly_cost is None
