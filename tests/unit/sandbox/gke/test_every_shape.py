"""Every machine type in every shape that it has is created, with what it brings; wrong shapes are refused."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.api_core import exceptions
from google.cloud import container_v1
from tests.support.simulated_gke import Gke, Start

from mistral_operator.sandbox.gke import template
from mistral_operator.sandbox.gke.fit import amounts
from mistral_operator.sandbox.gke.machines import MachineType, chips_of, machine_types

CATALOGUE = Path(__file__).parents[4] / "operator/mistral_operator/catalogue/data/accelerators"
MACHINES = list(machine_types().values())
ATTACHED = [m.equipped(label, count) for m in MACHINES for label, k in m.attachable.items() for count in k.counts]
TPUS = [m for m in MACHINES if m.chips]
SLICES = [(m, topology) for m in TPUS for topology in m.slice_topologies]
DOMAINS = [m for m in MACHINES if m.domain_hosts]
UNSUPPORTED = "Creation of a managed instance group with {} machine type with placement policy is not supported."
Status = container_v1.NodePool.Status


def zone_of(machine: MachineType) -> str:
    return f"{min(machine.regions, default='us-central1')}-a"


def policy(topology: str) -> dict[str, Any]:
    return {"name": "ring", "accelerator_topology": topology}


def pool_of(machine: MachineType, nodes: int = 1, **changes: Any) -> dict[str, Any]:
    """A pool of fixed size with all that its machine type needs, sold as on-demand, spot or reserved machines are."""
    config: dict[str, Any] = {"machine_type": machine.name, "gvnic": {"enabled": machine.gvnic}}
    if machine.gpus:
        config["accelerators"] = [{"accelerator_type": machine.accelerator, "accelerator_count": machine.gpus}]
    if machine.hyperdisk:
        config["disk_type"] = "hyperdisk-balanced"
    if not machine.on_demand and machine.spot:
        config["spot"] = True
    if machine.domain_hosts:
        config["reservation_affinity"] = {
            "consume_reservation_type": "SPECIFIC_RESERVATION",
            "key": "compute.googleapis.com/reservation-name",
            "values": ["mine"],
        }
    return {
        "name": "mm-pool",
        "config": config,
        "locations": [zone_of(machine)],
        "initial_node_count": nodes,
        **changes,
    }


def slice_of(machine: MachineType, topology: str, nodes: int | None = None) -> dict[str, Any]:
    placement = {"policy_name": "ring"} if machine.policy else {"type_": "COMPACT", "tpu_topology": topology}
    hosts = chips_of(topology) // machine.chips
    return pool_of(machine, hosts if nodes is None else nodes, placement_policy=placement)


def scenario_of(machine: MachineType, **more: Any) -> dict[str, Any]:
    reservation = {"name": "mine", "machine_type": machine.name, "zone": zone_of(machine), "count": 18}
    shown = {"zones": [zone_of(machine)], "system_nodes": 0, "delays_s": {"resize_give_up": 1, "resize_retry": 1}}
    return {**shown, "reservations": [reservation] if machine.domain_hosts else [], **more}


def ids(value: object) -> str:
    if not isinstance(value, MachineType):
        return str(value)
    return f"{value.name}+{value.gpus}" if value.attachable else value.name


async def refusal(gke: Gke, pool: dict[str, Any]) -> str:
    """GKE's words; nothing has been made."""
    with pytest.raises(exceptions.InvalidArgument) as refused:
        await gke.create(**pool)
    assert await gke.names() == ["default-pool"]
    return str(refused.value)


@pytest.mark.parametrize("machine", [m for m in MACHINES if not m.domain_hosts] + ATTACHED, ids=ids)
async def test_a_machine_by_itself(start: Start, machine: MachineType) -> None:
    gke = await start(**scenario_of(machine))
    assert (await gke.done(await gke.create(**pool_of(machine, 2)))).error.code == 0
    assert [gke.nodes.there[name] for name in gke.nodes_of()] == ["with devices" if machine.devices else "ready"] * 2
    pool = gke.api.cloud.pools["mm-pool"]
    instance = next(iter(pool.instances.values()))
    labels, taints = template.node_labels(pool, instance.want, instance.name), template.node_taints(pool)
    assert labels["kubernetes.io/arch"] == machine.arch
    assert labels["node.kubernetes.io/instance-type"] == machine.name
    assert labels.get("cloud.google.com/gke-tpu-topology", "") == machine.topology
    kinds = ("cloud.google.com/gke-tpu-accelerator", "cloud.google.com/gke-accelerator")
    assert "".join(labels.get(kind, "") for kind in kinds) == machine.accelerator
    device = "google.com/tpu" if machine.chips else "nvidia.com/gpu"
    assert {taint["key"] for taint in taints} == ({device} if machine.devices else set())
    whole, left = (amounts(what(pool, machine)) for what in (template.capacity, template.allocatable))
    assert whole.get(device, 0) == left.get(device, 0) == machine.devices
    assert machine.vcpu * Decimal("0.9") < left["cpu"] < whole["cpu"] == machine.vcpu
    assert machine.memory_gib * 2**30 * 0.5 < left["memory"] < whole["memory"] < machine.memory_gib * 2**30


