"""Planning for nodes that are there: what is chosen of them, and what is said where nothing can be."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from tests.support.node_cases import a_group, gke_labels, nvidia_labels
from tests.support.world import CLUSTER, SETTINGS, make_model

from mistral_operator.api.model import MistralModel
from mistral_operator.catalogue.load import load_catalogue
from mistral_operator.planning.nodes import NodeGroup, Taint, merge_groups
from mistral_operator.planning.plan import plan_model
from mistral_operator.planning.serialize import plan_from_dict, plan_to_dict
from mistral_operator.planning.terms import NO_TERMS, Terms
from mistral_operator.planning.types import ClusterProfile, Plan, PlannedOption, PlanRefused, Provisioner, Settings

CATALOGUE = load_catalogue()
EIGHT_H100 = a_group(nvidia_labels(), devices=8, cpu="192", memory="1900Gi")


def a_cluster(*nodes: NodeGroup, provider: str = "GKE") -> ClusterProfile:
    return replace(CLUSTER, provider=provider, provisioners=tuple(Provisioner), nodes=nodes)


def answer(
    *there: NodeGroup,
    cluster: ClusterProfile | None = None,
    terms: Terms = NO_TERMS,
    settings: Settings = SETTINGS,
    spec: dict[str, Any] | None = None,
    **capacity: Any,
) -> Plan | PlanRefused:
    written = make_model(capacity={"provisioner": "Existing", **capacity}, **(spec or {}))
    model = MistralModel.model_validate(written)
    return plan_model(model, CATALOGUE, cluster or a_cluster(*there), settings, terms=terms)


def chosen(*there: NodeGroup, **asked: Any) -> PlannedOption:
    found = answer(*there, **asked)
    assert isinstance(found, Plan), found
    assert plan_from_dict(plan_to_dict(found)) == found
    return found.chosen


def refusal(*there: NodeGroup, **asked: Any) -> PlanRefused:
    found = answer(*there, **asked)
    assert isinstance(found, PlanRefused), found
    return found


def test_a_model_alone_gets_hardware_that_is_there() -> None:
    option = chosen(a_group())
    assert (option.provisioner, option.machine_type, option.devices) == (Provisioner.EXISTING, "g2-standard-12", 1)
    assert option.node_labels == {"cloud.google.com/gke-accelerator": "nvidia-l4"}
    assert option.zones == ()
    assert option.startup.node_s == 0
    assert any("makes, changes and deletes none" in note for note in option.notes)


def test_the_host_is_asked_for_no_more_than_the_node_leaves() -> None:
    option = chosen(a_group(cpu="7910m", memory="41Gi"))
    assert (option.host_cpu, option.host_memory) == ("6", "40Gi")


def test_of_a_large_node_a_model_takes_what_it_needs() -> None:
    option = chosen(EIGHT_H100)
    assert (option.accelerator, option.devices) == ("h100-80", 1)
    assert option.node_labels == {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}
    assert (option.host_cpu, option.host_memory) == ("23", "236Gi")
    assert option.name == "unknown-x1-existing"


def test_and_as_much_as_a_user_fixes() -> None:
    assert chosen(EIGHT_H100, options=[{"devices": 8}]).devices == 8


def test_a_part_of_a_node_costs_that_part() -> None:
    labels = gke_labels("g2-standard-24")
    whole = chosen(a_group(labels, devices=2, cpu="23", memory="88Gi"), options=[{"devices": 2}])
    part = chosen(a_group(labels, devices=2, cpu="23", memory="88Gi"), options=[{"devices": 1}])
    assert whole.hourly_cost == Decimal("2.0008")
    assert part.hourly_cost == Decimal("1.0004")
    assert part.price_note.startswith("1/2 of a node; list price")


def test_an_unknown_price_is_unknown_and_no_limit_can_be_kept() -> None:
    assert chosen(EIGHT_H100).hourly_cost is None
    found = refusal(EIGHT_H100, maxHourlyCost="5.00")
    assert [item.reason for item in found.refusals] == ["PriceUnknown"] * len(found.refusals)
    own = replace(SETTINGS, prices={"unknown": {"OnDemand": Decimal(16)}})
    assert chosen(EIGHT_H100, maxHourlyCost="5.00", settings=own).hourly_cost == Decimal(2)


def test_only_selected_nodes_are_looked_at() -> None:
    labels = gke_labels("g2-standard-24", team="search")
    two = a_group(labels, devices=2, cpu="23", memory="88Gi")
    assert chosen(a_group(), two, nodes={"selector": {"team": "search"}}).machine_type == "g2-standard-24"
    with_pod = chosen(a_group(), two, spec={"pod": {"nodeSelector": {"team": "search"}}})
    assert with_pod.machine_type == "g2-standard-24"


def test_where_none_is_selected_the_missing_label_is_named() -> None:
    found = refusal(a_group(), nodes={"selector": {"team": "search", "cloud.google.com/gke-nodepool": "gpus"}})
    assert found.reason == "NoNodesMatch"
    assert "labels cloud.google.com/gke-nodepool=gpus, team=search" in found.message
    assert "`kubectl label node NODE team=search`" in found.message


def test_where_there_are_no_devices_at_all() -> None:
    found = refusal()
    assert found.reason == "NoNodesMatch"
    assert found.message == (
        "no node of the cluster has accelerators; or write a machineType in spec.capacity.options for a pool that"
        " has no node yet"
    )


def test_nodes_that_were_never_read_are_unknown_rather_than_absent() -> None:
    found = refusal(cluster=replace(CLUSTER, provisioners=tuple(Provisioner)))
    assert found.reason == "NodesUnknown"
    assert "--cluster-profile" in found.message


@pytest.mark.parametrize("nodes", [(), (a_group(),)])
def test_a_machine_type_that_no_node_has_is_planned_unchecked(nodes: tuple[NodeGroup, ...]) -> None:
    option = chosen(*nodes, options=[{"machineType": "g2-standard-24"}], nodes={"selector": {"team": "search"}})
    assert (option.machine_type, option.devices) == ("g2-standard-24", 2)
    assert option.node_labels == {
        "cloud.google.com/gke-accelerator": "nvidia-l4",
        "node.kubernetes.io/instance-type": "g2-standard-24",
        "team": "search",
    }
    assert any("nothing of it could be checked" in note for note in option.notes)


def test_outside_of_gke_a_machine_type_that_no_node_has_is_refused() -> None:
    elsewhere = a_cluster(EIGHT_H100, provider="None")
    found = refusal(cluster=elsewhere, options=[{"machineType": "g2-standard-12"}])
    assert found == PlanRefused(
        "NoNodesMatch",
        "no node that is there is what spec.capacity.options[0] asks for; there are 8 × h100-80 (unknown)",
    )
    for nodes in ((), None):
        unseen = refusal(cluster=replace(elsewhere, nodes=nodes), options=[{"machineType": "g2-standard-12"}])
        assert unseen.reason == ("NodesUnknown" if nodes is None else "NoNodesMatch")
        assert "machineType" not in unseen.message


def test_a_machine_type_of_another_cloud_is_told_and_selected_by_its_label() -> None:
    labels = nvidia_labels(**{"node.kubernetes.io/instance-type": "p5.48xlarge"})
    node = a_group(labels, devices=8, cpu="192", memory="1900Gi")
    selector = {"node.kubernetes.io/instance-type": "p5.48xlarge"}
    option = chosen(node, nodes={"selector": selector})
    assert (option.name, option.machine_type) == ("p5.48xlarge-x1-existing", "p5.48xlarge")
    assert selector.items() <= option.node_labels.items()


def test_nodes_that_are_selected_and_not_used_are_a_mistake() -> None:
    found = refusal(a_group(), provisioner="ContainerAPI", nodes={"selector": {"team": "search"}})
    assert found.reason == "NodesNotUsed"
    assert "spec.capacity.provisioner: Existing" in found.message


def test_other_hardware_than_is_there_is_refused_with_what_is() -> None:
    found = refusal(a_group(), options=[{"accelerator": "h100-80"}])
    assert (found.reason, found.message) == (
        "NoNodesMatch",
        "no node that is there is what spec.capacity.options[0] asks for; there are 1 × l4 (g2-standard-12)",
    )


@pytest.mark.parametrize(
    "labels",
    [
        {"nvidia.com/gpu.product": "NVIDIA-H100-PCIe"},
        {"nvidia.com/gpu.product": "NVIDIA-L4-SHARED"},
        {"kubernetes.io/arch": "amd64"},
        gke_labels(**{"cloud.google.com/gke-gpu-partition-size": "1g.5gb"}),
        gke_labels(**{"cloud.google.com/gke-gpu-sharing-strategy": "time-sharing"}),
    ],
)
def test_devices_of_which_nothing_is_known_are_to_be_named_by_a_person(labels: dict[str, str]) -> None:
    found = refusal(a_group(labels))
    assert found.reason == "UnknownHardware"
    assert "serving.mistral-operator.dev/accelerator=<id>`" in found.message


def test_what_a_person_says_of_a_node_counts() -> None:
    labels = nvidia_labels("NVIDIA-H100-PCIe", **{"serving.mistral-operator.dev/accelerator": "h100-80"})
    option = chosen(a_group(labels, devices=2, cpu="64", memory="400Gi"))
    assert option.accelerator == "h100-80"
    assert option.node_labels == {"serving.mistral-operator.dev/accelerator": "h100-80"}


@pytest.mark.parametrize(
    ("node", "asked", "reason", "words"),
    [
        (
            a_group(gke_labels(), Taint("dedicated", "search")),
            {},
            "TaintNotTolerated",
            "taint dedicated=search:NoSchedule; write it in spec.pod.tolerations",
        ),
        (
            a_group(gke_labels(**{"cloud.google.com/gke-spot": "true"})),
            {},
            "ConsumptionDiffers",
            "write consumption: Spot",
        ),
        (a_group(), {"options": [{"consumption": "Spot"}]}, "ConsumptionDiffers", "leave consumption out"),
        (a_group(), {"options": [{"consumption": "FlexStart"}]}, "NothingIsBought", "leave consumption out"),
        (
            a_group(),
            {"options": [{"sharing": {"strategy": "TimeSharing", "clients": 2}}]},
            "SharingNeedsContainerApi",
            "remove sharing",
        ),
        (a_group(), {"options": [{"zones": ["us-central1-b"]}]}, "NotInZone", "the nodes are in us-central1-a"),
        (a_group(gke_labels(**{"kubernetes.io/arch": "arm64"})), {}, "NeedsArm64Image", "the nodes are arm64"),
        (a_group(memory="8Gi"), {}, "HostMemoryTooSmall", "g2-standard-12 leaves 7 of 8 GiB"),
    ],
)
def test_nodes_that_will_not_do_are_refused_with_what_to_write(
    node: NodeGroup, asked: dict[str, Any], reason: str, words: str
) -> None:
    found = refusal(node, **asked)
    assert ("precision" in found.message) == (reason == "HostMemoryTooSmall"), "smaller weights help only there"
    telling = next(item for item in found.refusals if item.reason == reason)
    assert words in telling.message


def test_a_taint_that_is_tolerated_is_no_obstacle() -> None:
    tolerated = {"pod": {"tolerations": [{"key": "dedicated", "operator": "Exists"}]}}
    assert chosen(a_group(gke_labels(), Taint("dedicated", "search")), spec=tolerated)


def test_what_passes_is_no_obstacle() -> None:
    assert chosen(a_group(gke_labels(), Taint("node.kubernetes.io/unschedulable")))


def test_a_slice_of_several_machines_is_left_to_those_who_make_pools() -> None:
    labels = {
        "cloud.google.com/gke-tpu-accelerator": "tpu-v6e-slice",
        "cloud.google.com/gke-tpu-topology": "4x4",
        "node.kubernetes.io/instance-type": "ct6e-standard-4t",
    }
    found = refusal(a_group(labels, devices=4, resource="google.com/tpu", cpu="170", memory="660Gi"))
    assert {item.reason for item in found.refusals} == {"SlicesNeedNodePools"}


def test_a_tpu_node_is_taken_whole() -> None:
    labels = {
        "cloud.google.com/gke-tpu-accelerator": "tpu-v6e-slice",
        "cloud.google.com/gke-tpu-topology": "2x4",
        "node.kubernetes.io/instance-type": "ct6e-standard-8t",
    }
    node = a_group(labels, devices=8, resource="google.com/tpu", cpu="170", memory="1300Gi")
    option = chosen(node, spec={"allowExperimental": True})
    assert (option.devices, option.topology) == (8, "2x4")
    assert option.node_labels == labels


def test_outside_of_gke_it_is_what_auto_comes_to() -> None:
    option = chosen(EIGHT_H100, cluster=a_cluster(EIGHT_H100, provider="None"), provisioner="Auto")
    assert option.provisioner is Provisioner.EXISTING


def test_a_class_that_limits_zones_holds_the_pods_to_them() -> None:
    terms = Terms(source="class standard", zones=("us-central1-a",))
    assert chosen(a_group(), terms=terms).zones == ("us-central1-a",)
    other = refusal(a_group(gke_labels(**{"topology.kubernetes.io/zone": "us-central1-b"})), terms=terms)
    assert other.refusals[0].reason == "ZoneNotAllowed"


def test_nodes_are_told_apart_by_what_matters_and_not_by_their_names() -> None:
    many = [a_group(gke_labels(**{"kubernetes.io/hostname": f"node-{number}"})) for number in range(100)]
    own = a_group(gke_labels(**{"serving.mistral-operator.dev/shape": "g2-standard-12-od-0123456789"}))
    assert merge_groups([*many, own, a_group(devices=0)]) == (a_group(),)


def test_a_few_nodes_may_be_selected_by_name() -> None:
    few = [a_group(gke_labels(**{"kubernetes.io/hostname": f"node-{number}"})) for number in range(3)]
    assert chosen(*merge_groups(few), nodes={"selector": {"kubernetes.io/hostname": "node-1"}})
