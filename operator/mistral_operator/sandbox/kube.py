"""The sandbox's Kubernetes client: JSON over HTTP, and a watch that never gives up.

Objects are plain dicts as the API server sends them; paths are whole API paths (`/api/v1/namespaces/x/pods/y/status`).
It is no more than the stand-ins need; the operator has a client of its own.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Self

import aiohttp

from .kubeconfig import Access, read_kubeconfig

log = logging.getLogger(__name__)

Object = dict[str, Any]
Objects = list[Object]
Events = list[tuple[str, Object]]
Params = Mapping[str, str]

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"

REQUEST_TIMEOUT_S = 30.0
CONNECT_TIMEOUT_S = 5.0
# The server sends a bookmark about once a minute: a watch that is silent for longer is dead.
WATCH_SILENCE_S = 100.0
FIRST_BACKOFF_S = 0.1
LAST_BACKOFF_S = 2.0


class KubeError(Exception):
    """The API server refused a request, or couldn't be reached (status 0, reason `Unreachable`)."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message


class Kube:
    """An async context manager around one pool of connections, made from a kubeconfig."""

    def __init__(self, kubeconfig: Path | Access) -> None:
        self.access = kubeconfig if isinstance(kubeconfig, Access) else read_kubeconfig(kubeconfig)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        headers = {"Authorization": f"Bearer {self.access.token}"} if self.access.token else {}
        context = self.access.ssl_context()
        self._session = aiohttp.ClientSession(
            headers=headers | {"User-Agent": "mistral-sandbox"},
            # No limit: every watch holds a connection for as long as it lives.
            connector=aiohttp.TCPConnector(limit=0, ssl=context or True),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session:
            await self._session.close()

    async def request(
        self, method: str, path: str, body: Any = None, content_type: str = JSON, params: Params | None = None
    ) -> Object:
        """The response's JSON object ({} when it is empty; {"text": …} when it isn't JSON). Raises KubeError."""
        data = None if body is None else json.dumps(body).encode()
        timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S, sock_connect=CONNECT_TIMEOUT_S)
        headers = {"Accept": JSON} | ({"Content-Type": content_type} if data is not None else {})
        try:
            async with self._open().request(
                method, self.access.server + path, data=data, params=params, headers=headers, timeout=timeout
            ) as response:
                payload = await response.read()
                if response.status >= 400:
                    raise _refusal(response.status, payload)
                return _parse(payload)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise _unreachable(method, path, error) from error

    async def get(self, path: str, params: Params | None = None) -> Object | None:
        """The object, or None where there is none."""
        try:
            return await self.request("GET", path, params=params)
        except KubeError as error:
            if error.status == 404:
                return None
            raise

    async def list(self, path: str, params: Params | None = None) -> Objects:
        """The items of a collection; items of a list carry neither apiVersion nor kind."""
        answer = await self.request("GET", path, params=params)
        return answer.get("items") or []

    async def create(self, path: str, body: Object, params: Params | None = None) -> Object:
        """POST to a collection."""
        return await self.request("POST", path, body, params=params)

    async def merge_patch(self, path: str, body: Object, params: Params | None = None) -> Object:
        """RFC 7386: None removes a field, lists are replaced whole."""
        return await self.request("PATCH", path, body, MERGE_PATCH, params)

    async def apply(self, path: str, body: Object, manager: str, *, force: bool = True) -> Object:
        """Server-side apply; `path` names the object."""
        params = {"fieldManager": manager, "force": "true" if force else "false"}
        return await self.request("PATCH", path, body, APPLY_PATCH, params)

    async def delete(
        self, path: str, grace_s: int | None = None, uid: str | None = None, propagation: str | None = None
    ) -> Object | None:
        """DELETE with a grace period in seconds, a uid precondition, a propagation policy; None if it was gone."""
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if grace_s is not None:
            options["gracePeriodSeconds"] = grace_s
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        if propagation is not None:
            options["propagationPolicy"] = propagation
        try:
            return await self.request("DELETE", path, options)
        except KubeError as error:
            if error.status == 404:
                return None
            raise

    async def watch(self, path: str, params: Params | None = None) -> AsyncIterator[tuple[str, Object]]:
        """Yield (ADDED | MODIFIED | DELETED, object) for ever.

        Lists first (each object as ADDED), then watches. After 410 or any other error it lists again, waiting longer
        from failure to failure, and yields only the difference: what vanished meanwhile comes as DELETED in its last
        known state. Objects that come from a list carry neither apiVersion nor kind.
        """
        known: dict[str, Object] = {}
        backoff_s = FIRST_BACKOFF_S
        while True:
            try:
                listing = await self.request("GET", path, params=params)
                for event in _difference(known, listing.get("items") or []):
                    _remember(known, *event)
                    yield event
                version = listing["metadata"]["resourceVersion"]
                while True:
                    async for kind, changed in self._stream(path, params, version):
                        version = changed["metadata"]["resourceVersion"]
                        backoff_s = FIRST_BACKOFF_S
                        if kind != "BOOKMARK":
                            _remember(known, kind, changed)
                            yield kind, changed
                    await asyncio.sleep(FIRST_BACKOFF_S)
            except KubeError as error:
                log.debug("watch of %s starts again in %.1f s: %s", path, backoff_s, error)
            await asyncio.sleep(backoff_s)
            backoff_s = min(backoff_s * 2, LAST_BACKOFF_S)

    async def _stream(self, path: str, params: Params | None, version: str) -> AsyncIterator[tuple[str, Object]]:
        """One watch request: events until the server ends it. Raises KubeError, also for an ERROR event."""
        query = dict(params or {}) | {"watch": "true", "allowWatchBookmarks": "true", "resourceVersion": version}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=WATCH_SILENCE_S)
        try:
            async with self._open().get(self.access.server + path, params=query, timeout=timeout) as response:
                if response.status >= 400:
                    raise _refusal(response.status, await response.read())
                async for line in _lines(response.content):
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        raise _refusal(int(event["object"].get("code") or 500), json.dumps(event["object"]).encode())
                    yield event["type"], event["object"]
        except (aiohttp.ClientError, OSError, TimeoutError, json.JSONDecodeError) as error:
            raise _unreachable("WATCH", path, error) from error

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("a Kube client is used as an async context manager")
        return self._session


