"""kopf, in a thread and an event loop of its own, started again whenever it ends.

It has its own loop because it cancels all tasks of its loop when it stops, and because it stops for reasons that must
not stop the operator: a right that is taken away for a while, an error in the middle of a watch.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import kopf

from mistral_operator.api.names import GROUP
from mistral_operator.cluster.connection import Connection, Credentials
from mistral_operator.cluster.kinds import Kind
from mistral_operator.cluster.store import Key, Store
from mistral_operator.controller.handlers import make_registry

_FIRST_BACKOFF_S: Final = 1.0
_LAST_BACKOFF_S: Final = 30.0
_STABLE_S: Final = 60.0
_BEAT_S: Final = 1.0
_SILENT_S: Final = 60.0

log = logging.getLogger(__name__)


class _Backoffs:
    """Seconds between kopf's own attempts. It never ends: a list that ends would end kopf after the last one."""

    def __iter__(self) -> Iterator[float]:
        delay_s = 0.5
        while True:
            yield delay_s
            delay_s = min(delay_s * 2, 5.0)


class OwnKindsWatch:
    """Tells the store of changes to models and claims. It may miss some: `comparison` finds those.

    `on_listed` is called in the main loop when kopf has listed anew, that is when it may have missed deletions.
    """

    def __init__(self, connection: Connection, store: Store, *, on_listed: Callable[[], None]) -> None:
        self._connection = connection
        self._store = store
        self._on_listed = on_listed
        self._main_loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="kopf", daemon=True)
        self._stopping = threading.Event()
        self._stop_kopf: Callable[[], None] = lambda: None
        self._beat_at = time.monotonic()

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def restart(self) -> None:
        """Ends kopf, which is then started again: for when it has stopped telling of changes."""
        self._stop_kopf()

    async def stop(self, timeout_s: float) -> None:
        """Ends the thread; after that time the process may end without it."""
        self._stopping.set()
        self._stop_kopf()
        await asyncio.to_thread(self._thread.join, timeout_s)

    def check(self) -> str:
        """What is wrong with the thread, or an empty string."""
        silent_s = time.monotonic() - self._beat_at
        return f"kopf's event loop has stood still for {silent_s:.0f} s" if silent_s > _SILENT_S else ""

    async def login(self) -> kopf.ConnectionInfo:
        """The main client's credentials: read there, because its configuration belongs to the main loop."""
        asked = asyncio.run_coroutine_threadsafe(self._connection.credentials(), self._main_loop)
        return _connection_info(await asyncio.wrap_future(asked))

    def deliver(self, kind: Kind, event: Mapping[str, Any]) -> None:
        """Hands an event over to the main loop."""
        self._main_loop.call_soon_threadsafe(self._take, kind, event["type"], event["object"])

    def _take(self, kind: Kind, event_type: str | None, body: dict[str, Any]) -> None:
        metadata = body["metadata"]
        if event_type == "DELETED":
            key = Key(metadata.get("namespace", ""), metadata["name"])
            self._store[kind].remove(key, int(metadata["resourceVersion"]))
        else:
            self._store[kind].put({"apiVersion": kind.api_version, "kind": kind.kind, **body})
        if event_type is None:
            self._on_listed()

    def _run(self) -> None:
        delay_s = _FIRST_BACKOFF_S
        while not self._stopping.is_set():
            started = time.monotonic()
            try:
                asyncio.run(self._operate())
            except Exception:
                log.exception("kopf failed")
            if self._stopping.is_set():
                return
            if time.monotonic() - started > _STABLE_S:
                delay_s = _FIRST_BACKOFF_S
            log.warning("kopf has ended; starting it again in %.0f s", delay_s)
            self._beat_at = time.monotonic()
            self._stopping.wait(delay_s)
            delay_s = min(delay_s * 2, _LAST_BACKOFF_S)
            self._main_loop.call_soon_threadsafe(self._on_listed)

    async def _operate(self) -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        # Made before kopf starts, so that it is not among the tasks that kopf cancels.
        beating = asyncio.create_task(self._beat())
        self._stop_kopf = lambda: _set_in(loop, stop)
        if self._stopping.is_set():
            return
        try:
            await kopf.operator(
                registry=make_registry(self), settings=_settings(), clusterwide=True, standalone=True, stop_flag=stop
            )
        finally:
            beating.cancel()

    async def _beat(self) -> None:
        while True:
            self._beat_at = time.monotonic()
            await asyncio.sleep(_BEAT_S)


def _set_in(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(event.set)


def _connection_info(credentials: Credentials) -> kopf.ConnectionInfo:
    scheme, _, token = (credentials.authorization or "").partition(" ")
    return kopf.ConnectionInfo(
        server=credentials.server,
        ca_path=credentials.ca_path,
        insecure=not credentials.verify,
        scheme=scheme.capitalize() or None,
        token=token or None,
        certificate_path=credentials.certificate_path,
        private_key_path=credentials.private_key_path,
        proxy_url=credentials.proxy_url,
    )


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.process.ultimate_exiting_timeout = None  # It would kill the whole process.
    settings.posting.enabled = False
    settings.scanning.disabled = True  # No rights on CRDs and namespaces are needed then.
    settings.queueing.worker_limit = 50
    settings.queueing.idle_timeout = 1
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 330
    settings.watching.connect_timeout = 10
    settings.watching.chunk_size = 100
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 5
    settings.networking.error_backoffs = _Backoffs()
    # Nothing is ever stored on our objects; if it were, it should say whose it is.
    settings.persistence.finalizer = f"{GROUP}/kopf"
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=GROUP)
    settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=GROUP)
    return settings
