"""TPUs: machines and slices, pipeline stages over hosts, zones, and what is said when something can't be had."""

from dataclasses import replace
from math import prod
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.world import CLUSTER, SETTINGS, make_model

from mistral_operator.api.model import MistralModel
from mistral_operator.catalogue.load import load_catalogue
from mistral_operator.planning.fit import Fit, batch_for, fit
from mistral_operator.planning.formats import Demand
from mistral_operator.planning.layout import Layout
from mistral_operator.planning.memory import device_weights_bytes, kv_cache_bytes_per_token
from mistral_operator.planning.plan import plan_model
from mistral_operator.planning.types import ClusterProfile, Plan, PlanRefused, Provisioner, Tier

CATALOGUE = load_catalogue()
TPUS = [item for item in CATALOGUE.accelerators.values() if item.kind == "tpu"]
ENGINE = CATALOGUE.engines["vllm-tpu"]


def answer(cluster: ClusterProfile = CLUSTER, **spec: Any) -> Plan | PlanRefused:
    model = MistralModel.model_validate(make_model(**{"allowExperimental": True, **spec}))
    return plan_model(model, CATALOGUE, cluster, SETTINGS)


def plan(**spec: Any) -> Plan:
    made = answer(**spec)
    assert isinstance(made, Plan), made
    return made


def on(**option: Any) -> dict[str, Any]:
    return {"capacity": {"options": [option]}}


@pytest.mark.parametrize("accelerator", TPUS, ids=lambda item: item.id)
def test_every_topology_has_its_machine_and_its_hosts(accelerator: Any) -> None:
    for shape in accelerator.machines:
        assert prod(int(side) for side in shape.topology.split("x")) == shape.total_devices
    single = {shape.topology: shape.devices for shape in accelerator.machines if shape.hosts == 1}
    assert single in (
        {"1x1": 1, "2x2": 4, "2x4": 8},  # v5e, v6e: a 2x4 may also be two machines
        {"1x1x1": 1, "2x2x1": 4},  # v7x
        {"2x2x1": 4},  # v4, v5p
    )


def test_eight_chips_in_one_machine_come_before_a_slice_of_two() -> None:
    made = plan(model="mistral-small-3.2-24b-2506", **on(accelerator="v6e", topology="2x4"))
    assert (made.chosen.machine_type, made.chosen.hosts) == ("ct6e-standard-8t", 1)
    pinned = plan(model="mistral-small-3.2-24b-2506", **on(machineType="ct6e-standard-4t", topology="2x4"))
    assert (pinned.chosen.machine_type, pinned.chosen.hosts, pinned.chosen.devices) == ("ct6e-standard-4t", 2, 8)


def test_a_slice_costs_all_of_its_machines() -> None:
    one = plan(model="mixtral-8x7b", **on(machineType="ct6e-standard-8t")).chosen
    four = plan(model="mixtral-8x7b", **on(accelerator="v6e", topology="4x4")).chosen
    assert one.hourly_cost is not None
    assert four.hourly_cost == 2 * one.hourly_cost
    assert four.name == "ct6e-standard-4t-4x4-ondemand"


def test_nodes_are_asked_for_only_where_the_chip_is_listed() -> None:
    assert plan(**on(accelerator="v5e", topology="2x2")).chosen.zones == ("us-central1-a",)
    elsewhere = replace(CLUSTER, zones=("us-central1-b",))
    refused = answer(elsewhere, **on(accelerator="v5e"))
    assert isinstance(refused, PlanRefused)
    assert "it is in us-central1-a" in refused.message


def test_unasked_a_documented_gpu_comes_first_and_a_tpu_only_when_allowed() -> None:
    assert plan(allowExperimental=False).chosen.engine == "vllm-gpu"
    assert {option.tier for option in plan(allowExperimental=False).options} == {Tier.DOCUMENTED}
    refused = answer(allowExperimental=False, **on(accelerator="v6e"))
    assert isinstance(refused, PlanRefused)
    assert refused.reason == "ExperimentalNotAllowed"
    assert "spec.allowExperimental: true" in refused.message


def test_what_is_known_to_fail_is_refused_with_what_works() -> None:
    refused = answer(model="mixtral-8x22b", **on(accelerator="v6e", topology="4x4"))
    assert isinstance(refused, PlanRefused)
    assert "use GPUs, or Mixtral 8x7B on TPUs" in refused.message


