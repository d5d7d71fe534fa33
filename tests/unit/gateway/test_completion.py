"""Whole requests: what the engine is asked, and what is refused."""

import json
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies

from mistral_operator.gateway.completion import Completion, read_completion
from mistral_operator.gateway.refusal import Refusal
from mistral_operator.gateway.settings import GatewaySettings
from mistral_operator.gateway.tokens import Tokenizer

HI = [{"role": "user", "content": "Hi"}]


class Reader:
    """Reads bodies with the settings and the tokenizer of the fixtures."""

    def __init__(self, settings: GatewaySettings, tokenizer: Tokenizer) -> None:
        self._settings = settings
        self._tokenizer = tokenizer

    def read(self, body: Any, *, chat: bool = True) -> Completion | Refusal:
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        return read_completion(payload, self._settings, self._tokenizer, chat=chat)

    def accept(self, body: Any, *, chat: bool = True) -> Completion:
        found = self.read(body, chat=chat)
        assert isinstance(found, Completion), found
        return found

    def refuse(self, body: Any, *, chat: bool = True) -> Refusal:
        found = self.read(body, chat=chat)
        assert isinstance(found, Refusal), found
        return found


@pytest.fixture
def reader(settings: GatewaySettings, v1: Tokenizer) -> Reader:
    return Reader(settings, v1)


def test_a_chat(reader: Reader) -> None:
    found = reader.accept({"model": "chat", "messages": HI})
    assert found == Completion(
        chat=True,
        model="chat",
        prompt=(1, 733, 16289, 28793, 15359, 733, 28748, 16289, 28793),
        max_tokens=32,
        stream=False,
        include_usage=False,
    )


def test_a_chat_without_a_model_means_the_only_one(reader: Reader) -> None:
    assert reader.accept({"messages": HI}).model == "chat"


@pytest.mark.parametrize("model", ["other", "", 5, ["chat"]])
def test_another_model_does_not_exist(reader: Reader, model: Any) -> None:
    refusal = reader.refuse({"model": model, "messages": HI})
    assert (refusal.status, refusal.param, refusal.code) == (404, "model", "model_not_found")
    assert '"chat"' in refusal.message


@pytest.mark.parametrize(
    ("body", "max_tokens"),
    [
        ({}, 32),
        ({"max_tokens": 5}, 5),
        ({"max_tokens": 32}, 32),
        ({"max_completion_tokens": 7, "max_tokens": 99}, 7),
        ({"max_tokens": None}, 32),
    ],
)
def test_length_of_a_chat(reader: Reader, body: dict[str, Any], max_tokens: int) -> None:
    assert reader.accept({"messages": HI, **body}).max_tokens == max_tokens


def test_length_of_a_completion_is_openais_default(reader: Reader) -> None:
    assert reader.accept({"prompt": "Hi"}, chat=False).max_tokens == 16


@pytest.mark.parametrize(
    ("value", "text"),
    [(33, "context of 96 tokens, of which 64 are kept"), (0, "from 1 to 32"), (True, "from 1"), (1.5, "from 1")],
)
def test_a_length_that_cannot_be(reader: Reader, value: Any, text: str) -> None:
    refusal = reader.refuse({"messages": HI, "max_tokens": value})
    assert (refusal.status, refusal.param) == (400, "max_tokens")
    assert text in refusal.message


@pytest.mark.parametrize(
    ("prompt", "tokens"),
    [
        ("Hi", (1, 15359)),
        (["Hi"], (1, 15359)),
        ([15359], (1, 15359)),
        ([1, 15359], (1, 15359)),
        ([[5, 6]], (1, 5, 6)),
        ("", (1,)),
    ],
)
def test_a_prompt(reader: Reader, prompt: Any, tokens: tuple[int, ...]) -> None:
    assert reader.accept({"prompt": prompt}, chat=False).prompt == tokens


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        (None, "write a text"),
        ([], "write a text"),
        (5, "write a text"),
        (["a", "b"], "one prompt; send a request for each"),
        ([[1], [2]], "one prompt; send a request for each"),
        ([32_000], "no token id of this model (0 to 31999)"),
        ([-1], "no token id"),
        ([True], "no token id"),
        ([1, None], "no token id"),
        ([[]], "write a text"),
    ],
)
def test_no_prompt(reader: Reader, prompt: Any, text: str) -> None:
    refusal = reader.refuse({"prompt": prompt}, chat=False)
    assert (refusal.status, refusal.param) == (400, "prompt")
    assert text in refusal.message


@pytest.mark.parametrize(
    ("body", "chat", "count"),
    [
        ({"messages": [{"role": "user", "content": "word " * 80}]}, True, "your messages have 89 tokens"),
        (
            {"messages": [{"role": "user", "content": "word " * 40_000}]},
            True,
            "your messages have at least 8000 tokens",
        ),
        ({"prompt": list(range(3, 67))}, False, "your prompt has 65 tokens"),
    ],
)
def test_a_prompt_that_is_too_long(reader: Reader, body: Any, chat: bool, count: str) -> None:
    refusal = reader.refuse(body, chat=chat)
    assert (refusal.status, refusal.code) == (400, "context_length_exceeded")
    assert count in refusal.message
    assert "maximum context length is 96 tokens, of which 64 are for the prompt" in refusal.message


