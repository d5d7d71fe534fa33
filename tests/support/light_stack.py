"""A sandbox inside the test's own process, and the operator as a process of its own.

No engine process runs: a pod is ready when its load time is over. So models cost little, and a test can do to the
control plane what it likes.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.support.rights import recorded_use
from tests.support.running_sandbox import CRDS, Place
from tests.support.stack import Stack, stack_on

from mistral_operator.sandbox.control_plane import ControlPlane
from mistral_operator.sandbox.gke.scenario import parse_scenario
from mistral_operator.sandbox.kubelet import KubeletSettings
from mistral_operator.sandbox.main import Sandbox

SPEED = 100.0


@asynccontextmanager
async def light_stack(
    directory: Path,
    *,
    crds: Path | None = CRDS,
    schemas: Path | None = None,
    neighbours: Sequence[str] = (),
    **scenario: Any,
) -> AsyncIterator[tuple[Stack, ControlPlane]]:
    """Start the sandbox, with a scenario as its file would say it, and get an operator ready to be started.

    `schemas` is a folder with definitions of others.
    """
    settings = KubeletSettings(engine_processes=False)
    parsed, say = parse_scenario(scenario), lambda _: None
    sandbox = Sandbox(directory, parsed, SPEED, crds, settings, say, neighbours, schemas)
    async with sandbox:
        assert sandbox.description
        said = asdict(sandbox.description)
        place = Place(directory=directory, kubeconfig=Path(said.pop("kubeconfig")), **said)
        with recorded_use(sandbox.plane.audit_log):
            async with stack_on(place) as stack:
                yield stack, sandbox.plane
