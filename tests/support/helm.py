"""The real helm, on a sandbox's control plane."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from tests.support.kubectl import Answer
from tests.support.running_sandbox import REPOSITORY

CHART = REPOSITORY / "charts" / "mistral-operator"
IMAGE = "registry.example/mistral-operator"


@dataclass(frozen=True, slots=True)
class Helm:
    """helm with its state in a directory of its own, so that a test meets nobody's repositories or plugins."""

    program: Path
    home: Path
    kubeconfig: Path | None = None
    chart: Path = CHART
    values: Mapping[str, str] = field(default_factory=lambda: {"image.repository": IMAGE})
    """Set in every command that renders."""

    async def run(self, *args: str | Path) -> Answer:
        """One command."""
        homes = {f"HELM_{kind}_HOME": str(self.home / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA")}
        process = await asyncio.create_subprocess_exec(
            self.program,
            *args,
            env={**os.environ, **homes, "KUBECONFIG": str(self.kubeconfig or self.home / "none")},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, errors = await process.communicate()
        return Answer(process.returncode or 0, output.decode(), errors.decode())

    async def done(self, *args: str | Path) -> str:
        """One command that has to succeed; what it printed."""
        answer = await self.run(*args)
        assert answer.code == 0, f"helm {' '.join(map(str, args))}: {answer.errors}"
        return answer.output

    async def install(self, release: str, namespace: str, *flags: str, **values: str) -> str:
        """Install the chart; the notes."""
        return await self.done("install", release, self.chart, "-n", namespace, *self.sets(values), *flags)

    async def upgrade(self, release: str, namespace: str, *flags: str, **values: str) -> str:
        """Upgrade to the chart; the notes."""
        return await self.done("upgrade", release, self.chart, "-n", namespace, *self.sets(values), *flags)

    async def render(self, release: str, namespace: str, *flags: str | Path, **values: str) -> list[dict[str, Any]]:
        """What the chart becomes without a cluster."""
        text = await self.done("template", release, self.chart, "-n", namespace, *self.sets(values), *flags)
        return [document for document in yaml.safe_load_all(text) if document]

    def sets(self, values: Mapping[str, str]) -> list[str]:
        """`--set` flags; a value's path is written with two underscores for a dot."""
        wanted = {**self.values, **{name.replace("__", "."): value for name, value in values.items()}}
        return [word for name, value in wanted.items() for word in ("--set", f"{name}={value}")]


def only(documents: Sequence[dict[str, Any]], kind: str) -> dict[str, Any]:
    """The one document of that kind."""
    (found,) = (document for document in documents if document["kind"] == kind)
    return found
