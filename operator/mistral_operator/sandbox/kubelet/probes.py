"""Probes of a pod's containers, dialled where the process really listens."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from mistral_operator.sandbox.dial import DialMap

from .settings import LEAST_PROBE_PERIOD_S, LEAST_PROBE_TIMEOUT_S, LEAST_STARTUP_PERIOD_S, KubeletSettings

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Target:
    """What an httpGet or tcpSocket action asks: `path` is None for a socket."""

    host: str
    port: int
    path: str | None
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Probe:
    """Times in real seconds."""

    kind: str
    """`Startup`, `Readiness` or `Liveness`"""
    target: Target | None
    """None for actions that the stand-in can't take (exec, grpc): they succeed."""
    delay_s: float
    period_s: float
    timeout_s: float
    budget_s: float
    """failureThreshold × period: how long a start may take."""
    failures: int
    successes: int


def read_probe(kind: str, container: Object, pod_ip: str, settings: KubeletSettings) -> Probe | None:
    """The container's `startupProbe` and so on, None where it has none."""
    spec = container.get(f"{kind.lower()}Probe")
    if not spec:
        return None
    period_s, failures = spec.get("periodSeconds", 10), spec.get("failureThreshold", 3)
    least_s = LEAST_STARTUP_PERIOD_S if kind == "Startup" else LEAST_PROBE_PERIOD_S
    return Probe(
        kind=kind,
        target=read_target(spec, container, pod_ip),
        delay_s=settings.real_s(spec.get("initialDelaySeconds", 0)),
        period_s=settings.real_s(period_s, least_s),
        timeout_s=settings.real_s(spec.get("timeoutSeconds", 1), LEAST_PROBE_TIMEOUT_S),
        budget_s=settings.real_s(period_s * failures),
        failures=failures,
        successes=spec.get("successThreshold", 1),
    )


def read_target(action: Object, container: Object, pod_ip: str) -> Target | None:
    """The target of a probe or of a lifecycle hook."""
    spec = action.get("httpGet") or action.get("tcpSocket")
    if not spec:
        return None
    named = {port.get("name"): port["containerPort"] for port in container.get("ports") or []}
    port = spec["port"]
    headers = tuple((header["name"], header["value"]) for header in spec.get("httpHeaders") or [])
    path = "/" + spec.get("path", "/").lstrip("/") if "httpGet" in action else None
    return Target(spec.get("host") or pod_ip, int(named.get(port, port)), path, headers)


class Dialler:
    """Asks targets through the dial map; an async context manager."""

    def __init__(self, dial: DialMap) -> None:
        self._dial = dial
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "Dialler":
        # A new connection each time, as the kubelet does: a restarted container has the same address.
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        self._session = aiohttp.ClientSession(connector=connector, headers={"User-Agent": "kube-probe/stand-in"})
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session:
            await self._session.close()

    async def ask(self, target: Target, timeout_s: float) -> str:
        """Empty for success, else what went wrong, in the kubelet's words."""
        address = self._dial.dial(target.host)
        try:
            async with asyncio.timeout(timeout_s):
                # Most probes of a loading engine end here, at a fraction of an HTTP request's cost.
                _, writer = await asyncio.open_connection(address, target.port)
                writer.close()
                return await self._get(target, address) if target.path is not None else ""
        except TimeoutError:
            return (
                f"{self._subject(target)}: context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
            )
        except OSError:
            return f"{self._subject(target)}: dial tcp {target.host}:{target.port}: connect: connection refused"
        except aiohttp.ClientError as error:
            return f"{self._subject(target)}: {type(error).__name__}"

    async def _get(self, target: Target, address: str) -> str:
        if self._session is None:
            raise RuntimeError("a Dialler is used as an async context manager")
        headers: Mapping[str, str] = dict(target.headers)
        url = f"http://{address}:{target.port}{target.path}"
        async with self._session.get(url, headers=headers, allow_redirects=False) as response:
            if 200 <= response.status < 400:
                return ""
            return f"HTTP probe failed with statuscode: {response.status}"

    def _subject(self, target: Target) -> str:
        return f'Get "http://{target.host}:{target.port}{target.path or ""}"'