@pytest.mark.parametrize(
    ("option", "reason", "words"),
    [
        ({"accelerator": "v6e", "topology": "3x3"}, "UnknownTopology", "write one of 1x1, 2x2, 2x4, 4x4"),
        ({"accelerator": "l4", "topology": "2x2"}, "UnknownTopology", "only TPU slices have one"),
        ({"machineType": "ct6e-standard-8t", "topology": "4x4"}, "UnknownTopology", "write one of 2x4"),
        ({"machineType": "ct6e-standard-8t", "devices": 4}, "HardwareMismatch", "has 8 × v6e"),
        ({"accelerator": "v6e", "devices": 3}, "UnknownDeviceCount", "write one of 1, 4, 8, 16"),
        ({"accelerator": "v7"}, "UnknownAccelerator", "v7x"),
    ],
)
def test_refused_with_what_to_write(option: dict[str, Any], reason: str, words: str) -> None:
    refused = answer(**on(**option))
    assert isinstance(refused, PlanRefused), refused
    assert refused.reason == reason
    assert words in refused.message


def test_a_stage_has_its_share_of_the_layers_and_one_table() -> None:
    architecture = CATALOGUE.models["mixtral-8x7b"].architecture
    whole = device_weights_bytes(architecture, "bf16")
    staged = device_weights_bytes(architecture, "bf16", Layout(4, 4))
    assert whole / 16 < staged < whole / 15
    assert kv_cache_bytes_per_token(architecture, "bf16", Layout(4, 4)) * 16 == kv_cache_bytes_per_token(
        architecture, "bf16"
    )


@given(
    model=st.sampled_from(sorted(CATALOGUE.models)),
    accelerator=st.sampled_from(TPUS),
    tensor=st.sampled_from([1, 4, 8]),
    stages=st.sampled_from([1, 2, 4, 8]),
)
def test_along_the_hosts_of_a_slice_the_context_never_shrinks(
    model: str, accelerator: Any, tensor: int, stages: int
) -> None:
    entry, demand = CATALOGUE.models[model], Demand("bf16", "bf16")
    batch = batch_for(ENGINE, accelerator)
    fewer = fit(entry, ENGINE, accelerator, Layout(tensor, stages), demand, batch)
    more = fit(entry, ENGINE, accelerator, Layout(tensor, 2 * stages), demand, batch)
    if isinstance(fewer, Fit):
        assert isinstance(more, Fit)
        assert more.max_context_length >= fewer.max_context_length
        assert sum_of(more) == accelerator.core_bytes


def sum_of(fitted: Fit) -> int:
    memory = fitted.memory
    return (
        memory.reserved_bytes
        + memory.weights_bytes
        + memory.activations_bytes
        + memory.overhead_bytes
        + memory.kv_cache_bytes
    )


def test_a_slice_of_tpu7x_is_planned_with_the_policy_that_places_it() -> None:
    made = plan(model="mistral-small-3.2-24b-2506", **on(accelerator="v7x", topology="2x2x2")).chosen
    assert (made.machine_type, made.hosts, made.devices, made.placement_policy) == ("tpu7x-standard-4t", 2, 8, True)
    assert any("workload policy of Compute Engine" in note for note in made.notes)
    alone = plan(model="mistral-small-3.2-24b-2506", **on(accelerator="v7x", devices=4)).chosen
    assert (alone.hosts, alone.placement_policy) == (1, False)


def test_other_ways_to_provision_say_that_they_make_no_policies() -> None:
    refused = answer(
        capacity={"provisioner": "ConfigConnector", "options": [{"accelerator": "v7x", "topology": "2x2x2"}]},
        cluster=replace(CLUSTER, provisioners=tuple(Provisioner)),
    )
    assert isinstance(refused, PlanRefused)
    assert "NeedsPlacementPolicy" in {item.reason for item in refused.refusals} | {refused.reason}


def test_machines_for_arm_images_stay_refused_whatever_places_them() -> None:
    capacity = {
        "options": [
            {"accelerator": "gb200", "consumption": "Reservation", "reservation": "ours", "zones": ["us-central1-a"]}
        ]
    }
    refused = answer(model="mistral-small-4", capacity=capacity)
    assert isinstance(refused, PlanRefused)
    assert "NeedsArm64Image" in {item.reason for item in refused.refusals} | {refused.reason}
