"""What every serving engine can say about how it is run."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from mistral_operator.api.model import MistralModelSpec
from mistral_operator.planning.types import Plan, PlannedOption


@dataclass(frozen=True, slots=True)
class EngineLaunch:
    """One engine container, before Kubernetes: what to run, where it listens, how it is asked and how it ends."""

    image: str
    command: tuple[str, ...]
    args: tuple[str, ...]
    env: Mapping[str, str]
    port: int
    health_path: str
    startup_budget_s: int
    """How long the start may take before the container is restarted, from the plan with room to spare."""
    drain_s: int
    """How long running requests may go on after SIGTERM."""
    endpoint_removal_s: int
    """How long to wait before SIGTERM, so that no new request arrives."""
    run_as_user: int
    run_as_group: int

    @property
    def termination_grace_s(self) -> int:
        """From the pod's deletion to SIGKILL: both waits, and time for the process to end."""
        return self.endpoint_removal_s + self.drain_s + 10


class Engine(Protocol):
    """One serving engine. An implementation is stateless."""

    id: str
    container: str
    """Name of the container that serves."""
    queue_metric: str
    """The metric of waiting requests, as a HorizontalPodAutoscaler names it."""
    owned_flags: frozenset[str]
    """Flags that the plan decides; `spec.engine.extraArgs` may not repeat them."""
    owned_env: frozenset[str]
    """Environment variables that the operator sets; `spec.engine.env` may not repeat them."""

    def launch(self, spec: MistralModelSpec, plan: Plan, option: PlannedOption) -> EngineLaunch:
        """Say how to run one replica of `plan` as `option`."""
        ...
