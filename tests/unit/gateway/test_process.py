"""The gateway and the stand-in of JetStream as processes, asked by OpenAI's own client."""

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
import openai
import pytest
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionUserMessageParam
from tests.support.polling import eventually

from mistral_operator.sandbox.control_plane.ports import free_port

ROOT = Path(__file__).parents[3]
HOST = "127.0.0.1"
HELLO: list[ChatCompletionUserMessageParam] = [{"role": "user", "content": "Hello there 🤖"}]
SENTENCE = "This is a stand-in for JetStream: no model is loaded. You asked:"
MIXTRAL = "mistralai/Mixtral-8x7B-Instruct-v0.1"


class Pair:
    """A gateway and its engine."""

    def __init__(self, port: int, gateway: Process, engine: Process) -> None:
        self.url = f"http://{HOST}:{port}"
        self.gateway = gateway
        self.engine = engine

    def client(self) -> AsyncOpenAI:
        return AsyncOpenAI(base_url=f"{self.url}/v1", api_key="none", max_retries=0)

    async def healthy(self) -> bool:
        async with aiohttp.ClientSession() as session:
            try:
                async with session.get(f"{self.url}/health") as response:
                    return response.status == 200
            except aiohttp.ClientConnectionError:
                return False


Start = Callable[..., Awaitable[Pair]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Start both; they are killed at the end of the test. `tokenizer` says which engine."""
    started: list[Process] = []

    async def run(*arguments: str, **environment: str) -> Process:
        env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "operator"), **environment}
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", *arguments, stdin=PIPE, env=env)
        started.append(process)
        return process

    async def pair(*flags: str, tokens_per_s: float = 500, load_s: float = 0) -> Pair:
        port, engine_port = free_port(HOST), free_port(HOST)
        steering = {"STAND_IN_TOKENS_PER_SECOND": f"{tokens_per_s}", "STAND_IN_LOAD_SECONDS": f"{load_s}"}
        words = ["--model_id", MIXTRAL, "--max_input_length=64", "--max_output_length=64", f"--port={engine_port}"]
        engine = await run("mistral_operator.sandbox.engine.jetstream", "jpt", "serve", *words, **steering)
        options = ["--host", HOST, "--port", str(port), "--engine", f"{HOST}:{engine_port}", "--tokenizer", "v1"]
        options += ["--served-model-name", "mixtral", "--max-prefill-tokens", "64", "--max-total-tokens", "128", *flags]
        gateway = await run("mistral_operator", "gateway", *options)
        both = Pair(port, gateway, engine)
        if not load_s:
            await eventually(both.healthy, 60, message="gateway and engine serve")
        return both

    yield pair
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def test_the_official_client_gets_answers(start: Start) -> None:
    pair = await start()
    async with pair.client() as client:
        assert [model.id async for model in client.models.list()] == ["mixtral"]
        answer = await client.chat.completions.create(model="mixtral", messages=HELLO, temperature=0)
        assert answer.choices[0].message.content == f"{SENTENCE} [INST] Hello there 🤖 [/INST]"
        assert (answer.choices[0].finish_reason, answer.usage and answer.usage.prompt_tokens) == ("stop", 15)
        stream = await client.chat.completions.create(
            model="mixtral", messages=HELLO, stream=True, max_tokens=20, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
        assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == f"{SENTENCE} [INST"
        assert chunks[-2].choices[0].finish_reason == "length"
        assert chunks[-1].usage
        assert chunks[-1].usage.completion_tokens == 20
        text = await client.completions.create(model="mixtral", prompt="Once upon", max_tokens=64)
        assert text.choices[0].text == f" {SENTENCE} Once upon"


async def test_the_official_client_understands_refusals(start: Start) -> None:
    pair = await start()
    async with pair.client() as client:
        with pytest.raises(openai.BadRequestError) as refused:
            await client.chat.completions.create(model="mixtral", messages=HELLO, seed=5)
        assert refused.value.param == "seed"
        with pytest.raises(openai.NotFoundError, match="does not exist"):
            await client.chat.completions.create(model="gpt-4", messages=HELLO)
        with pytest.raises(openai.BadRequestError) as refused:
            await client.completions.create(model="mixtral", prompt="word " * 200)
        assert refused.value.code == "context_length_exceeded"


async def test_an_engine_that_dies_in_mid_answer(start: Start) -> None:
    pair = await start(tokens_per_s=20)
    async with pair.client() as client:
        stream = await client.chat.completions.create(model="mixtral", messages=HELLO, stream=True)
        texts: list[str | None] = []

        async def read_and_kill() -> None:
            async for chunk in stream:
                texts.append(chunk.choices[0].delta.content)
                if len(texts) == 3:
                    pair.engine.kill()

        with pytest.raises(openai.APIError, match="The engine is not available"):
            await read_and_kill()
        assert "".join(text or "" for text in texts).startswith("This is")
        with pytest.raises(openai.InternalServerError) as away:
            await client.chat.completions.create(model="mixtral", messages=HELLO)
        assert away.value.status_code == 503
    assert not await pair.healthy()


@pytest.mark.parametrize(("drain_s", "whole"), [("60", True), ("0", False)])
async def test_what_happens_to_an_open_answer_at_sigterm(start: Start, drain_s: str, whole: bool) -> None:
    pair = await start("--drain-s", drain_s, tokens_per_s=40)
    async with pair.client() as client:
        stream = await client.chat.completions.create(model="mixtral", messages=HELLO, stream=True)
        reasons: list[str | None] = []
        failure = ""
        try:
            async for chunk in stream:
                if not reasons:
                    pair.gateway.send_signal(signal.SIGTERM)
                reasons.append(chunk.choices[0].finish_reason)
        except openai.APIError as error:
            failure = str(error)
    assert (reasons[-1] == "stop") is whole
    assert ("shutting down" in failure) is not whole
    assert await asyncio.wait_for(pair.gateway.wait(), 30) == 0


async def test_a_gateway_waits_for_its_engine(start: Start) -> None:
    pair = await start(load_s=3)
    pair.engine.send_signal(signal.SIGSTOP)  # However long the gateway takes to start, the engine takes longer.

    async def loading() -> bool:
        async with aiohttp.ClientSession() as session:
            try:
                async with session.get(f"{pair.url}/health") as response:
                    return response.status == 503 and "UNAVAILABLE" in await response.text()
            except aiohttp.ClientConnectionError:
                return False

    await eventually(loading, 60, message="the gateway says that its engine is away")
    pair.engine.send_signal(signal.SIGCONT)
    await eventually(pair.healthy, 60, message="the engine is there")


async def test_many_streams_at_once(start: Start) -> None:
    pair = await start("--max-concurrency", "40", tokens_per_s=200)
    async with pair.client() as client:

        async def ask(number: int) -> str:
            stream = await client.completions.create(model="mixtral", prompt=f"{number}", max_tokens=64, stream=True)
            return "".join([chunk.choices[0].text async for chunk in stream])

        # More than the engine's 32 slots: some wait there.
        answers = await asyncio.gather(*(ask(number) for number in range(40)))
    assert answers == [f" {SENTENCE} {number}" for number in range(40)]
