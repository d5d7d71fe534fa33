"""What a model's pods say, reduced to what the checks need."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mistral_operator.api.names import REVISION_LABEL, ROLE_LABEL, WORKER_ROLE
from mistral_operator.engines.protocol import Engine

_Object = Mapping[str, Any]
DELETION_COST: Final = "controller.kubernetes.io/pod-deletion-cost"
FINISHED: Final = frozenset({"Succeeded", "Failed"})
"""Phases of pods that run no more, and need no node."""


@dataclass(frozen=True, slots=True)
class PodView:
    """One pod of a replica, or of a conversion."""

    name: str
    uid: str
    revision: str
    leads: bool
    """It answers requests: the one pod of a replica, or the first of several."""
    scheduled: bool
    scheduling_message: str
    """Why it isn't scheduled, in the scheduler's words."""
    ready: bool
    terminating: bool
    running: bool
    """Its engine's container has been started and has not ended."""
    waiting_reason: str
    waiting_message: str
    restarts: int
    last_exit: str
    """How the engine's container ended last: reason, exit code and last words; empty when it never did."""
    node: str
    """Where it is; empty while it has no node."""
    deletion_cost: str
    """The annotation by which a smaller ReplicaSet chooses whom to remove; empty where there is none."""


def view_pods(pods: Iterable[_Object], engines: Iterable[Engine]) -> tuple[PodView, ...]:
    """Read every pod that has not finished, by name. Containers that others have injected say nothing of the model."""
    serving = frozenset(engine.container for engine in engines)
    alive = (pod for pod in pods if pod.get("status", {}).get("phase") not in FINISHED)
    return tuple(sorted((view_pod(pod, serving) for pod in alive), key=lambda pod: pod.name))


def view_pod(pod: _Object, telling: frozenset[str]) -> PodView:
    """Read one pod and, of its containers, the one with such a name."""
    metadata, status = pod["metadata"], pod.get("status", {})
    conditions = {c["type"]: c for c in status.get("conditions") or ()}
    containers = status.get("containerStatuses") or ()
    container: _Object = next((c for c in containers if c.get("name") in telling), {})
    waiting = container.get("state", {}).get("waiting") or {}
    return PodView(
        name=metadata["name"],
        uid=metadata.get("uid", ""),
        revision=metadata.get("labels", {}).get(REVISION_LABEL, ""),
        leads=metadata.get("labels", {}).get(ROLE_LABEL) != WORKER_ROLE,
        scheduled=bool(pod.get("spec", {}).get("nodeName")),
        scheduling_message=conditions.get("PodScheduled", {}).get("message", ""),
        ready=conditions.get("Ready", {}).get("status") == "True" and "deletionTimestamp" not in metadata,
        terminating="deletionTimestamp" in metadata,
        running="running" in container.get("state", {}),
        waiting_reason=waiting.get("reason", ""),
        waiting_message=waiting.get("message", ""),
        restarts=int(container.get("restartCount", 0)),
        last_exit=_last_exit(container),
        node=pod.get("spec", {}).get("nodeName", ""),
        deletion_cost=(metadata.get("annotations") or {}).get(DELETION_COST, ""),
    )


def _last_exit(container: _Object) -> str:
    ended = container.get("state", {}).get("terminated") or container.get("lastState", {}).get("terminated")
    if not ended:
        return ""
    words = ended.get("message", "").strip()
    return f"{ended.get('reason', 'Error')}, exit code {ended.get('exitCode', '?')}" + (f": {words}" if words else "")
