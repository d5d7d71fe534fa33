"""The HTTP surface in front of an engine that answers, refuses, breaks off and comes back."""

import asyncio
import json
from typing import Any

import grpc
import hypothesis
import pytest
from aiohttp import ClientPayloadError
from hypothesis import strategies
from prometheus_client.parser import text_string_to_metric_families
from tests.support.polling import eventually
from tests.support.scripted_engine import ScriptedEngine
from tests.unit.gateway.conftest import SERVER, Gateway
from tests.unit.gateway.test_completion import BODY

from mistral_operator.gateway.tokens import Tokenizer

CHAT = "/v1/chat/completions"
HI = {"messages": [{"role": "user", "content": "Hi"}]}
PROMPT = [733, 16289, 28793, 15359, 733, 28748, 16289, 28793]
"""[INST] Hi [/INST], without BOS."""


@pytest.fixture
def hello(engine: ScriptedEngine, v1: Tokenizer) -> ScriptedEngine:
    """It says `Hello there 🤖`, a token a message."""
    engine.steps = [[token] for token in v1.encode_text("Hello there 🤖")[1:]] + [[]]
    return engine


async def events(response: Any) -> list[Any]:
    """The stream's events, [DONE] as text."""
    blocks = (await response.text()).removesuffix("\n\n").split("\n\n")
    texts = [block.removeprefix("data: ") for block in blocks]
    return [text if text == "[DONE]" else json.loads(text) for text in texts]


async def samples(client: Any) -> dict[tuple[str, ...], float]:
    """Values by name and label values."""
    families = text_string_to_metric_families(await (await client.get("/metrics")).text())
    found = [sample for family in families for sample in family.samples]
    return {(sample.name.removeprefix("mistral_gateway_"), *sample.labels.values()): sample.value for sample in found}


async def test_a_chat(hello: ScriptedEngine, gateway: Gateway) -> None:
    client = await gateway()
    response = await client.post(CHAT, json=HI)
    body = await response.json()
    assert response.status == 200
    assert body["choices"][0]["message"] == {"role": "assistant", "content": "Hello there 🤖"}
    assert body["choices"][0]["finish_reason"] == "stop"
    assert body["usage"] == {"prompt_tokens": 9, "completion_tokens": 7, "total_tokens": 16}


async def test_what_the_engine_is_asked(hello: ScriptedEngine, gateway: Gateway) -> None:
    client = await gateway()
    await client.post(CHAT, json={**HI, "max_tokens": 20})
    # BOS is missing because JetStream puts one there.
    assert list(hello.requests[0].token_content.token_ids) == PROMPT
    assert (hello.requests[0].max_tokens, hello.requests[0].num_samples) == (20, 0)


async def test_a_stream(hello: ScriptedEngine, gateway: Gateway) -> None:
    client = await gateway()
    response = await client.post(CHAT, json={**HI, "stream": True, "stream_options": {"include_usage": True}})
    *chunks, usage, done = await events(response)
    assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert done == "[DONE]"
    assert usage["usage"] == {"prompt_tokens": 9, "completion_tokens": 7, "total_tokens": 16}
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[0] == {"role": "assistant", "content": ""}
    assert [delta["content"] for delta in deltas[1:-1]] == ["Hello", " there", " ", "🤖"]
    assert (deltas[-1], chunks[-1]["choices"][0]["finish_reason"]) == ({}, "stop")


async def test_an_answer_that_is_cut_at_its_length(hello: ScriptedEngine, gateway: Gateway) -> None:
    client = await gateway()
    hello.hold = True
    *_, last, done = await events(await client.post(CHAT, json={**HI, "stream": True, "max_tokens": 2}))
    assert (last["choices"][0]["finish_reason"], done) == ("length", "[DONE]")
    # The engine may generate on; nobody listens.
    await eventually(lambda: _reached(hello.cancelled == 1), message="the call is cancelled")


async def test_completions(hello: ScriptedEngine, gateway: Gateway) -> None:
    client = await gateway()
    body = await (await client.post("/v1/completions", json={"prompt": "Say", "max_tokens": 2})).json()
    assert (body["object"], body["choices"][0]["text"]) == ("text_completion", " Hello there")
    *chunks, done = await events(await client.post("/v1/completions", json={"prompt": "Say", "stream": True}))
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == " Hello there 🤖"
    assert done == "[DONE]"


