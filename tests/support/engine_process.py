"""Stand-ins of engines as processes of a test's own."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

Start = Callable[..., Awaitable[Process]]
"""Takes the stand-in's words, and its environment as keywords."""
ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def stand_ins(name: str) -> AsyncIterator[Start]:
    """Give what starts the stand-in `name` (`vllm`, `jetstream`); all that were started are killed at the end."""
    started: list[Process] = []

    async def run(*words: str, **environment: str) -> Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", f"mistral_operator.sandbox.engine.{name}", *words),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "operator"), **environment},
        )
        started.append(process)
        return process

    try:
        yield run
    finally:
        for process in started:
            if process.returncode is None:
                process.kill()
            await process.wait()
