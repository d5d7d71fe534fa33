"""A whole sandbox as a process of its own: control plane, simulated GKE, kubelet stand-in and service front."""

import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.polling import eventually
from tests.support.rights import recorded_use

from mistral_operator.sandbox.neighbours.catalogue import NEIGHBOURS
from mistral_operator.sandbox.neighbours.find import cache_directory
from mistral_operator.sandbox.processes import Process, ProcessGroup

REPOSITORY = Path(__file__).parents[2]
CRDS = REPOSITORY / "crds"
START_TIMEOUT_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the parts of a sandbox are: what sandbox.json says."""

    directory: Path
    kubeconfig: Path
    container_api: str
    compute_api: str
    front_url: str
    control_url: str
    project: str
    location: str
    cluster: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningSandbox(Place):
    """The same, and the process to signal."""

    process: Process


@asynccontextmanager
async def running_sandbox(
    directory: Path,
    scenario: Path | None = None,
    speed: float = 50,
    crds: Path | None = CRDS,
    neighbours: Sequence[str] = (),
) -> AsyncIterator[RunningSandbox]:
    """Start one and yield it when it is ready; it ends with the block. `speed` divides every simulated delay.

    `neighbours` (`["lws"]`) must have been got before: a test builds nothing.
    """
    args: list[str | Path] = [sys.executable, "-m", "mistral_operator.sandbox", "--directory", directory]
    args += ["--speed", str(speed)]
    args += _option("--scenario", scenario) + _option("--crds", crds)
    for name in neighbours:
        assert cache_directory(NEIGHBOURS[name]).is_dir(), f"{name} isn't there: run `make neighbours`"
        args += ["--with", name]
    ready = directory / "sandbox.json"
    # Recorded before the group ends, and whatever way the block does.
    with ProcessGroup() as group, recorded_use(directory / "audit.log"):
        environment = {"PYTHONPATH": str(REPOSITORY / "operator")}
        process = group.spawn("sandbox", args, directory / "sandbox.log", env=environment)
        await eventually(
            lambda: ready.exists() or not process.running,
            START_TIMEOUT_S,
            lambda: f"the sandbox says it is ready:\n{process.log_tail()}",
        )
        assert process.running, f"the sandbox ended with {process.popen.returncode}:\n{process.log_tail(40)}"
        said = json.loads(ready.read_text())
        kubeconfig = Path(said.pop("kubeconfig"))
        yield RunningSandbox(directory=directory, process=process, kubeconfig=kubeconfig, **said)
        await process.stop(grace_s=10)


def _option(name: str, value: Path | None) -> list[str | Path]:
    return [] if value is None else [name, value]
