"""A module that the sandbox runs is what it is, and ends with who started it."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from pathlib import Path

ROOT = Path(__file__).parents[3]


async def tether(*words: str) -> Process:
    command = (sys.executable, "-m", "mistral_operator.sandbox.tether", *words)
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "operator")}
    return await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=STDOUT, env=env)


async def test_arguments_output_and_exit_code_are_the_modules() -> None:
    # Not by communicate, which would close the standard input.
    for words, code, text in (
        (["--version"], 0, "mistral-operator, version "),
        (["gateway", "--foo"], 2, "No such option"),
    ):
        process = await tether("mistral_operator", *words)
        assert process.stdout
        assert text in (await process.stdout.read()).decode()
        assert await process.wait() == code


async def test_it_ends_with_the_process_that_holds_its_standard_input() -> None:
    process = await tether("http.server", "--bind", "127.0.0.1", "0")
    assert process.stdin
    assert process.returncode is None
    process.stdin.close()
    assert await asyncio.wait_for(process.wait(), 30) == 1


async def test_it_tells_that_it_has_started() -> None:
    reading, writing = os.pipe()
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "operator"), "STAND_IN_STARTED_FD": str(writing)}
    command = (sys.executable, "-m", "mistral_operator.sandbox.tether", "http.server", "--bind", "127.0.0.1", "0")
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, env=env, pass_fds=(writing,))
    os.close(writing)
    # The end of the pipe: nobody has it open any more.
    assert await asyncio.wait_for(asyncio.to_thread(os.read, reading, 1), 30) == b""
    assert process.returncode is None
    process.kill()
    await process.wait()
    os.close(reading)
