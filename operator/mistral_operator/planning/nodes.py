"""Nodes that are there: what they say of their hardware, and whether a pod may run on them.

Labels are GKE's, or those of NVIDIA's GPU feature discovery, or one of our own that a person sets where neither says
what a node has.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import floor
from typing import Any, Final

from mistral_operator.api.common import quantity_amount
from mistral_operator.api.names import ACCELERATOR_LABEL, SHAPE_LABEL
from mistral_operator.api.pod import TaintEffect, Toleration, TolerationOperator
from mistral_operator.catalogue.accelerator import Accelerator
from mistral_operator.catalogue.types import Catalogue
from mistral_operator.catalogue.units import GIB

GPU_LABEL: Final = "cloud.google.com/gke-accelerator"
TPU_LABEL: Final = "cloud.google.com/gke-tpu-accelerator"
TOPOLOGY_LABEL: Final = "cloud.google.com/gke-tpu-topology"
SPOT_LABEL: Final = "cloud.google.com/gke-spot"
POOL_LABEL: Final = "cloud.google.com/gke-nodepool"
PRODUCT_LABEL: Final = "nvidia.com/gpu.product"
MACHINE_LABEL: Final = "node.kubernetes.io/instance-type"
UNNAMED: Final = "unknown"
"""Machine type of nodes that name none."""
ZONE_LABEL: Final = "topology.kubernetes.io/zone"
ARCHITECTURE_LABEL: Final = "kubernetes.io/arch"
HARDWARE_LABELS: Final = (ACCELERATOR_LABEL, TPU_LABEL, GPU_LABEL, PRODUCT_LABEL)
"""Each of them tells which accelerator a node has; the first that a node carries counts."""
_SHARED_BY: Final = (
    "cloud.google.com/gke-gpu-partition-size",
    "cloud.google.com/gke-gpu-sharing-strategy",
)
"""On nodes whose GPUs are divided or shared, so that one of what they offer is less than one GPU."""
_PRODUCTS: Final = {
    "NVIDIA-A100-SXM4-40GB": "a100-40",
    "NVIDIA-A100-SXM4-80GB": "a100-80",
    "NVIDIA-B200": "b200",
    "NVIDIA-H100-80GB-HBM3": "h100-80",
    "NVIDIA-H200": "h200-141",
    "NVIDIA-L4": "l4",
    "Tesla-T4": "t4",
}
"""The driver's names as GPU feature discovery writes them, as recalled: unverified. Those of divided and shared GPUs
have an ending, and so aren't among them; neither are PCIe variants, which are slower than what the catalogue knows.
"""
_PASSING_TAINTS: Final = (
    "node.kubernetes.io/",
    "node.cloudprovider.kubernetes.io/",
    "ToBeDeletedByClusterAutoscaler",
    "DeletionCandidateOfClusterAutoscaler",
)
"""What is wrong with a node now, not what it is for."""
_MOST_VALUES: Final = 32
"""A label with more values than this names nodes rather than kinds of them."""
_BLOCKING: Final = (TaintEffect.NO_SCHEDULE.value, TaintEffect.NO_EXECUTE.value)


@dataclass(frozen=True, slots=True, order=True)
class Taint:
    """A taint as in Kubernetes."""

    key: str
    value: str = ""
    effect: str = TaintEffect.NO_SCHEDULE.value

    def __str__(self) -> str:
        return f"{self.key}{f'={self.value}' if self.value else ''}:{self.effect}"


@dataclass(frozen=True, slots=True, order=True)
class NodeGroup:
    """Nodes that are alike in everything that planning looks at; how many there are is not known."""

    labels: tuple[tuple[str, str], ...]
    """Sorted by key."""
    devices: tuple[tuple[str, int], ...]
    """Resource → devices that one node offers, such as `nvidia.com/gpu` → 8."""
    cpu: int
    """Whole CPUs that one node leaves to pods."""
    memory_gib: int
    """Whole GiB that one node leaves to pods."""
    taints: tuple[Taint, ...] = ()
    """Without passing ones."""

    def label(self, key: str) -> str:
        """The label's value, or an empty text."""
        return dict(self.labels).get(key, "")

    @property
    def machine_type(self) -> str:
        """As the node says; `unknown` where it doesn't."""
        return self.label(MACHINE_LABEL) or UNNAMED

    @property
    def spot(self) -> bool:
        """Whether Google may take such a node back."""
        return self.label(SPOT_LABEL) == "true"

    def count(self, resource: str) -> int:
        """Devices of that resource."""
        return dict(self.devices).get(resource, 0)


