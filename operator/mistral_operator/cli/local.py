"""The sandbox and the operator as processes of this one, with their logs in one directory."""

import asyncio
import contextlib
import json
import shutil
import socket
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp

from mistral_operator.api.schema import all_crds, render_crd
from mistral_operator.planning.runtimes import GATEWAY
from mistral_operator.sandbox.control_plane.binaries import BinariesMissingError, find_binaries
from mistral_operator.sandbox.neighbours.errors import NeighbourMissingError
from mistral_operator.sandbox.neighbours.find import find_program
from mistral_operator.sandbox.neighbours.running import RUNNABLE
from mistral_operator.sandbox.processes import Process, ProcessGroup

POLL_S: Final = 0.1
SANDBOX_START_S: Final = 120
"""Without the time to get the control plane's binaries: `fetch_binaries` is called before."""
OPERATOR_START_S: Final = 30
STOP_S: Final = 20


class StackError(RuntimeError):
    """A process of the stack ended, or wasn't ready in time; the message says which and quotes its log."""


@dataclass(frozen=True, slots=True)
class SandboxInfo:
    """What a running sandbox says of itself."""

    kubeconfig: Path
    container_api: str
    compute_api: str
    front_url: str
    control_url: str
    project: str
    location: str
    cluster: str


def fetch_binaries(tell: Callable[[str], None], neighbours: Sequence[str] = ()) -> None:
    """Get the control plane's binaries and the neighbours' programs, which takes minutes the first time.

    Called outside of an event loop, so that Ctrl-C ends a build too.
    """
    try:
        find_binaries(tell)
        for name in neighbours:
            if name in RUNNABLE:
                find_program(name, tell)
    except (BinariesMissingError, NeighbourMissingError) as error:
        raise StackError(str(error)) from None


def describe_path() -> str:
    """The line that puts kubectl and this command on a shell's PATH. The binaries must have been got before."""
    kubectl = find_binaries(lambda _: None).directory
    return f"export PATH={kubectl}:{Path(sys.executable).parent}:$PATH"


class LocalStack:
    """Starts the parts in the order of the calls; `stop` ends them in the other order. Dies with this process."""

    def __init__(self, directory: Path, processes: ProcessGroup, speed: float) -> None:
        self.directory = directory
        self._speed = speed
        self._processes = processes
        self._running: list[Process] = []

    async def start_sandbox(
        self,
        *,
        scenario: Path | None,
        with_crds: bool,
        waiting: Callable[[str], None],
        neighbours: Sequence[str] = (),
    ) -> SandboxInfo:
        """Start it and wait until all of it answers. `waiting` is told what the sandbox says meanwhile.

        `neighbours` are real controllers to run beside it, by name.
        The operator's definitions have to be there before the control plane's own controllers start: its garbage
        collector looks for new kinds only now and then.
        """
        description = self.directory / "sandbox.json"
        description.unlink(missing_ok=True)
        args: list[str | Path] = [sys.executable, "-m", "mistral_operator.sandbox"]
        args += ["--directory", self.directory, "--speed", f"{self._speed:g}"]
        if scenario:
            args += ["--scenario", scenario]
        if with_crds:
            args += ["--crds", self._write_crds()]
        for name in neighbours:
            args += ["--with", name]
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

    async def start_operator(self, sandbox: SandboxInfo, *, config_connector: bool = False) -> Process:
        """Start the operator against the sandbox and wait until it is ready.

        With `config_connector` models may ask for that provisioner, whose objects are in the namespace `default`.
        """
        port = free_port()
        more = ["--provisioner", "ContainerAPI", "--provisioner", "ConfigConnector"] if config_connector else []
        process = self._spawn("operator", [
            sys.executable, "-m", "mistral_operator", "run",
            "--kubeconfig", sandbox.kubeconfig, "--container-api", sandbox.container_api,
            "--compute-api", sandbox.compute_api, "--no-live-checks",
            "--project", sandbox.project, "--location", sandbox.location, "--cluster", sandbox.cluster,
            "--cloud-backoff-scale", f"{1 / self._speed:g}",
            # Pods of that image run as processes of the sandbox; nothing is pulled.
            "--image", f"{GATEWAY}=mistral-operator:sandbox",
            "--health-host", "127.0.0.1", "--health-port", str(port),
            "--config-connector-namespace", "default", *more,
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

    def _write_crds(self) -> Path:
        place = self.directory / "crds"
        place.mkdir(parents=True, exist_ok=True)
        for name, definition in all_crds().items():
            (place / name).write_text(render_crd(definition), encoding="utf-8")
        return place

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
