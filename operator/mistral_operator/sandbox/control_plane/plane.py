"""etcd, kube-apiserver, kube-controller-manager and kube-scheduler as local processes, started in a few seconds."""

import asyncio
import fcntl
import logging
import math
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Self

from mistral_operator.sandbox.crds import install_crds
from mistral_operator.sandbox.kube import Kube, KubeError
from mistral_operator.sandbox.kubeconfig import Access, read_kubeconfig, write_kubeconfig
from mistral_operator.sandbox.processes import Process, ProcessGroup

from . import components
from .binaries import Binaries, find_binaries
from .ports import free_port

log = logging.getLogger(__name__)

# Held while a control plane runs; its presence says that the directory is a sandbox's.
LOCK = "sandbox.lock"
START_TIMEOUT_S = 60.0
POLL_S = 0.05
TOKEN_LIFETIME_S = 24 * 3600


class ControlPlaneError(Exception):
    """The control plane didn't start or stopped by itself; the message holds the end of the process's log."""


class ControlPlane:
    """An async context manager; also `start` and `stop`, which may run in different event loops.

    `directory` is cleared of an earlier run's state, and of the files named `leftovers`: each start is a fresh cluster.
    All processes end with this one.
    """

    def __init__(
        self,
        directory: Path,
        say: Callable[[str], None] = log.info,
        *,
        leftovers: Sequence[str] = (),
        crds: Path | None = None,
    ) -> None:
        """`crds` is a directory of definitions that are served before the controllers start."""
        self.directory = directory.resolve()
        self._crds = [crds] if crds else []
        self._say = say
        self._leftovers = (components.ETCD_SOCKET, components.PEER_SOCKET, *leftovers)
        self._layout = components.Layout(self.directory, free_port(components.HOST))
        self._binaries: Binaries | None = None
        self._group = ProcessGroup()
        self._processes: dict[str, Process] = {}
        self._lock: IO[str] | None = None

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self._layout.kubeconfig

    @property
    def server(self) -> str:
        return self._layout.server

    @property
    def audit_log(self) -> Path:
        """One JSON audit event a line; written before the answer is sent."""
        return self._layout.audit_log

    @property
    def kubectl(self) -> Path:
        """The kubectl that came with the binaries."""
        return self._found().kubectl

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def add_crds(self, source: Path) -> None:
        """Serve this directory's or file's definitions too, before the controllers start; call it before `start`."""
        self._crds.append(source)

    async def start(self) -> None:
        """Return when the controllers work. Raises ControlPlaneError or BinariesMissingError."""
        self._binaries = await asyncio.to_thread(find_binaries, self._say)
        self._prepare_directory()
        components.write_files(self._layout)
        self._group.__enter__()
        try:
            self._spawn("etcd", components.etcd_args())
            await self._wait_for_socket()
            await self.start_api_server()
            await self._install_crds()
            self._spawn("kube-controller-manager", components.controller_manager_args())
            self._spawn("kube-scheduler", components.scheduler_args())
            await self._wait_for_controllers()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Kill all processes: there is nothing to save."""
        self._processes.clear()
        await asyncio.to_thread(self._group.close)
        if self._lock:
            self._lock.close()

    async def stop_api_server(self, *, kill: bool = False) -> None:
        """End only the API server: by SIGTERM as a rollout would, or by SIGKILL."""
        process = self._processes.pop("kube-apiserver")
        if kill:
            await process.stop(grace_s=0)
            return
        process.popen.terminate()
        try:
            await process.wait(0.5)
        except TimeoutError:
            # One SIGTERM drains watches for a minute; the second ends them at once.
            await process.stop()

    async def start_api_server(self) -> None:
        """Start it (again) on the same port; returns when it is ready."""
        process = self._spawn("kube-apiserver", components.api_server_args(self._layout))
        deadline = time.monotonic() + START_TIMEOUT_S
        async with Kube(self.kubeconfig) as kube:
            while True:
                try:
                    await kube.request("GET", "/readyz")
                    return
                except KubeError as error:
                    self._check(process, deadline, f"isn't ready: {error}")
                await asyncio.sleep(POLL_S)

    async def restart_api_server(self, *, kill: bool = False) -> None:
        """End it and start it again."""
        await self.stop_api_server(kill=kill)
        await self.start_api_server()

    async def service_account_kubeconfig(self, namespace: str, name: str, path: Path) -> Path:
        """Write a kubeconfig with a token for an existing service account."""
        admin = read_kubeconfig(self.kubeconfig)
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": TOKEN_LIFETIME_S},
        }
        async with Kube(admin) as kube:
            answer = await kube.create(f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token", body)
        access = Access(admin.server, admin.ca_pem, token=answer["status"]["token"])
        return write_kubeconfig(path, access, namespace=namespace)

    def check(self) -> None:
        """Raises ControlPlaneError when a process has ended by itself."""
        for process in self._processes.values():
            self._check(process, math.inf, "")

    def _prepare_directory(self) -> None:
        """Take the directory and clear what an earlier run left; never what somebody else put there."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock, store = self.directory / LOCK, self.directory / "etcd"
        if store.exists() and not lock.exists():
            raise ControlPlaneError(f"{store} is not from a sandbox: choose another directory")
        self._lock = lock.open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise ControlPlaneError(f"another sandbox runs in {self.directory}") from None
        shutil.rmtree(store, ignore_errors=True)
        for name in (*self._leftovers, self.audit_log.name):
            self.directory.joinpath(name).unlink(missing_ok=True)
        self._layout.logs.mkdir(exist_ok=True)

    def _found(self) -> Binaries:
        if self._binaries is None:
            raise ControlPlaneError("the control plane hasn't been started")
        return self._binaries

    def _spawn(self, name: str, args: list[str]) -> Process:
        program = self._found().directory / name
        process = self._group.spawn(name, [program, *args], self._layout.logs / f"{name}.log", cwd=self.directory)
        self._processes[name] = process
        return process

    async def _wait_for_socket(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        socket = self.directory / components.ETCD_SOCKET
        # Looked for, not connected to: a socket's absolute path may be longer than the 100 characters or so allowed.
        while not socket.exists():
            self._check(self._processes["etcd"], deadline, "doesn't listen")
            await asyncio.sleep(POLL_S)

    async def _install_crds(self) -> None:
        """The garbage collector looks for new kinds every 30 s only: what is there when it starts, it knows at once."""
        async with Kube(self.kubeconfig) as kube:
            for directory in self._crds:
                await install_crds(kube, directory)

    async def _wait_for_controllers(self) -> None:
        """A service account in the default namespace is the first sign of a working controller manager."""
        deadline = time.monotonic() + START_TIMEOUT_S
        async with Kube(self.kubeconfig) as kube:
            while not await kube.get("/api/v1/namespaces/default/serviceaccounts/default"):
                for name in ("kube-controller-manager", "kube-scheduler"):
                    self._check(self._processes[name], deadline, "makes no service accounts")
                await asyncio.sleep(POLL_S)

    def _check(self, process: Process, deadline: float, state: str) -> None:
        if not process.running:
            raise ControlPlaneError(f"{process.name} ended with {process.popen.returncode}:\n{process.log_tail()}")
        if time.monotonic() > deadline:
            raise ControlPlaneError(f"{process.name} {state} after {START_TIMEOUT_S:g} s:\n{process.log_tail()}")
