"""The API server's verbs that the operator uses, over `kubernetes.aio`: typed errors, and a time-out for each call."""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp

from mistral_operator.api.names import FIELD_MANAGER, STATUS_FIELD_MANAGER
from mistral_operator.cluster.connection import Connection
from mistral_operator.cluster.errors import (
    ApiError,
    Conflict,
    NotFound,
    Unauthorized,
    Unavailable,
    Unreachable,
    error_of,
    error_of_event,
)
from mistral_operator.cluster.kinds import Kind, kind_of
from mistral_operator.cluster.parse import parse_json

Json = dict[str, Any]
Query = Sequence[tuple[str, str]]
RequestHook = Callable[[str, str, int, float], None]
"""Called after each request with its verb, plural, HTTP status (0: no answer) and seconds."""

_APPLY: Final = "application/apply-patch+yaml"
_MERGE: Final = "application/merge-patch+json"
_TIMEOUT: Final = aiohttp.ClientTimeout(total=30, sock_connect=5)
_WATCH_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=75)
"""Bookmarks come once a minute. Kinds that have never changed, and Events, get none: silence needn't be a failure."""
_WATCH_S: Final = 280
"""How long the server keeps a watch open; spread by up to a fifth, so that reconnects don't come together."""
_PAGE: Final = 100
"""Objects per request of a list: parsed, a thousand large ones would take more memory than all else together."""


@dataclass(frozen=True, slots=True)
class ListResult:
    """Objects as they all were at one resource version."""

    items: tuple[Json, ...]
    resource_version: str


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One event of a watch; a BOOKMARK's object carries nothing but a resource version."""

    type: str
    """`ADDED`, `MODIFIED`, `DELETED` or `BOOKMARK`."""
    object: Json


