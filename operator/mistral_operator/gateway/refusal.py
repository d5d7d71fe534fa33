"""Why a request gets no answer, in OpenAI's error shape. Pure."""

import json
import re
from dataclasses import dataclass
from typing import Any

LONGEST_QUOTE = 100
INVALID = "invalid_request_error"
UNKNOWN = "unknown_parameter"


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error response. `message` says what to write instead, where anything helps."""

    message: str
    param: str | None = None
    code: str | None = None
    type: str = INVALID
    status: int = 400
    retry_after_s: int | None = None
    """For what may work in a moment."""

    def body(self) -> dict[str, Any]:
        """As OpenAI's clients expect it."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}

    @property
    def field(self) -> str:
        """For metrics, so of a bounded set: `messages` for messages[3].content; empty if no parameter is refused."""
        if self.code == UNKNOWN:
            return "unknown"
        return re.split(r"[\[.]", self.param, maxsplit=1)[0] if self.param else ""


def invalid(param: str, message: str, code: str = "invalid_value") -> Refusal:
    """The value of a parameter makes no sense."""
    return Refusal(f"{param}: {message}", param, code)


def unsupported(param: str, value: object, reason: str, code: str = "unsupported_value") -> Refusal:
    """JetStream can't do what a parameter asks for, or nobody knows the parameter."""
    param = _cut(param)
    return Refusal(f"{param}={quote(value)} is not supported: {reason}", param, code)


def unavailable(message: str, retry_after_s: int, code: str = "engine_unavailable") -> Refusal:
    """Not now."""
    return Refusal(message, None, code, "service_unavailable_error", 503, retry_after_s)


def quote(value: object) -> str:
    """A value of the request for a message: of a list or an object only what it is, and of long texts the beginning."""
    if isinstance(value, list | dict) and value:
        return "[…]" if isinstance(value, list) else "{…}"
    return _cut(json.dumps(value))


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_QUOTE else f"{text[:LONGEST_QUOTE]}…"
