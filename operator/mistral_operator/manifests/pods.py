"""The pod template of a revision: rendered once, then stored and used as it is until the revision changes."""

from typing import Any, Final

from mistral_operator.api.engine import Engine
from mistral_operator.api.model import MistralModel, MistralModelSpec
from mistral_operator.api.names import LEADER_ROLE, MODEL_LABEL, REVISION_LABEL, ROLE_LABEL, SHAPE_LABEL
from mistral_operator.api.pod import Pod, PodResources
from mistral_operator.engines.protocol import EngineLaunch
from mistral_operator.engines.vllm_gpu import CACHE_DIRECTORY
from mistral_operator.manifests.identity import Manifest, object_labels
from mistral_operator.manifests.security import container_security, pod_security
from mistral_operator.planning.types import Consumption, PlannedOption

HTTP_PORT_NAME: Final = "http"
PROBE_PERIOD_S: Final = 10
LIVENESS_FAILURES: Final = 6


def build_pod_template(
    model: MistralModel, option: PlannedOption, launch: EngineLaunch, *, container: str, revision: str, claim: str
) -> Manifest:
    """Render the pod of one replica."""
    spec, pod = model.spec, model.spec.pod or Pod()
    return {
        "metadata": {"labels": _labels(model, pod, revision), "annotations": dict(pod.annotations)},
        "spec": {
            "automountServiceAccountToken": False,
            # A Service called `vllm` would inject VLLM_PORT=tcp://…, which the engine refuses.
            "enableServiceLinks": False,
            **({"serviceAccountName": spec.service_account_name} if spec.service_account_name else {}),
            **({"priorityClassName": pod.priority_class_name} if pod.priority_class_name else {}),
            "securityContext": pod_security(launch),
            "nodeSelector": _node_selector(pod, option, claim),
            "tolerations": _tolerations(pod, option),
            "topologySpreadConstraints": [_spread_over_zones(model)],
            "terminationGracePeriodSeconds": launch.termination_grace_s,
            "containers": [_container(spec, pod, option, launch, container)],
            "volumes": _volumes(option),
        },
    }


def _labels(model: MistralModel, pod: Pod, revision: str) -> dict[str, str]:
    return {**pod.labels, **object_labels(model), ROLE_LABEL: LEADER_ROLE, REVISION_LABEL: revision}


def _node_selector(pod: Pod, option: PlannedOption, claim: str) -> dict[str, str]:
    spot = {"cloud.google.com/gke-spot": "true"} if option.consumption is Consumption.SPOT else {}
    return {
        **pod.node_selector,
        "cloud.google.com/gke-accelerator": option.accelerator_label,
        SHAPE_LABEL: claim,
        **spot,
    }


def _tolerations(pod: Pod, option: PlannedOption) -> list[Manifest]:
    users = [t.model_dump(by_alias=True, exclude_none=True, mode="json") for t in pod.tolerations]
    ours = {"key": option.resource_name, "operator": "Exists", "effect": "NoSchedule"}
    return [ours, *users]


def _spread_over_zones(model: MistralModel) -> Manifest:
    return {
        "maxSkew": 1,
        "topologyKey": "topology.kubernetes.io/zone",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {MODEL_LABEL: model.metadata.name}},
    }


def _container(spec: MistralModelSpec, pod: Pod, option: PlannedOption, launch: EngineLaunch, name: str) -> Manifest:
    return {
        "name": name,
        "image": launch.image,
        "command": list(launch.command),
        "args": list(launch.args),
        "env": _environment(spec, launch),
        "ports": [{"name": HTTP_PORT_NAME, "containerPort": launch.port, "protocol": "TCP"}],
        "resources": _resources(pod, option),
        "startupProbe": _probe(launch, failures=-(-launch.startup_budget_s // PROBE_PERIOD_S)),
        "readinessProbe": _probe(launch, failures=3),
        "livenessProbe": _probe(launch, failures=LIVENESS_FAILURES),
        "lifecycle": {"preStop": {"sleep": {"seconds": launch.endpoint_removal_s}}},
        "securityContext": container_security(),
        # The engine's last words reach the pod's status, and so the model's conditions.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108  shared memory of the tensor-parallel ranks
            {"name": "cache", "mountPath": CACHE_DIRECTORY},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  the pod's own emptyDir
        ],
    }


def _environment(spec: MistralModelSpec, launch: EngineLaunch) -> list[Manifest]:
    ours: list[Manifest] = [{"name": name, "value": value} for name, value in sorted(launch.env.items())]
    source = spec.weights.hugging_face if spec.weights else None
    token = source.token_secret_ref if source else None
    if token:
        reference = {"name": token.name, "key": token.key}
        ours.append({"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": reference}})
    users = [variable.model_dump(by_alias=True, exclude_none=True) for variable in (spec.engine or Engine()).env]
    return [*ours, *users]


def _resources(pod: Pod, option: PlannedOption) -> Manifest:
    users = pod.resources or PodResources()
    requests = {"cpu": option.host_cpu, "memory": option.host_memory, **users.requests}
    limits = {"memory": option.host_memory, **users.limits}
    devices = {option.resource_name: str(option.devices)}
    return {"requests": {**requests, **devices}, "limits": {**limits, **devices}}


def _probe(launch: EngineLaunch, *, failures: int) -> Manifest:
    return {
        "httpGet": {"path": launch.health_path, "port": HTTP_PORT_NAME},
        "periodSeconds": PROBE_PERIOD_S,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }


def _volumes(option: PlannedOption) -> list[dict[str, Any]]:
    shm_mebibytes = option.shm_bytes // 2**20
    return [
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": f"{shm_mebibytes}Mi"}},
        {"name": "cache", "emptyDir": {}},
        {"name": "tmp", "emptyDir": {}},
    ]
