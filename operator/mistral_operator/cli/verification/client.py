"""Questions to an OpenAI-compatible endpoint, with a bound on time and on what is read."""

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import aiohttp

MOST_BYTES: Final = 16 * 1024 * 1024
"""No answer to a check is larger."""


class CheckError(Exception):
    """The endpoint did not answer as it should; the message says how."""


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
            return {**answer["choices"][0]["message"], "usage": answer.get("usage") or {}}
        except (KeyError, IndexError, TypeError):
            raise CheckError(f"an answer without a message: {str(answer)[:200]}") from None

    async def stream(self, text: str, tokens: int) -> Timing:
        """Stream one answer of `tokens` tokens; every piece counts as one token."""
        body = {
            "model": self._name, "messages": [{"role": "user", "content": text}], "temperature": 0, "stream": True,
            "max_tokens": tokens, **({"ignore_eos": True} if self._ignores_end else {}),
        }  # fmt: skip
        start = time.monotonic()
        first, pieces = 0.0, 0
        async with self._bounded(), self._session.post(f"{self._url}/chat/completions", json=body) as response:
            if response.status != HTTPStatus.OK:
                raise CheckError(
                    f"status {response.status}: {(await response.content.read(300)).decode(errors='replace')}"
                )
            async for line in response.content:
                if _has_text(line):
                    pieces += 1
                    first = first or time.monotonic() - start
        if not pieces:
            raise CheckError("a stream without a token")
        return Timing(first, time.monotonic() - start, pieces)

    async def _read(self, method: str, path: str, body: Any) -> Mapping[str, Any]:
        async with self._bounded(), self._session.request(method, f"{self._url}{path}", json=body) as response:
            data = await response.content.read(MOST_BYTES)
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
            raise CheckError(f"{type(error).__name__}: {error}") from None


def _has_text(line: bytes) -> bool:
    """Whether a line of a stream brings a piece of the answer."""
    if not line.startswith(b"data:") or b"[DONE]" in line:
        return False
    try:
        delta = json.loads(line[5:])["choices"][0]["delta"]
    except (ValueError, KeyError, IndexError, TypeError):
        return False
    return bool(delta.get("content") or delta.get("reasoning_content"))
