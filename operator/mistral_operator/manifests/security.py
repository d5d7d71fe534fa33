"""What a pod may do: the restricted Pod Security Standard, and a read-only root file system."""

from mistral_operator.engines.protocol import EngineLaunch
from mistral_operator.manifests.identity import Manifest


def pod_security(launch: EngineLaunch) -> Manifest:
    """Run as the image's own unprivileged user."""
    return {
        "runAsNonRoot": True,
        "runAsUser": launch.run_as_user,
        "runAsGroup": launch.run_as_group,
        "fsGroup": launch.run_as_user,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security() -> Manifest:
    """No privilege, no capability, nothing written but the mounted volumes."""
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
