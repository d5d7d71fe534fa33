"""Whole plans: the three first models, the user's pins, prices, images, and the properties of every answer."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mistral_operator.api.model import MistralModel
from mistral_operator.catalogue.load import load_catalogue
from mistral_operator.planning.plan import plan_model
from mistral_operator.planning.types import ClusterProfile, Consumption, Plan, PlanRefused, Settings, Tier

CATALOGUE = load_catalogue()
CLUSTER = ClusterProfile(
    provider="GKE", project="p", location="us-central1", cluster="c", zones=("us-central1-a", "us-central1-b")
)
SETTINGS = Settings(operator_version="0")
SPECS = st.fixed_dictionaries(
    {"model": st.sampled_from([*CATALOGUE.model_names, "mistral-huge"])},
    optional={
        "allowExperimental": st.booleans(),
        "license": st.just({"accept": "mistral-non-production-license"}),
        "variant": st.sampled_from(["instruct", "base", "tiny"]),
        "engine": st.fixed_dictionaries(
            {},
            optional={
                "contextLength": st.integers(256, 200_000),
                "maxConcurrency": st.integers(1, 4096),
                "precision": st.sampled_from(["Auto", "BF16", "FP8", "INT4"]),
                "kvCachePrecision": st.sampled_from(["Auto", "BF16", "FP8"]),
                "toolCalling": st.sampled_from(["Auto", "Enabled", "Disabled"]),
            },
        ),
        "capacity": st.fixed_dictionaries(
            {},
            optional={
                "maxHourlyCost": st.sampled_from(["1", "5.00", "20"]),
                "options": st.lists(
                    st.fixed_dictionaries(
                        {},
                        optional={
                            "accelerator": st.sampled_from([*CATALOGUE.accelerators, "l5"]),
                            "devices": st.sampled_from([1, 2, 3, 4, 8]),
                            "machineType": st.sampled_from(["g2-standard-8", "a3-highgpu-1g", "a2-ultragpu-2g"]),
                            "consumption": st.sampled_from(["OnDemand", "Spot"]),
                        },
                    ),
                    max_size=2,
                ),
            },
        ),
    },
)


def parse(spec: dict[str, Any]) -> MistralModel:
    return MistralModel.model_validate({"metadata": {"name": "chat", "namespace": "default"}, "spec": spec})


def answer(spec: dict[str, Any], cluster: ClusterProfile = CLUSTER, own: Settings = SETTINGS) -> Plan | PlanRefused:
    return plan_model(parse(spec), CATALOGUE, cluster, own)


def accept(spec: dict[str, Any], cluster: ClusterProfile = CLUSTER, own: Settings = SETTINGS) -> Plan:
    result = answer(spec, cluster, own)
    assert isinstance(result, Plan), result
    return result


@pytest.mark.parametrize(
    ("model", "machine_type", "accelerator", "devices", "context", "cost"),
    [
        ("mistral-7b-v0.3", "g2-standard-8", "l4", 1, 16384, "0.8536"),
        ("mistral-small-3.2-24b-2506", "g2-standard-48", "l4", 4, 52224, "4.0017"),
        ("mixtral-8x7b", "a2-ultragpu-2g", "a100-80", 2, 32768, "10.1376"),
    ],
)
def test_first_models(model: str, machine_type: str, accelerator: str, devices: int, context: int, cost: str) -> None:
    option = accept({"model": model}).chosen
    assert (option.machine_type, option.accelerator, option.devices) == (machine_type, accelerator, devices)
    assert option.tensor_parallel == devices
    assert option.context_length == context
    assert option.hourly_cost == Decimal(cost)
    assert option.tier is Tier.DOCUMENTED
    assert option.name == f"{machine_type}-ondemand"
    assert option.zones == CLUSTER.zones


def test_one_l4_is_refused_to_small_with_the_arithmetic() -> None:
    refusals = accept({"model": "mistral-small-3.2-24b-2506"}).refusals
    first = next(item for item in refusals if item.subject == "1 × l4 (g2-standard-4, OnDemand), bf16")
    assert first.reason == "WeightsExceedMemory"
    assert "weights 44.7 GiB" in first.message


def test_ladder_is_ordered_by_cost() -> None:
    costs = [option.hourly_cost or 0 for option in accept({"model": "mistral-small-3.2"}).options]
    assert costs == sorted(costs)
    assert len(costs) == 5


def test_weights_are_pinned_to_the_catalogues_commit() -> None:
    plan = accept({"model": "mistral-7b-v0.3"})
    assert plan.repository == "mistralai/Mistral-7B-Instruct-v0.3"
    assert len(plan.revision) == 40
    assert plan.served_name == "mistral-7b-v0.3"
    assert plan.engine_flags[-3:] == ("--enable-auto-tool-choice", "--tool-call-parser", "mistral")


def served_from(**source: str) -> Plan:
    return accept({"model": "mistral-7b-v0.3", "weights": {"huggingFace": source}})


def test_own_repository_has_no_catalogue_commit() -> None:
    plan = served_from(repository="acme/support-bot")
    assert (plan.repository, plan.revision) == ("acme/support-bot", "")
    assert served_from(repository="acme/support-bot", revision="v1").revision == "v1"


LAYOUT_FLAGS = {"--config-format", "--load-format", "--tokenizer-mode"}


def test_own_repository_is_not_forced_into_the_layout_of_the_original() -> None:
    plan = served_from(repository="acme/support-bot")
    assert plan.engine_flags == ("--enable-auto-tool-choice", "--tool-call-parser", "mistral")
    (note,) = [note for note in plan.notes if "--config-format" in note]
    assert "acme/support-bot is not one of the catalogue's repositories" in note
    assert all(flag in note for flag in LAYOUT_FLAGS)


def test_only_the_layout_is_left_out_for_an_own_repository() -> None:
    spec = {"model": "mistral-small-3.2", "weights": {"huggingFace": {"repository": "acme/support-bot"}}}
    assert accept(spec).engine_flags[:2] == ("--limit-mm-per-prompt", '{"image":10}')


@pytest.mark.parametrize("repository", ["mistralai/Mistral-7B-v0.3", "mistralai/mistral-7b-instruct-v0.3"])
def test_each_repository_of_the_catalogue_keeps_layout_and_commit(repository: str) -> None:
    plan = served_from(repository=repository)
    assert set(plan.engine_flags) >= LAYOUT_FLAGS
    assert len(plan.revision) == 40
    assert not [note for note in plan.notes if "--config-format" in note]


def test_what_is_not_pinned_is_said_with_how_to_pin_it() -> None:
    pinned = {"repository": "acme/support-bot", "revision": "0" * 40}
    assert not [note for note in served_from(**pinned).notes if "weights are not pinned" in note]
    for source, moving in (({}, "the main branch"), ({"revision": "main"}, "revision main")):
        (note,) = [n for n in served_from(repository="a/b", **source).notes if "weights are not pinned" in n]
        assert f"{moving} of a/b can change" in note
        assert "write spec.weights.huggingFace.revision: <commit>" in note


@pytest.mark.parametrize(
    ("image", "advice"),
    [
        ("host.example:5000/vllm:v1", "write spec.engine.image: host.example:5000/vllm@sha256:<digest>"),
        ("vllm/vllm-openai", "start the operator with --image vllm-gpu=vllm/vllm-openai@sha256:<digest>"),
        (f"vllm/vllm-openai@sha256:{'0' * 64}", ""),
    ],
)
def test_an_image_without_a_digest_is_said(image: str, advice: str) -> None:
    notes = [n for n in accept({"model": "mistral-7b", "engine": {"image": image}}).notes if "image" in n]
    assert len(notes) == bool(advice)
    assert all(advice in note for note in notes)


def test_gkes_own_name_of_an_accelerator_is_understood() -> None:
    def plan_on(name: str) -> Plan:
        capacity = {"options": [{"accelerator": name}]}
        return accept({"model": "mistral-7b", "allowExperimental": True, "capacity": capacity})

    for name in ("l4", "a100-80", "h100-80", "v6e"):
        assert plan_on(CATALOGUE.accelerators[name].label).options == plan_on(name).options


def test_a_pod_that_asks_for_more_gets_a_larger_machine() -> None:
    spec = {"model": "mistral-7b", "pod": {"resources": {"requests": {"memory": "40Gi"}}}}
    limited = {"model": "mistral-7b", "pod": {"resources": {"requests": {"memory": "40Gi"}, "limits": {"cpu": 15}}}}
    assert accept({"model": "mistral-7b"}).chosen.machine_type == "g2-standard-8"
    assert accept(spec).chosen.machine_type == "g2-standard-12"
    assert accept(limited).chosen.machine_type == "g2-standard-12"
    assert "PodExceedsMachine" in [refusal.reason for refusal in accept(spec).refusals]


def test_repository_names_its_variant() -> None:
    assert accept({"model": "mistralai/Mistral-7B-v0.3"}).repository == "mistralai/Mistral-7B-v0.3"
    assert accept({"model": "mistral-7b", "variant": "base"}).repository == "mistralai/Mistral-7B-v0.3"


def test_images_by_precedence() -> None:
    own = replace(SETTINGS, images={"vllm-gpu": "mirror.example/vllm:1"})
    assert accept({"model": "mistral-7b"}).chosen.image == "vllm/vllm-openai:v0.33.0"
    assert accept({"model": "mistral-7b"}, own=own).chosen.image == "mirror.example/vllm:1"
    pinned = accept({"model": "mistral-7b", "engine": {"image": "mine/vllm:2"}}, own=own)
    assert pinned.chosen.image == "mine/vllm:2"


def test_own_prices_replace_the_list_and_change_the_choice() -> None:
    own = replace(SETTINGS, prices={"a2-ultragpu-1g": {"OnDemand": Decimal("1.50")}})
    option = accept({"model": "mistral-small-3.2"}, own=own).chosen
    assert option.machine_type == "a2-ultragpu-1g"
    assert (option.hourly_cost, option.price_note) == (Decimal("1.50"), "from the operator's settings")


def test_list_prices_say_where_they_do_not_hold() -> None:
    europe = replace(CLUSTER, location="europe-west4-a", zones=("europe-west4-a",))
    assert "unverified" in accept({"model": "mistral-7b"}).chosen.price_note
    assert "not the price of europe-west4" in accept({"model": "mistral-7b"}, europe).chosen.price_note


def test_without_a_place_every_region_counts() -> None:
    nowhere = ClusterProfile(provider="GKE", project="", location="", cluster="", zones=())
    assert accept({"model": "mistral-7b"}, nowhere).chosen.zones == ()


def test_pins_are_kept_in_the_users_order() -> None:
    options = [{"accelerator": "a100-40", "consumption": "Spot"}, {"accelerator": "l4", "zones": ["us-central1-b"]}]
    plan = accept({"model": "mistral-7b", "capacity": {"options": options}})
    assert plan.chosen.accelerator == "a100-40"
    assert plan.chosen.consumption is Consumption.SPOT
    assert any("spot" in note for note in plan.chosen.notes)
    first_l4 = next(option for option in plan.options if option.accelerator == "l4")
    assert first_l4.zones == ("us-central1-b",)


def test_the_same_machine_twice_is_one_rung() -> None:
    options = [{"machineType": "g2-standard-8"}, {"accelerator": "a100-40"}, {"accelerator": "l4", "devices": 1}]
    plan = accept({"model": "mistral-7b", "capacity": {"options": options}})
    assert [option.machine_type for option in plan.options] == ["g2-standard-8", "a2-highgpu-1g"]


def test_a_pinned_machine_may_use_a_slow_interconnect() -> None:
    plan = accept({"model": "mixtral-8x7b", "capacity": {"options": [{"accelerator": "l4", "devices": 8}]}})
    assert (plan.chosen.machine_type, plan.chosen.tensor_parallel) == ("g2-standard-96", 8)
    unasked = accept({"model": "mixtral-8x7b", "allowExperimental": True})
    assert "g2-standard-96" not in [item.machine_type for item in unasked.options]


def test_fp8_halves_the_weights_and_says_what_an_a100_does_with_it() -> None:
    spec = {
        "model": "mixtral-8x7b",
        "engine": {"precision": "FP8"},
        "capacity": {"options": [{"accelerator": "a100-80"}]},
    }
    option = accept(spec).chosen
    assert (option.devices, option.precision) == (1, "fp8")
    assert any("computes in 16 bit" in note for note in option.notes)


def test_asked_context_and_concurrency_are_taken() -> None:
    spec = {"model": "mistral-7b", "engine": {"contextLength": 32768, "maxConcurrency": 7}}
    option = accept(spec).chosen
    assert (option.context_length, option.max_concurrency, option.notes) == (32768, 7, ())


@pytest.mark.parametrize(("asked", "copies"), [(1024, 4), (1023, 1), (7, 1), (1, 1)])
def test_copies_of_a_model_share_the_asked_concurrency(asked: int, copies: int) -> None:
    spec = {
        "model": "mistral-7b",
        "engine": {"maxConcurrency": asked},
        "capacity": {"options": [{"accelerator": "h100-80", "devices": 4, "consumption": "Spot"}]},
    }
    option = accept(spec).chosen
    assert (option.max_concurrency, option.data_parallel) == (asked, copies)
    assert option.throughput is not None
    assert option.throughput.concurrency <= asked


def test_a_lowered_context_is_said() -> None:
    assert "context lowered from the recommended 32,768" in accept({"model": "mistral-7b"}).chosen.notes[0]


def test_tool_calling_can_be_turned_off() -> None:
    plan = accept({"model": "mistral-7b", "engine": {"toolCalling": "Disabled"}})
    assert "--tool-call-parser" not in plan.engine_flags


@settings(max_examples=150)
@given(SPECS, st.sampled_from(["us-central1", "europe-west4", "us-west3", "mars-north1", ""]))
def test_every_answer_is_complete_and_repeatable(spec: dict[str, Any], location: str) -> None:
    cluster = replace(CLUSTER, location=location, zones=())
    result = answer(spec, cluster)
    assert result == answer(spec, cluster)
    for refusal in result.refusals:
        assert refusal.subject
        assert refusal.message
        assert refusal.reason.isalnum()
    if isinstance(result, PlanRefused):
        assert result.reason.isalnum()
        assert result.message
        return
    names = [(option.name, option.zones) for option in result.options]
    assert len(names) == len(set(names))
    for option in result.options:
        assert option.memory.kv_cache_bytes > 0
        assert option.evidence
        limit = spec.get("capacity", {}).get("maxHourlyCost")
        assert limit is None or (option.hourly_cost is not None and option.hourly_cost <= Decimal(limit))
        assert option.tier is Tier.DOCUMENTED or spec.get("allowExperimental")