@pytest.mark.parametrize(("machine", "topology"), SLICES, ids=ids)
async def test_a_slice_of_several_hosts(start: Start, machine: MachineType, topology: str) -> None:
    gke = await start(**scenario_of(machine, workload_policies=[policy(topology)]))
    operation = await gke.done(await gke.create(**slice_of(machine, topology)))
    assert operation.error.message == ""
    assert len(gke.nodes_of()) == chips_of(topology) // machine.chips > 1
    placement = (await gke.pool()).placement_policy
    assert placement.tpu_topology == topology
    assert (placement.policy_name, placement.type_.name) == (
        ("ring", "TYPE_UNSPECIFIED") if machine.policy else ("", "COMPACT")
    )
    pool = gke.api.cloud.pools["mm-pool"]
    instance = next(iter(pool.instances.values()))
    labels = template.node_labels(pool, instance.want, instance.name)
    assert labels["cloud.google.com/gke-tpu-topology"] == topology


@pytest.mark.parametrize(("machine", "topology"), SLICES, ids=ids)
async def test_a_slice_with_a_host_too_few_or_too_many(start: Start, machine: MachineType, topology: str) -> None:
    gke = await start(**scenario_of(machine, workload_policies=[policy(topology)]))
    hosts = chips_of(topology) // machine.chips
    for nodes in (hosts - 1, hosts + 1):
        text = f"Initial node count {nodes} is not a valid size of TPU pod slice with topology {topology}"
        assert text in await refusal(gke, slice_of(machine, topology, nodes))


@pytest.mark.parametrize("machine", TPUS, ids=ids)
async def test_a_tpu_machine_in_shapes_that_it_does_not_have(start: Start, machine: MachineType) -> None:
    gke = await start(**scenario_of(machine))
    single = "TPU topology can't be specified with single-host TPU slice pool"
    for placement in ({"tpu_topology": machine.topology}, {"tpu_topology": machine.topology, "type_": "COMPACT"}):
        assert single in await refusal(gke, pool_of(machine, placement_policy=placement))
    others = {m.topology for m in TPUS} | {topology for _, topology in SLICES} | {"3x3", "x"}
    for topology in sorted(others - {machine.topology, *machine.slice_topologies}):
        placement = {"type_": "COMPACT", "tpu_topology": topology}
        assert "Unsupported TPU configuration" in await refusal(gke, pool_of(machine, placement_policy=placement))
    accelerators = [{"accelerator_type": machine.accelerator, "accelerator_count": machine.chips}]
    wrong = pool_of(machine)
    wrong["config"]["accelerators"] = accelerators
    assert f"Machine type {machine.name} can't have accelerators" in await refusal(gke, wrong)


@pytest.mark.parametrize("machine", [m for m in MACHINES if m.gpus], ids=ids)
async def test_a_gpu_machine_with_other_gpus_than_it_has(start: Start, machine: MachineType) -> None:
    gke = await start(**scenario_of(machine))
    for kind, count in (
        (machine.accelerator, machine.gpus + 1),
        ("nvidia-tesla-k80", machine.gpus),
        (machine.accelerator, 0),
    ):
        wrong = pool_of(machine)
        wrong["config"]["accelerators"] = [{"accelerator_type": kind, "accelerator_count": count}] if count else []
        assert "Accelerators don't match the machine type" in await refusal(gke, wrong)
    topology = pool_of(machine, placement_policy={"tpu_topology": "2x2"})
    assert f"machine type {machine.name} has no TPUs" in await refusal(gke, topology)


@pytest.mark.parametrize("machine", [m for m in MACHINES if m.hyperdisk or m.gvnic], ids=ids)
async def test_a_machine_without_the_disk_or_network_that_it_needs(start: Start, machine: MachineType) -> None:
    gke = await start(**scenario_of(machine))
    if machine.hyperdisk:
        wrong = pool_of(machine)
        wrong["config"]["disk_type"] = "pd-ssd"
        assert f"[pd-ssd, {machine.name}] features are not compatible for creating instance." in await refusal(
            gke, wrong
        )
    if machine.gvnic:
        wrong = pool_of(machine)
        del wrong["config"]["gvnic"]
        assert f"Machine type {machine.name} requires gVNIC" in await refusal(gke, wrong)


