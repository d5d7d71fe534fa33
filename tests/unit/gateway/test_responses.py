"""Bodies and events as OpenAI's clients read them."""

import json
from typing import Any

import pytest
from openai.types import Completion as OpenAICompletion
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from mistral_operator.gateway.completion import Completion
from mistral_operator.gateway.refusal import unavailable
from mistral_operator.gateway.responses import DONE, Events, Identity, render_failure, render_whole

IDENTITY = Identity("chatcmpl-1", 1_700_000_000)


def completion(*, chat: bool = True, include_usage: bool = False, model: str = "chat") -> Completion:
    return Completion(chat, model, (1, 5, 6), 9, stream=True, include_usage=include_usage)


def read(events: bytes) -> list[Any]:
    blocks = events.decode().split("\n\n")
    assert blocks.pop() == ""
    return [json.loads(block.removeprefix("data: ")) if "[DONE]" not in block else "[DONE]" for block in blocks]


def test_a_whole_chat() -> None:
    body = render_whole(IDENTITY, completion(), "Hello", "stop", 2)
    parsed = ChatCompletion.model_validate(body, strict=True)
    assert parsed.choices[0].message.content == "Hello"
    assert parsed.usage
    assert (parsed.usage.prompt_tokens, parsed.usage.completion_tokens, parsed.usage.total_tokens) == (3, 2, 5)


def test_a_whole_completion() -> None:
    parsed = OpenAICompletion.model_validate(
        render_whole(IDENTITY, completion(chat=False), " x", "length", 2), strict=True
    )
    assert (parsed.choices[0].text, parsed.choices[0].finish_reason, parsed.object) == (
        " x",
        "length",
        "text_completion",
    )


@pytest.mark.parametrize("include_usage", [True, False])
@pytest.mark.parametrize("chat", [True, False])
def test_a_stream(chat: bool, include_usage: bool) -> None:
    events = Events(IDENTITY, completion(chat=chat, include_usage=include_usage))
    *chunks, done = read(events.opening() + events.text('Hé "\n') + events.text("🤖") + events.closing("stop", 2))
    assert done == "[DONE]"
    if chat:
        assert all(ChatCompletionChunk.model_validate(chunk, strict=True) for chunk in chunks)
    assert {chunk["id"] for chunk in chunks} == {"chatcmpl-1"}
    if include_usage:
        last = chunks.pop()
        assert (last["choices"], last["usage"]["total_tokens"]) == ([], 5)
    assert [chunk.get("usage", "absent") for chunk in chunks] == [None if include_usage else "absent"] * len(chunks)
    choices = [chunk["choices"][0] for chunk in chunks]
    assert [choice["finish_reason"] for choice in choices] == [None] * (len(choices) - 1) + ["stop"]
    if chat:
        assert [choice["delta"].get("role") for choice in choices] == ["assistant", None, None, None]
    texts = [choice["delta"].get("content", "") if chat else choice["text"] for choice in choices]
    assert "".join(texts) == 'Hé "\n🤖'


@pytest.mark.parametrize("model", ['"', "\0", "\\u0000", "data: \n\n"])
def test_the_models_name_may_be_anything(model: str) -> None:
    events = Events(IDENTITY, completion(model=model))
    chunk = read(events.text("x"))[0]
    assert (chunk["model"], chunk["choices"][0]["delta"]["content"]) == (model, "x")


def test_a_failure_is_no_end() -> None:
    event = render_failure(unavailable("gone", 5))
    assert read(event) == [{"error": unavailable("gone", 5).body()["error"]}]
    assert DONE not in event
