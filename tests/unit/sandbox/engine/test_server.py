"""The HTTP surface: what clients, probes and scrapers of a real vLLM meet."""

import asyncio
import json
from typing import Any

import pytest
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionUserMessageParam
from prometheus_client.parser import text_string_to_metric_families
from tests.support.polling import eventually

HELLO: list[ChatCompletionUserMessageParam] = [{"role": "user", "content": "Hello there"}]


async def samples(client: Any) -> dict[str, float]:
    text = await (await client.get("/metrics")).text()
    families = text_string_to_metric_families(text)
    return {sample.name: sample.value for family in families for sample in family.samples}


async def test_the_official_client_gets_an_answer(engine: Any) -> None:
    client = await engine("--served-model-name", "chat")
    async with AsyncOpenAI(base_url=str(client.make_url("/v1")), api_key="none") as openai:
        assert [model.id async for model in openai.models.list()] == ["chat"]
        answer = await openai.chat.completions.create(model="chat", messages=HELLO)
        assert answer.choices[0].message.content == (
            "This is a stand-in for vLLM: no model is loaded. You asked: Hello there"
        )
        assert answer.choices[0].finish_reason == "stop"
        assert answer.usage
        assert answer.usage.completion_tokens == 14
        raw = await openai.chat.completions.with_raw_response.create(model="chat", messages=HELLO)
        assert raw.headers["x-stand-in"] == "vllm"


async def test_the_official_client_streams(engine: Any) -> None:
    client = await engine()
    async with AsyncOpenAI(base_url=str(client.make_url("/v1")), api_key="none") as openai:
        stream = await openai.chat.completions.create(
            model="mistralai/Chat", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text.endswith("You asked: Hello there")
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].usage
    assert chunks[-1].usage.total_tokens == chunks[-1].usage.prompt_tokens + 14


async def test_completions_and_choices(engine: Any) -> None:
    client = await engine()
    body = {"model": "mistralai/Chat", "prompt": ["one", "two"], "n": 2, "max_tokens": 30}
    answer = await (await client.post("/v1/completions", json=body)).json()
    assert [choice["text"].split()[-1] for choice in answer["choices"]] == ["one", "one", "two", "two"]
    assert answer["object"] == "text_completion"


