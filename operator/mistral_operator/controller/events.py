"""Kubernetes Events on our objects: each finding once, sent in the background, never at the cost of a reconcile."""

import asyncio
import logging
import socket
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from mistral_operator.api.names import MANAGED_BY
from mistral_operator.cluster.client import ApiClient
from mistral_operator.cluster.errors import ApiError
from mistral_operator.cluster.kinds import EVENT

_REMEMBERED: Final = 4096
_REPEAT_AFTER_S: Final = 600.0
_WAITING: Final = 2000
_INTERVAL_S: Final = 0.02
"""Between two Events: thousands of them must not stand in the way of what they tell of."""
_COMPLAIN_EVERY_S: Final = 60.0
_MESSAGE_CHARS: Final = 1024
"""The API server refuses longer messages."""

log = logging.getLogger(__name__)


class Recorder:
    """Sends Events. The same reason with the same message on the same object is sent once in ten minutes."""

    def __init__(self, client: ApiClient, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._sent: OrderedDict[tuple[str, str, str], float] = OrderedDict()
        self._waiting: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue(_WAITING)
        self._dropped = 0
        self._complained_at = float("-inf")
        self._host = socket.gethostname()

    def record(self, about: Mapping[str, Any], type_: str, reason: str, message: str) -> None:
        """Notes an Event of type `Normal` or `Warning` on an object; dropped if too many wait already."""
        key = (about["metadata"]["uid"], reason, message)
        now = self._clock()
        if now - self._sent.get(key, float("-inf")) < _REPEAT_AFTER_S:
            return
        try:
            self._waiting.put_nowait(self._event(about, type_, reason, message))
        except asyncio.QueueFull:
            self._complain(now)
            return
        self._sent[key] = now
        self._sent.move_to_end(key)
        if len(self._sent) > _REMEMBERED:
            self._sent.popitem(last=False)

    async def run(self) -> None:
        """Sends until cancelled. An Event that can't be sent is logged instead: nothing depends on it."""
        while True:
            event = await self._waiting.get()
            await asyncio.sleep(_INTERVAL_S)
            try:
                await self._client.create(event)
            except ApiError as error:
                log.warning("Event %s (%s) was not recorded: %s", event["reason"], event["message"], error)
            finally:
                self._waiting.task_done()

    async def drain(self, timeout_s: float) -> None:
        """Waits until all Events are sent, for that long."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._waiting.join()
        except TimeoutError:
            log.warning("%d Events were not recorded", self._waiting.qsize())

    def _complain(self, now: float) -> None:
        self._dropped += 1
        if now - self._complained_at >= _COMPLAIN_EVERY_S:
            log.warning("More Events than can be sent: %d were dropped; the conditions say the same", self._dropped)
            self._dropped, self._complained_at = 0, now

    def _event(self, about: Mapping[str, Any], type_: str, reason: str, message: str) -> Mapping[str, Any]:
        metadata = about["metadata"]
        # Events on cluster-scoped objects live in the namespace `default`.
        namespace = metadata.get("namespace", "default")
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {
            "apiVersion": EVENT.api_version,
            "kind": EVENT.kind,
            "metadata": {"name": f"{metadata['name'][:200]}.{uuid.uuid4().hex[:16]}", "namespace": namespace},
            "involvedObject": {
                "apiVersion": about["apiVersion"],
                "kind": about["kind"],
                "name": metadata["name"],
                "namespace": metadata.get("namespace", ""),
                "uid": metadata["uid"],
                "resourceVersion": metadata.get("resourceVersion", ""),
            },
            "type": type_,
            "reason": reason,
            "message": message if len(message) <= _MESSAGE_CHARS else message[: _MESSAGE_CHARS - 1] + "…",
            "source": {"component": MANAGED_BY},
            "reportingComponent": MANAGED_BY,
            "reportingInstance": self._host,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
