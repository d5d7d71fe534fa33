"""Answers of an endpoint, read with a bound on their size."""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import aiohttp

MOST_BYTES: Final = 16 * 1024 * 1024
"""No answer to a check is larger."""
LONGEST_LINE_BYTES: Final = 256 * 1024
"""Of a stream."""
_PIECES: Final = ("content", "reasoning", "reasoning_content")
"""Where an engine puts text, by its version."""


class CheckError(Exception):
    """The endpoint did not answer as it should; the message says how."""


async def read_all(content: aiohttp.StreamReader) -> bytes:
    data = bytearray()
    async for chunk in content.iter_any():
        data += chunk
        if len(data) > MOST_BYTES:
            raise CheckError(f"an answer of more than {MOST_BYTES:,} bytes")
    return bytes(data)


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """The lines of a stream, none of them and not all together without a bound."""
    rest, size = b"", 0
    async for chunk in content.iter_any():
        size += len(chunk)
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line
        if len(rest) > LONGEST_LINE_BYTES or size > MOST_BYTES:
            raise CheckError("a stream that is longer than any answer")


async def events(content: aiohttp.StreamReader) -> AsyncIterator[Mapping[str, Any]]:
    """The events of a stream up to its `[DONE]`, without which it was cut off."""
    async for line in _lines(content):
        if not line.startswith(b"data:"):
            continue
        text = line[5:].strip()
        if text == b"[DONE]":
            return
        try:
            event = json.loads(text)
        except ValueError:
            raise CheckError(f"an event without JSON: {text[:200].decode(errors='replace')}") from None
        if not isinstance(event, dict) or event.get("error"):
            raise CheckError(f"an error in the stream: {text[:200].decode(errors='replace')}")
        yield event
    raise CheckError("a stream that ends before its answer does")


def completion_tokens(event: Mapping[str, Any]) -> int:
    """What the engine counted: one event may bring several tokens, as with speculative decoding."""
    usage = event.get("usage")
    count = usage.get("completion_tokens") if isinstance(usage, dict) else None
    return count if isinstance(count, int) else 0


def has_text(event: Mapping[str, Any]) -> bool:
    """Whether an event brings a piece of the answer."""
    try:
        delta = event["choices"][0]["delta"]
    except (KeyError, IndexError, TypeError):
        return False
    return isinstance(delta, dict) and any(delta.get(name) for name in _PIECES)
