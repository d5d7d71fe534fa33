"""JetStream over gRPC: one channel for all requests."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Final, Self

import grpc

from mistral_operator.wire.jetstream_pb2 import DecodeRequest, HealthCheckRequest
from mistral_operator.wire.orchestrator import DecodeCall, OrchestratorStub

from .refusal import Refusal, unavailable

CHANNEL_OPTIONS: Final = (
    # An engine loads for minutes: gRPC's own pauses would grow to two more.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # The engine is in the same pod, whatever http_proxy says.
    ("grpc.enable_http_proxy", 0),
)
RETRY_AFTER_S: Final = 5
BUSY_RETRY_AFTER_S: Final = 1
CUT: Final = "the gateway is shutting down"


class EngineError(Exception):
    """The engine gave no answer, or not all of it."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(f"{code.name}: {details}")
        self.code = code
        self.details = details

    def refusal(self) -> Refusal:
        """What the client is told, in the engine's own words."""
        match self.code:
            case grpc.StatusCode.INVALID_ARGUMENT:
                return Refusal(f"The engine refused the request: {self.details}", code="engine_refused")
            case grpc.StatusCode.RESOURCE_EXHAUSTED:
                return unavailable(f"The engine is busy: {self.details}", BUSY_RETRY_AFTER_S, "engine_busy")
            case grpc.StatusCode.UNAVAILABLE | grpc.StatusCode.CANCELLED:
                return unavailable(f"The engine is not available: {self.details}", RETRY_AFTER_S)
            case _:
                return Refusal(f"The engine failed: {self}", code="engine_failed", type="server_error", status=502)


class Engine:
    """The engine at an address; an async context manager. It may come and go: each call tries anew."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._channel: grpc.aio.Channel | None = None
        self._open: set[DecodeCall] = set()
        self._cut = False

    async def __aenter__(self) -> Self:
        self._channel = grpc.aio.insecure_channel(self.address, options=CHANNEL_OPTIONS)
        self._stub = OrchestratorStub(self._channel)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._channel:
            await self._channel.close()

    async def find_trouble(self, timeout_s: float) -> str:
        """Why the engine can't answer now; empty if it can."""
        try:
            answer = await self._stub.health_check(HealthCheckRequest(), timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            return f"engine at {self.address}: {error.code().name}: {error.details()}"
        return "" if answer.is_live else f"engine at {self.address}: its health check says that it is not live"

    async def decode(self, prompt: Sequence[int], max_tokens: int) -> AsyncGenerator[Sequence[int]]:
        """Token ids as they are generated; leaving early cancels the call. Raises EngineError.

        JetStream puts its own BOS before `prompt`.
        """
        content = DecodeRequest.TokenContent(token_ids=prompt)
        call = self._stub.decode(DecodeRequest(max_tokens=max_tokens, token_content=content))
        self._open.add(call)
        try:
            async for response in call:
                samples = response.stream_content.samples
                if samples:
                    yield samples[0].token_ids
        except grpc.aio.AioRpcError as error:
            raise EngineError(error.code(), error.details() or "") from None
        except asyncio.CancelledError:
            # A call that is cancelled from this side ends so, and so does the task of a client that went away.
            if self._cut:
                raise EngineError(grpc.StatusCode.CANCELLED, CUT) from None
            raise
        finally:
            self._open.discard(call)
            call.cancel()

    def cut(self) -> None:
        """End all open answers with an EngineError."""
        self._cut = True
        for call in list(self._open):
            call.cancel()
