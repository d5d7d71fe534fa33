"""A real Kubernetes control plane on this machine: binaries, certificates, processes."""

from .plane import ControlPlane, ControlPlaneError

__all__ = ["ControlPlane", "ControlPlaneError"]