@pytest.mark.parametrize(
    ("extra", "text", "reason"),
    [
        ({"max_tokens": 4}, "This is a stand-in", "length"),
        ({"stop": "vLLM"}, "This is a stand-in for ", "stop"),
        ({"stop": ["loaded", "model"]}, "This is a stand-in for vLLM: no ", "stop"),
        ({"max_completion_tokens": 2, "max_tokens": 9}, "This is", "length"),
        ({"stop": "This"}, "", "stop"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_where_an_answer_ends(engine: Any, extra: dict[str, Any], text: str, reason: str, stream: bool) -> None:
    client = await engine()
    response = await client.post("/v1/chat/completions", json={"messages": HELLO, "stream": stream, **extra})
    if stream:
        lines = [line.removeprefix("data: ") for line in (await response.text()).split("\n\n") if line]
        assert lines.pop() == "[DONE]"
        choices = [json.loads(line)["choices"][0] for line in lines]
        assert "".join(choice["delta"].get("content", "") for choice in choices) == text
        assert choices[-1]["finish_reason"] == reason
    else:
        choice = (await response.json())["choices"][0]
        assert (choice["message"]["content"], choice["finish_reason"]) == (text, reason)


async def test_ignore_eos_fills_max_tokens(engine: Any) -> None:
    client = await engine()
    body = {"messages": HELLO, "ignore_eos": True, "max_tokens": 100}
    answer = await (await client.post("/v1/chat/completions", json=body)).json()
    assert answer["usage"]["completion_tokens"] == 100
    assert answer["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"model": "other", "messages": HELLO}, 404, "The model `other` does not exist."),
        ({"messages": []}, 400, "at least one message"),
        ({"messages": HELLO, "max_tokens": 60}, 400, "maximum context length is 64 tokens"),
        ({"messages": [{"role": "user", "content": "word " * 80}]}, 400, "even without any output tokens"),
        ({"messages": HELLO, "max_tokens": 0}, 400, "max_tokens must be at least 1"),
        ({"messages": HELLO, "max_tokens": "many"}, 400, "must be an integer"),
        ({"messages": HELLO, "stream_options": {"include_usage": True}}, 400, "stream=True"),
        ({"messages": HELLO, "tools": [{"type": "function"}]}, 400, "--enable-auto-tool-choice"),
        ([1], 400, "JSON object"),
    ],
)
async def test_refused_requests(engine: Any, body: Any, status: int, message: str) -> None:
    client = await engine("--max-model-len", "64")
    response = await client.post("/v1/chat/completions", json=body)
    error = (await response.json())["error"]
    assert response.status == error["code"] == status
    assert message in error["message"]


async def test_broken_json_is_refused(engine: Any) -> None:
    client = await engine()
    response = await client.post("/v1/completions", data=b'{"prompt": ')
    assert response.status == 400
    assert "Invalid JSON" in (await response.json())["error"]["message"]


async def test_a_key_guards_only_the_api(engine: Any) -> None:
    client = await engine(VLLM_API_KEY="secret")
    assert (await client.get("/v1/models")).status == 401
    assert (await client.get("/v1/models", headers={"Authorization": "Bearer wrong"})).status == 401
    assert (await client.get("/v1/models", headers={"Authorization": "Bearer secret"})).status == 200
    assert (await client.get("/health")).status == 200
    assert (await client.get("/metrics")).status == 200


async def test_waiting_requests_are_counted_and_capped(engine: Any) -> None:
    flags = ("--max-num-seqs", "1", "--max-num-queued-reqs", "2")
    client = await engine(*flags, STAND_IN_TOKENS_PER_SECOND="10")
    body = {"messages": HELLO, "ignore_eos": True, "max_tokens": 1000}
    tasks = [asyncio.create_task(client.post("/v1/chat/completions", json=body)) for _ in range(2)]

    async def one_runs_one_waits() -> bool:
        seen = await samples(client)
        return (seen["vllm:num_requests_running"], seen["vllm:num_requests_waiting"]) == (1, 1)

    await eventually(one_runs_one_waits, message="one running, one waiting")
    response = await client.post("/v1/chat/completions", json=body)
    assert response.status == 503
    assert "currently busy" in (await response.json())["error"]["message"]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

    async def nobody_is_left() -> bool:
        seen = await samples(client)
        return seen["vllm:num_requests_running"] == seen["vllm:num_requests_waiting"] == 0

    await eventually(nobody_is_left, message="the aborted requests have left")


async def test_metrics_have_their_real_names_and_labels(engine: Any) -> None:
    client = await engine("--served-model-name", "chat")
    await client.post("/v1/chat/completions", json={"messages": HELLO})
    text = await (await client.get("/metrics")).text()
    labels = '{engine="0",model_name="chat"}'
    for name in ("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc"):
        assert f"vllm:{name}{labels} 0.0" in text
    assert f"vllm:generation_tokens_total{labels} 14.0" in text
    assert f"vllm:time_to_first_token_seconds_count{labels} 1.0" in text
    assert f"vllm:e2e_request_latency_seconds_count{labels} 1.0" in text
    assert 'vllm:request_success_total{engine="0",finished_reason="stop",model_name="chat"} 1.0' in text


async def test_a_dead_engine_is_unhealthy(engine: Any) -> None:
    client = await engine(STAND_IN_DEAD_AFTER_SECONDS="0")
    assert (await client.get("/health")).status == 503
    assert (await client.get("/ping")).status == 503


async def test_version_and_adapters(engine: Any) -> None:
    client = await engine("--lora-modules", "law=/adapters/law")
    assert (await (await client.get("/version")).json())["stand_in"] is True
    models = (await (await client.get("/v1/models")).json())["data"]
    assert [(model["id"], model["parent"]) for model in models] == [("mistralai/Chat", None), ("law", "mistralai/Chat")]
    answer = await (await client.post("/v1/chat/completions", json={"model": "law", "messages": HELLO})).json()
    assert answer["model"] == "law"
