"""What the local stack does before and while it starts the sandbox."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from mistral_operator.api.schema import all_crds
from mistral_operator.cli import local
from mistral_operator.cli.local import LocalStack, SandboxInfo, StackError, fetch_binaries
from mistral_operator.sandbox.control_plane.binaries import BinariesMissingError
from mistral_operator.sandbox.neighbours.errors import NeighbourMissingError
from mistral_operator.sandbox.processes import Process, ProcessGroup

READY = dict.fromkeys((*SandboxInfo.__slots__,), "x")


class Spawner(ProcessGroup):
    """Instead of a sandbox, starts a process that writes what a sandbox writes, and keeps the arguments."""

    def spawn(self, name: str, args: list[str | Path], log: Path) -> Process:  # type: ignore[override]
        self.args = [str(arg) for arg in args]
        write = "import signal, sys; open(sys.argv[1], 'w').write(sys.argv[2]); signal.pause()"
        return super().spawn(name, [sys.executable, "-c", write, log.parent / "sandbox.json", json.dumps(READY)], log)


def read_definitions(place: Path) -> dict[str, Any]:
    return {file.name: yaml.safe_load(file.read_text()) for file in place.iterdir()}


@pytest.mark.parametrize("with_crds", [True, False])
async def test_the_sandbox_gets_the_definitions_before_it_starts(tmp_path: Path, with_crds: bool) -> None:
    with Spawner() as processes:
        stack = LocalStack(tmp_path, processes, speed=25)
        info = await stack.start_sandbox(scenario=None, with_crds=with_crds, waiting=lambda _: None)
        await stack.stop()
    assert info.cluster == "x"
    assert ("--crds" in processes.args) == with_crds
    if with_crds:
        assert read_definitions(Path(processes.args[processes.args.index("--crds") + 1])) == all_crds()


async def test_the_sandbox_is_told_its_neighbours(tmp_path: Path) -> None:
    with Spawner() as processes:
        stack = LocalStack(tmp_path, processes, speed=25)
        await stack.start_sandbox(scenario=None, with_crds=False, waiting=lambda _: None, neighbours=["lws"])
        await stack.stop()
    assert processes.args[-2:] == ["--with", "lws"]


def test_a_missing_neighbour_is_told_in_its_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(name: str, tell: object) -> None:
        raise NeighbourMissingError(f"there is no Go for {name}")

    monkeypatch.setattr(local, "find_binaries", lambda tell: None)
    monkeypatch.setattr(local, "find_program", find)
    with pytest.raises(StackError, match="there is no Go for lws"):
        fetch_binaries(print, ["lws"])


def test_missing_binaries_are_told_in_their_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(tell: object) -> None:
        raise BinariesMissingError("there is no Go")

    monkeypatch.setattr(local, "find_binaries", find)
    with pytest.raises(StackError, match="there is no Go"):
        fetch_binaries(print)


def test_the_time_to_get_binaries_is_not_taken_from_the_start(tmp_path: Path) -> None:
    """They are there before an event loop, and so any time-out, begins."""
    program = (
        "import asyncio, sys; from click.testing import CliRunner; from mistral_operator.cli import demo, sandbox\n"
        "def fail(tell, neighbours=()): raise demo.StackError('asked for binaries')\n"
        "def run(work): raise SystemExit('a loop was started first')\n"
        "demo.fetch_binaries = sandbox.fetch_binaries = fail; asyncio.run = run\n"
        "for command, args in ((demo.demo, []), (sandbox.sandbox, ['up'])):\n"
        "    print(CliRunner().invoke(command, [*args, '--directory', sys.argv[1]]).output)"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=True)
    assert done.stdout.count("asked for binaries") == 2
    assert "a loop was started first" not in done.stdout
