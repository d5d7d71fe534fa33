"""The HTTP surface: OpenAI's paths, health and metrics."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

from aiohttp import web

from .completion import Completion, read_completion
from .engine import BUSY_RETRY_AFTER_S, RETRY_AFTER_S, Engine, EngineError
from .exchange import Exchange
from .intake import Intake, limit_body
from .metrics import GatewayMetrics
from .refusal import Refusal, unavailable
from .responses import render_models
from .settings import GatewaySettings
from .tokens import Tokenizer

HEALTH_TIMEOUT_S: Final = 1.0
LAST_WORDS_S: Final = 1.0
CLIENT_LEFT: Final = 499
"""Counted, never sent."""
AT_ONCE_BYTES: Final = 8 * 1024
"""A body that is read and tokenised within some milliseconds. A larger one would keep all streams waiting."""
DRAINING: Final = "The gateway is shutting down and takes no new requests."

log = logging.getLogger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class GatewayServer:
    """The state of one gateway and its handlers."""

    def __init__(self, settings: GatewaySettings, tokenizer: Tokenizer, engine: Engine) -> None:
        self._settings = settings
        self._tokenizer = tokenizer
        self._engine = engine
        self._metrics = GatewayMetrics()
        self._intake = Intake(limit_body(settings.max_prefill_tokens))
        # One, as the tokenizers and JSON share Python's lock anyway, and what they make of a large body has its size.
        self._translator = ThreadPoolExecutor(1, "translator")
        self._created = int(time.time())
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._draining = False

    def application(self) -> web.Application:
        """An aiohttp application; run it with handler_cancellation, so that a client that leaves frees the engine."""
        application = web.Application(middlewares=[self._frame])
        application.add_routes(
            [
                web.get("/health", self.health),
                web.get("/metrics", self.scrape),
                web.get("/v1/models", self.models),
                web.post("/v1/chat/completions", self.chat),
                web.post("/v1/completions", self.completions),
            ]
        )
        return application

    async def drain(self, timeout_s: float) -> None:
        """Take no new requests, and return when the open ones are answered. After `timeout_s` they are cut."""
        self._draining = True
        try:
            await asyncio.wait_for(self._idle.wait(), timeout_s)
        except TimeoutError:
            log.warning("cutting %d unfinished answers", self._in_flight)
            self._engine.cut()
            # A client that doesn't read may never get the last event.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), LAST_WORDS_S)

    async def health(self, _: web.Request) -> web.Response:
        """200 only when a request sent now would be answered."""
        trouble = "draining" if self._draining else await self._engine.find_trouble(HEALTH_TIMEOUT_S)
        return web.json_response({"status": trouble or "ok"}, status=503 if trouble else 200)

    async def scrape(self, _: web.Request) -> web.Response:
        """The Prometheus text format."""
        headers = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        return web.Response(body=self._metrics.exposition(), headers=headers)

    async def models(self, _: web.Request) -> web.Response:
        """The one model's name."""
        return web.json_response(render_models(self._settings, self._created))

    async def chat(self, http: web.Request) -> web.StreamResponse:
        """POST /v1/chat/completions"""
        return await self._complete(http, chat=True)

    async def completions(self, http: web.Request) -> web.StreamResponse:
        """POST /v1/completions"""
        return await self._complete(http, chat=False)

    async def _complete(self, http: web.Request, *, chat: bool) -> web.StreamResponse:
        completion = self._find_no_room() or await self._read(http, chat=chat)
        if isinstance(completion, Refusal):
            return self._refuse(completion)
        # Others may have come first while this one was read.
        if busy := self._find_no_room():
            return self._refuse(busy)
        exchange = Exchange(http, completion, self._tokenizer, self._engine, self._metrics)
        self._in_flight += 1
        self._idle.clear()
        try:
            with self._metrics.in_flight():
                return await exchange.run()
        except EngineError as error:
            return self._refuse(error.refusal())
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self._idle.set()

    async def _read(self, http: web.Request, *, chat: bool) -> Completion | Refusal:
        async with self._intake.read(http) as body:
            if isinstance(body, Refusal):
                return body
            translate = partial(read_completion, body, self._settings, self._tokenizer, chat=chat)
            if len(body) <= AT_ONCE_BYTES:
                return translate()
            return await asyncio.get_running_loop().run_in_executor(self._translator, translate)

    def _find_no_room(self) -> Refusal | None:
        if self._draining:
            return unavailable(DRAINING, RETRY_AFTER_S, "draining")
        if self._in_flight >= self._settings.max_concurrency:
            message = f"All {self._settings.max_concurrency} places are taken; try again in a moment."
            return unavailable(message, BUSY_RETRY_AFTER_S, "too_many_requests")
        return None

    def _refuse(self, refusal: Refusal) -> web.Response:
        self._metrics.refused(refusal.field, refusal.code or "")
        headers = {"Retry-After": str(refusal.retry_after_s)} if refusal.retry_after_s is not None else {}
        return web.json_response(refusal.body(), status=refusal.status, headers=headers)

    @web.middleware
    async def _frame(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Errors in OpenAI's shape, and a count of all statuses."""
        endpoint = request.match_info.route.resource.canonical if request.match_info.route.resource else "other"
        try:
            response = await handler(request)
        except web.HTTPException as error:
            refusal = Refusal(f"{request.method} {request.path}: {error.reason}", status=error.status)
            response = web.json_response(refusal.body(), status=error.status)
        except ConnectionError:
            response = web.Response(status=CLIENT_LEFT)
        except asyncio.CancelledError:
            self._metrics.answered(endpoint, CLIENT_LEFT)
            raise
        if self._draining and not response.prepared:
            # A kept connection would bring the next request here, too.
            response.force_close()
        self._metrics.answered(endpoint, response.status)
        return response
