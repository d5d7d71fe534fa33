"""The Job that makes an engine's own checkpoint of published weights, on the kind of node that will serve it."""

from typing import Final

from mistral_operator.api.model import MistralModel
from mistral_operator.api.names import (
    APP_INSTANCE_LABEL,
    APP_NAME_LABEL,
    CONVERTER_ROLE,
    MANAGED_BY,
    MANAGED_BY_LABEL,
    ROLE_LABEL,
)
from mistral_operator.api.pod import Pod
from mistral_operator.engines.protocol import CACHE_DIRECTORY, Conversion
from mistral_operator.manifests.containers import TMP_MOUNT, build_environment
from mistral_operator.manifests.identity import Manifest, hash_content, own
from mistral_operator.manifests.pods import avoid_nodes, select_nodes, tolerate_nodes
from mistral_operator.manifests.security import container_security, pod_security
from mistral_operator.planning.types import PlannedOption

KIND: Final = "Job"
_LONGEST_TRY_S: Final = 6 * 60 * 60
"""One that hangs must not hold a machine with TPUs for ever. Own estimate: half an hour for the download of Mixtral
8x22B, as long for the upload, and the rest for the conversion, which nobody has timed. It is the pod's and not the
Job's deadline, because the Job's also counts while a pod waits for a machine."""
_TRIES: Final = 3
"""A download may break; a checkpoint that can't be converted can't be the third time either."""


def build_conversion_spec(
    model: MistralModel, option: PlannedOption, conversion: Conversion, *, claim: str
) -> Manifest:
    """The Job's spec. It can't be changed later, so it is pinned with the revision.

    Its pods lack the label that every replica has: no Service, Deployment or budget counts them.
    """
    labels = {
        APP_NAME_LABEL: "mistral-model-conversion",
        APP_INSTANCE_LABEL: model.metadata.name,
        MANAGED_BY_LABEL: MANAGED_BY,
        ROLE_LABEL: CONVERTER_ROLE,
    }
    account = model.spec.service_account_name
    pod = model.spec.pod or Pod()
    return {
        "backoffLimit": _TRIES - 1,
        "template": {
            "metadata": {"labels": labels},
            "spec": {
                "activeDeadlineSeconds": _LONGEST_TRY_S,
                "restartPolicy": "Never",
                "automountServiceAccountToken": False,
                "enableServiceLinks": False,
                **({"serviceAccountName": account} if account else {}),
                "securityContext": pod_security(conversion.run_as_user, conversion.run_as_group),
                "nodeSelector": select_nodes(pod, option, claim),
                **avoid_nodes(option),
                "tolerations": tolerate_nodes(pod, option, claim),
                "containers": [_container(model, option, conversion)],
                "volumes": [{"name": "cache", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}],
            },
        },
    }


def _container(model: MistralModel, option: PlannedOption, conversion: Conversion) -> Manifest:
    launch = conversion.container
    return {
        "name": launch.name,
        "image": launch.image,
        "command": list(launch.command),
        "args": list(launch.args),
        "env": build_environment(model.spec, launch),
        "resources": {
            "requests": {"cpu": option.host_cpu, "memory": option.host_memory},
            "limits": {"memory": option.host_memory},
        },
        "securityContext": container_security(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [{"name": "cache", "mountPath": CACHE_DIRECTORY}, TMP_MOUNT],
    }


def name_conversion(model: MistralModel, spec: Manifest) -> str:
    """Named by what it does: revisions that need the same checkpoint share the Job that has made it."""
    return f"{model.metadata.name}-convert-{hash_content(spec)}"


def build_conversion(model: MistralModel, spec: Manifest) -> Manifest:
    """Render the Job."""
    return own(model, api_version="batch/v1", kind=KIND, name=name_conversion(model, spec), spec=spec)