def read_group(labels: Mapping[str, str], allocatable: Mapping[str, Any], taints: Iterable[Taint]) -> NodeGroup:
    """What a node is, of its labels, `status.allocatable` and taints. Raises ValueError on what is no quantity."""
    amounts = {name: quantity_amount(str(amount)) for name, amount in allocatable.items()}
    devices = {name: floor(amount) for name, amount in amounts.items() if name in _device_resources(amounts)}
    return NodeGroup(
        labels=tuple(sorted(labels.items())),
        devices=tuple(sorted(devices.items())),
        cpu=floor(amounts.get("cpu", 0)),
        memory_gib=floor(amounts.get("memory", 0) / GIB),
        taints=tuple(sorted(taint for taint in taints if not taint.key.startswith(_PASSING_TAINTS))),
    )


def _device_resources(names: Iterable[str]) -> set[str]:
    """Resources with a domain are devices of somebody."""
    return {name for name in names if "/" in name}


def read_taints(spec: Mapping[str, Any]) -> tuple[Taint, ...]:
    """The taints of a node's spec."""
    return tuple(
        Taint(str(taint.get("key", "")), str(taint.get("value") or ""), str(taint.get("effect", "")))
        for taint in spec.get("taints") or ()
    )


def merge_groups(groups: Iterable[NodeGroup]) -> tuple[NodeGroup, ...]:
    """The different ones, without labels that only tell nodes apart. Those with devices, and not the operator's own."""
    known = [group for group in groups if any(count for _, count in group.devices) and not group.label(SHAPE_LABEL)]
    values: dict[str, set[str]] = {}
    for group in known:
        for key, value in group.labels:
            values.setdefault(key, set()).add(value)
    kept = {key for key, found in values.items() if len(found) <= _MOST_VALUES or key == POOL_LABEL}
    return tuple(sorted({_keep_labels(group, kept) for group in known}))


def _keep_labels(group: NodeGroup, kept: set[str]) -> NodeGroup:
    labels = tuple((key, value) for key, value in group.labels if key in kept)
    return NodeGroup(labels, group.devices, group.cpu, group.memory_gib, group.taints)


def find_hardware_label(labels: Mapping[str, str]) -> tuple[str, str] | None:
    """The label that tells which accelerator the node has, and its value."""
    return next(((key, labels[key]) for key in HARDWARE_LABELS if labels.get(key)), None)


def find_accelerator(group: NodeGroup, catalogue: Catalogue) -> Accelerator | None:
    """Which accelerator of the catalogue such nodes have; None where none of its labels is known, or devices are
    divided or shared.
    """
    labels = dict(group.labels)
    found = find_hardware_label(labels)
    if found is None or any(key in labels for key in _SHARED_BY):
        return None
    key, value = found
    name = value if key == ACCELERATOR_LABEL else _PRODUCTS.get(value) if key == PRODUCT_LABEL else None
    if name:
        return catalogue.accelerators.get(name)
    machine = catalogue.machine(group.machine_type)
    if machine and machine[0].label == value:
        return machine[0]
    return catalogue.accelerators.get(catalogue.accelerator_id(value) or "")


def find_missing(labels: Mapping[str, str], selector: Mapping[str, str]) -> dict[str, str]:
    """What a node would have to be labelled with for a selector to match it; empty when it does."""
    return {key: value for key, value in selector.items() if labels.get(key) != value}


def find_untolerated(taints: Iterable[Taint], tolerations: Iterable[Toleration], resource: str) -> Taint | None:
    """The first taint that keeps a pod away which tolerates these, and its device's own taint."""
    tolerated = tuple(tolerations)
    own = (Toleration(key=resource, operator=TolerationOperator.EXISTS, effect=TaintEffect.NO_SCHEDULE),)
    return next((taint for taint in taints if not any(_tolerates(item, taint) for item in (*own, *tolerated))), None)


def _tolerates(toleration: Toleration, taint: Taint) -> bool:
    if taint.effect not in _BLOCKING:
        return True
    if toleration.effect is not None and toleration.effect.value != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    if toleration.operator is TolerationOperator.EXISTS:
        return True
    return (toleration.value or "") == taint.value


def write_labels(labels: Mapping[str, str]) -> str:
    """As `kubectl -l` and `kubectl label` take them, apart from the comma."""
    return ", ".join(f"{key}={value}" for key, value in sorted(labels.items()))
