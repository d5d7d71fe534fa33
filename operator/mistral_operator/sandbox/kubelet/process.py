"""What runs in a container: a stand-in as a local process, or nothing but time."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import mistral_operator

from .calls import Program, Refused

# `python -m` must find this package and nothing that a pod's environment names.
PACKAGE_ROOT = Path(mistral_operator.__file__).parent.parent
KEPT_BACK = ("PYTHON", "LD_", "PATH", "STAND_IN_PARENT", "STAND_IN_STARTED_FD")
LOG_TAIL_BYTES = 2048


class Running(Protocol):
    """A started container."""

    ready_after_s: float | None
    """None: ask its probes. Else no process is there to ask, and it is ready after so many real seconds."""

    async def wait(self) -> int:
        """Its exit code, once it has ended; 128 + the signal's number if a signal ended it."""

    def send(self, number: signal.Signals) -> None:
        """Signal it."""

    def last_words(self) -> str:
        """The end of its log."""


class StandInProcess:
    """A stand-in for a container's program.

    It ends with this process, however this one ends: its standard input is a pipe from here.
    """

    ready_after_s: float | None = None

    def __init__(self, process: asyncio.subprocess.Process, log: Path, begin: int) -> None:
        self._process = process
        self._log = log
        self._begin = begin

    @classmethod
    async def start(
        cls, program: Program, values: Mapping[str, str], own: Mapping[str, str], log: Path
    ) -> "StandInProcess":
        """Return once the process is up and begins to load (or has ended): Python's own start isn't simulated time.

        `values` is the container's environment; `own`, what the sandbox tells its stand-ins, goes before it.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        reading, writing = os.pipe()
        try:
            with log.open("ab") as output:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    program.module,
                    *program.arguments,
                    stdin=asyncio.subprocess.PIPE,
                    stdout=output,
                    stderr=output,
                    env=_process_environment(values, own, writing),
                    cwd=log.parent,
                    pass_fds=(writing,),
                    start_new_session=True,
                )
                begin = output.tell()
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        started = cls(process, log, begin)
        try:
            await _closed(reading)
        except BaseException:
            started.send(signal.SIGKILL)
            await started.wait()
            raise
        return started

    async def wait(self) -> int:
        code = await self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()
        return 128 - code if code < 0 else code

    def send(self, number: signal.Signals) -> None:
        if self._process.returncode is None:
            self._process.send_signal(number)

    def last_words(self) -> str:
        with self._log.open("rb") as log:
            log.seek(self._begin)
            return log.read()[-LOG_TAIL_BYTES:].decode(errors="replace")


class NoProcess:
    """A container that the sandbox has no program for: it runs until it is signalled, or for `ends_after_s`."""

    def __init__(self, ready_after_s: float = 0.0, ends_after_s: float | None = None, exit_code: int = 0) -> None:
        self.ready_after_s: float | None = ready_after_s
        self._ends_after_s = ends_after_s
        self._exit_code = exit_code
        self._ended = asyncio.Event()

    async def wait(self) -> int:
        try:
            await asyncio.wait_for(self._ended.wait(), self._ends_after_s)
        except TimeoutError:
            self._ended.set()
        return self._exit_code

    def send(self, number: signal.Signals) -> None:
        if not self._ended.is_set():
            self._exit_code = 0 if number is signal.SIGTERM else 128 + number
            self._ended.set()

    def last_words(self) -> str:
        return ""


class NotStarted:
    """A program that can't be run as it is called: it has ended when it is looked at."""

    ready_after_s: float | None = None

    def __init__(self, refused: Refused, log: Path) -> None:
        self._refused = refused
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a") as output:
            output.write(f"{refused.text}\n")

    async def wait(self) -> int:
        return self._refused.exit_code

    def send(self, number: signal.Signals) -> None:
        """Nothing is there to signal."""

    def last_words(self) -> str:
        return self._refused.text


def _process_environment(values: Mapping[str, str], own: Mapping[str, str], started: int) -> dict[str, str]:
    python = {
        "PATH": os.environ.get("PATH", os.defpath),
        "PYTHONPATH": str(PACKAGE_ROOT),
        "PYTHONSAFEPATH": "1",
        "STAND_IN_PARENT": "stdin",
        "STAND_IN_STARTED_FD": str(started),
    }
    kept = {name: value for name, value in values.items() if not name.startswith(KEPT_BACK)}
    return {**kept, **own, **python}


async def _closed(descriptor: int) -> None:
    """Return when nobody holds the other end of a pipe any more."""
    loop = asyncio.get_running_loop()
    closed: asyncio.Future[None] = loop.create_future()

    def close() -> None:
        if not closed.done():
            closed.set_result(None)

    loop.add_reader(descriptor, close)
    try:
        await closed
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
