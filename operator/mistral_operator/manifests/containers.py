"""One container of a replica's pod."""

from collections.abc import Sequence
from typing import Any, Final

from mistral_operator.api.engine import Engine
from mistral_operator.api.model import MistralModelSpec
from mistral_operator.api.pod import Pod, PodResources
from mistral_operator.engines.protocol import Check, ContainerLaunch, EngineLaunch
from mistral_operator.manifests.identity import Manifest
from mistral_operator.manifests.security import container_security
from mistral_operator.planning.types import PlannedOption

PROBE_PERIOD_S: Final = 10
LIVENESS_FAILURES: Final = 6
TMP_MOUNT: Final = {"name": "tmp", "mountPath": "/tmp"}  # noqa: S108  the pod's own emptyDir
_SHM_MOUNT: Final = {"name": "shm", "mountPath": "/dev/shm"}  # noqa: S108  shared memory of the tensor-parallel ranks
# The gateway translates; its work is a process's own event loop, and some room for tokenizers and open streams.
_GATEWAY_RESOURCES: Final = {"requests": {"cpu": "1", "memory": "512Mi"}, "limits": {"memory": "1Gi"}}
_GATEWAY_STARTUP_S: Final = 60


def build_engine_container(
    spec: MistralModelSpec, pod: Pod, option: PlannedOption, launch: EngineLaunch, container: ContainerLaunch
) -> Manifest:
    """The engine, on the leader or on another host."""
    scratch = [{"name": name, "mountPath": path} for name, path in launch.scratch.items()]
    return {
        "name": container.name,
        "image": container.image,
        "command": list(container.command),
        "args": list(container.args),
        "env": [*build_environment(spec, container), *_users_environment(spec)],
        **_ports(container),
        "resources": request_resources(pod, option),
        **_probes(container, startup_s=launch.startup_budget_s),
        "lifecycle": {"preStop": {"sleep": {"seconds": launch.engine_hold_s}}},
        "securityContext": container_security(),
        # The engine's last words reach the pod's status, and so the model's conditions.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [_SHM_MOUNT, *scratch, TMP_MOUNT],
    }


def build_gateway_container(launch: EngineLaunch, container: ContainerLaunch) -> Manifest:
    """The gateway in front of an engine: without a device, and with no volume, as it writes no files."""
    return {
        "name": container.name,
        "image": container.image,
        "command": list(container.command),
        "args": list(container.args),
        **_ports(container),
        "resources": _GATEWAY_RESOURCES,
        **_probes(container, startup_s=_GATEWAY_STARTUP_S),
        "lifecycle": {"preStop": {"sleep": {"seconds": launch.endpoint_removal_s}}},
        "securityContext": container_security(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def build_environment(spec: MistralModelSpec, container: ContainerLaunch) -> list[Manifest]:
    """The operator's own variables, and the access token where there is one; its value is in the Secret alone."""
    ours: list[Manifest] = [{"name": name, "value": value} for name, value in sorted(container.env.items())]
    source = spec.weights.hugging_face if spec.weights else None
    token = source.token_secret_ref if source else None
    if token:
        reference = {"name": token.name, "key": token.key}
        ours.append({"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": reference}})
    return ours


def _users_environment(spec: MistralModelSpec) -> Sequence[Manifest]:
    return [variable.model_dump(by_alias=True, exclude_none=True) for variable in (spec.engine or Engine()).env]


def _ports(container: ContainerLaunch) -> Manifest:
    ports = [{"name": name, "containerPort": number, "protocol": "TCP"} for name, number in container.ports.items()]
    return {"ports": ports} if ports else {}


def request_resources(pod: Pod, option: PlannedOption) -> Manifest:
    """What the engine asks of its node: the plan's, or the user's instead, and the devices."""
    users = pod.resources or PodResources()
    requests = {"cpu": option.host_cpu, "memory": option.host_memory, **users.requests}
    limits = {"memory": option.host_memory, **users.limits}
    devices = {option.resource_name: str(option.devices_per_host)}
    return {"requests": {**requests, **devices}, "limits": {**limits, **devices}}


def _probes(container: ContainerLaunch, *, startup_s: int) -> dict[str, Any]:
    if container.ready is None or container.alive is None:
        return {}
    return {
        "startupProbe": _probe(container.alive, failures=-(-startup_s // PROBE_PERIOD_S)),
        "readinessProbe": _probe(container.ready, failures=3),
        "livenessProbe": _probe(container.alive, failures=LIVENESS_FAILURES),
    }


def _probe(check: Check, *, failures: int) -> Manifest:
    how = {"httpGet": {"path": check.path, "port": check.port}} if check.path else {"tcpSocket": {"port": check.port}}
    return {**how, "periodSeconds": PROBE_PERIOD_S, "timeoutSeconds": 5, "failureThreshold": failures}
