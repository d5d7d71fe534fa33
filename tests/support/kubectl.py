"""The real kubectl against a test's control plane."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from mistral_operator.sandbox.control_plane import ControlPlane


@dataclass(frozen=True, slots=True)
class Answer:
    """What kubectl said."""

    code: int
    output: str
    errors: str


async def kubectl(plane: ControlPlane, *args: str | Path) -> Answer:
    """Run kubectl as administrator and wait for its end."""
    process = await asyncio.create_subprocess_exec(
        plane.kubectl,
        f"--kubeconfig={plane.kubeconfig}",
        *args,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    return Answer(process.returncode or 0, output.decode(), errors.decode())