async def test_an_empty_answer(engine: ScriptedEngine, gateway: Gateway) -> None:
    client = await gateway()
    engine.steps = [[]]
    *chunks, done = await events(await client.post(CHAT, json={**HI, "stream": True}))
    assert [chunk["choices"][0]["delta"] for chunk in chunks] == [{"role": "assistant", "content": ""}, {}]
    assert done == "[DONE]"
    assert (await (await client.post(CHAT, json=HI)).json())["choices"][0]["message"]["content"] == ""


async def test_models(gateway: Gateway) -> None:
    client = await gateway(served_model_name="mixtral")
    body = await (await client.get("/v1/models")).json()
    assert [(model["id"], model["max_model_len"]) for model in body["data"]] == [("mixtral", 96)]


async def test_refusals_have_openais_shape(engine: ScriptedEngine, gateway: Gateway) -> None:
    client = await gateway()
    response = await client.post(CHAT, json={**HI, "tools": [{}]})
    assert response.status == 400
    assert (await response.json())["error"]["param"] == "tools"
    assert not engine.requests
    assert (await samples(client))["refusals_total", "unsupported_value", "tools"] == 1


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/v2", 404), ("GET", CHAT, 405), ("POST", "/health", 405)]
)
async def test_other_paths(gateway: Gateway, method: str, path: str, status: int) -> None:
    client = await gateway()
    response = await client.request(method, path)
    assert response.status == status
    assert (await response.json())["error"]["type"] == "invalid_request_error"


async def test_a_body_that_is_too_large(gateway: Gateway) -> None:
    client = await gateway()
    response = await client.post(CHAT, data=b" " * (3 * 1024 * 1024))
    assert response.status == 413
    assert "error" in await response.json()


async def test_ignored_parameters_are_in_a_header(hello: ScriptedEngine, gateway: Gateway) -> None:
    client = await gateway(ignore_unsupported=True)
    for stream in (True, False):
        response = await client.post(CHAT, json={**HI, "seed": 5, "temperature": 0.2, "stream": stream})
        assert response.status == 200
        assert response.headers["x-ignored-parameters"] == "seed, temperature"


async def test_health_is_the_engines(engine: ScriptedEngine, gateway: Gateway) -> None:
    client = await gateway()
    assert (await client.get("/health")).status == 200
    engine.live = False
    response = await client.get("/health")
    assert response.status == 503
    assert "not live" in (await response.json())["status"]
    await engine.stop()
    response = await client.get("/health")
    assert response.status == 503
    assert "UNAVAILABLE" in (await response.json())["status"]


async def test_an_engine_that_is_away_and_comes_back(hello: ScriptedEngine, gateway: Gateway) -> None:
    client = await gateway()
    await hello.stop()
    for stream in (True, False):
        response = await client.post(CHAT, json={**HI, "stream": stream})
        assert (response.status, response.headers["Retry-After"]) == (503, "5")
        assert (await response.json())["error"]["code"] == "engine_unavailable"
    await hello.start(int(hello.address.rpartition(":")[2]))

    async def answers() -> bool:
        return (await client.post(CHAT, json=HI)).status == 200

    await eventually(answers, message="the engine is back")


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        (grpc.StatusCode.RESOURCE_EXHAUSTED, 503, "engine_busy"),
        (grpc.StatusCode.INVALID_ARGUMENT, 400, "engine_refused"),
        (grpc.StatusCode.UNKNOWN, 502, "engine_failed"),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
async def test_an_engine_that_refuses(
    engine: ScriptedEngine, gateway: Gateway, code: grpc.StatusCode, status: int, error: str, stream: bool
) -> None:
    client = await gateway()
    engine.steps = [(code, "not this one")]
    response = await client.post(CHAT, json={**HI, "stream": stream})
    body = (await response.json())["error"]
    assert (response.status, body["code"]) == (status, error)
    assert "not this one" in body["message"]
    assert (await samples(client))["engine_failures_total", code.name] == 1


async def test_an_engine_that_breaks_off(hello: ScriptedEngine, gateway: Gateway) -> None:
    client = await gateway()
    hello.steps = [*hello.steps[:2], (grpc.StatusCode.UNAVAILABLE, "killed")]
    *chunks, failure = await events(await client.post(CHAT, json={**HI, "stream": True}))
    assert [chunk["choices"][0]["delta"]["content"] for chunk in chunks] == ["", "Hello", " there"]
    assert failure["error"]["code"] == "engine_unavailable"
    response = await client.post(CHAT, json=HI)
    assert response.status == 503


