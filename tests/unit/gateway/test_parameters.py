"""What becomes of each of OpenAI's parameters."""

import json
from typing import Any

import pytest
from openai.types.chat.completion_create_params import CompletionCreateParamsBase as ChatParameters
from openai.types.completion_create_params import CompletionCreateParamsBase as CompletionParameters

from mistral_operator.gateway import parameters
from mistral_operator.gateway.parameters import check_parameters
from mistral_operator.gateway.refusal import Refusal
from mistral_operator.gateway.settings import Sampling

GREEDY = Sampling()
WARM = Sampling(temperature=0.7, top_p=0.9)


def check(body: dict[str, Any], sampling: Sampling = GREEDY, **options: bool) -> Refusal | tuple[str, ...]:
    return check_parameters(body, sampling, **{"chat": True, "ignore": False, **options})


@pytest.mark.parametrize(
    ("name", "value", "advice"),
    [
        ("tools", [{"type": "function"}], "calls tools"),
        ("tool_choice", "auto", 'write "none"'),
        ("functions", [{"name": "f"}], "calls tools"),
        ("function_call", "auto", "calls tools"),
        ("response_format", {"type": "json_object"}, '{"type": "text"}'),
        ("response_format", {"type": "json_schema", "json_schema": {}}, '{"type": "text"}'),
        ("n", 2, "send the request several times"),
        ("stop", "\n", "cut the answer where you read it"),
        ("stop", ["a", "b"], "cut the answer where you read it"),
        ("logprobs", True, "probabilities"),
        ("top_logprobs", 3, "probabilities"),
        ("seed", 1, "its seed is the server's"),
        ("seed", 0, "its seed is the server's"),
        ("temperature", 0.5, "temperature 0; leave it away or write 0"),
        ("top_p", 0.9, "top_p 1; leave it away or write 1"),
        ("presence_penalty", 0.1, "write 0"),
        ("frequency_penalty", -0.1, "write 0"),
        ("repetition_penalty", 1.1, "write 1"),
        ("logit_bias", {"5": 100}, "leave it away"),
        ("top_k", 40, "write 0"),
        ("min_p", 0.1, "write 0"),
        ("modalities", ["text", "audio"], '["text"]'),
        ("audio", {"voice": "alloy"}, "text only"),
        ("prediction", {"type": "content"}, "predicted"),
        ("reasoning_effort", "high", "reasons"),
        ("web_search_options", {"a": 1}, "tools"),
        ("store", True, "nothing is stored"),
        ("best_of", 2, "doesn't know it"),
        ("guided_json", {"a": 1}, "doesn't know it"),
        ("temperature", True, "write 0"),
        ("n", True, "write 1"),
        ("n", "1", "write 1"),
    ],
)
def test_what_jetstream_cannot_do_is_refused(name: str, value: Any, advice: str) -> None:
    refusal = check({"model": "chat", name: value})
    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.param, refusal.type) == (400, name, "invalid_request_error")
    assert refusal.message.startswith(f"{name}=")
    assert advice in refusal.message


@pytest.mark.parametrize(
    "body",
    [
        {"tools": [], "tool_choice": "none", "response_format": {"type": "text"}, "n": 1, "stop": []},
        {"logprobs": False, "top_logprobs": 0, "presence_penalty": 0, "frequency_penalty": 0.0, "logit_bias": {}},
        {"temperature": 0, "top_p": 1, "modalities": ["text"], "store": False, "stop": ""},
        {"temperature": 1.0, "top_p": 1.0},
        {"user": "me", "metadata": {"a": "b"}, "service_tier": "auto", "parallel_tool_calls": True},
    ],
)
def test_what_asks_for_nothing_is_accepted(body: dict[str, Any]) -> None:
    assert check(body) == ()
    assert check(dict.fromkeys(body)) == ()


@pytest.mark.parametrize(("name", "value"), [("best_of", 2), ("echo", True), ("suffix", "end"), ("logprobs", 0)])
def test_parameters_of_completions(name: str, value: Any) -> None:
    refusal = check({name: value}, chat=False)
    assert isinstance(refusal, Refusal)
    assert refusal.param == name
    assert check({"best_of": 1, "echo": False, "suffix": ""}, chat=False) == ()


def test_the_servers_own_sampling_may_be_asked_for() -> None:
    assert check({"temperature": 0.7, "top_p": 0.9}, WARM) == ()
    assert check({"temperature": 1, "top_p": 1}, WARM) == ()
    refusal = check({"temperature": 0}, WARM)
    assert isinstance(refusal, Refusal)
    assert "leave it away or write 0.7" in refusal.message


def test_sampling_may_be_ignored_and_content_never() -> None:
    body = {"temperature": 0.3, "seed": 7, "top_p": 1, "logit_bias": {"1": 2}, "top_k": 5}
    assert check(body, ignore=True) == ("temperature", "seed", "logit_bias", "top_k")
    for name, value in {"tools": [{}], "stop": "x", "n": 2, "response_format": {"type": "json_object"}}.items():
        refusal = check({**body, name: value}, ignore=True)
        assert isinstance(refusal, Refusal)
        assert refusal.param == name


@pytest.mark.parametrize(("declared", "chat"), [(ChatParameters, True), (CompletionParameters, False)])
def test_every_parameter_of_the_official_client_is_known(declared: Any, chat: bool) -> None:
    followed = parameters.FOLLOWED_CHAT if chat else parameters.FOLLOWED_COMPLETIONS
    table = {**parameters.BOTH, **(parameters.CHAT if chat else parameters.COMPLETIONS), **parameters.SAMPLING}
    known = {*followed, *parameters.INERT, *table, "temperature", "top_p"}
    assert set(declared.__annotations__) - known == set()


def test_a_refusal_is_short_and_counted_in_few_fields() -> None:
    for name, value in {"stop": "x" * 5000, "tools": [["deep"] * 100] * 100, "x" * 5000: 1}.items():
        refusal = check({name: value})
        assert isinstance(refusal, Refusal)
        assert len(refusal.message) < 500
        assert len(json.dumps(refusal.body())) < 1000
    assert refusal.field == "unknown"
