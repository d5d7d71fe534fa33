"""Nodes that are there, short to write in tests: of GKE, and of a cluster that isn't."""

from typing import Any

from mistral_operator.planning.nodes import NodeGroup, Taint, read_group

Json = dict[str, Any]
GPU = "nvidia.com/gpu"


def gke_labels(machine_type: str = "g2-standard-12", accelerator: str = "nvidia-l4", **labels: str) -> dict[str, str]:
    """What GKE puts on a node of a pool with GPUs; `labels` are more of them."""
    return {
        "cloud.google.com/gke-accelerator": accelerator,
        "cloud.google.com/gke-nodepool": "gpus",
        "kubernetes.io/arch": "amd64",
        "node.kubernetes.io/instance-type": machine_type,
        "topology.kubernetes.io/zone": "us-central1-a",
        **labels,
    }


def nvidia_labels(product: str = "NVIDIA-H100-80GB-HBM3", **labels: str) -> dict[str, str]:
    """What GPU feature discovery puts on a node of somebody's own."""
    return {"nvidia.com/gpu.product": product, "nvidia.com/gpu.count": "8", "kubernetes.io/arch": "amd64", **labels}


def allocatable(
    devices: int = 1, *, cpu: str = "11910m", memory: str = "41Gi", resource: str = "nvidia.com/gpu"
) -> Json:
    return {"cpu": cpu, "memory": memory, "pods": "110", resource: str(devices)}


def _own_taint(resource: str = "nvidia.com/gpu", **_: Any) -> Taint:
    """That of nodes with devices, which their pods tolerate."""
    return Taint(resource, "present")


def a_group(labels: dict[str, str] | None = None, *taints: Taint, **room: Any) -> NodeGroup:
    """A kind of node; one with an L4 of GKE unless `labels` say otherwise."""
    return read_group(gke_labels() if labels is None else labels, allocatable(**room), (_own_taint(**room), *taints))


def a_node(
    name: str = "node-1", labels: dict[str, str] | None = None, *taints: Taint, ready: bool = True, **room: Any
) -> Json:
    """A Node as the API server has it."""
    every = (_own_taint(**room), *taints)
    written = [{"key": item.key, "value": item.value, "effect": item.effect} for item in every]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "uid": f"uid-{name}", "labels": gke_labels() if labels is None else labels},
        "spec": {"taints": written},
        "status": {
            "allocatable": allocatable(**room),
            "conditions": [{"type": "Ready", "status": "True" if ready else "False", "reason": "KubeletReady"}],
        },
    }