@pytest.mark.parametrize("machine", [m for m in MACHINES if m.min_version], ids=ids)
async def test_a_machine_needs_a_gke_that_knows_it(start: Start, machine: MachineType) -> None:
    minor = int(machine.min_version.split(".")[1])
    gke = await start(**scenario_of(machine, version=f"1.{minor - 1}.9-gke.9000000"))
    assert f"Machine type {machine.name} needs GKE version {machine.min_version}" in await refusal(
        gke, pool_of(machine)
    )


@pytest.mark.parametrize(
    "placement", [{}, {"type_": "COMPACT"}, {"type_": "COMPACT", "tpu_topology": "2x2x2"}, {"tpu_topology": "2x2x2"}]
)
@pytest.mark.parametrize("machine", [m for m in MACHINES if m.policy], ids=ids)
async def test_placement_without_a_workload_policy_ends_in_error(
    start: Start, machine: MachineType, placement: dict[str, Any]
) -> None:
    if machine.policy == "slices" and not placement:
        return  # a machine by itself
    placement = {**placement, "tpu_topology": "1x72"} if machine.gpus and "tpu_topology" in placement else placement
    gke = await start(**scenario_of(machine))
    nodes = 2 if machine.chips and "tpu_topology" in placement else 1
    operation = await gke.done(await gke.create(**pool_of(machine, nodes, placement_policy=placement)))
    text = UNSUPPORTED.format(machine.name) + " Use workload policy instead."
    assert text in operation.error.message
    pool = await gke.pool()
    assert (pool.status, [c.message for c in pool.conditions]) == (Status.ERROR, [operation.error.message])
    assert gke.nodes_of() == []


@pytest.mark.parametrize("machine", DOMAINS, ids=ids)
async def test_a_domain_has_a_policy_a_reservation_and_a_fixed_size(start: Start, machine: MachineType) -> None:
    gke = await start(
        **scenario_of(machine, workload_policies=[policy("1x72"), {"name": "any"}, policy("2x2") | {"name": "w"}])
    )
    ring = {"policy_name": "ring"}
    bounds = {"enabled": True, "max_node_count": 18}
    assert "Node count 19 is more than the 18 machines" in await refusal(
        gke, pool_of(machine, 19, placement_policy=ring)
    )
    fixed = "have a fixed size: autoscaling can't be enabled"
    assert fixed in await refusal(gke, pool_of(machine, placement_policy=ring, autoscaling=bounds))
    for name in ("any", "w"):
        assert "needs topology 1x72" in await refusal(gke, pool_of(machine, placement_policy={"policy_name": name}))
    assert (await gke.done(await gke.create(**pool_of(machine, 18, placement_policy=ring)))).error.message == ""
    pool = gke.api.cloud.pools["mm-pool"]
    labels = template.node_labels(pool, pool.want(zone_of(machine)), "node")
    assert labels["kubernetes.io/arch"] == labels["beta.kubernetes.io/arch"] == "arm64"
    arm = {"key": "kubernetes.io/arch", "value": "arm64", "effect": "NoSchedule"}
    assert arm in template.node_taints(pool)
    pool.message.config.taint_config.architecture_taint_behavior = (
        container_v1.TaintConfig.ArchitectureTaintBehavior.NONE
    )
    assert arm not in template.node_taints(pool)
    without = pool_of(machine, name="mm-open", placement_policy=ring)
    del without["config"]["reservation_affinity"]
    assert "[GCE_STOCKOUT]" in (await gke.done(await gke.create(**without))).error.message


def test_machine_types_are_those_that_the_operator_knows() -> None:
    """Written down twice, from the same sources: each finds the other's slips."""
    compared = 0
    for path in sorted(CATALOGUE.glob("*.yaml")):
        accelerator = yaml.safe_load(path.read_text())
        for theirs in accelerator["machines"]:
            ours = machine_types().get(theirs["machine_type"])
            assert ours, theirs["machine_type"]
            if ours.attachable:
                continue
            facts = (ours.vcpu, ours.memory_gib, ours.devices, ours.accelerator, ours.topology)
            assert facts == (
                theirs["cpu"], theirs["memory_gib"], theirs["devices"], accelerator["label"], theirs.get("topology", "")
            )  # fmt: skip
            assert list(ours.slice_topologies) == theirs.get("slices", [])
            assert ours.arch == accelerator.get("host_architecture", "amd64")
            compared += 1
    assert compared > 30
