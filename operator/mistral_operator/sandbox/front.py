"""A stand-in for kube-proxy and a load balancer: one HTTP address for all Services of the sandbox.

    {front}/{namespace}/{service}[:{port name or number}]/path…  → a ready endpoint of that Service, round robin

There is no cluster network on a laptop: the endpoint's address is dialled through the sandbox's dial map.
"""

import itertools
import logging
import re
from asyncio import CancelledError, Task, create_task, gather
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import aiohttp
from aiohttp import web

from mistral_operator.sandbox.dial import DialMap
from mistral_operator.sandbox.kube import Kube, object_key

log = logging.getLogger(__name__)

Object = dict[str, Any]

SERVICE_NAME = "kubernetes.io/service-name"
CONNECT_TIMEOUT_S = 5
# Headers of one connection, not of the message (RFC 9110, 7.6.1).
HOP_BY_HOP = frozenset(
    ("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding")
) | {"upgrade", "host"}
ROUTE = re.compile(r"/(?P<namespace>[^/:]+)/(?P<service>[^/:]+)(?::(?P<port>[^/]+))?(?P<path>/.*)?")


class NoEndpointError(Exception):
    """Nothing can take the request; the text says why."""


class Endpoints:
    """Services and the ready addresses behind them, as last seen on the API server."""

    def __init__(self) -> None:
        self._services: dict[str, Object] = {}
        self._slices: dict[str, Object] = {}
        self._turns: dict[str, Iterator[int]] = defaultdict(itertools.count)

    def see_service(self, kind: str, service: Object) -> None:
        """A watch event of a Service."""
        _keep(self._services, kind, service)

    def see_slice(self, kind: str, endpoint_slice: Object) -> None:
        """A watch event of an EndpointSlice."""
        _keep(self._slices, kind, endpoint_slice)

    def services(self) -> list[Object]:
        """{namespace, service, ports, ready} of each Service."""
        listing = []
        for key, service in sorted(self._services.items()):
            namespace, name = key.split("/")
            ports = [port.get("name") or str(port["port"]) for port in service["spec"].get("ports") or []]
            ready = len(self._ready(namespace, name, None))
            listing.append({"namespace": namespace, "service": name, "ports": ports, "ready": ready})
        return listing

    def choose(self, namespace: str, name: str, port: str | None) -> tuple[str, int]:
        """Address and port of the endpoint whose turn it is. Raises NoEndpointError."""
        service = self._services.get(f"{namespace}/{name}")
        if service is None:
            raise NoEndpointError(f"no Service {name} in namespace {namespace}")
        port_name = _port_name(service, port)
        ready = self._ready(namespace, name, port_name)
        if not ready:
            raise NoEndpointError(f"Service {namespace}/{name} has no ready endpoint")
        turn = next(self._turns[f"{namespace}/{name}"])
        return ready[turn % len(ready)]

    def _ready(self, namespace: str, name: str, port_name: str | None) -> list[tuple[str, int]]:
        found: set[tuple[str, int]] = set()
        for endpoint_slice in self._slices.values():
            metadata = endpoint_slice["metadata"]
            if metadata["namespace"] != namespace or (metadata.get("labels") or {}).get(SERVICE_NAME) != name:
                continue
            ports = [p["port"] for p in endpoint_slice.get("ports") or [] if port_name in (None, p.get("name") or "")]
            for endpoint in endpoint_slice.get("endpoints") or []:
                # A missing `ready` means ready, by the API's own definition.
                if ports and (endpoint.get("conditions") or {}).get("ready") is not False:
                    found.add((endpoint["addresses"][0], ports[0]))
        return sorted(found)


