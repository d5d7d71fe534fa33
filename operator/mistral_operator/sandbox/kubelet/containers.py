"""The status of one container, and of a pod from its containers'. Pure, except for the clock passed in."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]

CREATING = "ContainerCreating"


@dataclass(slots=True)
class ContainerStatus:
    """What the kubelet reports of a container; changed in place by its runner."""

    name: str
    image: str
    state: Object = field(default_factory=lambda: {"waiting": {"reason": CREATING}})
    last_state: Object = field(default_factory=dict)
    restarts: int = 0
    ready: bool = False
    started: bool = False
    container_id: str = ""

    def wait(self, reason: str, message: str = "") -> None:
        """It doesn't run, and why."""
        self.state = {"waiting": {"reason": reason} | ({"message": message} if message else {})}
        self.ready = self.started = False

    def run(self, now: str, container_id: str) -> None:
        """It runs; probes say later whether it has started and is ready."""
        self.state = {"running": {"startedAt": now}}
        self.container_id = container_id
        self.ready = self.started = False

    def end(self, exit_code: int, now: str, message: str = "") -> None:
        """Its process has ended."""
        started = self.state.get("running", {}).get("startedAt", now)
        self.state = {
            "terminated": {
                "exitCode": exit_code,
                "reason": "Completed" if exit_code == 0 else "Error",
                "startedAt": started,
                "finishedAt": now,
                "containerID": self.container_id,
            }
            | ({"message": message} if message else {})
        }
        self.ready = self.started = False

    def restart(self) -> None:
        """The state becomes the last one; the next run is one restart more."""
        self.last_state = {"terminated": self.state["terminated"]} if "terminated" in self.state else {}
        self.restarts += 1

    @property
    def exit_code(self) -> int | None:
        """The exit code if it has ended and isn't waiting to run again."""
        terminated = self.state.get("terminated")
        return None if terminated is None else int(terminated["exitCode"])

    def manifest(self) -> Object:
        """A containerStatuses entry."""
        digest = hashlib.sha256(self.image.encode()).hexdigest()
        ran = bool(self.container_id)
        return {
            "name": self.name,
            "image": self.image,
            "imageID": f"{self.image.split('@')[0]}@sha256:{digest}" if ran else "",
            "containerID": self.container_id,
            "state": self.state,
            "lastState": self.last_state,
            "restartCount": self.restarts,
            "ready": self.ready,
            "started": self.started,
        }


def adopted(name: str, image: str, before: Object | None) -> ContainerStatus:
    """A status that goes on from what an earlier kubelet reported: what ran then has to be started again."""
    status = ContainerStatus(name, image)
    if before:
        status.restarts = int(before.get("restartCount", 0)) + (1 if before.get("containerID") else 0)
        status.last_state = before.get("lastState") or {}
    return status


def phase(init: Sequence[ContainerStatus], main: Sequence[ContainerStatus], *, initialized: bool, over: bool) -> str:
    """The pod's phase. `over`: nothing will be started again."""
    if over:
        codes = [status.exit_code for status in (*init, *main)]
        return "Succeeded" if all(code in (0, None) for code in codes) else "Failed"
    if not initialized or any("waiting" in status.state and not status.last_state for status in main):
        return "Pending"
    return "Running"


def conditions(
    main: Sequence[ContainerStatus],
    *,
    sandbox: bool,
    initialized: bool,
    over: bool,
    gates: Sequence[tuple[str, bool]] = (),
    succeeded: bool = False,
) -> list[tuple[str, bool, str, str]]:
    """(type, status, reason, message) of the kubelet's own conditions.

    `gates`: readiness gates, and whether each holds.
    """
    unready = [status.name for status in main if not status.ready]
    reason, message = "", ""
    if over:
        reason = "PodCompleted" if succeeded else "PodFailed"
    elif unready:
        reason, message = "ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]"
    missing = [f'the status of pod readiness gate "{name}" is not "True"' for name, holds in gates if not holds]
    ready = not unready and not over
    open_gate = ready and bool(missing)
    return [
        ("PodReadyToStartContainers", sandbox and not over, "", ""),
        (
            "Initialized",
            initialized,
            "PodCompleted" if succeeded else "" if initialized else "ContainersNotInitialized",
            "",
        ),
        (
            "Ready",
            ready and not missing,
            "ReadinessGatesNotReady" if open_gate else reason,
            f"{'; '.join(missing)}" if open_gate else message,
        ),
        ("ContainersReady", ready, reason, message),
    ]
