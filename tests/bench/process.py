"""The operator as a process of its own, measured from outside: its metrics, its memory, its processor time."""

import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import psutil
from tests.bench.site import REPOSITORY, SCENARIO, SYSTEM, Site
from tests.support.polling import eventually

from mistral_operator.sandbox.control_plane.ports import free_port
from mistral_operator.sandbox.processes import Process, ProcessGroup

ACCOUNT = "operator"
POLL_S = 0.1
"""Answering for its metrics costs the operator some milliseconds: asked more often, it would measure that."""
HOST = "127.0.0.1"
OBSERVED = 'mistral_operator_reconciles_total{queue="model",result="ok"}'
WAITING = 'mistral_operator_queue_depth{queue="model"}'
RUNNING = 'mistral_operator_reconciles_running{queue="model"}'
LEADING = "mistral_operator_leading"


class OperatorProcess:
    """One running operator, with leader election as in production."""

    def __init__(self, process: Process, port: int, http: aiohttp.ClientSession) -> None:
        self.started_at = time.monotonic()
        self._process = process
        self._url = f"http://{HOST}:{port}"
        self._http = http
        self._usage = psutil.Process(process.popen.pid)

    async def metric(self, name: str) -> float:
        """One of its metrics by name and labels; -1 while it has none or doesn't answer yet."""
        try:
            async with self._http.get(f"{self._url}/metrics") as answer:
                lines = (await answer.text()).splitlines()
        except aiohttp.ClientError:
            assert self._process.running, self._process.log_tail(30)
            return -1
        return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name} ")), -1)

    async def reads(self) -> bool:
        """True when it has read everything that is there, whether it leads or not."""
        try:
            async with self._http.get(f"{self._url}/readyz") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    async def leads(self) -> bool:
        """True when it may write."""
        return await self.metric(LEADING) == 1

    async def has_observed(self, models: int) -> bool:
        """True when it has looked at so many models since its start and no other one waits."""
        idle = await self.metric(WAITING) == 0 and await self.metric(RUNNING) == 0
        return idle and await self.metric(OBSERVED) >= models

    async def expect(self, what: str, reached: Callable[[], Awaitable[bool]], timeout_s: float = 120) -> None:
        """Wait for one of the above."""
        await eventually(reached, timeout_s, lambda: f"{what}:\n{self._process.log_tail(30)}", interval_s=POLL_S)

    def age_s(self) -> float:
        """Seconds since it was started."""
        return time.monotonic() - self.started_at

    def cpu_s(self) -> float:
        """Processor time that it has used, in all its threads."""
        times = self._usage.cpu_times()
        return float(times.user + times.system)

    def memory_mib(self) -> float:
        """Resident memory."""
        return float(self._usage.memory_info().rss) / 2**20

    def kill(self) -> None:
        """SIGKILL."""
        self._process.send(signal.SIGKILL)

    def hand_over(self) -> None:
        """SIGTERM, without waiting."""
        self._process.send(signal.SIGTERM)

    async def stop(self) -> None:
        """SIGTERM, and wait."""
        await self._process.stop(20)


class Operators:
    """Starts operators on a site, all as the same service account."""

    def __init__(self, site: Site, kubeconfig: Path, group: ProcessGroup, http: aiohttp.ClientSession) -> None:
        self._site = site
        self._kubeconfig = kubeconfig
        self._group = group
        self._http = http
        self._number = 0

    def start(self, *options: str) -> OperatorProcess:
        """Start one more; `options` are further arguments of `run`."""
        self._number += 1
        port = free_port(HOST)
        args: list[str | Path] = [sys.executable, "-m", "mistral_operator", "run"]
        args += ["--kubeconfig", self._kubeconfig, "--container-api", f"http://{self._site.gke.address}"]
        args += ["--project", SCENARIO.project, "--location", SCENARIO.location, "--cluster", SCENARIO.cluster]
        args += ["--health-host", HOST, "--health-port", str(port)]
        args += ["--leader-elect", "--lease-namespace", SYSTEM, *options]
        log = self._site.directory / f"operator-{self._number}.log"
        env = {"PYTHONPATH": os.pathsep.join((str(REPOSITORY / "operator"), str(REPOSITORY)))}
        return OperatorProcess(self._group.spawn("operator", args, log, env=env), port, self._http)


@asynccontextmanager
async def operators_on(site: Site) -> AsyncIterator[Operators]:
    """Operators that end with the block."""
    kubeconfig = await site.account(ACCOUNT)
    async with aiohttp.ClientSession() as http:
        with ProcessGroup() as group:
            yield Operators(site, kubeconfig, group, http)
