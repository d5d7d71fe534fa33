"""A JetStream in this process that does what a test scripts: its answers, its refusals, its end in mid-answer."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import grpc

from mistral_operator.wire.jetstream_pb2 import DecodeRequest, DecodeResponse, HealthCheckRequest, HealthCheckResponse
from mistral_operator.wire.orchestrator import add_orchestrator

Step = Sequence[int] | tuple[grpc.StatusCode, str]
"""Token ids of one message, or the status that the call ends with."""


class ScriptedEngine:
    """`steps` are sent in order for each call. With `hold` nothing follows the last of them, not even the end."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.hold = False
        self.live = True
        self.requests: list[DecodeRequest] = []
        self.address = ""
        self._ended: list[DecodeRequest] = []
        self._whole = 0
        self._server: grpc.aio.Server | None = None

    async def decode(
        self, request: DecodeRequest, context: grpc.aio.ServicerContext[DecodeRequest, DecodeResponse]
    ) -> AsyncIterator[DecodeResponse]:
        self.requests.append(request)
        # A call that is cancelled while a message is on its way never resumes: only its callback tells.
        context.add_done_callback(lambda _: self._ended.append(request))
        # As a server may: nothing to show for it.
        yield DecodeResponse(initial_content=DecodeResponse.InitialContent())
        for step in self.steps:
            if step and isinstance(step[0], grpc.StatusCode):
                self._whole += 1
                await context.abort(step[0], str(step[1]))
            sample = DecodeResponse.StreamContent.Sample(token_ids=[int(token) for token in step])  # type: ignore[arg-type]
            yield DecodeResponse(stream_content=DecodeResponse.StreamContent(samples=[sample]))
        if self.hold:
            await asyncio.Event().wait()
        self._whole += 1

    @property
    def cancelled(self) -> int:
        """Calls that the client ended."""
        return len(self._ended) - self._whole

    async def health_check(
        self,
        request: HealthCheckRequest,
        context: grpc.aio.ServicerContext[HealthCheckRequest, HealthCheckResponse],
    ) -> HealthCheckResponse:
        return HealthCheckResponse(is_live=self.live)

    async def start(self, port: int = 0) -> None:
        """Listen; on the same port again after a `stop` with the number that `address` ends with."""
        self._server = grpc.aio.server()
        add_orchestrator(self._server, self)
        taken = self._server.add_insecure_port(f"127.0.0.1:{port}")
        await self._server.start()
        self.address = f"127.0.0.1:{taken}"

    async def stop(self) -> None:
        """Break off all calls and listen no more."""
        if self._server:
            await self._server.stop(grace=0)


@asynccontextmanager
async def scripted_engine() -> AsyncIterator[ScriptedEngine]:
    """One that listens for as long as the body runs."""
    engine = ScriptedEngine()
    await engine.start()
    try:
        yield engine
    finally:
        await engine.stop()
