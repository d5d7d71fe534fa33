"""Questions to an OpenAI-compatible endpoint, with a bound on time and on what is read."""

import asyncio
import errno
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import aiohttp

from mistral_operator.cli.verification.reading import CheckError, completion_tokens, events, has_text, read_all


@dataclass(frozen=True, slots=True)
class Timing:
    """One streamed answer, in seconds."""

    first_token_s: float
    total_s: float
    tokens: int


class Endpoint:
    """One served model."""

    def __init__(
        self, session: aiohttp.ClientSession, url: str, served_name: str, timeout_s: float, *, ignores_end: bool = True
    ) -> None:
        """`url` ends with `/v1`; each request has `timeout_s`; `ignores_end`: it can be told to go on to the last."""
        self._session = session
        self._url = url.rstrip("/")
        self._name = served_name
        self._timeout_s = timeout_s
        self._ignores_end = ignores_end

    async def models(self) -> list[str]:
        """Names that the endpoint serves."""
        answer = await self._read("GET", "/models", None)
        items = answer.get("data")
        return [str(item.get("id")) for item in items if isinstance(item, dict)] if isinstance(items, list) else []

    async def chat(self, text: str, **more: Any) -> Mapping[str, Any]:
        """The message of the first choice, with `usage` beside it."""
        body = {"model": self._name, "messages": [{"role": "user", "content": text}], "temperature": 0, **more}
        answer = await self._read("POST", "/chat/completions", body)
        try:
            message = dict(answer["choices"][0]["message"])
        except (KeyError, IndexError, TypeError):
            raise CheckError(f"an answer without a message: {str(answer)[:200]}") from None
        except ValueError:
            raise CheckError(f"a message that is no object: {str(answer)[:200]}") from None
        usage = answer.get("usage")
        return {**message, "usage": usage if isinstance(usage, dict) else {}}

    async def stream(self, text: str, tokens: int) -> Timing:
        """Stream one answer of `tokens` tokens to its end; they are as the engine counts them, else pieces of text."""
        body = {
            "model": self._name, "messages": [{"role": "user", "content": text}], "temperature": 0,
            "max_tokens": tokens, "stream": True, "stream_options": {"include_usage": True},
            **({"ignore_eos": True} if self._ignores_end else {}),
        }  # fmt: skip
        start = time.monotonic()
        first, last, pieces, counted = 0.0, 0.0, 0, 0
        async with self._bounded(), self._session.post(f"{self._url}/chat/completions", json=body) as response:
            if response.status != HTTPStatus.OK:
                raise CheckError(
                    f"status {response.status}: {(await response.content.read(300)).decode(errors='replace')}"
                )
            async for event in events(response.content):
                counted = completion_tokens(event) or counted
                if has_text(event):
                    last = time.monotonic() - start
                    first, pieces = first or last, pieces + 1
        if not pieces:
            raise CheckError("a stream without a token")
        return Timing(first, last, counted or pieces)

    async def _read(self, method: str, path: str, body: Any) -> Mapping[str, Any]:
        async with self._bounded(), self._session.request(method, f"{self._url}{path}", json=body) as response:
            data = await read_all(response.content)
            if response.status != HTTPStatus.OK:
                raise CheckError(f"{path}: status {response.status}: {data[:300].decode(errors='replace')}")
        try:
            answer = json.loads(data)
        except ValueError:
            raise CheckError(f"{path}: no JSON: {data[:200].decode(errors='replace')}") from None
        if not isinstance(answer, dict):
            raise CheckError(f"{path}: no object")
        return answer

    def _bounded(self) -> "_Bounded":
        return _Bounded(self._timeout_s)


class _Bounded:
    """Turns what goes wrong on the way into a CheckError."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._timer = asyncio.timeout(timeout_s)

    async def __aenter__(self) -> None:
        await self._timer.__aenter__()

    async def __aexit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        try:
            await self._timer.__aexit__(kind, error, trace)
        except TimeoutError:
            raise CheckError(f"no answer within {self._timeout_s:.0f} s") from None
        if isinstance(error, aiohttp.ClientError | OSError):
            raise CheckError(_name_fault(error)) from None


def _name_fault(error: BaseException) -> str:
    """Its kind alone: its words may hold an address, which is no part of a record."""
    number = getattr(error, "errno", None)
    code = errno.errorcode.get(number) if isinstance(number, int) else None
    return type(error).__name__ + (f" ({code})" if code else "")
