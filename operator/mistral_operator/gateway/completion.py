"""A request of either endpoint: JSON in, what to ask the engine or a refusal out. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from .messages import count_texts, read_messages
from .parameters import check_parameters
from .refusal import Refusal, invalid, quote, unsupported
from .settings import GatewaySettings
from .tokens import Tokenizer

DEFAULT_COMPLETION_TOKENS: Final = 16
"""OpenAI's default for completions. A chat goes on as long as it may."""

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Completion:
    """One request that the engine can answer."""

    chat: bool
    model: str
    prompt: tuple[int, ...]
    """Token ids, BOS first. JetStream puts BOS there itself, so that one isn't sent."""
    max_tokens: int
    stream: bool
    include_usage: bool
    ignored: tuple[str, ...] = ()
    """Sampling parameters that the engine doesn't follow."""


def read_completion(
    payload: bytes | bytearray, settings: GatewaySettings, tokenizer: Tokenizer, *, chat: bool
) -> Completion | Refusal:
    """Any bytes give one or the other."""
    body = _read_object(payload)
    if isinstance(body, Refusal):
        return body
    model = _read_model(body, settings)
    if isinstance(model, Refusal):
        return model
    ignored = check_parameters(body, settings.sampling, chat=chat, ignore=settings.ignore_unsupported)
    if isinstance(ignored, Refusal):
        return ignored
    streaming = _read_streaming(body)
    if isinstance(streaming, Refusal):
        return streaming
    max_tokens = _read_max_tokens(body, settings, chat=chat)
    if isinstance(max_tokens, Refusal):
        return max_tokens
    prompt = _read_chat(body, settings, tokenizer) if chat else _read_prompt(body, settings, tokenizer)
    if isinstance(prompt, Refusal):
        return prompt
    if len(prompt) > settings.max_prefill_tokens:
        return _too_long(f"{len(prompt)} tokens", settings, chat=chat)
    return Completion(chat, model, tuple(prompt), max_tokens, *streaming, ignored)


def _read_object(payload: bytes | bytearray) -> Body | Refusal:
    try:
        body = json.loads(payload)
    # A number of more digits than Python converts is a ValueError, nesting beyond its stack a RecursionError.
    except (ValueError, RecursionError) as error:
        return Refusal(f"The request body is not valid JSON: {error}")
    if not isinstance(body, dict):
        return Refusal("The request body must be a JSON object.")
    return body


def _read_model(body: Body, settings: GatewaySettings) -> str | Refusal:
    """Without a name there is only one model that could be meant."""
    model = body.get("model")
    if model is None or model == settings.served_model_name:
        return settings.served_model_name
    message = f"The model {quote(model)} does not exist; this server has {quote(settings.served_model_name)}."
    return Refusal(message, "model", "model_not_found", status=404)


def _read_streaming(body: Body) -> tuple[bool, bool] | Refusal:
    """Whether to stream, and whether to end the stream with the usage."""
    stream, options = body.get("stream") or False, body.get("stream_options")
    if not isinstance(stream, bool):
        return invalid("stream", "write true or false")
    if options is None:
        return stream, False
    if not isinstance(options, dict):
        return invalid("stream_options", 'write an object like {"include_usage": true}')
    if not stream:
        return invalid("stream_options", 'only goes with "stream": true')
    for name, value in options.items():
        if name != "include_usage" and value not in (None, False):
            return unsupported(f"stream_options.{name}", value, "leave it away")
    include_usage = options.get("include_usage") or False
    if not isinstance(include_usage, bool):
        return invalid("stream_options.include_usage", "write true or false")
    return stream, include_usage


def _read_max_tokens(body: Body, settings: GatewaySettings, *, chat: bool) -> int | Refusal:
    most = settings.max_output_tokens
    name = "max_completion_tokens" if chat and body.get("max_completion_tokens") is not None else "max_tokens"
    value = body.get(name)
    if value is None:
        return most if chat else min(most, DEFAULT_COMPLETION_TOKENS)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        return invalid(name, f"{quote(value)} is not a whole number from 1 to {most}")
    if value > most:
        return invalid(
            name,
            f"{quote(value)} is more than the {most} tokens that an answer may have here (context of "
            f"{settings.max_total_tokens} tokens, of which {settings.max_prefill_tokens} are kept for the prompt); "
            f"write {most} or less, or leave it away",
        )
    return value


def _read_chat(body: Body, settings: GatewaySettings, tokenizer: Tokenizer) -> list[int] | Refusal:
    # Each costs time before it is a token, and takes a token at least if it isn't empty.
    count = count_texts(body.get("messages"))
    if count > settings.max_prefill_tokens:
        return _too_long(f"{count} texts, more than one for each token", settings, chat=True)
    messages = read_messages(body.get("messages"))
    if isinstance(messages, Refusal):
        return messages
    texts = [text for message in messages for text in message.texts]
    return _check_texts(texts, settings, tokenizer, chat=True) or tokenizer.encode_chat(messages)


def _read_prompt(body: Body, settings: GatewaySettings, tokenizer: Tokenizer) -> list[int] | Refusal:
    prompt = body.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], str | list):
        prompt = prompt[0]
    if isinstance(prompt, str):
        return _check_texts([prompt], settings, tokenizer, chat=False) or tokenizer.encode_text(prompt)
    if not isinstance(prompt, list) or not prompt:
        return invalid("prompt", "write a text, or a list of token ids", "missing_required_parameter")
    if any(isinstance(item, str | list) for item in prompt):
        return unsupported("prompt", prompt, "JetStream answers one prompt; send a request for each")
    if len(prompt) > settings.max_prefill_tokens:
        return _too_long(f"{len(prompt)} tokens", settings, chat=False)
    for token in prompt:
        if isinstance(token, bool) or not isinstance(token, int) or token not in tokenizer.pieces:
            return invalid("prompt", f"{quote(token)} is no token id of this model (0 to {len(tokenizer.pieces) - 1})")
    return prompt if prompt[0] == tokenizer.bos_id else [tokenizer.bos_id, *prompt]


def _check_texts(texts: list[str], settings: GatewaySettings, tokenizer: Tokenizer, *, chat: bool) -> Refusal | None:
    """What would make the tokenizer fail, or work long for nothing."""
    param = "messages" if chat else "prompt"
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            return invalid(param, f"a text is not valid Unicode: {error.reason}")
    least = tokenizer.least_tokens(texts)
    if least > settings.max_prefill_tokens:
        return _too_long(f"at least {least} tokens", settings, chat=chat)
    if tokenizer.far_exceeds(texts, settings.max_prefill_tokens):
        return _too_long(f"far more than {settings.max_prefill_tokens} tokens", settings, chat=chat)
    return None


def _too_long(count: str, settings: GatewaySettings, *, chat: bool) -> Refusal:
    what = "messages have" if chat else "prompt has"
    # LiteLLM and others know this error by its first words.
    return Refusal(
        f"This model's maximum context length is {settings.max_total_tokens} tokens, of which "
        f"{settings.max_prefill_tokens} are for the prompt. However, your {what} {count}. "
        "Please shorten the prompt.",
        "messages" if chat else "prompt",
        "context_length_exceeded",
    )
