"""Events of the controller, as the recorder of Kubernetes' client library writes them for the real one."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

from mistral_operator.sandbox.kube import KubeError, Object

COMPONENT = "containernodepool-controller"


class EventApi(Protocol):
    """What is needed of `sandbox.kube.Kube`."""

    async def create(self, path: str, body: Object) -> Object:
        """POST to a collection."""

    async def merge_patch(self, path: str, body: Object) -> Object:
        """RFC 7386."""


class Recorder:
    """What is said again about the same object counts up the Event that said it first. It forgets nothing."""

    def __init__(self, kube: EventApi) -> None:
        self._kube = kube
        self._known: dict[tuple[str, ...], Object] = {}
        """Uid, reason and message → the Event as it was last written."""

    async def record(self, body: Object, condition: Mapping[str, Any]) -> None:
        """Write that the object has come to the condition."""
        key = (body["metadata"]["uid"], condition["reason"], condition["message"])
        collection = f"/api/v1/namespaces/{body['metadata']['namespace']}/events"
        if known := self._known.get(key):
            again = {"count": known["count"] + 1, "lastTimestamp": now()}
            try:
                path = f"{collection}/{known['metadata']['name']}"
                self._known[key] = await self._kube.merge_patch(path, again)
                return
            except KubeError as error:
                if error.status != 404:
                    raise
        self._known[key] = await self._kube.create(collection, _event(body, condition))


def now() -> str:
    """The real time as the API keeps times of Events and Config Connector those of conditions: in whole seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _event(body: Object, condition: Mapping[str, Any]) -> Object:
    metadata, moment = body["metadata"], now()
    named = {name: metadata[name] for name in ("name", "namespace", "uid")}
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{metadata['name']}.{time.time_ns():x}", "namespace": metadata["namespace"]},
        "involvedObject": {"apiVersion": body["apiVersion"], "kind": body["kind"], **named},
        "reason": condition["reason"],
        "message": condition["message"][:1024],
        "type": "Warning" if condition["reason"].endswith("Failed") else "Normal",
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "reportingInstance": "",
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
    }
