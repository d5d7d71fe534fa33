"""Which pods fit on which machines, and what a machine leaves to its pods."""

from decimal import Decimal
from typing import Any

import pytest

from mistral_operator.sandbox.gke import fit, rules, template
from mistral_operator.sandbox.gke.machines import machine_types
from mistral_operator.sandbox.gke.pools import NodePoolPb, Pool
from mistral_operator.sandbox.gke.scenario import Scenario
from mistral_operator.sandbox.gke.stock import Want

GPU_TAINT = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
TOLERATION = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}


def pod(**spec: Any) -> dict[str, Any]:
    containers = [{"name": "c", "resources": {"limits": spec.pop("limits", {})}}]
    return {"metadata": {"name": "p"}, "spec": {"containers": containers, "tolerations": [TOLERATION], **spec}}


def room(**changes: Any) -> fit.Room:
    free = fit.amounts({"cpu": "4", "memory": "16Gi", "nvidia.com/gpu": "1", "pods": "2"})
    return fit.Room(**({"labels": {"zone": "a", "size": "3"}, "taints": [GPU_TAINT], "free": free} | changes))


@pytest.mark.parametrize(
    ("text", "number"),
    [("500m", "0.5"), ("2", "2"), ("1Gi", "1073741824"), ("1.5k", "1500"), ("1e3", "1000"), ("100M", "100000000")],
)
def test_quantities_are_numbers(text: str, number: str) -> None:
    assert fit.quantity(text) == Decimal(number)


def required(operator: str, key: str, *values: str) -> dict[str, Any]:
    expression = {"key": key, "operator": operator} | ({"values": list(values)} if values else {})
    terms = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}


@pytest.mark.parametrize(
    ("wanted", "reasons"),
    [
        (pod(limits={"nvidia.com/gpu": "1", "memory": "16Gi"}), []),
        (pod(limits={"nvidia.com/gpu": "2", "cpu": "5"}), ["Insufficient cpu", "Insufficient nvidia.com/gpu"]),
        (pod(nodeSelector={"zone": "a"}), []),
        (pod(nodeSelector={"zone": "b"}), [fit.SELECTOR_REASON]),
        (pod(tolerations=[]), [fit.TAINT_REASON]),
        (pod(tolerations=[{"operator": "Exists"}]), []),
        (pod(tolerations=[{"key": "nvidia.com/gpu", "value": "present"}]), []),
        (pod(tolerations=[{"key": "nvidia.com/gpu", "value": "absent"}]), [fit.TAINT_REASON]),
        (pod(affinity=required("In", "zone", "a", "b")), []),
        (pod(affinity=required("NotIn", "zone", "a")), [fit.SELECTOR_REASON]),
        (pod(affinity=required("Exists", "zone")), []),
        (pod(affinity=required("DoesNotExist", "zone")), [fit.SELECTOR_REASON]),
        (pod(affinity=required("Gt", "size", "2")), []),
        (pod(affinity=required("Lt", "size", "2")), [fit.SELECTOR_REASON]),
    ],
)
def test_a_pod_fits_or_says_why_not(wanted: dict[str, Any], reasons: list[str]) -> None:
    assert fit.misfits(wanted, fit.pod_requests(wanted), room()) == reasons


def test_what_is_placed_takes_room() -> None:
    there = room()
    other = there.copy()
    wanted = pod(limits={"nvidia.com/gpu": "1"})
    there.put("p", fit.pod_requests(wanted))
    assert fit.misfits(wanted, fit.pod_requests(wanted), there) == ["Insufficient nvidia.com/gpu"]
    there.put("q", {})
    assert fit.TOO_MANY_PODS in fit.misfits(pod(), {}, there)
    assert fit.misfits(wanted, fit.pod_requests(wanted), other) == []


def test_init_containers_count_where_they_need_more() -> None:
    init = [
        {"name": "proxy", "restartPolicy": "Always", "resources": {"requests": {"cpu": "1"}}},
        {"name": "fetch", "resources": {"requests": {"cpu": "3"}}},
    ]
    assert fit.pod_requests(pod(limits={"cpu": "2"}, initContainers=init))["cpu"] == 5


def l4_machine(**config: Any) -> Pool:
    accelerators = [{"accelerator_type": "nvidia-l4", "accelerator_count": 1}]
    message = NodePoolPb(name="mm", config={"machine_type": "g2-standard-12", "accelerators": accelerators, **config})
    return Pool(rules.default_pool(message, Scenario()))