def test_the_longest_prompt(reader: Reader) -> None:
    assert len(reader.accept({"prompt": list(range(3, 66))}, chat=False).prompt) == 64


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, (False, False)),
        ({"stream": False, "stream_options": None}, (False, False)),
        ({"stream": True}, (True, False)),
        ({"stream": True, "stream_options": {"include_usage": True}}, (True, True)),
        ({"stream": True, "stream_options": {"include_obfuscation": False}}, (True, False)),
    ],
)
def test_streaming(reader: Reader, body: dict[str, Any], expected: tuple[bool, bool]) -> None:
    found = reader.accept({"messages": HI, **body})
    assert (found.stream, found.include_usage) == expected


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"stream": True, "stream_options": 5}, "stream_options"),
        ({"stream": True, "stream_options": {"include_usage": "yes"}}, "stream_options.include_usage"),
        ({"stream": True, "stream_options": {"other": 1}}, "stream_options.other"),
    ],
)
def test_streaming_that_makes_no_sense(reader: Reader, body: dict[str, Any], param: str) -> None:
    refusal = reader.refuse({"messages": HI, **body})
    assert (refusal.status, refusal.param) == (400, param)


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (b"", "not valid JSON"),
        (b'{"messages": ', "not valid JSON"),
        (b"\xff\xfe\xfa", "not valid JSON"),
        (b"[1]", "must be a JSON object"),
        (b'{"n": ' + b"9" * 5000 + b"}", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b'{"messages": [{"role": "user", "content": "\\ud800"}]}', "not valid Unicode"),
    ],
)
def test_bytes_that_are_no_request(reader: Reader, payload: bytes, text: str) -> None:
    refusal = reader.refuse(payload)
    assert refusal.status == 400
    assert text in refusal.message


def test_ignored_parameters_are_named(settings: GatewaySettings, v1: Tokenizer) -> None:
    lenient = GatewaySettings("chat", "v1", 64, 96, 8, ignore_unsupported=True)
    assert Reader(lenient, v1).accept({"messages": HI, "seed": 1, "top_p": 0.1}).ignored == ("seed", "top_p")
    assert isinstance(Reader(settings, v1).read({"messages": HI, "seed": 1}), Refusal)


NAMES = ["model", "messages", "prompt", "max_tokens", "stream", "stream_options", "stop", "n", "temperature", "tools"]
SCALARS = strategies.one_of(
    strategies.none(), strategies.booleans(), strategies.integers(), strategies.floats(), strategies.text(max_size=20)
)
JSON = strategies.recursive(
    SCALARS,
    lambda inner: strategies.lists(inner, max_size=4) | strategies.dictionaries(strategies.text(), inner, max_size=4),
)
PART = strategies.fixed_dictionaries(
    {"type": strategies.sampled_from(["text", "image_url", 5])}, optional={"text": SCALARS}
)
MESSAGE = strategies.fixed_dictionaries(
    {"role": strategies.sampled_from(["system", "user", "assistant", "tool", "developer", 5])},
    optional={"content": SCALARS | strategies.lists(PART, max_size=3), "prefix": SCALARS, "name": SCALARS},
)
BODY = strategies.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(NAMES, JSON),
        "messages": JSON | strategies.lists(MESSAGE, max_size=4),
        "prompt": JSON | strategies.lists(strategies.integers(-5, 40_000), max_size=8),
        "stream_options": JSON | strategies.dictionaries(strategies.just("include_usage"), SCALARS),
    },
)


@hypothesis.given(body=BODY, chat=strategies.booleans(), version=strategies.sampled_from(["v1", "v3"]))
@hypothesis.settings(max_examples=400)
def test_any_json_is_a_request_or_a_refusal(body: Any, chat: bool, version: str) -> None:
    settings = GatewaySettings("chat", "v1", 64, 96, 8, ignore_unsupported=True)
    found = read_completion(json.dumps(body).encode(), settings, TOKENIZERS[version], chat=chat)
    if isinstance(found, Refusal):
        assert found.status in (400, 404)
        assert json.loads(json.dumps(found.body()))["error"]["message"]
    else:
        assert 1 <= found.max_tokens <= 32
        assert 1 <= len(found.prompt) <= 64
        assert found.prompt[0] == 1


@hypothesis.given(payload=strategies.binary(max_size=200))
def test_any_bytes_are_a_request_or_a_refusal(payload: bytes) -> None:
    settings = GatewaySettings("chat", "v1", 64, 96, 8)
    assert isinstance(read_completion(payload, settings, TOKENIZERS["v1"], chat=True), Refusal)


TOKENIZERS = {"v1": Tokenizer("v1"), "v3": Tokenizer("v3")}
