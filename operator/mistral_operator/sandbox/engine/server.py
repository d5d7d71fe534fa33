"""The stand-in's HTTP surface: vLLM's paths, and a header that says what answers."""

import hmac
import json
import time
import uuid
from collections.abc import Awaitable, Callable

from aiohttp import web

from . import responses
from .admission import Admission
from .answer import Answer
from .flags import flag_list
from .generation import Generator
from .life import Life
from .metrics import EngineMetrics
from .requests import Request, RequestError, read_request
from .settings import EngineSettings

STAND_IN_HEADER = "x-stand-in"
GUARDED = ("/v1", "/v2", "/inference")
LARGEST_BODY_BYTES = 32 * 1024 * 1024

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class EngineServer:
    """The state of one stand-in and its handlers."""

    def __init__(self, settings: EngineSettings) -> None:
        self.settings = settings
        self.life = Life()
        self.metrics = EngineMetrics(settings)
        self.admission = Admission(settings, self.metrics)
        self._generator = Generator(settings, self.metrics, self.admission)
        self._started = time.monotonic()
        self._created = int(time.time())

    def application(self) -> web.Application:
        """An aiohttp application with vLLM's paths."""
        application = web.Application(middlewares=[self._frame], client_max_size=LARGEST_BODY_BYTES)
        application.add_routes(
            [
                web.get("/health", self.health),
                web.route("*", "/ping", self.health),
                web.get("/version", self.version),
                web.get("/load", self.load),
                web.get("/metrics", self.scrape),
                web.get("/v1/models", self.models),
                web.post("/v1/chat/completions", self.chat),
                web.post("/v1/completions", self.completions),
            ]
        )
        return application

    async def health(self, _: web.Request) -> web.Response:
        """503 only when the engine process is dead, as in vLLM; also while draining the answer is 200."""
        after_s = self.settings.dead_after_s
        over = after_s is not None and time.monotonic() - self._started >= after_s / self.settings.speed
        return web.Response(status=503 if over or self.life.dead else 200)

    async def version(self, _: web.Request) -> web.Response:
        """The vLLM release whose surface this is."""
        return web.json_response({"version": flag_list()["version"], "stand_in": True})

    async def load(self, _: web.Request) -> web.Response:
        """Requests that are not finished."""
        return web.json_response({"server_load": self.admission.unfinished})

    async def scrape(self, _: web.Request) -> web.Response:
        """The Prometheus text format."""
        headers = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        return web.Response(body=self.metrics.exposition(), headers=headers)

    async def models(self, _: web.Request) -> web.Response:
        """The names that requests may ask for."""
        return web.json_response(responses.models(self.settings, self._created))

    async def chat(self, http: web.Request) -> web.StreamResponse:
        """POST /v1/chat/completions"""
        return await self._complete(http, chat=True)

    async def completions(self, http: web.Request) -> web.StreamResponse:
        """POST /v1/completions"""
        return await self._complete(http, chat=False)

    async def _complete(self, http: web.Request, *, chat: bool) -> web.StreamResponse:
        request = read_request(await http.read(), self.settings, chat=chat)
        identifier = f"{'chatcmpl' if chat else 'cmpl'}-{uuid.uuid4().hex}"
        answers = self._generator.answers(request)
        if request.stream:
            return await self._stream(http, request, answers, identifier)
        async with self.life.request():
            await self._generator.run(request, answers)
        return web.json_response(responses.whole(identifier, int(time.time()), request, answers))

    async def _stream(
        self, http: web.Request, request: Request, answers: list[Answer], identifier: str
    ) -> web.StreamResponse:
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream; charset=utf-8", STAND_IN_HEADER: "vllm"}
        )
        created = int(time.time())

        async def send(choices: list[responses.Body], **extra: responses.Body) -> None:
            body = responses.chunk(identifier, created, request, choices) | extra
            await response.write(b"data: " + json.dumps(body).encode() + b"\n\n")

        async def emit(index: int, position: int) -> None:
            # The status line goes out with the first piece: until then the request may be turned away.
            if not response.prepared:
                await response.prepare(http)
                if request.chat:
                    await send([responses.opening(each) for each in range(len(answers))])
            await send([responses.delta(index, answers[index], position, chat=request.chat)])

        try:
            async with self.life.request():
                await self._generator.run(request, answers, emit)
        except RequestError as error:
            if not response.prepared:
                raise
            # Its status line is out: the client learns it from the next event.
            await response.write(b"data: " + json.dumps(error.body()).encode() + b"\n\n")
        else:
            for index, answer in enumerate(answers):
                if not answer.pieces:
                    await emit(index, 0)
            if request.include_usage:
                await send([], usage=responses.usage(request, answers))
        await response.write(b"data: [DONE]\n\n")
        return response

    @web.middleware
    async def _frame(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            response = self._unauthorized(request) or await handler(request)
        except RequestError as error:
            response = web.json_response(error.body(), status=error.status)
        except web.HTTPException as error:
            response = web.json_response({"detail": error.reason}, status=error.status)
        if not response.prepared:
            response.headers[STAND_IN_HEADER] = "vllm"
        return response

    def _unauthorized(self, http: web.Request) -> web.Response | None:
        keys = self.settings.api_keys
        if not keys or not http.path.startswith(GUARDED):
            return None
        scheme, _, given = http.headers.get("Authorization", "").partition(" ")
        accepted = [hmac.compare_digest(given.encode(), key.encode()) for key in keys]
        if scheme.lower() == "bearer" and any(accepted):
            return None
        return web.json_response({"error": "Unauthorized"}, status=401)
