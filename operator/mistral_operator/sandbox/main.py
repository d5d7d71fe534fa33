"""The whole sandbox in one process: control plane, simulated GKE, kubelet stand-in, service front."""

import argparse
import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from .config_connector import DEFINITION, ConfigConnector
from .control_plane import ControlPlane, ControlPlaneError
from .control_plane.binaries import BinariesMissingError, find_binaries
from .dial import DialMap
from .front import ServiceFront
from .gke.scenario import Scenario, ScenarioError, load_scenario
from .gke.simulated import SimulatedGke
from .kube import Kube, KubeError
from .kubeconfig import write_json
from .kubelet import Kubelet, KubeletSettings
from .neighbours.errors import NeighbourError
from .neighbours.find import find_program
from .neighbours.running import COMPANIONS, CONFIG_CONNECTOR, RUNNABLE, RunningNeighbour
from .processes import parent_gone

WATCHDOG_S = 0.5
SCHEMAS = "MISTRAL_OPERATOR_CRDS"
"""Environment variable with the folder of definitions that no package registry has, such as Config Connector's."""
COMPUTE_CLASS = "cloud.google.com_computeclasses.yaml"
FILE = "sandbox.json"
HOSTS = "hosts"


@dataclass(frozen=True, slots=True)
class Description:
    """Where everything is; sandbox.json holds it for other processes."""

    kubeconfig: str
    container_api: str
    compute_api: str
    front_url: str
    control_url: str
    project: str
    location: str
    cluster: str


def _print(text: str) -> None:
    print(text, flush=True)


class Sandbox:
    """An async context manager; `description` is there, and sandbox.json written, when all of it answers.

    `speed` divides every simulated delay. `crds` is a directory of definitions that are established before it is ready.
    `neighbours` are names of `COMPANIONS`: what runs beside it. `schemas` is a folder with definitions of others: what
    it has of those that the simulated GKE acts on is served, such as ComputeClass, and stand-ins need theirs.
    """

    def __init__(
        self,
        directory: Path,
        scenario: Scenario | None = None,
        speed: float = 1.0,
        crds: Path | None = None,
        kubelet: KubeletSettings | None = None,
        say: Callable[[str], None] = _print,
        neighbours: Sequence[str] = (),
        schemas: Path | None = None,
    ) -> None:
        self.plane = ControlPlane(directory, say, leftovers=[FILE, HOSTS], crds=crds)
        compute_class = schemas / COMPUTE_CLASS if schemas else None
        self._compute_class = compute_class if compute_class and compute_class.is_file() else None
        self.scenario = scenario or Scenario()
        self.description: Description | None = None
        self._speed = speed
        self._kubelet = kubelet
        self._say = say
        self._neighbours = tuple(name for name in dict.fromkeys(neighbours) if name in RUNNABLE)
        self._pool_definition = _find_definition(schemas, DEFINITION) if CONFIG_CONNECTOR in neighbours else None
        self._running: list[RunningNeighbour] = []
        self._stack = AsyncExitStack()

    @property
    def file(self) -> Path:
        """sandbox.json, there as long as the sandbox is ready."""
        return self.plane.directory / FILE

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self.file.unlink(missing_ok=True)
        await self._stack.aclose()

    async def _start(self) -> None:
        programs = [(name, await asyncio.to_thread(find_program, name, self._say)) for name in self._neighbours]
        for name, program in programs:
            self.plane.add_crds(RUNNABLE[name].definitions(program))
        for definition in (self._pool_definition, self._compute_class):
            if definition:
                self.plane.add_crds(definition)
        await self._stack.enter_async_context(self.plane)
        for name, program in programs:
            neighbour = RUNNABLE[name](program, self.plane.directory, self.plane.kubeconfig)
            self._running.append(await self._stack.enter_async_context(neighbour))
        kubeconfig = self.plane.kubeconfig
        dial = self._stack.enter_context(DialMap(hosts=self.plane.directory / HOSTS))
        simulated = SimulatedGke(
            kubeconfig, self.scenario, self._speed, compute_classes=self._compute_class is not None
        )
        gke = await self._stack.enter_async_context(simulated)
        if self._pool_definition:
            kube = await self._stack.enter_async_context(Kube(kubeconfig))
            await self._stack.enter_async_context(ConfigConnector(kube, gke.address, self._speed))
        pods = self.plane.directory / "pods"
        await self._stack.enter_async_context(Kubelet(kubeconfig, self._speed, dial, pods, self._kubelet))
        front = await self._stack.enter_async_context(ServiceFront(kubeconfig, dial))
        self.description = Description(
            kubeconfig=str(kubeconfig),
            container_api=f"http://{gke.address}",
            compute_api=gke.compute_url,
            front_url=front.url,
            control_url=gke.control_url,
            project=self.scenario.project,
            location=self.scenario.location,
            cluster=self.scenario.cluster,
        )
        write_json(self.file, asdict(self.description))

    async def run(self) -> None:
        """Return when the process that started this one is gone. Raises when a part has ended by itself."""
        parent = asyncio.create_task(parent_gone())
        try:
            while not parent.done():
                self.plane.check()
                for neighbour in self._running:
                    neighbour.check()
                await asyncio.wait([parent], timeout=WATCHDOG_S)
        finally:
            parent.cancel()


