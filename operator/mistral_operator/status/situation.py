"""Everything that the checks may look at, gathered once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mistral_operator.api.model import MistralModel
from mistral_operator.planning.types import ClusterProfile, Plan
from mistral_operator.status.findings import Finding
from mistral_operator.status.pods import PodView

_Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Situation:
    """One model, as it is now."""

    model: MistralModel
    cluster: ClusterProfile
    accepted: Finding
    plan: Plan | None
    """The pinned plan that is served or being rolled out; None when there never was one."""
    revision: str
    """The pinned plan's hash; empty when there is none."""
    planner_version: str
    wanted_replicas: int
    """What the workload is asked for: `spec.replicas`, less what is suspended or over the spend limit."""
    pods: tuple[PodView, ...]
    pod_events: tuple[_Object, ...]
    claim: _Object | None
    deployment: _Object | None
    autoscaler: _Object | None
    """The live HorizontalPodAutoscaler; None when there is none, or none yet."""
    wants_autoscaler: bool

    @property
    def standing_pods(self) -> tuple[PodView, ...]:
        """Pods that are not on their way out."""
        return tuple(pod for pod in self.pods if not pod.terminating)

    @property
    def ready_pods(self) -> tuple[PodView, ...]:
        """Pods that answer requests now, of any revision."""
        return tuple(pod for pod in self.pods if pod.ready)

    @property
    def current_pods(self) -> tuple[PodView, ...]:
        """Standing pods of the pinned plan."""
        return tuple(pod for pod in self.standing_pods if pod.revision == self.revision)

    @property
    def rolled_out(self) -> bool:
        """True when just the wanted replicas of the pinned plan stand, and all of them are ready."""
        current = [pod for pod in self.current_pods if pod.ready]
        return len(current) == self.wanted_replicas == len(self.standing_pods)
