"""What runs in a container: a stand-in engine or a gateway as a local process, or nothing but time."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import mistral_operator

from .environment import expand
from .jetstream import find_command

Object = dict[str, Any]

# `python -m` must find this package and nothing that a pod's environment names.
PACKAGE_ROOT = Path(mistral_operator.__file__).parent.parent
ENGINE_MODULE = "mistral_operator.sandbox.engine.vllm"
ENGINE_IMAGES = ("vllm/vllm-openai", "vllm/vllm-tpu")
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


def engine_arguments(container: Object, values: Mapping[str, str]) -> list[str] | None:
    """The arguments of `vllm` when the container runs it, None for any other program."""
    words = [expand(word, dict(values)) for word in (container.get("command") or []) + (container.get("args") or [])]
    if words and Path(words[0]).name == "vllm":
        return words[1:]
    if not container.get("command") and any(name in container["image"] for name in ENGINE_IMAGES):
        return ["serve", *words]
    return None


def find_program(container: Object, values: Mapping[str, str], address: str) -> list[str] | None:
    """What to run after `python -m` for a container of the pod at `address`; None where there is no such program."""
    arguments = engine_arguments(container, values)
    if arguments is not None:
        return [ENGINE_MODULE, *arguments]
    words = [expand(word, dict(values)) for word in (container.get("command") or []) + (container.get("args") or [])]
    return find_command(words, address)


class EngineProcess:
    """A program of ours. It ends with this process, however this one ends: its standard input is a pipe from here."""

    ready_after_s: float | None = None

    def __init__(self, process: asyncio.subprocess.Process, log: Path, begin: int) -> None:
        self._process = process
        self._log = log
        self._begin = begin

    @classmethod
    async def start(
        cls, program: Sequence[str], values: Mapping[str, str], address: str, speed: float, load_s: float, log: Path
    ) -> "EngineProcess":
        """Return once the process is up and begins to load (or has ended): Python's own start isn't simulated time.

        `program` is a module with its arguments.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        reading, writing = os.pipe()
        try:
            with log.open("ab") as output:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    *program,
                    stdin=asyncio.subprocess.PIPE,
                    stdout=output,
                    stderr=output,
                    env=_process_environment(values, address, speed, load_s, writing),
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


def _process_environment(
    values: Mapping[str, str], address: str, speed: float, load_s: float, started: int
) -> dict[str, str]:
    own = {
        "PATH": os.environ.get("PATH", os.defpath),
        "PYTHONPATH": str(PACKAGE_ROOT),
        "PYTHONSAFEPATH": "1",
        "STAND_IN_HOST": address,
        "STAND_IN_SPEED": f"{speed:g}",
        "STAND_IN_PARENT": "stdin",
        "STAND_IN_STARTED_FD": str(started),
    }
    kept = {name: value for name, value in values.items() if not name.startswith(KEPT_BACK)}
    return {"STAND_IN_LOAD_SECONDS": f"{load_s:g}"} | kept | own


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
