"""What a pod may do: the restricted Pod Security Standard, and a read-only root file system."""

from mistral_operator.manifests.identity import Manifest


def pod_security(user: int, group: int) -> Manifest:
    """Run as the image's own unprivileged user."""
    return {
        "runAsNonRoot": True,
        "runAsUser": user,
        "runAsGroup": group,
        "fsGroup": user,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security() -> Manifest:
    """No privilege, no capability, nothing written but the mounted volumes."""
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
