"""What the runners of one pod share."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mistral_operator.sandbox.dial import DialMap
from mistral_operator.sandbox.kube import Kube

from .events import Events
from .images import Images
from .probes import Dialler
from .settings import KubeletSettings

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Machinery:
    """One for all pods."""

    kube: Kube
    dial: DialMap
    dialler: Dialler
    images: Images
    events: Events
    settings: KubeletSettings
    log_directory: Path


@dataclass(slots=True)
class PodContext:
    """One pod: its manifest as last seen, its addresses, and whom to tell that a container's status changed."""

    machinery: Machinery
    pod: Object
    changed: Callable[[], None]
    pod_ip: str = ""
    host_ip: str = ""

    @property
    def node(self) -> str:
        return str(self.pod["spec"]["nodeName"])

    @property
    def name(self) -> str:
        return str(self.pod["metadata"]["name"])

    @property
    def namespace(self) -> str:
        return str(self.pod["metadata"]["namespace"])

    @property
    def uid(self) -> str:
        return str(self.pod["metadata"]["uid"])

    @property
    def path(self) -> str:
        """The pod's API path."""
        return f"/api/v1/namespaces/{self.namespace}/pods/{self.name}"

    @property
    def restart_policy(self) -> str:
        return str(self.pod["spec"].get("restartPolicy", "Always"))

    def note(self, type_: str, reason: str, message: str) -> None:
        """Record a Kubernetes Event on the pod."""
        self.machinery.events.note(self.pod, type_, reason, message)

    def log_file(self, container: str) -> Path:
        """Where a container's output goes."""
        return self.machinery.log_directory / f"{self.namespace}_{self.name}_{self.uid[:8]}" / f"{container}.log"
