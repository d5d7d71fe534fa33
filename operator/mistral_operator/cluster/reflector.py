"""Keeps one shelf of the store equal to what the API server has: list, then watch, whatever happens in between."""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable
from typing import Final

from mistral_operator.cluster.client import ApiClient, WatchEvent
from mistral_operator.cluster.errors import ApiError, Expired, NotFound, Unreachable
from mistral_operator.cluster.store import Key, Shelf

_FIRST_BACKOFF_S: Final = 0.2
_LAST_BACKOFF_S: Final = 10.0
_SHORT_WATCH_S: Final = 1.0
_ABSENT_S: Final = 15.0
"""Time between two looks whether somebody has installed a kind that wasn't served."""

log = logging.getLogger(__name__)


class Reflector:
    """One list and watch. Any error only makes it wait and go on; what vanished while it couldn't look is removed."""

    def __init__(
        self,
        client: ApiClient,
        shelf: Shelf,
        *,
        label_selector: str = "",
        field_selector: str = "",
        optional: bool = False,
        on_reconnect: Callable[[], None] = lambda: None,
        on_restart: Callable[[str, str], None] = lambda _plural, _cause: None,
        rng: random.Random | None = None,
    ) -> None:
        """A kind that is `optional` may not be served: then there is none of it, and nothing is wrong."""
        self._client = client
        self._shelf = shelf
        self._label_selector = label_selector
        self._field_selector = field_selector
        self._optional = optional
        self._on_reconnect = on_reconnect
        self._on_restart = on_restart
        self._rng = rng or random.Random()  # noqa: S311
        self._failures = 0
        self._blind = False
        self._absent = False
        self._version = ""
        self.synced = asyncio.Event()
        """Set after the first complete list."""
        self.last_activity = time.monotonic()
        """When it last heard of the API server or tried to. One that stands still for minutes is broken."""

    @property
    def name(self) -> str:
        """The plural of what it reflects."""
        return self._shelf.kind.plural

    async def run(self) -> None:
        """Runs until cancelled."""
        version = ""
        while True:
            started = self.last_activity = time.monotonic()
            try:
                if self._optional and not version and not await self._is_served():
                    self._find_none()
                    await asyncio.sleep(_ABSENT_S)
                    continue
                version = version or await self._list()
                version = await self._watch(version)
                # A server that ends each watch at once must not be asked in a tight loop.
                self._failures = 0 if time.monotonic() - started > _SHORT_WATCH_S else self._failures + 1
                retry_after_s = 0.0
            except ApiError as error:
                self._lose_sight(error)
                # A broken connection goes on where it broke; after anything else only a new list tells what happened.
                version = self._version if isinstance(error, Unreachable) else ""
                retry_after_s = error.retry_after_s or 0.0
            if self._failures:
                await self._pause(retry_after_s)

    async def _is_served(self) -> bool:
        """Asked before anything is read: where a kind isn't served, the right to read it may be missing as well."""
        kind = self._shelf.kind
        try:
            answer = await self._client.read(f"/apis/{kind.api_version}")
        except NotFound:
            return False
        return any(resource.get("name") == kind.plural for resource in answer.get("resources") or ())

    async def _list(self) -> str:
        """Takes in everything there is, removes what went, and answers the version of the list."""
        present: set[Key] = set()
        version = ""
        pages = self._client.pages(
            self._shelf.kind, label_selector=self._label_selector, field_selector=self._field_selector
        )
        async for page in pages:
            version = page.resource_version
            for body in page.items:
                metadata = body["metadata"]
                present.add(Key(metadata.get("namespace", ""), metadata["name"]))
                self._shelf.put(body)
            await asyncio.sleep(0)  # Long lists must not keep the event loop from the Lease.
        for key in self._shelf.absent_from(present, int(version)):
            self._shelf.remove(key, int(version))
        self.last_activity = time.monotonic()
        self._absent = False
        self.synced.set()
        self._see_again()
        return version

    def _find_none(self) -> None:
        """The kind isn't served, so nothing of it is there."""
        if not self._absent:
            self._absent = True
            log.info("The cluster doesn't serve %s, so there are none; looking again from time to time", self.name)
        for key in self._shelf.keys():  # noqa: SIM118 - not a dict
            meta = self._shelf.meta(key)
            if meta is not None:
                self._shelf.remove(key, meta.version)
        self.last_activity = time.monotonic()
        self.synced.set()

    async def _watch(self, version: str) -> str:
        """Takes in events until the server ends the watch; answers the version to go on from."""
        self._version = version
        watch = self._client.watch(
            self._shelf.kind, version, label_selector=self._label_selector, field_selector=self._field_selector
        )
        async with contextlib.aclosing(watch):
            async for event in watch:
                self.last_activity = time.monotonic()
                self._version = str(event.object["metadata"]["resourceVersion"])
                self._take(event)
                self._failures = 0
                self._see_again()
        return self._version

    def _take(self, event: WatchEvent) -> None:
        metadata = event.object["metadata"]
        if event.type == "DELETED":
            self._shelf.remove(Key(metadata.get("namespace", ""), metadata["name"]), int(metadata["resourceVersion"]))
        elif event.type in ("ADDED", "MODIFIED"):
            self._shelf.put(event.object)

    def _lose_sight(self, error: ApiError) -> None:
        self._failures += 1
        self._blind = True
        self._on_restart(self.name, error.reason or str(error.status))
        if isinstance(error, Expired):
            log.info("The version to watch %s from is too old; listing again", self.name)
        else:
            log.warning("Lost sight of %s: %s", self.name, error)

    def _see_again(self) -> None:
        if self._blind:
            self._blind = False
            self._on_reconnect()

    async def _pause(self, at_least_s: float) -> None:
        longest = min(_LAST_BACKOFF_S, _FIRST_BACKOFF_S * 2 ** min(self._failures, 10))
        await asyncio.sleep(max(at_least_s, longest * self._rng.uniform(0.5, 1.0)))
