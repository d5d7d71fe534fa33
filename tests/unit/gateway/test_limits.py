"""What one client may cost the others: bodies that are large or never come, work for the tokenizer, unread answers."""

import asyncio
import gc
import json
import random
import socket
import string
import time
from typing import Any

import pytest
from tests.support.polling import eventually
from tests.support.scripted_engine import ScriptedEngine
from tests.unit.gateway.conftest import Gateway
from tests.unit.gateway.test_server import CHAT, HI, samples

from mistral_operator.gateway import exchange, intake
from mistral_operator.gateway.completion import read_completion
from mistral_operator.gateway.intake import limit_body
from mistral_operator.gateway.messages import Message
from mistral_operator.gateway.refusal import Refusal
from mistral_operator.gateway.run import calm_collector
from mistral_operator.gateway.settings import GatewaySettings
from mistral_operator.gateway.tokens import Tokenizer

LARGE = GatewaySettings("chat", "v1", max_prefill_tokens=32_768, max_total_tokens=40_000, max_concurrency=8)


async def begin(client: Any, announced_bytes: int, sent: bytes = b"") -> tuple[asyncio.StreamReader, Any]:
    """A request whose body isn't there yet, or not all of it."""
    reader, writer = await asyncio.open_connection(client.host, client.port)
    head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nContent-Length: {announced_bytes}\r\n\r\n"
    writer.write(head.encode() + sent)
    await writer.drain()
    return reader, writer


async def status_of(reader: asyncio.StreamReader) -> int:
    line = await asyncio.wait_for(reader.readline(), 10)
    return int(line.split()[1])


@pytest.mark.parametrize(
    ("tokens", "size_bytes"), [(64, 262_144), (4096, 262_144), (16_384, 1_048_576), (131_072, 2_097_152)]
)
def test_the_largest_body_is_the_longest_prompts(tokens: int, size_bytes: int) -> None:
    assert limit_body(tokens) == size_bytes


async def test_too_large_a_body_is_refused_before_it_comes(gateway: Gateway) -> None:
    client = await gateway()
    reader, writer = await begin(client, 300_000)
    assert await status_of(reader) == 413
    writer.close()


async def test_a_body_of_unknown_length_is_refused_when_it_is_too_large(gateway: Gateway) -> None:
    client = await gateway()

    async def chunks() -> Any:
        for _ in range(30):
            yield b" " * 10_000

    response = await client.post(CHAT, data=chunks())
    assert response.status == 413
    assert (await response.json())["error"]["code"] == "request_too_large"


async def test_a_body_that_never_comes(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "READ_S", 0.1)
    client = await gateway()
    reader, writer = await begin(client, 100, b"{")
    assert await status_of(reader) == 408
    assert b"send it at once" in await asyncio.wait_for(reader.readuntil(b"}}"), 10)
    writer.close()


async def test_bodies_that_are_held_are_bounded(
    engine: ScriptedEngine, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "MOST_HELD_BYTES", 50_000)
    engine.steps = [[15359], []]
    client = await gateway()
    # What is only announced takes nothing from others.
    _, idle = await begin(client, 40_000)
    _, holding = await begin(client, 40_000, b" " * 39_000)

    async def refused() -> bool:
        reader, writer = await begin(client, 20_000)
        try:
            return await asyncio.wait_for(reader.readline(), 0.2) == b"HTTP/1.1 503 Service Unavailable\r\n"
        except TimeoutError:
            return False
        finally:
            writer.close()

    await eventually(refused, message="another large body is not read")
    assert (await client.post(CHAT, json=HI)).status == 200
    holding.close()

    async def admitted() -> bool:
        body = b" " * 20_000 + json.dumps(HI).encode()
        return (await client.post(CHAT, data=body)).status == 200

    await eventually(admitted, message="the room is free again")
    idle.close()


async def test_no_body_is_read_when_all_places_are_taken(engine: ScriptedEngine, gateway: Gateway) -> None:
    client = await gateway(max_concurrency=1)
    engine.steps, engine.hold = [[15359]], True
    first = await client.post(CHAT, json={**HI, "stream": True})
    reader, writer = await begin(client, 1000)
    assert await status_of(reader) == 503
    writer.close()
    first.close()


async def test_who_comes_last_gets_no_place_beyond_the_last(engine: ScriptedEngine, gateway: Gateway) -> None:
    client = await gateway(max_concurrency=1)
    engine.steps, engine.hold = [[15359]], True
    body = json.dumps(HI).encode()
    reader, writer = await begin(client, len(body), body[:1])
    first = await client.post(CHAT, json={**HI, "stream": True})
    writer.write(body[1:])
    assert await status_of(reader) == 503
    writer.close()
    first.close()


