"""The gateway between a client and the stand-in of JetStream: what it adds, and what it costs.

Engine, gateway and client share this machine's cores, so the gateway's own processor time is measured, not the pace
that all three reach together.
"""

import asyncio
import json
import os
import resource
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import grpc
import psutil
from tests.bench.report import percentile, report, say
from tests.bench.site import REPOSITORY
from tests.support.polling import eventually

from mistral_operator.sandbox.control_plane.ports import free_port
from mistral_operator.sandbox.processes import Process, ProcessGroup
from mistral_operator.wire.jetstream_pb2 import DecodeRequest
from mistral_operator.wire.orchestrator import OrchestratorStub

HOST = "127.0.0.1"
MODEL = "mistralai/Mixtral-8x7B-Instruct-v0.1"
SLOTS = 4096
PREFILL, TOTAL = 512, 1024
CHAT_TOKENS = 105
"""With the template and BOS, in both ways."""
REQUESTS = 400
WINDOW_S = 8.0
WORD = 15359
"""The token that the prompts, and so the answers, are made of."""
HEAD = b"POST /v1/completions HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"


@dataclass(frozen=True, slots=True)
class Load:
    """So many streams of so many chunks a second each."""

    streams: int
    chunks_per_s: float
    prompt_tokens: int
    """The stand-in's answers are as long, and a sentence longer: enough for ramp and window."""


WIDE, FAST = Load(2000, 2, 60), Load(200, 30, 500)


async def measure_gateway(directory: Path) -> None:
    """All rows."""
    _prepare(directory)
    await _measure_latency(directory)
    for load in (WIDE, FAST):
        await _measure_load(directory, load)


async def _measure_latency(directory: Path) -> None:
    say(f"asking {REQUESTS} times through the gateway, and as often without it")
    text = "The quick brown fox jumps over the lazy dog. " * 8
    async with _pair(directory, 1e6) as pair, AsyncExitStack() as stack:
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(pair.engine_address))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        stub = OrchestratorStub(channel)
        direct_ms, through_ms = [], []
        for _ in range(REQUESTS):
            direct_ms.append(1000 * await _ask_engine(stub))
            through_ms.append(1000 * await _ask_gateway(http, pair.url, text))
    direct, through = percentile(direct_ms, 0.5), percentile(through_ms, 0.5)
    ways = f"engine alone {direct:.2f} ms, through the gateway {through:.2f} ms"
    note = f"one token after a chat of {CHAT_TOKENS}, {REQUESTS} times each in turns; {ways}"
    report("gateway: added latency, p50", through - direct, "ms", 2, note)


async def _ask_engine(stub: OrchestratorStub) -> float:
    began = time.perf_counter()
    content = DecodeRequest.TokenContent(token_ids=[WORD] * (CHAT_TOKENS - 1))
    async for _ in stub.decode(DecodeRequest(max_tokens=1, token_content=content)):
        pass
    return time.perf_counter() - began


async def _ask_gateway(http: aiohttp.ClientSession, url: str, text: str) -> float:
    began = time.perf_counter()
    question = {"messages": [{"role": "user", "content": text}], "max_tokens": 1}
    async with http.post(f"{url}/v1/chat/completions", json=question) as response:
        body = await response.json()
    assert (body["usage"]["prompt_tokens"], body["usage"]["completion_tokens"]) == (CHAT_TOKENS, 1), body
    return time.perf_counter() - began


async def _measure_load(directory: Path, load: Load) -> None:
    say(f"opening {load.streams} streams of {load.chunks_per_s:g} chunks a second")
    async with _pair(directory, load.chunks_per_s) as pair:
        streams = [_Stream() for _ in range(load.streams)]
        body = json.dumps({"prompt": [WORD] * load.prompt_tokens, "max_tokens": TOTAL - PREFILL, "stream": True})
        request = HEAD % (len(body), body.encode())
        loop = asyncio.get_running_loop()
        for stream in streams:
            transport, _ = await loop.create_connection(lambda stream=stream: stream, HOST, pair.port)  # type: ignore[misc]
            transport.write(request)
        await eventually(lambda: _all_begun(streams), 60, "all streams have begun")
        chunks, cpu_s, took_s = await _observe(pair, streams)
        assert all(stream.open for stream in streams), "a stream ended before the window did"
        for stream in streams:
            stream.close()
    wanted = load.streams * load.chunks_per_s * took_s
    note = f"{chunks / took_s:.0f} chunks/s of {wanted / took_s:.0f} reached with engine and client beside it"
    name = f"gateway: {load.streams} streams at {load.chunks_per_s:g} chunks/s"
    report(f"{name}, share of a core", 100 * cpu_s / took_s, "%", 100, note)
    report(f"{name}, processor time for 1,000 chunks", 1000 * cpu_s / chunks, "s", 1000 / (wanted / took_s))