def test_a_machine_keeps_something_for_itself() -> None:
    pool = l4_machine()
    whole = fit.amounts(template.capacity(pool, pool.machine))
    left = fit.amounts(template.allocatable(pool, pool.machine))
    assert whole["nvidia.com/gpu"] == left["nvidia.com/gpu"] == 1
    assert left["cpu"] == Decimal("11.9")
    # GKE keeps 1 + 0.8 + 0.8 GiB of the first 16, then 6 %, and 100 MiB for eviction.
    assert fit.quantity("42Gi") < left["memory"] < fit.quantity("43Gi") < whole["memory"] < fit.quantity("48Gi")
    assert left["ephemeral-storage"] < whole["ephemeral-storage"]


def test_nodes_carry_the_labels_and_taints_of_gke_and_of_the_pool() -> None:
    taint = {"key": "team", "value": "x", "effect": "NO_EXECUTE"}
    pool = l4_machine(spot=True, labels={"mine": "yes"}, taints=[taint])
    labels = template.node_labels(pool, pool.want("us-central1-b"), "node-1")
    expected = {
        "cloud.google.com/gke-accelerator": "nvidia-l4",
        "cloud.google.com/gke-accelerator-count": "1",
        "cloud.google.com/gke-nodepool": "mm",
        "cloud.google.com/gke-provisioning": "spot",
        "cloud.google.com/gke-spot": "true",
        "cloud.google.com/machine-family": "g2",
        "kubernetes.io/hostname": "node-1",
        "mine": "yes",
        "node.kubernetes.io/instance-type": "g2-standard-12",
        "topology.kubernetes.io/region": "us-central1",
        "topology.kubernetes.io/zone": "us-central1-b",
    }
    assert labels.items() >= expected.items()
    assert template.node_taints(pool) == [GPU_TAINT, {"key": "team", "value": "x", "effect": "NoExecute"}]


def tpu_machine(machine_type: str, topology: str = "", **config: Any) -> Pool:
    placement = {"type_": "COMPACT", "tpu_topology": topology} if topology else None
    message = NodePoolPb(name="mm", config={"machine_type": machine_type, **config}, placement_policy=placement)
    return Pool(rules.default_pool(message, Scenario()))


@pytest.mark.parametrize(
    ("pool", "accelerator", "topology", "chips"),
    [
        (tpu_machine("ct5lp-hightpu-1t"), "tpu-v5-lite-podslice", "1x1", "1"),
        (tpu_machine("ct6e-standard-4t"), "tpu-v6e-slice", "2x2", "4"),
        # The same topology, on one machine and on two.
        (tpu_machine("ct6e-standard-8t"), "tpu-v6e-slice", "2x4", "8"),
        (tpu_machine("ct6e-standard-4t", "2x4"), "tpu-v6e-slice", "2x4", "4"),
        (tpu_machine("ct6e-standard-4t", "4x4"), "tpu-v6e-slice", "4x4", "4"),
    ],
)
def test_tpu_nodes_say_what_they_are_part_of(pool: Pool, accelerator: str, topology: str, chips: str) -> None:
    labels = template.node_labels(pool, pool.want("us-central1-b"), "node-1")
    expected = {
        "cloud.google.com/gke-accelerator-count": chips,
        "cloud.google.com/gke-tpu-accelerator": accelerator,
        "cloud.google.com/gke-tpu-topology": topology,
        "node.kubernetes.io/instance-type": pool.machine.name,
    }
    assert labels.items() >= expected.items()
    assert "cloud.google.com/gke-accelerator" not in labels
    assert template.node_taints(pool) == [{"key": "google.com/tpu", "value": "present", "effect": "NoSchedule"}]
    assert template.capacity(pool, pool.machine)["google.com/tpu"] == chips
    assert template.allocatable(pool, pool.machine)["google.com/tpu"] == chips


def test_gkes_own_taint_is_not_put_twice() -> None:
    taint = {"key": "google.com/tpu", "value": "present", "effect": "NO_SCHEDULE"}
    taints = template.node_taints(tpu_machine("ct6e-standard-1t", taints=[taint]))
    assert taints == [{"key": "google.com/tpu", "value": "present", "effect": "NoSchedule"}]


def test_machine_types_are_offered_where_google_lists_them() -> None:
    machines = machine_types()
    assert machines["g2-standard-12"].offered_in("us-central1-a")
    assert not machines["a2-ultragpu-1g"].offered_in("us-west1-a")
    assert machines["e2-standard-8"].offered_in("anywhere1-z")
    assert Want("us-central1-a", machines["g2-standard-12"], "spot").quota_name == "PREEMPTIBLE_NVIDIA_L4_GPUS"