class ApiClient:
    """One connection to one API server. Every method raises ApiError."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.before_write: Callable[[], None] = _always
        """Called before each write; raises when this process may not write any more (leader election)."""
        self.after_request: RequestHook = _ignore
        self.timeout = _TIMEOUT
        """Of each request that isn't a watch."""

    @classmethod
    async def connect(cls, kubeconfig: Path | None = None) -> "ApiClient":
        """A client for that kubeconfig, else for the pod's service account, else for the user's default kubeconfig."""
        return cls(await Connection.open(kubeconfig))

    async def get(self, kind: Kind, name: str, namespace: str = "") -> Json | None:
        """The object, or None if there is none."""
        try:
            return await self._send("GET", kind, kind.path(namespace=namespace, name=name))
        except NotFound:
            return None

    async def list(
        self, kind: Kind, namespace: str = "", *, label_selector: str = "", field_selector: str = ""
    ) -> ListResult:
        """All objects of a kind, read in pages of one consistent version."""
        items: list[Json] = []
        version = ""
        async for page in self.pages(kind, namespace, label_selector=label_selector, field_selector=field_selector):
            items.extend(page.items)
            version = page.resource_version
        return ListResult(tuple(items), version)

    async def pages(
        self, kind: Kind, namespace: str = "", *, label_selector: str = "", field_selector: str = ""
    ) -> AsyncIterator[ListResult]:
        """The same, page by page. Raises Expired when reading the pages took too long."""
        selectors = _selectors(label_selector, field_selector)
        token = ""
        while True:
            query = [("limit", str(_PAGE)), *selectors, *([("continue", token)] if token else [])]
            answer = await self._send("GET", kind, kind.path(namespace=namespace), query=query)
            # Items of a list carry no type; everything downstream wants objects that say what they are.
            typed = ({"apiVersion": kind.api_version, "kind": kind.kind, **item} for item in answer.get("items") or ())
            metadata = answer.get("metadata") or {}
            version = str(metadata.get("resourceVersion") or "")
            if not version:
                # Believing a proxy's error page would mean that everything is gone.
                raise Unavailable(200, "NoList", f"the answer for {kind.plural} is not a list of them")
            yield ListResult(tuple(typed), version)
            token = str(metadata.get("continue") or "")
            if not token:
                return

    async def create(self, manifest: Mapping[str, Any], *, manager: str = FIELD_MANAGER) -> Json:
        """Creates an object; raises AlreadyExists."""
        kind, namespace, _ = _address(manifest)
        query = [("fieldManager", manager), ("fieldValidation", "Strict")]
        return await self._send("POST", kind, kind.path(namespace=namespace), query=query, body=manifest)

    async def apply(
        self, manifest: Mapping[str, Any], *, manager: str = FIELD_MANAGER, force: bool = True, subresource: str = ""
    ) -> Json:
        """Server-side apply: creates the object, or gives it what the manifest says and takes what it no longer says.

        Without `force` a field that another manager has set to something else raises Conflict.
        """
        kind, namespace, name = _address(manifest)
        query = [("fieldManager", manager), ("force", "true" if force else "false"), ("fieldValidation", "Strict")]
        path = kind.path(namespace=namespace, name=name, subresource=subresource)
        return await self._send("PATCH", kind, path, query=query, body=manifest, content_type=_APPLY)

    async def apply_status(self, manifest: Mapping[str, Any]) -> Json:
        """Applies the whole status: what is left out is removed. Raises NotFound if the object is gone."""
        return await self.apply(manifest, manager=STATUS_FIELD_MANAGER, subresource="status")

    async def replace(self, manifest: Mapping[str, Any], *, manager: str = FIELD_MANAGER) -> Json:
        """Replaces an object as it was read, resourceVersion included; raises Conflict if it has changed since."""
        kind, namespace, name = _address(manifest)
        query = [("fieldManager", manager)]
        return await self._send("PUT", kind, kind.path(namespace=namespace, name=name), query=query, body=manifest)

    async def merge_patch(
        self, kind: Kind, name: str, namespace: str, body: Mapping[str, Any], *, subresource: str = ""
    ) -> Json:
        """JSON merge patch; a resourceVersion in the body's metadata is a precondition."""
        path = kind.path(namespace=namespace, name=name, subresource=subresource)
        query = [("fieldManager", FIELD_MANAGER), ("fieldValidation", "Strict")]
        return await self._send("PATCH", kind, path, query=query, body=body, content_type=_MERGE)

    async def delete(self, kind: Kind, name: str, namespace: str = "", *, uid: str = "") -> bool:
        """Deletes an object, what it owns being collected afterwards.

        Answers False if it wasn't there, or if the object of that name is another one than `uid`.
        """
        body: Json = {"propagationPolicy": "Background"}
        if uid:
            body["preconditions"] = {"uid": uid}
        try:
            await self._send("DELETE", kind, kind.path(namespace=namespace, name=name), body=body)
        except (NotFound, Conflict):
            return False
        return True

    async def read(self, path: str) -> Json:
        """GET of a path that belongs to no kind, such as the discovery of API groups."""
        return await self._send("GET", None, path)

    async def watch(
        self,
        kind: Kind,
        resource_version: str,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
    ) -> AsyncGenerator[WatchEvent, None]:
        """Events after that resource version, until the server ends the watch after some minutes.

        Also ends when it stays silent: a new one tells whether the server is still there. Raises Expired if the
        version is too old, and Unreachable if the connection breaks.
        """
        query = [
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", resource_version),
            ("timeoutSeconds", str(_WATCH_S + random.randrange(_WATCH_S // 5))),  # noqa: S311
            *_selectors(label_selector, field_selector),
        ]
        with _Unreachability("watch"):
            response = await self._call(
                self.connection.watches, "GET", kind.path(namespace=namespace), query, timeout=_WATCH_TIMEOUT
            )
            try:
                async for line in split_lines(response.response.content.iter_any()):
                    event = parse_json(line)
                    if event["type"] == "ERROR":
                        raise error_of_event(event["object"])
                    yield WatchEvent(event["type"], event["object"])
            except aiohttp.SocketTimeoutError:
                return
            finally:
                response.response.close()

    async def close(self) -> None:
        """Closes the connections."""
        await self.connection.close()

    async def _send(
        self,
        method: str,
        kind: Kind | None,
        path: str,
        *,
        query: Query = (),
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
    ) -> Json:
        if method != "GET":
            self.before_write()
        started = time.monotonic()
        status = 0
        try:
            with _Unreachability(f"{method} {path}"):
                response = await self._call(self.connection.requests, method, path, query, body, content_type)
                answer: Json = parse_json(await response.read())
            status = response.status
        except ApiError as error:
            status = error.status
            raise
        finally:
            self.after_request(method, kind.plural if kind else path, status, time.monotonic() - started)
        return answer

    async def _call(
        self,
        api: Any,
        method: str,
        path: str,
        query: Query,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
        timeout: aiohttp.ClientTimeout | None = None,  # noqa: ASYNC109
    ) -> Any:
        """Sends a request, after a 401 once more with fresh credentials; answers the response with its body unread."""
        for attempt in (1, 2):
            # Without the body, which is JSON already: the library would copy every value of it first.
            method, url, headers, _, _ = await api.param_serialize(
                method,
                path,
                query_params=list(query),
                header_params={"Accept": "application/json", "Content-Type": content_type},
                auth_settings=["BearerToken"],
            )
            response = await api.call_api(method, url, headers, body, _request_timeout=timeout or self.timeout)
            if response.status < 400:
                break
            error = error_of(response.status, await response.read(), response.headers)
            if attempt == 2 or not isinstance(error, Unauthorized):
                raise error
            await self.connection.refresh()
        return response


async def split_lines(chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """The lines of a stream, however long: aiohttp gives up at 4 MiB, and JSON makes six bytes of each `<`, so that
    an object which etcd takes would end its watch again and again. What follows the last line's end comes last.
    """
    begun: list[bytes] = []
    async for chunk in chunks:
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            yield b"".join((*begun, end))
            begun.clear()
        begun.append(rest)
    if any(begun):
        yield b"".join(begun)


class _Unreachability:
    """Turns everything by which a connection fails into Unreachable."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, asyncio.TimeoutError):
            raise Unreachable(0, "Timeout", f"{self._what}: no answer from the API server in time") from error
        if isinstance(error, (aiohttp.ClientError, OSError, ValueError, LookupError, TypeError)):
            # The last three: a line of a watch that was cut in the middle isn't JSON, or not of an event.
            raise Unreachable(0, "Unreachable", f"{self._what}: {error or type(error).__name__}") from error


def _selectors(label_selector: str, field_selector: str) -> list[tuple[str, str]]:
    pairs = (("labelSelector", label_selector), ("fieldSelector", field_selector))
    return [(name, value) for name, value in pairs if value]


def _address(manifest: Mapping[str, Any]) -> tuple[Kind, str, str]:
    metadata = manifest["metadata"]
    return kind_of(manifest), str(metadata.get("namespace", "")), str(metadata["name"])


def _always() -> None:
    """Without leader election there is only one process, and it may always write."""


def _ignore(_verb: str, _plural: str, _status: int, _seconds: float) -> None:
    """Nobody counts the requests."""
