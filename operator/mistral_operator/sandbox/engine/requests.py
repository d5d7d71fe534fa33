"""Completion requests: JSON in, checked values or a refusal in vLLM's words out."""

import json
from dataclasses import dataclass
from typing import Any

from .answer import pieces_of
from .settings import EngineSettings

MESSAGE_OVERHEAD_TOKENS = 4
IMAGE_TOKENS = 256
DEFAULT_COMPLETION_TOKENS = 16
MOST_CHOICES = 16_384


class RequestError(Exception):
    """The request is answered with an error. `type` is vLLM's error type."""

    def __init__(
        self, message: str, type_: str = "BadRequestError", status: int = 400, param: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.type = type_
        self.status = status
        self.param = param

    def body(self) -> dict[str, Any]:
        """The error as OpenAI clients expect it."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.status}}


@dataclass(frozen=True, slots=True)
class Request:
    """One request of either endpoint. There is one answer per question and choice."""

    chat: bool
    model: str
    questions: tuple[str, ...]
    prompt_tokens: int
    max_tokens: int
    choices: int
    stop: tuple[str, ...]
    ignore_eos: bool
    stream: bool
    include_usage: bool

    @property
    def sequences(self) -> int:
        return len(self.questions) * self.choices


def read_request(payload: bytes, settings: EngineSettings, *, chat: bool) -> Request:
    """Raises RequestError."""
    body = _object(payload)
    model = body.get("model") or settings.served_names[0]
    if model not in {*settings.served_names, *(adapter.name for adapter in settings.adapters)}:
        raise RequestError(f"The model `{model}` does not exist.", "NotFoundError", 404, "model")
    questions, prompt_tokens = _conversation(body) if chat else _prompts(body)
    if chat:
        _check_tools(body, settings)
    stream_options = body.get("stream_options") or {}
    if stream_options and not body.get("stream"):
        raise RequestError("Stream options can only be defined when `stream=True`.", param="stream_options")
    return Request(
        chat=chat,
        model=str(model),
        questions=questions,
        prompt_tokens=prompt_tokens,
        max_tokens=_max_tokens(body, prompt_tokens, settings, chat=chat),
        choices=_integer(body, "n", 1, least=1, most=MOST_CHOICES),
        stop=_stop(body),
        ignore_eos=bool(body.get("ignore_eos")),
        stream=bool(body.get("stream")),
        include_usage=settings.force_usage or bool(stream_options.get("include_usage")),
    )


def _object(payload: bytes) -> dict[str, Any]:
    try:
        body = json.loads(payload)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise RequestError(f"Invalid JSON: {error}") from error
    if not isinstance(body, dict):
        raise RequestError("The request body must be a JSON object.")
    return body


def _conversation(body: dict[str, Any]) -> tuple[tuple[str, ...], int]:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise RequestError("Field required: messages, a list with at least one message.", param="messages")
    tokens, question = 0, ""
    for message in messages:
        if not isinstance(message, dict) or "role" not in message:
            raise RequestError("Each message needs a role.", param="messages")
        text, images = _content(message.get("content"))
        tokens += len(pieces_of(text)) + images * IMAGE_TOKENS + MESSAGE_OVERHEAD_TOKENS
        if message["role"] == "user":
            question = text
    return (question,), tokens


def _content(content: Any) -> tuple[str, int]:
    """The text of a message and how many images or sounds it holds."""
    if content is None or isinstance(content, str):
        return content or "", 0
    if not isinstance(content, list):
        raise RequestError("A message's content is a string or a list of parts.", param="messages")
    parts = [part for part in content if isinstance(part, dict)]
    texts = [str(part.get("text", "")) for part in parts if part.get("type") == "text"]
    return "\n".join(texts), len(content) - len(texts)


def _prompts(body: dict[str, Any]) -> tuple[tuple[str, ...], int]:
    prompt = body.get("prompt")
    if isinstance(prompt, str):
        prompts: list[Any] = [prompt]
    elif isinstance(prompt, list) and prompt:
        # A flat list of numbers is one prompt, given as token ids.
        prompts = [prompt] if all(isinstance(token, int) for token in prompt) else prompt
    else:
        raise RequestError("Field required: prompt, a string or a list.", param="prompt")
    texts = tuple(item if isinstance(item, str) else f"[{len(item)} token ids]" for item in prompts)
    lengths = [len(pieces_of(item)) if isinstance(item, str) else len(item) for item in prompts]
    return texts, max(lengths)


def _check_tools(body: dict[str, Any], settings: EngineSettings) -> None:
    choice = body.get("tool_choice") or ("auto" if body.get("tools") else "none")
    if body.get("tools") and choice == "auto" and not settings.auto_tool_choice:
        raise RequestError('"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set')


def _max_tokens(body: dict[str, Any], prompt_tokens: int, settings: EngineSettings, *, chat: bool) -> int:
    limit = settings.context_length
    if prompt_tokens >= limit:
        raise RequestError(
            f"This model's maximum context length is {limit} tokens. However, your prompt contains {prompt_tokens} "
            "input tokens, which exceeds this limit even without any output tokens. "
            "Please reduce the length of the input prompt.",
            param="input_tokens",
        )
    room = limit - prompt_tokens
    name = "max_completion_tokens" if chat and body.get("max_completion_tokens") is not None else "max_tokens"
    asked = _integer(body, name, room if chat else min(room, DEFAULT_COMPLETION_TOKENS), least=1)
    if asked > room:
        raise RequestError(
            f"This model's maximum context length is {limit} tokens. However, you requested {asked} output tokens and "
            f"your prompt contains {prompt_tokens} input tokens, for a total of {asked + prompt_tokens} tokens. "
            "Please reduce the length of the input prompt or the number of requested output tokens.",
            param=name,
        )
    return asked


def _integer(body: dict[str, Any], name: str, default: int, *, least: int, most: int | None = None) -> int:
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int):
        raise RequestError(f"{name} must be an integer, got {json.dumps(value)}.", param=name)
    if value < least or (most is not None and value > most):
        raise RequestError(f"{name} must be at least {least}, got {value}.", param=name)
    return value


def _stop(body: dict[str, Any]) -> tuple[str, ...]:
    stop = body.get("stop")
    if stop is None:
        return ()
    words = [stop] if isinstance(stop, str) else stop
    if not isinstance(words, list) or not all(isinstance(word, str) and word for word in words):
        raise RequestError("stop must be a string or a list of strings, none of them empty.", param="stop")
    return tuple(words)
