"""The stand-in of JetStream as a process: exit codes, ports while loading, its end."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator

import grpc
import pytest
from tests.support.engine_process import Start, stand_ins
from tests.support.polling import eventually

from mistral_operator.sandbox.control_plane.ports import free_port
from mistral_operator.wire.jetstream_pb2 import DecodeRequest, HealthCheckRequest
from mistral_operator.wire.orchestrator import OrchestratorStub

HOST = "127.0.0.1"
SERVE = ("jpt", "serve", "--model_id", "mistralai/Mixtral-8x7B-Instruct-v0.1")


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Start the stand-in; it is killed at the end of the test."""
    async with stand_ins("jetstream") as run:
        yield run


async def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("maxtext", "base.yml", "foo=1"), "Key foo was passed at the command line but isn't in config."),
        ((*SERVE, "--foo"), "FATAL Flags parsing error: Unknown command line flag 'foo'"),
    ],
)
async def test_an_unknown_flag_ends_it_with_1(start: Start, words: tuple[str, ...], message: str) -> None:
    process = await start(*words)
    _, errors = await process.communicate()
    assert process.returncode == 1
    assert message in errors.decode()


async def test_jpt_lists_its_models(start: Start) -> None:
    process = await start("jpt", "list")
    output, _ = await process.communicate()
    assert process.returncode == 0
    assert "mistralai/Mixtral-8x7B-Instruct-v0.1" in output.decode().splitlines()


async def test_out_of_memory_ends_it_with_1(start: Start) -> None:
    process = await start(*SERVE, STAND_IN_CRASH="oom", STAND_IN_LOAD_SECONDS="1", STAND_IN_SPEED="100")
    _, errors = await process.communicate()
    assert process.returncode == 1
    assert b"Ran out of memory in memory space hbm" in errors


async def test_metrics_come_before_the_load_and_the_service_after(start: Start) -> None:
    port, metrics = free_port(HOST), free_port(HOST)
    flags = (f"--port={port}", f"--prometheus_port={metrics}")
    await start(*SERVE, *flags, STAND_IN_LOAD_SECONDS="300", STAND_IN_SPEED="100")
    await eventually(lambda: is_open(metrics), message="metrics are there")
    assert not await is_open(port)
    await eventually(lambda: is_open(port), message="the service is there")
    async with grpc.aio.insecure_channel(f"{HOST}:{port}") as channel:
        assert (await OrchestratorStub(channel).health_check(HealthCheckRequest())).is_live


async def test_sigterm_cuts_an_open_answer_after_the_grace(start: Start) -> None:
    port = free_port(HOST)
    process = await start(
        *SERVE, f"--port={port}", STAND_IN_LOAD_SECONDS="0", STAND_IN_SPEED="10", STAND_IN_TOKENS_PER_SECOND="1"
    )
    await eventually(lambda: is_open(port), message="the service is there")
    async with grpc.aio.insecure_channel(f"{HOST}:{port}") as channel:
        content = DecodeRequest.TokenContent(token_ids=[7])
        call = OrchestratorStub(channel).decode(DecodeRequest(max_tokens=100, token_content=content))
        assert await call.read()
        process.send_signal(signal.SIGTERM)
        with pytest.raises(grpc.aio.AioRpcError) as cut:
            await _read_on(call)
    assert cut.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
    assert await process.wait() == 0


async def test_it_ends_when_its_parent_is_gone(start: Start) -> None:
    process = await start(*SERVE, STAND_IN_LOAD_SECONDS="1000", STAND_IN_PARENT="stdin")
    assert process.stderr
    assert process.stdin
    while b"loading" not in await process.stderr.readline():
        continue
    process.stdin.close()
    assert await asyncio.wait_for(process.wait(), 30) == 1


async def _read_on(call: grpc.aio.UnaryStreamCall) -> None:  # type: ignore[type-arg]
    while await call.read() is not grpc.aio.EOF:
        continue
