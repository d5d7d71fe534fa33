"""OpenAI's response bodies and server-sent events for both endpoints. Pure.

A stream has an event for each token, so an event is its fixed beginning, the text as JSON and its fixed end.
"""

import json
from dataclasses import dataclass
from typing import Any, Final

from .answer import FinishReason
from .completion import Completion
from .refusal import Refusal
from .settings import GatewaySettings

Body = dict[str, Any]

DONE: Final = b"data: [DONE]\n\n"
_TEXT: Final = "\0"
"""Stands in a template where the text will be."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What is the same in all parts of one response."""

    id: str
    created: int
    """Seconds since the epoch."""


def render_usage(prompt_tokens: int, completion_tokens: int) -> Body:
    """Real counts of both."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def render_whole(
    identity: Identity, completion: Completion, text: str, finish_reason: FinishReason, completion_tokens: int
) -> Body:
    """The body of a request that isn't streamed."""
    content: Body = {"message": {"role": "assistant", "content": text}} if completion.chat else {"text": text}
    choice = {"index": 0, **content, "logprobs": None, "finish_reason": finish_reason}
    kind = "chat.completion" if completion.chat else "text_completion"
    usage = render_usage(len(completion.prompt), completion_tokens)
    return {**_head(identity, kind, completion), "choices": [choice], "usage": usage}


def render_models(settings: GatewaySettings, created: int) -> Body:
    """The one model."""
    model = {"id": settings.served_model_name, "object": "model", "created": created, "owned_by": "mistral-operator"}
    return {"object": "list", "data": [model | {"max_model_len": settings.max_total_tokens}]}


class Events:
    """The events of one stream, as bytes."""

    def __init__(self, identity: Identity, completion: Completion) -> None:
        self._completion = completion
        kind = "chat.completion.chunk" if completion.chat else "text_completion"
        self._head = _head(identity, kind, completion)
        template = self._choice({"content": _TEXT} if completion.chat else {"text": _TEXT}, None)
        # The last one: a model may have any name.
        before, _, after = template.decode().rpartition(json.dumps(_TEXT))
        self._before, self._after = before.encode(), after.encode()

    def opening(self) -> bytes:
        """What comes before the first text: a chat's role."""
        return self._choice({"role": "assistant", "content": ""}, None) if self._completion.chat else b""

    def text(self, text: str) -> bytes:
        """A piece of the answer."""
        return self._before + json.dumps(text).encode() + self._after

    def closing(self, finish_reason: FinishReason, completion_tokens: int) -> bytes:
        """Everything after the last text."""
        events = self._choice({} if self._completion.chat else {"text": ""}, finish_reason)
        if self._completion.include_usage:
            usage = render_usage(len(self._completion.prompt), completion_tokens)
            events += _event({**self._head, "choices": [], "usage": usage})
        return events + DONE

    def _choice(self, content: Body, finish_reason: FinishReason | None) -> bytes:
        delta = {"delta": content} if self._completion.chat else content
        choice = {"index": 0, **delta, "logprobs": None, "finish_reason": finish_reason}
        usage = {"usage": None} if self._completion.include_usage else {}
        return _event({**self._head, "choices": [choice], **usage})


def render_failure(refusal: Refusal) -> bytes:
    """The event that ends a stream which can't go on; no [DONE] follows it."""
    return _event(refusal.body())


def _head(identity: Identity, kind: str, completion: Completion) -> Body:
    return {"id": identity.id, "object": kind, "created": identity.created, "model": completion.model}


def _event(body: Body) -> bytes:
    return b"data: " + json.dumps(body, separators=(",", ":")).encode() + b"\n\n"
