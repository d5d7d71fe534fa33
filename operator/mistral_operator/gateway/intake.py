"""Reading a request's body: how large one may be, how long it may take, and how much of all of them is held."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from .engine import BUSY_RETRY_AFTER_S
from .refusal import Refusal, unavailable

BYTES_PER_TOKEN: Final = 64
"""Mistral's longest tokens are 25 bytes, most are 4; JSON writes a character of two bytes in six."""
LEAST_LIMIT_BYTES: Final = 256 * 1024
"""However short a prompt has to be: who sends too long a one is rather told its tokens than its bytes."""
MOST_LIMIT_BYTES: Final = 2 * 1024 * 1024
READ_S: Final = 30.0
"""The largest body takes so long at 70 kB/s. A line that is slower can't be told from a client that sends nothing."""
MOST_HELD_BYTES: Final = 64 * 1024 * 1024
"""Of all bodies that are being read or wait for the tokenizer: it is a small part of the container's 1 GiB, since what
a body is parsed into may be 30 times as large, though of only one at a time."""


def limit_body(max_prefill_tokens: int) -> int:
    """The largest body in bytes."""
    return min(max(BYTES_PER_TOKEN * max_prefill_tokens, LEAST_LIMIT_BYTES), MOST_LIMIT_BYTES)


class Intake:
    """The bodies of all requests of one gateway. What is held counts, not what is announced: that costs nothing."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._held_bytes = 0

    @asynccontextmanager
    async def read(self, http: web.Request) -> AsyncIterator[bytearray | Refusal]:
        """A body, or why it isn't read; it counts as held until the end of the context.

        aiohttp's own `read` would keep it for as long as the answer takes.
        """
        body = bytearray()
        try:
            yield await self._fill(body, http) or body
        finally:
            self._held_bytes -= len(body)

    async def _fill(self, body: bytearray, http: web.Request) -> Refusal | None:
        if refusal := self._find_excess(http.content_length or 0, self._held_bytes):
            return refusal
        try:
            async with asyncio.timeout(READ_S):
                async for chunk in http.content.iter_any():
                    body += chunk
                    self._held_bytes += len(chunk)
                    if refusal := self._find_excess(len(body), self._held_bytes - len(body)):
                        return refusal
        except TimeoutError:
            message = f"The request body did not arrive within {READ_S:g} s; send it at once."
            return Refusal(message, code="request_timeout", status=408)
        return None

    def _find_excess(self, size_bytes: int, others_bytes: int) -> Refusal | None:
        """Why a body of this size is too much beside the others."""
        if size_bytes > self._limit_bytes:
            message = f"The request body is larger than {self._limit_bytes} bytes, more than any prompt here needs."
            return Refusal(message, code="request_too_large", status=413)
        if size_bytes + others_bytes > MOST_HELD_BYTES:
            message = "Too many large requests are being read; try again in a moment."
            return unavailable(message, BUSY_RETRY_AFTER_S, "too_many_requests")
        return None
