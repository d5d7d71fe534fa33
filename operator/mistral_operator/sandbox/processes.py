"""Local processes that end with the one that started them, also when that one is killed."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

# The guard leads the process group that all children join before they run. Its standard input is a pipe whose other end
# only the parent holds: however the parent ends, the pipe ends, and the guard kills the whole group, itself included.
# (Linux's PR_SET_PDEATHSIG is tied to the thread that forked, and other systems have nothing like it.)
GUARD = """
import os, signal, sys
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
sys.stdin.buffer.read()
os.killpg(0, signal.SIGKILL)
"""

POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Process:
    """A child with its output in a file."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path

    @property
    def running(self) -> bool:
        return self.popen.poll() is None

    def log_tail(self, lines: int = 15) -> str:
        """The last lines of its output, for error messages."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def send(self, number: signal.Signals) -> None:
        """Signal it if it still runs."""
        if self.running:
            self.popen.send_signal(number)

    async def wait(self, timeout_s: float | None = None) -> int:
        """Its exit code. Raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            # Polled, so that a process may outlive the event loop that started it.
            while (code := self.popen.poll()) is None:  # noqa: ASYNC110
                await asyncio.sleep(POLL_S)
        return code

    async def stop(self, grace_s: float = 5) -> None:
        """SIGTERM, and SIGKILL after `grace_s` (at once for 0)."""
        self.send(signal.SIGTERM if grace_s else signal.SIGKILL)
        try:
            await self.wait(grace_s or None)
        except TimeoutError:
            self.send(signal.SIGKILL)
            await self.wait()


class ProcessGroup:
    """A context manager: children started by `spawn` are killed when it ends, or when this process does."""

    def __init__(self) -> None:
        self._guard: subprocess.Popen[bytes] | None = None
        self._children: list[Process] = []

    def __enter__(self) -> Self:
        self._guard = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", GUARD],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            process_group=0,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Kill all children and wait until they are gone; again is no error."""
        guard, self._guard = self._guard, None
        if guard is None or guard.stdin is None:
            return
        guard.stdin.close()
        guard.wait()
        for child in self._children:
            child.popen.wait()

    @property
    def number(self) -> int:
        """The process group's id, for what is started by other means than `spawn`."""
        if self._guard is None:
            raise RuntimeError("a ProcessGroup is used as a context manager")
        return self._guard.pid

    def spawn(
        self,
        name: str,
        args: Sequence[str | Path],
        log: Path,
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Process:
        """Start a program without a shell, its output appended to `log`; `env` comes on top of this process's own."""
        self._children = [child for child in self._children if child.running]
        with log.open("ab") as output:
            popen = subprocess.Popen(
                [str(arg) for arg in args],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | dict(env or {}),
                cwd=cwd,
                process_group=self.number,
            )
        child = Process(name, popen, log)
        self._children.append(child)
        return child


async def parent_gone(interval_s: float = 0.25) -> None:
    """Return when the process that started this one has ended, however it ended."""
    parent = os.getppid()
    while os.getppid() == parent:  # noqa: ASYNC110 (no event tells it)
        await asyncio.sleep(interval_s)