async def test_an_answer_that_nobody_reads_frees_its_place(
    engine: ScriptedEngine, gateway: Gateway, v1: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "WRITE_S", 0.2)
    client = await gateway(max_concurrency=1, max_total_tokens=10_000_000)
    # 20 MB: more than the kernel keeps for a connection.
    engine.steps = [v1.encode_text("there " * 1000)[1:]] * 3000
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.setblocking(False)
    await asyncio.get_running_loop().sock_connect(deaf, (client.host, client.port))
    body = json.dumps({**HI, "stream": True}).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    await asyncio.get_running_loop().sock_sendall(deaf, head + body)

    async def freed() -> bool:
        seen = await samples(client)
        return engine.cancelled == 1 and seen["requests_in_flight",] == 0 and ("requests_total", CHAT, "499") in seen

    await eventually(freed, 20, message="the place is free and the call cancelled")
    engine.steps = [[15359], []]
    assert (await client.post(CHAT, json=HI)).status == 200
    deaf.close()


async def test_a_large_request_does_not_keep_streams_waiting(
    engine: ScriptedEngine, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    working, done = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def translate(*_: object, **__: object) -> Refusal:
        loop.call_soon_threadsafe(working.set)
        asyncio.run_coroutine_threadsafe(done.wait(), loop).result(10)
        return Refusal("read")

    client = await gateway()
    monkeypatch.setattr("mistral_operator.gateway.server.read_completion", translate)
    large = asyncio.create_task(client.post(CHAT, data=b" " * 100_000))
    await asyncio.wait_for(working.wait(), 10)
    assert (await client.get("/health")).status == 200
    done.set()
    assert (await large).status == 400


def letters(count: int) -> str:
    chosen = random.Random(1)
    return "".join(chosen.choice(string.ascii_lowercase) for _ in range(count))


@pytest.mark.parametrize(
    ("body", "chat", "text"),
    [
        ({"messages": [{"role": "user", "content": ""}] * 60_000}, True, "60000 texts"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": ""}] * 60_000}]}, True, "60000 texts"),
        ({"messages": [5] * 60_000}, True, "60000 texts"),
        ({"prompt": [5] * 900_000}, False, "900000 tokens"),
        ({"messages": [{"role": "user", "content": letters(800_000)}]}, True, "far more than 32768 tokens"),
    ],
    ids=["messages", "parts", "numbers", "tokens", "letters"],
)
def test_what_cannot_fit_is_never_translated(v1: Tokenizer, body: Any, chat: bool, text: str) -> None:
    watched = Watched(v1)
    found = read_completion(json.dumps(body).encode(), LARGE, watched, chat=chat)  # type: ignore[arg-type]
    assert isinstance(found, Refusal)
    assert (found.code, found.param) == ("context_length_exceeded", "messages" if chat else "prompt")
    assert text in found.message
    assert not watched.encoded


class Watched:
    """A tokenizer that notes what it has to encode whole."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self.encoded: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def encode_chat(self, messages: list[Message]) -> Any:
        self.encoded.append(messages)
        return self._tokenizer.encode_chat(messages)


def test_looking_ahead_ends_where_it_is_too_much(v1: Tokenizer) -> None:
    """Ten times the text takes no longer, once it has more tokens than any prompt."""

    def seconds(text: str) -> float:
        began = time.process_time()
        assert v1.far_exceeds([text], 1000)
        return time.process_time() - began

    short, long = letters(50_000), letters(500_000)
    assert min(seconds(long) for _ in range(3)) < 4 * min(seconds(short) for _ in range(3))


@pytest.mark.parametrize(
    "text",
    ["word " * 20_000, " " * 100_000, "\n" * 50_000, "🤖" * 10_000, "ab" * 50_000, letters(50_000), "été, " * 10_000],
    ids=["words", "blanks", "lines", "robots", "pairs", "letters", "accents"],
)
def test_no_text_that_fits_far_exceeds(v1: Tokenizer, v3: Tokenizer, text: str) -> None:
    for tokenizer in (v1, v3):
        assert not tokenizer.far_exceeds([text], len(tokenizer.encode_text(text)))


@pytest.mark.parametrize("count", [1, 2, 33])
@pytest.mark.parametrize("parts", [True, False])
def test_each_text_takes_a_token(v1: Tokenizer, v3: Tokenizer, count: int, parts: bool) -> None:
    texts = ("a",) * count
    messages = [Message("user", texts)] if parts else [Message("user", (text,)) for text in texts]
    for tokenizer in (v1, v3):
        tokens = tokenizer.encode_chat(messages)
        assert not isinstance(tokens, Refusal)
        assert len(tokens) > count


def test_a_body_of_many_objects_is_not_searched_for_garbage_over_and_over() -> None:
    def searched() -> int:
        before = sum(generation["collections"] for generation in gc.get_stats())
        json.loads("[" + "[]," * 600_000 + "0]")
        return sum(generation["collections"] for generation in gc.get_stats()) - before

    thresholds = gc.get_threshold()
    try:
        assert searched() > 100
        calm_collector()
        assert searched() < 20
    finally:
        gc.unfreeze()
        gc.set_threshold(*thresholds)
