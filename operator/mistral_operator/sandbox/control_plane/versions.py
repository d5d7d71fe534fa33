"""Which control plane the sandbox runs; `binaries/go.mod` names the same versions, and a test compares them."""

from dataclasses import dataclass

KUBERNETES_VERSION = "v1.36.3"
ETCD_VERSION = "v3.6.8"
KUBERNETES_NAMES = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")
NAMES = ("etcd", *KUBERNETES_NAMES)


@dataclass(frozen=True, slots=True)
class Target:
    """An operating system and a processor in Go's words, such as linux and amd64."""

    os: str
    arch: str
