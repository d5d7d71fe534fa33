"""Kubernetes Events as the cluster autoscaler writes them: one object for each text, its count going up."""

import asyncio
import hashlib
import logging
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mistral_operator.sandbox.kube import Kube, KubeError

from .pace import Pace
from .pools import PodRef

log = logging.getLogger(__name__)

COMPONENT = "cluster-autoscaler"
REPEAT_S = 300.0
"""In simulated seconds: nothing is said again about the same object for the same reason before, whatever the words.

As the cluster autoscaler has client-go filter its events; that goes by the object alone, so that a failure may be
swallowed which comes soon after the attempt. Whether GKE's does so isn't known: here each reason is told.
"""
REMEMBERED = 5000
LONGEST_MESSAGE = 250
"""GKE cuts the messages of FailedScaleUp here."""
OUT_OF_RESOURCES = re.compile("GCE_STOCKOUT|RESOURCE_POOL_EXHAUSTED")


@dataclass(slots=True)
class _Written:
    name: str
    count: int


def failed_scale_up(zones: list[str], codes: list[str]) -> str:
    """GKE's message for pods whose nodes didn't come."""
    causes = ", ".join(dict.fromkeys(_cause(code) for code in codes))
    text = f"Node scale up in zones {', '.join(dict.fromkeys(zones))} associated with this pod failed: {causes}."
    return f"{text} Pod is at risk of not being scheduled."[:LONGEST_MESSAGE]


def _cause(code: str) -> str:
    """Its words for reservations are not known: here its own code for them."""
    if OUT_OF_RESOURCES.search(code):
        return "GCE out of resources"
    if "QUOTA" in code:
        return "GCE quota exceeded"
    if "IP_SPACE_EXHAUSTED" in code:
        return "IP space exhausted"
    return f"GCE error {code}" if "RESERVATION" in code else "Internal error"


class EventWriter:
    """Writes events one after the other in a task of its own; a failed write is logged, as client-go does."""

    def __init__(self, kube: Kube, pace: Pace) -> None:
        self._kube = kube
        self._pace = pace
        self._written: dict[str, _Written] = {}
        self._told_at_s: dict[tuple[str, str], float] = {}
        self._queue: asyncio.Queue[tuple[dict[str, str], str, str, str]] = asyncio.Queue()

    def on_pod(self, pod: PodRef, kind: str, reason: str, message: str) -> None:
        """`kind` is Normal or Warning."""
        involved = {"apiVersion": "v1", "kind": "Pod", "namespace": pod.namespace, "name": pod.name, "uid": pod.uid}
        self._tell(involved, kind, reason, message)

    def on_node(self, name: str, kind: str, reason: str, message: str) -> None:
        """Events about nodes live in the namespace `default`, with the node's name as uid."""
        involved = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": name}
        self._tell(involved, kind, reason, message)

    def _tell(self, involved: dict[str, str], kind: str, reason: str, message: str) -> None:
        key, now_s = (involved["uid"], reason), self._pace.now_s()
        if now_s - self._told_at_s.get(key, float("-inf")) < REPEAT_S:
            return
        self._told_at_s[key] = now_s
        while len(self._told_at_s) > REMEMBERED:
            del self._told_at_s[next(iter(self._told_at_s))]
        self._queue.put_nowait((involved, kind, reason, message))

    async def run(self) -> None:
        """Write what comes, for ever."""
        while True:
            item = await self._queue.get()
            try:
                await self._write(*item)
            except KubeError as error:
                log.debug("an event of the autoscaler was lost: %s", error)

    async def _write(self, involved: dict[str, str], kind: str, reason: str, message: str) -> None:
        key = "|".join((involved["uid"], reason, message))
        known = self._written.get(key)
        namespace = involved.get("namespace", "default")
        path = f"/api/v1/namespaces/{namespace}/events"
        now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        if known:
            try:
                await self._kube.merge_patch(f"{path}/{known.name}", {"count": known.count + 1, "lastTimestamp": now})
                self._written[key] = _Written(known.name, known.count + 1)
                return
            except KubeError as error:
                if error.status != 404:
                    raise
        name = f"{involved['name'][:200]}.{hashlib.sha256(f'{key}{self._pace.now_s()}'.encode()).hexdigest()[:16]}"
        await self._kube.create(path, _event(name, namespace, involved, kind, reason, message, now))
        self._written[key] = _Written(name, 1)
        while len(self._written) > REMEMBERED:
            del self._written[next(iter(self._written))]


def _event(
    name: str, namespace: str, involved: dict[str, str], kind: str, reason: str, message: str, now: str
) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": namespace},
        "involvedObject": involved,
        "type": kind,
        "reason": reason,
        "message": message,
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