async def test_tokens_that_the_tokenizer_does_not_have(engine: ScriptedEngine, gateway: Gateway) -> None:
    client = await gateway()
    engine.steps = [[40_000]]
    response = await client.post(CHAT, json=HI)
    assert response.status == 502
    assert "token 40000" in (await response.json())["error"]["message"]


async def test_a_client_that_leaves_cancels_the_call(hello: ScriptedEngine, gateway: Gateway) -> None:
    client = await gateway()
    hello.hold = True
    response = await client.post(CHAT, json={**HI, "stream": True})
    assert await response.content.readuntil(b"Hello")
    response.close()
    await eventually(lambda: _reached(hello.cancelled == 1), message="the streamed call is cancelled")
    waiting = asyncio.create_task(client.post(CHAT, json=HI))
    await eventually(lambda: _reached(len(hello.requests) == 2), message="the second call has begun")
    waiting.cancel()
    await eventually(lambda: _reached(hello.cancelled == 2), message="the other call is cancelled")

    async def counted() -> bool:
        seen = await samples(client)
        return seen.get(("requests_total", CHAT, "499")) == 2 and seen["requests_in_flight",] == 0

    await eventually(counted, message="both are counted as left")


async def test_more_requests_than_places(hello: ScriptedEngine, gateway: Gateway) -> None:
    client = await gateway(max_concurrency=1)
    hello.hold = True
    first = await client.post(CHAT, json={**HI, "stream": True})
    response = await client.post(CHAT, json=HI)
    assert (response.status, response.headers["Retry-After"]) == (503, "1")
    assert (await response.json())["error"]["code"] == "too_many_requests"
    first.close()
    hello.hold = False

    async def answers() -> bool:
        return (await client.post(CHAT, json=HI)).status == 200

    await eventually(answers, message="the place is free again")


async def test_a_drain_lets_open_answers_end(hello: ScriptedEngine, gateway: Gateway) -> None:
    client = await gateway()
    hello.hold = True
    response = await client.post(CHAT, json={**HI, "stream": True, "max_tokens": 8})
    server = client.app[SERVER]  # type: ignore[index]
    draining = asyncio.create_task(server.drain(60))
    await eventually(lambda: _unhealthy(client), message="it drains")
    refused = await client.post(CHAT, json=HI)
    assert (refused.status, refused.headers["Retry-After"], refused.headers["Connection"]) == (503, "5", "close")
    assert not draining.done()
    response.close()
    await asyncio.wait_for(draining, 10)


async def test_a_drain_cuts_what_does_not_end(hello: ScriptedEngine, gateway: Gateway) -> None:
    client = await gateway()
    hello.hold = True
    response = await client.post(CHAT, json={**HI, "stream": True})
    server = client.app[SERVER]  # type: ignore[index]
    await asyncio.wait_for(server.drain(0.05), 10)
    *_, failure = await events(response)
    assert "shutting down" in failure["error"]["message"]


async def test_metrics(hello: ScriptedEngine, gateway: Gateway) -> None:
    client = await gateway()
    await client.post(CHAT, json=HI)
    await (await client.post(CHAT, json={**HI, "stream": True})).read()
    seen = await samples(client)
    assert seen["requests_total", CHAT, "200"] == 2
    assert (seen["prompt_tokens_total",], seen["completion_tokens_total",]) == (18, 14)
    assert seen["time_to_first_token_seconds_count",] == seen["request_duration_seconds_count",] == 2
    assert seen["requests_in_flight",] == 0


@hypothesis.given(body=BODY, chat=strategies.booleans())
@hypothesis.settings(max_examples=60, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
async def test_no_body_makes_the_gateway_fail(engine: ScriptedEngine, gateway: Gateway, body: Any, chat: bool) -> None:
    engine.steps = [[15359], []]
    client = await gateway()
    response = await client.post(CHAT if chat else "/v1/completions", data=json.dumps(body).encode())
    try:
        assert response.status in (200, 400, 404)
        assert await response.read()
    except ClientPayloadError as error:
        raise AssertionError(f"the answer broke off for {body}") from error


async def _reached(condition: bool) -> bool:
    return condition


async def _unhealthy(client: Any) -> bool:
    return (await client.get("/health")).status == 503
