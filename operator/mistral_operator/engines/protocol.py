"""What every serving engine can say about how it is run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from mistral_operator.api.model import MistralModelSpec
from mistral_operator.planning.types import Plan, PlannedOption

HTTP_PORT_NAME: Final = "http"
"""The port that answers requests, whichever container has it."""
CACHE_DIRECTORY: Final = "/cache"
CONVERTER: Final = "convert"
"""Name of the container that converts."""


@dataclass(frozen=True, slots=True)
class Check:
    """How a container is asked whether it works."""

    port: str
    """The port's name."""
    path: str = ""
    """What to GET there; empty where it is enough that the port accepts connections."""


@dataclass(frozen=True, slots=True)
class ContainerLaunch:
    """One container, before Kubernetes: what to run, where it listens and how it is asked."""

    name: str
    image: str
    command: tuple[str, ...]
    args: tuple[str, ...]
    env: Mapping[str, str]
    ports: Mapping[str, int] = field(default_factory=dict)
    """Name → number."""
    ready: Check | None = None
    """May it get requests?"""
    alive: Check | None = None
    """Should it go on running, or be restarted?"""


@dataclass(frozen=True, slots=True)
class EngineLaunch:
    """One replica: the engine's container, and what else it takes to serve and to end."""

    engine: ContainerLaunch
    startup_budget_s: int
    """How long the start may take before the container is restarted, from the plan with room to spare."""
    drain_s: int
    """How long running requests may go on after SIGTERM."""
    endpoint_removal_s: int
    """How long to wait before SIGTERM, so that no new request arrives."""
    run_as_user: int
    run_as_group: int
    scratch: Mapping[str, str] = field(default_factory=lambda: {"cache": CACHE_DIRECTORY})
    """Volume → where the engine's container has it: empty at the start of a pod, and the pod's own."""
    worker: ContainerLaunch | None = None
    """The engine's container on the other hosts of a multi-host slice."""
    gateway: ContainerLaunch | None = None
    """The container that speaks OpenAI's API in front of an engine that doesn't."""

    @property
    def engine_hold_s(self) -> int:
        """How long the engine waits before SIGTERM: behind a gateway until that has finished what it has begun."""
        return self.endpoint_removal_s + (self.drain_s if self.gateway else 0)

    @property
    def termination_grace_s(self) -> int:
        """From the pod's deletion to SIGKILL: all waits, and time for the process to end."""
        return self.engine_hold_s + self.drain_s + 10


@dataclass(frozen=True, slots=True)
class Conversion:
    """A Job that makes an engine's own checkpoint of published weights, before anything is served."""

    container: ContainerLaunch
    run_as_user: int
    run_as_group: int


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

    def convert(self, plan: Plan, option: PlannedOption) -> Conversion | None:
        """Say how to make the checkpoint that `option` serves; None where the engine loads the repository itself."""
        ...