class ServiceFront:
    """An async context manager; `url` is the front's address while it is open."""

    def __init__(self, kubeconfig: Path, dial: DialMap, port: int = 0) -> None:
        self._kubeconfig = kubeconfig
        self._dial = dial
        self._port = port
        self._endpoints = Endpoints()
        self.url = ""

    async def __aenter__(self) -> Self:
        self._kube = await Kube(self._kubeconfig).__aenter__()
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S)
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        self._session = aiohttp.ClientSession(timeout=timeout, connector=connector, auto_decompress=False)
        application = web.Application(client_max_size=0)
        application.router.add_get("/", self._list)
        application.router.add_route("*", "/{tail:.+}", self._forward)
        self._runner = web.AppRunner(application, access_log=None, handler_cancellation=True, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        self._watches: list[Task[None]] = [create_task(self._watch_services()), create_task(self._watch_slices())]
        return self

    async def __aexit__(self, *_: object) -> None:
        for watch in self._watches:
            watch.cancel()
        await gather(*self._watches, return_exceptions=True)
        await self._runner.cleanup()
        await self._session.close()
        await self._kube.__aexit__()

    async def _watch_services(self) -> None:
        async for kind, service in self._kube.watch("/api/v1/services"):
            self._endpoints.see_service(kind, service)

    async def _watch_slices(self) -> None:
        async for kind, endpoint_slice in self._kube.watch("/apis/discovery.k8s.io/v1/endpointslices"):
            self._endpoints.see_slice(kind, endpoint_slice)

    async def _list(self, _: web.Request) -> web.Response:
        return web.json_response({"services": self._endpoints.services()})

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        match = ROUTE.fullmatch(request.rel_url.raw_path)
        if match is None:
            return _refusal(404, f"{request.rel_url.raw_path}: say /NAMESPACE/SERVICE[:PORT]/path")
        try:
            address, port = self._endpoints.choose(match["namespace"], match["service"], match["port"])
        except NoEndpointError as error:
            return _refusal(503, str(error))
        query = f"?{request.rel_url.raw_query_string}" if request.rel_url.raw_query_string else ""
        target = f"http://{self._dial.dial(address)}:{port}{match['path'] or '/'}{query}"
        try:
            return await self._exchange(request, target)
        except CancelledError:
            raise
        except (aiohttp.ClientError, OSError) as error:
            return _refusal(502, f"endpoint {address}:{port}: {type(error).__name__} {error}")

    async def _exchange(self, request: web.Request, target: str) -> web.StreamResponse:
        body = request.content if request.body_exists else None
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP]
        async with self._session.request(
            request.method, target, headers=headers, data=body, allow_redirects=False
        ) as upstream:
            response = web.StreamResponse(status=upstream.status, reason=upstream.reason)
            for name, value in upstream.headers.items():
                if name.lower() not in HOP_BY_HOP:
                    response.headers.add(name, value)
            await response.prepare(request)
            try:
                async for chunk in upstream.content.iter_any():
                    await response.write(chunk)
                await response.write_eof()
            except (aiohttp.ClientError, OSError) as error:
                # The status is out already: all that is left is to cut the connection, as a real proxy would.
                log.debug("%s broke off: %s", target, error)
                if request.transport:
                    request.transport.close()
            return response


def _keep(objects: dict[str, Object], kind: str, item: Object) -> None:
    if kind == "DELETED":
        objects.pop(object_key(item), None)
    else:
        objects[object_key(item)] = item


def _port_name(service: Object, port: str | None) -> str:
    """The name by which EndpointSlices know a Service's port; the first one where none is asked for."""
    ports = service["spec"].get("ports") or []
    for candidate in ports:
        if port in (None, candidate.get("name"), str(candidate["port"])):
            return str(candidate.get("name") or "")
    named = ", ".join(candidate.get("name") or str(candidate["port"]) for candidate in ports) or "none"
    raise NoEndpointError(f"Service {service['metadata']['name']} has no port {port}; its ports: {named}")


def _refusal(status: int, message: str) -> web.Response:
    return web.json_response({"error": {"message": message, "source": "sandbox front"}}, status=status)
