"""One request with its answer: tokens from the engine to the client, streamed or as a whole."""

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

import grpc
from aiohttp import web

from .answer import Answer
from .completion import Completion
from .engine import Engine, EngineError
from .metrics import GatewayMetrics
from .responses import Events, Identity, render_failure, render_whole
from .tokens import Detokenizer, Tokenizer

IGNORED_HEADER: Final = "x-ignored-parameters"
STREAM_HEADERS: Final = {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}
WRITE_S: Final = 30.0
"""Beyond what a stalled network or a busy client needs. Whoever reads nothing for longer holds a place for nobody."""

log = logging.getLogger(__name__)


class Exchange:
    """Run it once."""

    def __init__(
        self, http: web.Request, completion: Completion, tokenizer: Tokenizer, engine: Engine, metrics: GatewayMetrics
    ) -> None:
        self._http = http
        self._completion = completion
        self._engine = engine
        self._metrics = metrics
        self._began = time.monotonic()
        detokenizer = Detokenizer(tokenizer, drop_blank=completion.chat)
        self._answer = Answer(detokenizer, tokenizer.eos_id, completion.max_tokens)
        prefix = "chatcmpl" if completion.chat else "cmpl"
        self._identity = Identity(f"{prefix}-{uuid.uuid4().hex}", int(time.time()))
        self._headers = {IGNORED_HEADER: ", ".join(completion.ignored)} if completion.ignored else {}

    async def run(self) -> web.StreamResponse:
        """The response. Raises EngineError as long as nothing has been sent."""
        try:
            return await (self._stream() if self._completion.stream else self._collect())
        finally:
            elapsed_s = time.monotonic() - self._began
            self._metrics.finished(len(self._completion.prompt), self._answer.tokens, elapsed_s)

    async def _collect(self) -> web.Response:
        async with aclosing(self._texts()) as texts:
            text = "".join([text async for text in texts])
        reason = self._answer.end()
        body = render_whole(self._identity, self._completion, text, reason, self._answer.tokens)
        return web.json_response(body, headers=self._headers)

    async def _stream(self) -> web.StreamResponse:
        response = web.StreamResponse(headers={**STREAM_HEADERS, **self._headers})
        events = Events(self._identity, self._completion)
        async with aclosing(self._texts()) as texts:
            try:
                async for text in texts:
                    if not response.prepared:
                        await self._open(response, events)
                    if text:
                        await self._write(response, events.text(text))
            except EngineError as error:
                # Until the first token the failure still has a status of its own.
                if not response.prepared:
                    raise
                log.warning("%s broke off after %d tokens: %s", self._identity.id, self._answer.tokens, error)
                await self._write(response, render_failure(error.refusal()))
                return response
        if not response.prepared:
            await self._open(response, events)
        await self._write(response, events.closing(self._answer.end(), self._answer.tokens))
        return response

    async def _open(self, response: web.StreamResponse, events: Events) -> None:
        await response.prepare(self._http)
        if opening := events.opening():
            await self._write(response, opening)

    async def _write(self, response: web.StreamResponse, event: bytes) -> None:
        """Raises ConnectionResetError when the client takes nothing for WRITE_S; its connection is closed then."""
        try:
            async with asyncio.timeout(WRITE_S):
                await response.write(event)
        except TimeoutError:
            if self._http.transport:
                self._http.transport.abort()
            log.warning("%s broke off: the client took nothing for %g s", self._identity.id, WRITE_S)
            raise ConnectionResetError("the client reads nothing") from None

    async def _texts(self) -> AsyncGenerator[str]:
        """A text, perhaps an empty one, for each message from the engine until the answer is over."""
        # JetStream puts a BOS before what it gets: with ours the prompt would have two.
        prompt = self._completion.prompt[1:]
        began = False
        try:
            async with aclosing(self._engine.decode(prompt, self._completion.max_tokens)) as pieces:
                async for tokens in pieces:
                    if not began:
                        began = True
                        self._metrics.first_token(time.monotonic() - self._began)
                    yield self._answer.feed(tokens)
                    if self._answer.finish_reason:
                        return
        except KeyError as error:
            text = f"it sent token {error}, which this tokenizer doesn't have; check --tokenizer"
            self._metrics.failed(grpc.StatusCode.DATA_LOSS.name)
            raise EngineError(grpc.StatusCode.DATA_LOSS, text) from None
        except EngineError as error:
            self._metrics.failed(error.code.name)
            raise
