"""A proxy in front of an API server that fails on demand, so that tests meet each fault exactly where they want it.

It speaks plain http on loopback, acts upstream as the user of the kubeconfig it was given, streams watches, and
remembers each request, so that tests can count them.
"""

import asyncio
import json
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import aiohttp
from aiohttp import web
from yarl import URL

from .kubeconfig import Access, read_kubeconfig, write_kubeconfig

MAX_BODY_BYTES = 16 << 20
# Belonging to one connection, or set anew for the other side.
NOT_FORWARDED = {"host", "connection", "keep-alive", "transfer-encoding", "content-length", "authorization", "upgrade"}
REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    409: "Conflict",
    410: "Expired",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong, for which requests, how often. Exactly one of the five actions is given.

    `method` and `path` are regular expressions for the whole method and for a part of the path. Without `times` and
    `for_s` it lasts until it is removed.
    """

    method: str = ".*"
    path: str = ""
    watch: bool | None = None
    """Only watches, only other requests, or (None) both."""

    status: int | None = None
    """Action: this answer, without asking the server."""
    hang_s: float | None = None
    """Action: nothing for so long, then the connection is dropped."""
    drop: bool = False
    """Action: the connection is dropped, the server isn't asked."""
    lose_answer: bool = False
    """Action: the server does what is asked, but its answer never arrives."""
    watch_error: int | None = None
    """Action: a watch opens and gets one ERROR event with this code (410: too old a resource version)."""

    times: int | None = None
    for_s: float | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    reason: str | None = None
    message: str = "injected by the fault proxy"

    def __post_init__(self) -> None:
        actions = (self.status, self.hang_s, self.drop or None, self.lose_answer or None, self.watch_error)
        if sum(action is not None for action in actions) != 1:
            raise ValueError("a fault has exactly one of status, hang_s, drop, lose_answer, watch_error")


@dataclass(frozen=True, slots=True)
class Request:
    """A request that arrived; `path` is without the query."""

    method: str
    path: str
    watch: bool

    def matches(self, method: str, path: str, watch: bool | None) -> bool:
        if watch is not None and watch != self.watch:
            return False
        return bool(re.fullmatch(method, self.method) and re.search(path, self.path))


@dataclass(slots=True)
class Injected:
    """A fault at work; `hits` counts the requests it struck."""

    fault: Fault
    expires_at: float | None
    clock: Callable[[], float]
    hits: int = 0

    @property
    def active(self) -> bool:
        if self.fault.times is not None and self.hits >= self.fault.times:
            return False
        return self.expires_at is None or self.clock() < self.expires_at

    def remove(self) -> None:
        """End it now."""
        self.expires_at = self.clock()


class FaultProxy:
    """An async context manager; clients use `kubeconfig`, which it writes into `directory`."""

    def __init__(self, upstream: Path, directory: Path) -> None:
        self.kubeconfig = directory / "fault-proxy.kubeconfig"
        self.requests: list[Request] = []
        self._access = read_kubeconfig(upstream)
        self._injected: list[Injected] = []
        self._watches: set[asyncio.Transport] = set()
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        context: ssl.SSLContext | bool = self._access.ssl_context() or True
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=context),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5),
            auto_decompress=False,
            skip_auto_headers=["Accept-Encoding", "User-Agent", "Content-Type"],
        )
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_route("*", "/{path:.*}", self._handle)
        # Cancelled handlers: a watch upstream ends when its client goes.
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        # No secret: the proxy puts its own credentials in the place of any that come.
        write_kubeconfig(self.kubeconfig, Access(f"http://{host}:{port}", token="fault-proxy"))  # noqa: S106
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cut_watches()
        if self._runner:
            await self._runner.cleanup()
        if self._session:
            await self._session.close()

    def inject(self, fault: Fault) -> Injected:
        """Let it happen from now on; earlier faults that also match go first."""
        clock = asyncio.get_running_loop().time
        injected = Injected(fault, None if fault.for_s is None else clock() + fault.for_s, clock)
        self._injected.append(injected)
        return injected

    def heal(self) -> None:
        """Remove all faults."""
        self._injected.clear()

    def cut_watches(self) -> int:
        """Drop the connections of all running watches; returns how many."""
        cut = list(self._watches)
        for transport in cut:
            transport.abort()
        return len(cut)

    def count(self, method: str = ".*", path: str = "", watch: bool | None = None) -> int:
        """How many requests came since the last `forget`."""
        return sum(request.matches(method, path, watch) for request in self.requests)

    def forget(self) -> None:
        """Start counting anew."""
        self.requests.clear()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        seen = Request(request.method, request.path, request.query.get("watch") in {"true", "1"})
        self.requests.append(seen)
        for injected in self._injected:
            fault = injected.fault
            if injected.active and seen.matches(fault.method, fault.path, fault.watch):
                injected.hits += 1
                return await self._fail(request, fault)
        return await self._forward(request, seen.watch)

    async def _fail(self, request: web.Request, fault: Fault) -> web.StreamResponse:
        if fault.status is not None:
            return _status_answer(fault, fault.status)
        if fault.watch_error is not None:
            event = {"type": "ERROR", "object": _status(fault, fault.watch_error)}
            return web.Response(body=json.dumps(event).encode() + b"\n", content_type="application/json")
        if fault.hang_s is not None:
            await asyncio.sleep(fault.hang_s)
        if fault.lose_answer:
            async with self._ask(request, await request.read()) as answer:
                await answer.read()
        return _dropped(request)

    async def _forward(self, request: web.Request, watch: bool) -> web.StreamResponse:
        body = await request.read()
        try:
            async with self._ask(request, body) as answer:
                headers = [(n, v) for n, v in answer.headers.items() if n.lower() not in NOT_FORWARDED]
                if not watch:
                    whole = web.Response(status=answer.status, body=await answer.read())
                    whole.headers.clear()
                    whole.headers.extend(headers)
                    return whole
                return await self._stream(request, answer, headers)
        except (aiohttp.ClientError, OSError):
            # The server is away: the client sees a broken connection, as it would without us.
            return _dropped(request)

    async def _stream(
        self, request: web.Request, answer: aiohttp.ClientResponse, headers: list[tuple[str, str]]
    ) -> web.StreamResponse:
        stream = web.StreamResponse(status=answer.status)
        stream.headers.extend(headers)
        transport = request.transport
        if transport is None:
            return stream
        self._watches.add(transport)
        try:
            await stream.prepare(request)
            async for chunk in answer.content.iter_any():
                await stream.write(chunk)
        finally:
            self._watches.discard(transport)
        return stream

    def _ask(self, request: web.Request, body: bytes) -> aiohttp.client._RequestContextManager:
        if self._session is None:
            raise RuntimeError("a FaultProxy is used as an async context manager")
        headers = {name: value for name, value in request.headers.items() if name.lower() not in NOT_FORWARDED}
        if self._access.token:
            headers["Authorization"] = f"Bearer {self._access.token}"
        address = URL(self._access.server + request.raw_path, encoded=True)
        return self._session.request(request.method, address, headers=headers, data=body or None)


def _status(fault: Fault, code: int) -> dict[str, object]:
    reason = REASONS.get(code, "") if fault.reason is None else fault.reason
    status = {"status": "Failure", "code": code, "reason": reason, "message": fault.message}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}} | status


def _status_answer(fault: Fault, code: int) -> web.Response:
    return web.json_response(_status(fault, code), status=code, headers=dict(fault.headers))


def _dropped(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=502)
