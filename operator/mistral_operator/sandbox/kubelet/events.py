"""Kubernetes Events on pods, as the kubelet writes them: repeated ones are counted, not written again."""

import asyncio
import logging
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mistral_operator.sandbox.kube import Kube, KubeError

log = logging.getLogger(__name__)

MOST_WAITING = 10_000
RETRY_S = 1.0


def timestamp() -> str:
    """Now, as Kubernetes writes times."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(slots=True)
class _Written:
    name: str
    count: int


class Events:
    """Writes in the background, in order: a pod's life never waits for an Event."""

    def __init__(self, kube: Kube, *, enabled: bool) -> None:
        self._kube = kube
        self._enabled = enabled
        self._queue: asyncio.Queue[tuple[dict[str, Any], str, str, str]] = asyncio.Queue(MOST_WAITING)
        self._written: dict[tuple[str, str, str], _Written] = {}

    def note(self, pod: dict[str, Any], type_: str, reason: str, message: str) -> None:
        """Record an Event on the pod. `type_` is `Normal` or `Warning`."""
        if not self._enabled:
            return
        if self._queue.full():
            log.warning("dropped an event: the API server has been away for too long")
            return
        self._queue.put_nowait((pod, type_, reason, message))

    def forget(self, uid: str) -> None:
        """The pod is gone: its Events need no counting any more."""
        self._written = {key: written for key, written in self._written.items() if key[0] != uid}

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            event = await self._queue.get()
            while not await self._write(*event):  # noqa: ASYNC110 (the API server tells nobody that it is back)
                await asyncio.sleep(RETRY_S)

    async def _write(self, pod: dict[str, Any], type_: str, reason: str, message: str) -> bool:
        """False when it is worth another try."""
        metadata = pod["metadata"]
        key = (metadata["uid"], reason, message)
        path = f"/api/v1/namespaces/{metadata['namespace']}/events"
        written = self._written.get(key)
        try:
            if written:
                written.count += 1
                body = {"count": written.count, "lastTimestamp": timestamp()}
                await self._kube.merge_patch(f"{path}/{written.name}", body)
            else:
                created = _manifest(pod, type_, reason, message)
                await self._kube.create(path, created)
                self._written[key] = _Written(created["metadata"]["name"], 1)
        except KubeError as error:
            if error.status == 0 or error.status == 429 or error.status >= 500:
                return False
            # The namespace is going, or the Event has expired.
            self._written.pop(key, None)
            log.debug("no event %s on %s: %s", reason, metadata["name"], error)
        return True


def _manifest(pod: dict[str, Any], type_: str, reason: str, message: str) -> dict[str, Any]:
    metadata, now = pod["metadata"], timestamp()
    node = pod["spec"].get("nodeName", "")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{metadata['name']}.{uuid.uuid4().hex[:16]}", "namespace": metadata["namespace"]},
        "involvedObject": {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
        },
        "type": type_,
        "reason": reason,
        "message": message[:1024],
        "count": 1,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "source": {"component": "kubelet", "host": node},
        "reportingComponent": "kubelet",
        "reportingInstance": node,
    }