async def _observe(pair: "_Pair", streams: "list[_Stream]") -> tuple[int, float, float]:
    """Chunks, the gateway's processor time and the seconds of one window."""
    chunks, cpu_s, began = sum(stream.chunks for stream in streams), pair.gateway_cpu_s(), time.monotonic()
    await asyncio.sleep(WINDOW_S)
    took_s = time.monotonic() - began
    return sum(stream.chunks for stream in streams) - chunks, pair.gateway_cpu_s() - cpu_s, took_s


async def _all_begun(streams: "list[_Stream]") -> bool:
    return all(stream.chunks for stream in streams)


@dataclass(slots=True)
class _Stream(asyncio.Protocol):
    """Counts events and does nothing else: the client must not be what is measured."""

    chunks: int = 0
    open: bool = False
    _transport: asyncio.BaseTransport | None = field(default=None, repr=False)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.open = True
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self.chunks += data.count(b"data: ")
        if b"[DONE]" in data or b'"error"' in data:
            self.open = False

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False

    def close(self) -> None:
        """Leave."""
        if self._transport:
            self._transport.close()


class _Pair:
    """A gateway and its engine."""

    def __init__(self, port: int, engine_address: str, gateway: Process) -> None:
        self.port = port
        self.url = f"http://{HOST}:{port}"
        self.engine_address = engine_address
        self._gateway = gateway
        self._usage = psutil.Process(gateway.popen.pid)

    def gateway_cpu_s(self) -> float:
        """Processor time that the gateway has used, in all its threads."""
        times = self._usage.cpu_times()
        return float(times.user + times.system)

    async def healthy(self) -> bool:
        """True when it answers. Raises when it can't any more."""
        assert self._gateway.running, self._gateway.log_tail()
        async with aiohttp.ClientSession() as http:
            try:
                async with http.get(f"{self.url}/health") as response:
                    return response.status == 200
            except aiohttp.ClientConnectionError:
                return False


@asynccontextmanager
async def _pair(directory: Path, tokens_per_s: float) -> AsyncIterator[_Pair]:
    port, engine_port = free_port(HOST), free_port(HOST)
    words = ["jpt", "serve", "--model_id", MODEL, f"--override_batch_size={SLOTS}", f"--port={engine_port}"]
    words += [f"--max_input_length={PREFILL}", f"--max_output_length={TOTAL - PREFILL}"]
    steering = {"STAND_IN_TOKENS_PER_SECOND": f"{tokens_per_s}", "STAND_IN_LOAD_SECONDS": "0", "STAND_IN_HOST": HOST}
    options = [
        "--host",
        HOST,
        "--port",
        str(port),
        "--engine",
        f"{HOST}:{engine_port}",
        "--max-concurrency",
        f"{SLOTS}",
    ]
    options += ["--served-model-name", "m", "--tokenizer", "v1", "--drain-s", "0"]
    options += ["--max-prefill-tokens", f"{PREFILL}", "--max-total-tokens", f"{TOTAL}"]
    env = {"PYTHONPATH": os.pathsep.join((str(REPOSITORY / "operator"), str(REPOSITORY)))}
    with ProcessGroup() as group:
        module = "mistral_operator.sandbox.engine.jetstream"
        engine_log = directory / f"engine-{port}.log"
        group.spawn("engine", [sys.executable, "-m", module, *words], engine_log, env=env | steering)
        command = [sys.executable, "-m", "mistral_operator", "gateway", *options]
        pair = _Pair(
            port, f"{HOST}:{engine_port}", group.spawn("gateway", command, directory / f"gateway-{port}.log", env=env)
        )
        await eventually(pair.healthy, 60, "gateway and engine serve")
        yield pair


def _prepare(directory: Path) -> None:
    """A place for logs, and enough open files here and in the processes that are started from here."""
    directory.mkdir(parents=True, exist_ok=True)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * WIDE.streams
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard)
        )