def object_key(item: Object) -> str:
    """`namespace/name`, or `/name` for a cluster-scoped object."""
    metadata = item["metadata"]
    return f"{metadata.get('namespace', '')}/{metadata['name']}"


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """The lines of a stream, of any length (aiohttp's own line reader stops at its buffer's size)."""
    rest = b""
    async for chunk in content.iter_any():
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            if line:
                yield line


def _difference(known: Mapping[str, Object], items: Objects) -> Events:
    current = {object_key(item): item for item in items}
    events: Events = []
    for key, old in known.items():
        # Another uid under the same name: the old one went while nobody watched.
        if key not in current or current[key]["metadata"]["uid"] != old["metadata"]["uid"]:
            events.append(("DELETED", old))
    for key, item in current.items():
        before = known.get(key)
        if before is None or before["metadata"]["uid"] != item["metadata"]["uid"]:
            events.append(("ADDED", item))
        elif before["metadata"]["resourceVersion"] != item["metadata"]["resourceVersion"]:
            events.append(("MODIFIED", item))
    return events


def _remember(known: dict[str, Object], kind: str, item: Object) -> None:
    if kind == "DELETED":
        known.pop(object_key(item), None)
    else:
        known[object_key(item)] = item


def _parse(payload: bytes) -> Object:
    if not payload:
        return {}
    try:
        value = json.loads(payload)
    except json.JSONDecodeError:
        return {"text": payload.decode(errors="replace")}
    return value if isinstance(value, dict) else {"value": value}


def _refusal(status: int, payload: bytes) -> KubeError:
    answer = _parse(payload)
    text = answer.get("message") or answer.get("text") or ""
    return KubeError(status, str(answer.get("reason") or ""), str(text).strip())


def _unreachable(method: str, path: str, error: BaseException) -> KubeError:
    return KubeError(0, "Unreachable", f"{method} {path}: {type(error).__name__} {error}".strip())
