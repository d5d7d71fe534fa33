"""The pod templates of one replica: rendered once, then stored and used as they are until the revision changes."""

from typing import Any

from mistral_operator.api.model import MistralModel
from mistral_operator.api.names import (
    COMPUTE_CLASS_LABEL,
    LEADER_ROLE,
    POOL_PREFIX,
    REVISION_LABEL,
    ROLE_LABEL,
    SHAPE_LABEL,
    WORKER_ROLE,
)
from mistral_operator.api.pod import Pod
from mistral_operator.engines.protocol import EngineLaunch
from mistral_operator.manifests.containers import build_engine_container, build_gateway_container
from mistral_operator.manifests.identity import Manifest, object_labels, part_labels, workload_selector
from mistral_operator.manifests.security import pod_security
from mistral_operator.planning.nodes import SPOT_LABEL, ZONE_LABEL
from mistral_operator.planning.types import Consumption, PlannedOption, Provisioner


def build_pod_template(
    model: MistralModel, option: PlannedOption, launch: EngineLaunch, *, revision: str, claim: str
) -> Manifest:
    """Render the pod that answers requests: the whole replica, or the leader of one that has several hosts."""
    engine = build_engine_container(model.spec, model.spec.pod or Pod(), option, launch, launch.engine)
    front = [build_gateway_container(launch, launch.gateway)] if launch.gateway else []
    return _template(model, option, launch, [engine, *front], role=LEADER_ROLE, revision=revision, claim=claim)


def build_worker_template(
    model: MistralModel, option: PlannedOption, launch: EngineLaunch, *, revision: str, claim: str
) -> Manifest | None:
    """Render the pod of each other host of a multi-host slice; None where a replica is one pod."""
    if launch.worker is None:
        return None
    engine = build_engine_container(model.spec, model.spec.pod or Pod(), option, launch, launch.worker)
    return _template(model, option, launch, [engine], role=WORKER_ROLE, revision=revision, claim=claim)


def _template(
    model: MistralModel,
    option: PlannedOption,
    launch: EngineLaunch,
    containers: list[Manifest],
    *,
    role: str,
    revision: str,
    claim: str,
) -> Manifest:
    spec, pod = model.spec, model.spec.pod or Pod()
    # The hosts of a slice are in one zone, and so is each group; which one is its claim's matter.
    spread = {"topologySpreadConstraints": [_spread_over_zones(model)]} if option.hosts == 1 else {}
    return {
        "metadata": {"labels": _labels(model, pod, role, revision), "annotations": dict(pod.annotations)},
        "spec": {
            "automountServiceAccountToken": False,
            # A Service called `vllm` would inject VLLM_PORT=tcp://…, which the engine refuses.
            "enableServiceLinks": False,
            **({"serviceAccountName": spec.service_account_name} if spec.service_account_name else {}),
            **({"priorityClassName": pod.priority_class_name} if pod.priority_class_name else {}),
            "securityContext": pod_security(launch.run_as_user, launch.run_as_group),
            "nodeSelector": select_nodes(pod, option, claim),
            **avoid_nodes(option),
            "tolerations": tolerate_nodes(pod, option, claim),
            **spread,
            "terminationGracePeriodSeconds": launch.termination_grace_s,
            "containers": containers,
            "volumes": _volumes(option, launch),
        },
    }


def _labels(model: MistralModel, pod: Pod, role: str, revision: str) -> dict[str, str]:
    own = {**object_labels(model), **workload_selector(model), **part_labels(model)}
    return {**pod.labels, **own, ROLE_LABEL: role, REVISION_LABEL: revision}


def select_nodes(pod: Pod, option: PlannedOption, claim: str) -> dict[str, str]:
    """The claim's nodes, and in GKE's own words what they have.

    A TPU's label and topology don't tell its machine: 2x4 is one machine of 8 chips or a slice of two with 4. Beside a
    ComputeClass nothing else is asked for: its priorities say what the nodes have and how they are bought.
    """
    if option.provisioner is Provisioner.COMPUTE_CLASS:
        return {**pod.node_selector, COMPUTE_CLASS_LABEL: POOL_PREFIX + claim, SHAPE_LABEL: claim}
    spot = {SPOT_LABEL: "true"} if option.consumption is Consumption.SPOT else {}
    if option.provisioner is Provisioner.EXISTING:
        return {**pod.node_selector, **option.node_labels, **spot}
    if option.topology:
        devices = {
            "cloud.google.com/gke-tpu-accelerator": option.accelerator_label,
            "cloud.google.com/gke-tpu-topology": option.topology,
            "node.kubernetes.io/instance-type": option.machine_type,
        }
    else:
        devices = {"cloud.google.com/gke-accelerator": option.accelerator_label, **_select_sharing(option)}
    return {**pod.node_selector, **devices, SHAPE_LABEL: claim, **spot}


def _select_sharing(option: PlannedOption) -> dict[str, str]:
    """GKE's labels of nodes whose GPUs are divided in this way."""
    if option.partition:
        return {"cloud.google.com/gke-gpu-partition-size": option.partition}
    if option.clients > 1:
        return {
            "cloud.google.com/gke-gpu-sharing-strategy": "time-sharing",
            "cloud.google.com/gke-max-shared-clients-per-gpu": str(option.clients),
        }
    return {}


def avoid_nodes(option: PlannedOption) -> Manifest:
    """Among nodes that were there before: none of a pool that the operator made for a claim, which isn't shared with
    whoever comes by; none that Google may take back unless that was asked for; and none of other zones than asked for.
    """
    if option.provisioner is not Provisioner.EXISTING:
        return {}
    absent = [SHAPE_LABEL, *([] if option.consumption is Consumption.SPOT else [SPOT_LABEL])]
    terms: list[Manifest] = [{"key": key, "operator": "DoesNotExist"} for key in absent]
    if option.zones:
        terms.append({"key": ZONE_LABEL, "operator": "In", "values": sorted(option.zones)})
    required = {"nodeSelectorTerms": [{"matchExpressions": terms}]}
    return {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}}


def tolerate_nodes(pod: Pod, option: PlannedOption, claim: str) -> list[Manifest]:
    """GKE's taints on nodes with devices and on those of a ComputeClass, and what the user tolerates."""
    users = [t.model_dump(by_alias=True, exclude_none=True, mode="json") for t in pod.tolerations]
    ours = [{"key": option.resource_name, "operator": "Exists", "effect": "NoSchedule"}]
    if option.provisioner is Provisioner.COMPUTE_CLASS:
        ours.append({"key": COMPUTE_CLASS_LABEL, "value": POOL_PREFIX + claim, "effect": "NoSchedule"})
    return [*ours, *users]


def _spread_over_zones(model: MistralModel) -> Manifest:
    return {
        "maxSkew": 1,
        "topologyKey": "topology.kubernetes.io/zone",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": workload_selector(model)},
    }


def _volumes(option: PlannedOption, launch: EngineLaunch) -> list[dict[str, Any]]:
    shm_mebibytes = option.shm_bytes // 2**20
    return [
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": f"{shm_mebibytes}Mi"}},
        *({"name": name, "emptyDir": {}} for name in launch.scratch),
        {"name": "tmp", "emptyDir": {}},
    ]
