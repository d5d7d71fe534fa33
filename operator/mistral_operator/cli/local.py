"""The sandbox and the operator as processes of this one, with their logs in one directory."""

import asyncio
import contextlib
import json
import shutil
import socket
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp

from mistral_operator.api.schema import all_crds
from mistral_operator.cluster.client import ApiClient
from mistral_operator.cluster.errors import NotFound
from mistral_operator.cluster.kinds import CUSTOM_RESOURCE_DEFINITION, kind_of
from mistral_operator.sandbox.processes import Process, ProcessGroup

POLL_S: Final = 0.1
SANDBOX_START_S: Final = 120
"""Without the time to build the control plane's binaries."""
OPERATOR_START_S: Final = 30
STOP_S: Final = 20
_MANAGER: Final = "mistral-operator-setup"


class StackError(RuntimeError):
    """A process of the stack ended, or wasn't ready in time; the message says which and quotes its log."""


@dataclass(frozen=True, slots=True)
class SandboxInfo:
    """What a running sandbox says of itself."""

    kubeconfig: Path
    container_api: str
    front_url: str
    control_url: str
    project: str
    location: str
    cluster: str


class LocalStack:
    """Starts the parts in the order of the calls; `stop` ends them in the other order. Dies with this process."""

    def __init__(self, directory: Path, processes: ProcessGroup, speed: float) -> None:
        self.directory = directory
        self._speed = speed
        self._processes = processes
        self._running: list[Process] = []

    async def start_sandbox(self, *, scenario: Path | None, waiting: Callable[[str], None]) -> SandboxInfo:
        """Start it and wait until all of it answers. `waiting` is told what the sandbox says meanwhile."""
        description = self.directory / "sandbox.json"
        description.unlink(missing_ok=True)
        args: list[str | Path] = [sys.executable, "-m", "mistral_operator.sandbox"]
        args += ["--directory", self.directory, "--speed", f"{self._speed:g}"]
        if scenario:
            args += ["--scenario", scenario]
        process = self._spawn("sandbox", args)

        async def described() -> bool:
            waiting(process.log_tail(1))
            return description.exists()

        await self._until(described, process, SANDBOX_START_S)
        content = json.loads(description.read_text(encoding="utf-8"))
        return SandboxInfo(
            kubeconfig=Path(content["kubeconfig"]),
            **{name: content[name] for name in SandboxInfo.__slots__ if name != "kubeconfig"},
        )

    async def start_operator(self, sandbox: SandboxInfo) -> Process:
        """Start the operator against the sandbox and wait until it is ready."""
        port = free_port()
        process = self._spawn("operator", [
            sys.executable, "-m", "mistral_operator", "run",
            "--kubeconfig", sandbox.kubeconfig, "--container-api", sandbox.container_api,
            "--project", sandbox.project, "--location", sandbox.location, "--cluster", sandbox.cluster,
            "--cloud-backoff-scale", f"{1 / self._speed:g}",
            "--health-host", "127.0.0.1", "--health-port", str(port),
        ])  # fmt: skip
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session:

            async def ready() -> bool:
                try:
                    async with session.get(f"http://127.0.0.1:{port}/readyz") as answer:
                        return answer.status == 200
                except aiohttp.ClientError:
                    return False

            await self._until(ready, process, OPERATOR_START_S)
        return process

    async def stop(self) -> None:
        """End what runs, the last started first."""
        while self._running:
            await self._running.pop().stop(STOP_S)

    def check(self) -> None:
        """Raises StackError when a part has ended by itself."""
        for process in self._running:
            if not process.running:
                raise StackError(f"{process.name} ended by itself:\n{process.log_tail()}")

    async def wait_for_end(self) -> None:
        """Return when a part has ended."""
        while all(process.running for process in self._running):  # noqa: ASYNC110
            await asyncio.sleep(POLL_S)

    def _spawn(self, name: str, args: list[str | Path]) -> Process:
        process = self._processes.spawn(name, args, self.directory / f"{name}.log")
        self._running.append(process)
        return process

    async def _until(self, reached: Callable[[], Awaitable[bool]], process: Process, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                while not await reached():
                    if not process.running:
                        raise StackError(f"{process.name} did not start:\n{process.log_tail()}")
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            tail = process.log_tail()
            raise StackError(f"{process.name} was not ready after {timeout_s:.0f} s:\n{tail}") from None


@contextlib.contextmanager
def working_directory(given: Path | None, prefix: str) -> Iterator[Path]:
    """The given directory, made if need be, or a temporary one that is kept only if the block fails."""
    place = (given or Path(tempfile.mkdtemp(prefix=prefix))).resolve()
    place.mkdir(parents=True, exist_ok=True)
    yield place
    if given is None:
        shutil.rmtree(place)


def free_port() -> int:
    """A port of the loopback address that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


async def install_crds(client: ApiClient) -> list[str]:
    """Apply the operator's definitions, wait until they are served, and name them."""
    definitions = list(all_crds().values())
    for definition in definitions:
        await client.apply(definition, manager=_MANAGER)
    for definition in definitions:
        while not await _is_served(client, str(definition["metadata"]["name"])):  # noqa: ASYNC110
            await asyncio.sleep(POLL_S)
    return [str(definition["spec"]["names"]["plural"]) for definition in definitions]


async def _is_served(client: ApiClient, name: str) -> bool:
    definition = await client.get(CUSTOM_RESOURCE_DEFINITION, name)
    if definition is None or not any(
        condition["type"] == "Established" and condition["status"] == "True"
        for condition in (definition.get("status") or {}).get("conditions") or ()
    ):
        return False
    spec = definition["spec"]
    kind = kind_of({"apiVersion": f"{spec['group']}/{spec['versions'][0]['name']}", "kind": spec["names"]["kind"]})
    try:
        await client.list(kind)
    except NotFound:  # The handler for a new kind starts a moment after the condition is set.
        return False
    return True
