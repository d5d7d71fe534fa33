"""The stand-in as a process: exit codes, the closed port while loading, drain, its end with its parent."""

import asyncio
import signal
from collections.abc import AsyncIterator

import aiohttp
import pytest
from tests.support.engine_process import Start, stand_ins
from tests.support.polling import eventually

LONG_ANSWER = {"messages": [{"role": "user", "content": "Hi"}], "ignore_eos": True, "max_tokens": 100}


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Start the stand-in; it is killed at the end of the test."""
    async with stand_ins("vllm") as run:
        yield run


async def healthy(port: int) -> bool:
    async with aiohttp.ClientSession() as session:
        try:
            async with session.get(f"http://127.0.0.1:{port}/health") as response:
                return response.status == 200
        except aiohttp.ClientConnectionError:
            return False


async def test_an_unknown_flag_ends_it_with_2(start: Start) -> None:
    process = await start("serve", "mistralai/Chat", "--foo", "1")
    _, errors = await process.communicate()
    assert process.returncode == 2
    assert b"vllm: error: unrecognized arguments: --foo 1" in errors


async def test_out_of_memory_ends_it_with_1(start: Start) -> None:
    process = await start("serve", "m", STAND_IN_CRASH="oom", STAND_IN_LOAD_SECONDS="1", STAND_IN_SPEED="100")
    _, errors = await process.communicate()
    assert process.returncode == 1
    assert b"torch.OutOfMemoryError: CUDA out of memory" in errors


async def test_the_port_opens_after_the_load(start: Start, free_port: int) -> None:
    process = await start("serve", "m", "--port", str(free_port), STAND_IN_LOAD_SECONDS="50", STAND_IN_SPEED="100")
    assert process.stderr
    while b"loading" not in await process.stderr.readline():
        continue
    assert not await healthy(free_port)
    await eventually(lambda: healthy(free_port), message="the stand-in serves")
    process.send_signal(signal.SIGTERM)
    assert await process.wait() == 0


@pytest.mark.parametrize(("timeout_s", "whole"), [("60", True), ("0", False)])
async def test_what_happens_to_a_running_request_at_sigterm(
    start: Start, free_port: int, timeout_s: str, whole: bool
) -> None:
    flags = ("serve", "m", "--port", str(free_port), "--shutdown-timeout", timeout_s)
    process = await start(*flags, STAND_IN_LOAD_SECONDS="0", STAND_IN_TOKENS_PER_SECOND="100")
    await eventually(lambda: healthy(free_port), message="the stand-in serves")
    async with aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{free_port}/v1/chat/completions"
        async with session.post(url, json=LONG_ANSWER | {"stream": True}) as response:
            first = await response.content.readline()
            assert first.startswith(b"data: ")
            process.send_signal(signal.SIGTERM)
            try:
                rest = await response.content.read()
            except aiohttp.ClientError:
                rest = b""
    assert (b"[DONE]" in rest) is whole
    assert await process.wait() == 0


async def test_it_ends_when_its_parent_is_gone(start: Start) -> None:
    process = await start("serve", "m", STAND_IN_LOAD_SECONDS="1000", STAND_IN_PARENT="stdin")
    assert process.stderr
    assert process.stdin
    while b"loading" not in await process.stderr.readline():
        continue
    process.stdin.close()
    assert await asyncio.wait_for(process.wait(), 30) == 1
