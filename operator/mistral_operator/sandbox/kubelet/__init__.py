"""A stand-in for the kubelets of all nodes: pods go through their phases, engines run as local processes."""

from .kubelet import Kubelet
from .settings import KubeletSettings

__all__ = ["Kubelet", "KubeletSettings"]