def _find_definition(schemas: Path | None, name: str) -> Path:
    """Raises NeighbourError."""
    if schemas is None or not (schemas / name).is_file():
        raise NeighbourError(f"config-connector needs {name} in a folder of yours, which {SCHEMAS} names")
    return schemas / name


async def _stay(sandbox: Sandbox) -> None:
    """Start it, tell where it is, and keep it until it is cancelled."""
    started = time.monotonic()
    async with sandbox:
        assert sandbox.description
        _print(f"sandbox ready after {time.monotonic() - started:.1f} s; everything in it is simulated but Kubernetes")
        _print(f"  kubeconfig     {sandbox.description.kubeconfig}")
        _print(f"  container API  {sandbox.description.container_api}")
        _print(f"  Compute API    {sandbox.description.compute_api}")
        _print(f"  service front  {sandbox.description.front_url}")
        _print(f"  control API    {sandbox.description.control_url}")
        await sandbox.run()


async def _until_signal(sandbox: Sandbox) -> None:
    work = asyncio.create_task(_stay(sandbox))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, work.cancel)
    await asyncio.wait([work])
    if not work.cancelled():
        work.result()


def main(argv: Sequence[str] | None = None) -> int:
    """The process's exit code: 0 after a signal or the parent's end, 1 when a part failed, 2 for bad arguments."""
    parser = argparse.ArgumentParser(prog="python -m mistral_operator.sandbox", description=__doc__)
    parser.add_argument(
        "--directory", type=Path, required=True, help="where its files go; an earlier run's are replaced"
    )
    parser.add_argument("--scenario", type=Path, help="stock, quota and failures of the simulated cloud (YAML)")
    parser.add_argument("--speed", type=float, default=1.0, help="divides every simulated delay")
    parser.add_argument("--crds", type=Path, help="a directory of custom resource definitions to establish first")
    parser.add_argument(
        "--with", action="append", default=[], choices=COMPANIONS, dest="neighbours", help="a controller too"
    )
    options = parser.parse_args(argv)
    if options.speed <= 0:
        parser.error("--speed must be above 0")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        scenario = load_scenario(options.scenario) if options.scenario else None
        # Before there is an event loop, so that Ctrl-C also ends a build.
        find_binaries(_print)
        for name in options.neighbours:
            if name in RUNNABLE:
                find_program(name, _print)
        schemas = Path(os.environ[SCHEMAS]) if os.environ.get(SCHEMAS) else None
        sandbox = Sandbox(
            options.directory, scenario, options.speed, options.crds, neighbours=options.neighbours, schemas=schemas
        )
        asyncio.run(_until_signal(sandbox))
    except (ScenarioError, OSError) as error:
        parser.error(str(error))
    except (ControlPlaneError, BinariesMissingError, NeighbourError, KubeError) as error:
        print(error, file=sys.stderr, flush=True)
        return 1
    return 0
