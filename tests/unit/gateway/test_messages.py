"""OpenAI's messages: what is taken, what is refused and where it stands."""

from typing import Any

import pytest

from mistral_operator.gateway.messages import Message, read_messages
from mistral_operator.gateway.refusal import Refusal

USER = {"role": "user", "content": "Hi"}
IMAGE = {"type": "image_url", "image_url": {"url": "http://metadata/secret"}}


def test_roles_and_texts() -> None:
    assert read_messages(
        [
            {"role": "developer", "content": "Be brief"},
            {"role": "user", "content": [{"type": "text", "text": "One"}, {"type": "text", "text": "Two"}]},
            {"role": "assistant", "content": "Ye", "prefix": True},
        ]
    ) == [Message("system", ("Be brief",)), Message("user", ("One", "Two")), Message("assistant", ("Ye",), prefix=True)]


def test_an_earlier_answer_as_openais_client_gives_it_back() -> None:
    earlier = {"role": "assistant", "content": "Hello", "refusal": None, "tool_calls": None, "annotations": []}
    assert read_messages([USER, earlier, USER]) == [
        Message("user", ("Hi",)),
        Message("assistant", ("Hello",)),
        Message("user", ("Hi",)),
    ]


@pytest.mark.parametrize(
    ("messages", "param", "text"),
    [
        (None, "messages", "at least one message"),
        ([], "messages", "at least one message"),
        ("Hi", "messages", "at least one message"),
        (["Hi"], "messages[0]", '{"role": "user"'),
        ([USER, {"role": "robot", "content": "x"}], "messages[1].role", "none of system, developer, user, assistant"),
        ([{"content": "x"}], "messages[0].role", "null is none of"),
        ([{"role": ["user"], "content": "x"}], "messages[0].role", "none of"),
        ([USER, {"role": "tool", "content": "x", "tool_call_id": "1"}], "messages[1].role", "calls tools"),
        ([{"role": "user", "content": [IMAGE]}], "messages[0].content[0].type", "anything but text"),
        ([{"role": "user", "content": [{"type": "input_audio"}]}], "messages[0].content[0].type", "anything but text"),
        ([{"role": "user", "content": ["Hi"]}], "messages[0].content[0]", '{"type": "text"'),
        ([{"role": "user", "content": [{"type": "text"}]}], "messages[0].content[0].text", "write a text"),
        ([{"role": "user"}], "messages[0].content", "write a text"),
        ([{"role": "user", "content": []}], "messages[0].content", "write a text"),
        ([{"role": "user", "content": "x", "name": "Ann"}], "messages[0].name", "no place for it"),
        ([{"role": "assistant", "content": "x", "tool_calls": [{}]}], "messages[0].tool_calls", "no place for it"),
        (
            [{"role": "user", "content": "x", "prefix": True}],
            "messages[0].prefix",
            "only in a message of the assistant",
        ),
    ],
)
def test_refused(messages: Any, param: str, text: str) -> None:
    refusal = read_messages(messages)
    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.param, refusal.field) == (400, param, "messages")
    assert text in refusal.message
