"""The NodePoolClaim that an option of a plan needs: the same for every model that can share the pool."""

import re

from mistral_operator.api.capacity import MACHINE_TYPE_PATTERN, SharingStrategy
from mistral_operator.api.model import MistralModel
from mistral_operator.api.names import API_VERSION, CLAIM_KIND, MANAGED_BY, MANAGED_BY_LABEL
from mistral_operator.api.pod import Pod
from mistral_operator.manifests.containers import request_resources
from mistral_operator.manifests.identity import Manifest, hash_content
from mistral_operator.manifests.pods import select_nodes
from mistral_operator.planning.types import Consumption, PlannedOption, Provisioner, Purchase

_MODES = {
    Consumption.ON_DEMAND: "od",
    Consumption.SPOT: "spot",
    Consumption.FLEX_START: "flex",
    Consumption.RESERVATION: "res",
}
_CLASS = "cc"
"""In place of a mode: GKE chooses among those of a ComputeClass."""


def _share(option: PlannedOption) -> Manifest:
    if option.partition:
        return {"strategy": SharingStrategy.MIG.value, "partition": option.partition}
    return {"strategy": SharingStrategy.TIME_SHARING.value, "clients": option.clients}


def build_claim(model: MistralModel, option: PlannedOption) -> Manifest:
    """Render the claim; for a multi-host slice, what the claims of all its replicas have in common.

    Its name is made from its content, so equal needs of one tenant meet in one pool. It carries no hash of its own:
    models that were planned by different versions share it without rewriting it.
    """
    provisioner = option.provisioner
    spec: Manifest = {
        # Left out where it is the container API, so that claims of earlier versions are still the same ones.
        **({} if provisioner is Provisioner.CONTAINER_API else {"provisioner": provisioner.value}),
        "shape": {
            **({"machineType": option.machine_type} if _is_googles(option) else {}),
            "accelerator": {"type": option.accelerator_label, "count": option.devices_per_node},
            **({"topology": option.topology} if option.topology else {}),
            **({"sharing": _share(option)} if option.shared_gpus else {}),
            **({"hosts": option.hosts} if option.hosts > 1 else {}),
        },
        **({"placement": "WorkloadPolicy"} if option.placement_policy else {}),
        "consumption": option.consumption.value,
        **({"reservation": option.reservation} if option.reservation else {}),
        **({"maxRunDurationSeconds": option.max_run_s} if option.max_run_s else {}),
        **({"imageCache": option.image_cache} if option.image_cache else {}),
        **({"zones": sorted(option.zones)} if option.zones else {}),
        **({"alternatives": [_alternative(item) for item in option.alternatives[1:]]} if option.alternatives else {}),
        "tenant": model.metadata.namespace,
        # A slice serves one replica of one model; ordinary pools are shared.
        **({"model": model.metadata.name} if option.hosts > 1 else {}),
        **({"resourceLabels": dict(sorted(model.spec.resource_labels.items()))} if model.spec.resource_labels else {}),
    }
    if provisioner is Provisioner.EXISTING:
        spec["nodes"] = _select_existing(model.spec.pod or Pod(), option)
    name = f"{_name_hardware(option)}-{hash_content(spec)}"
    return {
        "apiVersion": API_VERSION,
        "kind": CLAIM_KIND,
        "metadata": {"name": name, "labels": {MANAGED_BY_LABEL: MANAGED_BY}},
        "spec": spec,
    }


def _alternative(purchase: Purchase) -> Manifest:
    return {
        "consumption": purchase.consumption.value,
        **({"reservation": purchase.reservation} if purchase.reservation else {}),
        **({"maxRunDurationSeconds": purchase.max_run_s} if purchase.max_run_s else {}),
        "zones": sorted(purchase.zones),
    }


def _is_googles(option: PlannedOption) -> bool:
    """Nodes that are there may be of any machine type, or say of none."""
    made = option.provisioner is not Provisioner.EXISTING
    return made or re.fullmatch(MACHINE_TYPE_PATTERN, option.machine_type) is not None


def _name_hardware(option: PlannedOption) -> str:
    """The beginning of the name; a machine type that isn't Google's may be no name for an object."""
    if option.provisioner is Provisioner.EXISTING:
        return f"{option.accelerator}-x{option.devices}-ex"
    mode = _CLASS if option.provisioner is Provisioner.COMPUTE_CLASS else _MODES[option.consumption]
    return f"{option.machine_type}-{mode}"


def _select_existing(pod: Pod, option: PlannedOption) -> Manifest:
    """What nodes that are there must be for the model's pods, as those ask for it."""
    tolerations = [item.model_dump(by_alias=True, exclude_none=True, mode="json") for item in pod.tolerations]
    return {
        "selector": select_nodes(pod, option, ""),
        **({"tolerations": tolerations} if tolerations else {}),
        "requests": request_resources(pod, option)["requests"],
    }
