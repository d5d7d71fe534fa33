"""Several replicas on one GPU: what each has of it, what they have together, and what is refused."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.world import CLUSTER, SETTINGS, make_model

from mistral_operator.api.capacity import MOST_CLIENTS, Sharing
from mistral_operator.api.model import MistralModel
from mistral_operator.catalogue.accelerator import Accelerator, MachineShape
from mistral_operator.catalogue.load import load_catalogue
from mistral_operator.engines.vllm_gpu import VllmGpu
from mistral_operator.planning.host import allocatable_cpu, allocatable_memory_gib
from mistral_operator.planning.plan import plan_model
from mistral_operator.planning.provisioner_advice import Circumstances
from mistral_operator.planning.provisioner_hardware import check_hardware_of
from mistral_operator.planning.serialize import plan_from_dict, plan_to_dict
from mistral_operator.planning.sharing import divide_machine, share_accelerator, share_utilization
from mistral_operator.planning.terms import NO_TERMS
from mistral_operator.planning.types import Consumption, Plan, PlanRefused, Provisioner, Tier
from mistral_operator.sandbox.engine.flags import parse_serve

CATALOGUE = load_catalogue()
UTILIZATION = CATALOGUE.engines["vllm-gpu"].utilization
SMALL = "ministral-3-3b-2512"
WHOLE = [(gpu, shape) for gpu in CATALOGUE.accelerators.values() for shape in gpu.machines if gpu.kind == "gpu"]
PARTITIONS = [
    pytest.param(gpu, partition, id=f"{gpu.id}-{partition.name}")
    for gpu in CATALOGUE.accelerators.values()
    for partition in gpu.partitions
]
WAYS = st.one_of(
    st.integers(2, 4).map(lambda clients: {"strategy": "TimeSharing", "clients": clients}),
    st.sampled_from(sorted({p.name for gpu in CATALOGUE.accelerators.values() for p in gpu.partitions})).map(
        lambda name: {"strategy": "MIG", "partition": name}
    ),
)


def turns(clients: int) -> dict[str, Any]:
    return {"strategy": "TimeSharing", "clients": clients}


def part(name: str) -> dict[str, Any]:
    return {"strategy": "MIG", "partition": name}


def answer(sharing: dict[str, Any], model: str = SMALL, **changes: Any) -> Plan | PlanRefused:
    option = {"sharing": sharing, **changes.pop("option", {"accelerator": "l4"})}
    limits = changes.pop("capacity", {})
    spec = {"allowExperimental": True, **changes, "capacity": {"options": [option], **limits}}
    license_id = CATALOGUE.models[model].license.id
    parsed = MistralModel.model_validate(make_model(model=model, license={"accept": license_id}, **spec))
    return plan_model(parsed, CATALOGUE, CLUSTER, SETTINGS)


def accept(sharing: dict[str, Any], model: str = SMALL, **changes: Any) -> Plan:
    result = answer(sharing, model, **changes)
    assert isinstance(result, Plan), result
    return result


def refuse(sharing: dict[str, Any], model: str = SMALL, **changes: Any) -> PlanRefused:
    result = answer(sharing, model, **changes)
    assert isinstance(result, PlanRefused), result.chosen
    return result


@pytest.mark.parametrize(("gpu", "partition"), PARTITIONS)
def test_the_partitions_of_a_gpu_are_no_more_than_the_gpu(gpu: Accelerator, partition: Any) -> None:
    assert partition.count * partition.usable_memory_gib <= gpu.usable_memory_gib
    assert partition.count * max(partition.memory, partition.compute) <= 1
    nominal = Decimal(partition.name.partition(".")[2].removesuffix("gb"))
    assert Decimal("0.85") * nominal < partition.usable_memory_gib <= nominal


@given(st.sampled_from(WHOLE), st.integers(2, MOST_CLIENTS))
def test_engines_that_take_turns_are_told_to_take_no_more_than_one_would(
    machine: tuple[Accelerator, MachineShape], clients: int
) -> None:
    gpu, shape = machine
    told = share_utilization(UTILIZATION, clients)
    assert UTILIZATION - Decimal("0.0001") * clients < told * clients <= UTILIZATION
    division = divide_machine(gpu, shape, Sharing.model_validate(turns(clients)))
    if shape.share != 1:
        assert division is None
        return
    assert division is not None
    assert division.replicas == clients * shape.devices
    share = share_accelerator(gpu, division)
    assert share.usable_bytes * clients <= gpu.usable_bytes
    assert share.usable_bytes <= share.core_bytes
    # The last of them to start finds free what it is told to take: vLLM refuses to start otherwise.
    assert gpu.usable_bytes - (clients - 1) * share.usable_bytes * UTILIZATION >= told * gpu.usable_bytes


@settings(max_examples=120, deadline=None)
@given(st.sampled_from(sorted(CATALOGUE.models)), st.sampled_from(sorted(CATALOGUE.accelerators)), WAYS, st.booleans())
def test_what_is_planned_fits_on_the_machine_as_often_as_it_holds_it(
    model: str, accelerator: str, way: dict[str, Any], spot: bool
) -> None:
    option = {"accelerator": accelerator, "consumption": "Spot" if spot else "OnDemand"}
    result = answer(way, model, option=option)
    if isinstance(result, PlanRefused):
        assert result.reason in {"SharingNotSupported", "NothingFits", "UnsupportedAccelerator"}, result
        return
    for chosen in result.options:
        gpu, shape = CATALOGUE.machine(chosen.machine_type)  # type: ignore[misc]
        used = chosen.memory.device_bytes - chosen.memory.reserved_bytes
        per_gpu = chosen.replicas_per_node // chosen.shared_gpus
        assert used * per_gpu <= UTILIZATION * gpu.usable_bytes + per_gpu
        assert chosen.tensor_parallel == chosen.pipeline_parallel == chosen.data_parallel == chosen.devices == 1
        millis = int(chosen.host_cpu[:-1]) if chosen.host_cpu.endswith("m") else int(chosen.host_cpu) * 1000
        assert 1000 <= millis <= allocatable_cpu(shape.cpu) * 1000 // chosen.replicas_per_node
        memory_gib = int(chosen.host_memory.removesuffix("Gi"))
        assert memory_gib * chosen.replicas_per_node <= allocatable_memory_gib(shape.memory_gib)
        assert chosen.tier is Tier.EXPERIMENTAL
        assert plan_from_dict(plan_to_dict(result)) == result


def test_replicas_that_take_turns_have_equal_parts_and_are_told_their_cache() -> None:
    plan = accept(turns(2))
    chosen = plan.chosen
    assert (chosen.name, chosen.hardware) == ("g2-standard-8-shared2-ondemand", "1/2 of l4")
    assert (chosen.replicas_per_node, chosen.shared_gpus, chosen.devices_per_host) == (2, 1, 1)
    model = MistralModel.model_validate(make_model(model=SMALL))
    parsed = parse_serve(["serve", *VllmGpu().launch(model.spec, plan, chosen).engine.args])
    assert parsed.gpu_memory_utilization == float(UTILIZATION / 2)
    assert parsed.kv_cache_memory_bytes == chosen.memory.kv_cache_bytes
    assert "only their engines' restraint" in " ".join(chosen.notes)


def test_a_partition_is_a_device_of_its_own() -> None:
    plan = accept(part("3g.20gb"), option={"accelerator": "a100-40"})
    chosen = plan.chosen
    assert (chosen.name, chosen.hardware) == ("a2-highgpu-1g-3g.20gb-ondemand", "3g.20gb of a100-40")
    assert (chosen.partition, chosen.clients, chosen.replicas_per_node) == ("3g.20gb", 1, 2)
    model = MistralModel.model_validate(make_model(model=SMALL))
    parsed = parse_serve(["serve", *VllmGpu().launch(model.spec, plan, chosen).engine.args])
    assert parsed.gpu_memory_utilization == float(UTILIZATION)
    assert parsed.kv_cache_memory_bytes is None


def test_a_lone_replica_costs_the_machine_and_a_full_one_is_divided() -> None:
    chosen = accept(turns(2)).chosen
    assert chosen.hourly_cost == Decimal("0.8536")
    assert [chosen.cost_of(count) for count in (0, 1, 2, 3)] == [
        Decimal("0.8536") * machines for machines in (0, 1, 1, 2)
    ]
    assert "$0.43/h for each of 2, and $0.85/h for one" in " ".join(chosen.notes)
    assert refuse(turns(2), capacity={"maxHourlyCost": "0.80"}).reason == "NothingFits"
    assert accept(turns(2), capacity={"maxHourlyCost": "0.86"}).chosen.hourly_cost == Decimal("0.8536")


def test_half_a_gpu_is_slower_than_a_whole_one_and_full_as_cheap() -> None:
    whole, half = accept_whole().chosen.throughput, accept(turns(2)).chosen.throughput
    assert whole is not None
    assert half is not None
    assert half.alone_inter_token_latency_us > whole.alone_inter_token_latency_us
    assert half.output_tokens_per_s < whole.output_tokens_per_s


def accept_whole() -> Plan:
    spec = {"allowExperimental": True, "capacity": {"options": [{"accelerator": "l4"}]}}
    result = plan_model(MistralModel.model_validate(make_model(model=SMALL, **spec)), CATALOGUE, CLUSTER, SETTINGS)
    assert isinstance(result, Plan)
    return result


def test_nothing_is_shared_unless_it_is_asked_for() -> None:
    assert all(option.replicas_per_node == 1 and not option.shared_gpus for option in accept_whole().options)


def test_what_a_source_says_of_a_whole_gpu_is_not_said_of_a_part() -> None:
    chosen = accept(part("3g.20gb"), "mistral-7b-v0.3", option={"accelerator": "a100-40"}).chosen
    assert chosen.tier is Tier.EXPERIMENTAL
    assert chosen.evidence.startswith("no source, and no record, is about a shared GPU; of a whole one: Mistral's")
    refused = refuse(part("3g.20gb"), "mistral-7b-v0.3", option={"accelerator": "a100-40"}, allowExperimental=False)
    assert refused.reason == "ExperimentalNotAllowed"


@pytest.mark.parametrize(
    ("sharing", "option", "reason", "words"),
    [
        (part("1g.5gb"), {"accelerator": "l4"}, "SharingNotSupported", "write strategy: TimeSharing with clients"),
        (part("1g.10gb"), {"accelerator": "a100-40"}, "SharingNotSupported", "write one of 1g.5gb, 2g.10gb, 3g.20gb"),
        (turns(2), {"accelerator": "v6e"}, "SharingNotSupported", "TPU v6e can't be shared; remove sharing"),
        (turns(2), {"machineType": "g4-standard-6"}, "SharingNotSupported", "has a part of a GPU already"),
        (turns(8), {"accelerator": "l4"}, "NothingFits", "write fewer sharing.clients, or remove sharing"),
        (part("1g.5gb"), {"accelerator": "a100-40"}, "NothingFits", "write a larger sharing.partition"),
        (turns(2), {"machineType": "g2-standard-4"}, "NothingFits", "for each of the 2 replicas that it holds"),
        (turns(3), {"machineType": "g4-standard-48"}, None, ""),
        (turns(2), {"machineType": "g2-standard-24", "devices": 1}, None, ""),
    ],
)
def test_what_can_not_be_shared_is_refused_with_what_to_write(
    sharing: dict[str, Any], option: dict[str, Any], reason: str | None, words: str
) -> None:
    result = answer(sharing, option=option)
    if reason is None:
        assert isinstance(result, Plan), result
        return
    assert isinstance(result, PlanRefused)
    assert result.reason == reason
    assert words in result.message


def test_a_model_that_needs_several_devices_is_not_spread_over_parts() -> None:
    refused = refuse(part("3g.20gb"), "mistral-small-3.2-24b-2506", option={"accelerator": "a100-40"})
    assert "a replica has 3g.20gb of one GPU and no more" in refused.message


@pytest.mark.parametrize(
    ("provisioner", "sharing", "reason"),
    [
        (Provisioner.CONTAINER_API, part("1g.10gb"), None),
        (Provisioner.CONTAINER_API, turns(2), None),
        (Provisioner.COMPUTE_CLASS, part("1g.10gb"), "PartitionsNeedNodePools"),
        (Provisioner.COMPUTE_CLASS, turns(2), "SharingNeedsContainerApi"),
        (Provisioner.CONFIG_CONNECTOR, part("1g.10gb"), "SharingNeedsContainerApi"),
        (Provisioner.EXISTING, turns(2), "SharingNeedsContainerApi"),
    ],
)
def test_a_provisioner_that_can_not_divide_gpus_says_so(
    provisioner: Provisioner, sharing: dict[str, Any], reason: str | None
) -> None:
    found = CATALOGUE.machine("g2-standard-8")
    assert found is not None
    asked = Sharing.model_validate(sharing)
    misfit = check_hardware_of(provisioner, found[1], Consumption.ON_DEMAND, Circumstances(CLUSTER, NO_TERMS), asked)
    assert (misfit.reason if misfit else None) == reason
    assert misfit is None or "spec.capacity.provisioner: ContainerAPI" in misfit.message
