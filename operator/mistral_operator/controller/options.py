"""What the operator can be told when it is started."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mistral_operator import __version__
from mistral_operator.capacity.claims.drift import DriftPolicy
from mistral_operator.capacity.claims.slice_upgrades import SliceUpgrades
from mistral_operator.planning.types import Provisioner, Settings

_SET_IN_PODS: Final = "KUBERNETES_SERVICE_HOST"


def find_health_host() -> str:
    """All addresses in a pod, where the kubelet probes from outside; elsewhere only this machine's own."""
    return "0.0.0.0" if _SET_IN_PODS in os.environ else "127.0.0.1"  # noqa: S104


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Options of `run`. What is left empty is discovered: from the pod, from GKE's metadata server, from GKE."""

    kubeconfig: Path | None = None
    """None: the pod's service account, or outside of a pod the user's own kubeconfig."""
    project: str = ""
    location: str = ""
    """Region or zone of the cluster."""
    cluster: str = ""
    zones: tuple[str, ...] = ()
    """Zones for node pools; empty: the cluster's own."""
    provisioners: tuple[Provisioner, ...] = (Provisioner.CONTAINER_API,)
    """What may make node pools; each needs rights of its own."""
    config_connector_namespace: str = ""
    """Of the ContainerNodePools, with the provisioner ConfigConnector; the Lease's when empty."""
    container_api: str = ""
    """Empty: Google. `http://host:port`: a simulated one."""
    compute_api: str = ""
    """The same for Compute Engine, which is asked what would be refused before a pool is created, and makes workload
    policies. Beside a simulated GKE there is none without it.
    """
    live_checks: bool = True
    """Whether it is asked at all."""
    cloud_backoff_scale: float = 1.0
    """Multiplies the waits after refusals of the cloud; below 1 where the cloud is a simulated, faster one."""
    health_host: str = field(default_factory=find_health_host)
    """Health and metrics are served there, to whoever asks."""
    health_port: int = 8080
    """0: any free port."""
    workers: int = 48
    """Models that are reconciled at once."""
    resync_s: float = 600.0
    """How often everything is listed, compared and looked at again."""
    catalogue_directory: Path | None = None
    """An extension of the catalogue, such as a mounted ConfigMap; looked at again and again."""
    leader_elect: bool = False
    lease_namespace: str = "mistral-operator-system"
    lease_name: str = "mistral-operator"
    drain_s: float = 10.0
    """How long work that was begun may go on after SIGTERM."""
    drift: DriftPolicy = DriftPolicy.REPAIR
    """What is done about node pools that somebody changed, where their claims don't say otherwise."""
    slice_upgrades: SliceUpgrades = SliceUpgrades.ONE_BY_ONE
    verbose: bool = False
    settings: Settings = field(default_factory=lambda: Settings(operator_version=__version__))
