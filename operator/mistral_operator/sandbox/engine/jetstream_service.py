"""JetStream's gRPC service in front of the stand-in's driver."""

from collections.abc import AsyncIterator

import grpc

from mistral_operator.wire.jetstream_pb2 import (
    DecodeRequest,
    DecodeResponse,
    HealthCheckRequest,
    HealthCheckResponse,
)

from .jetstream_driver import Driver
from .jetstream_settings import JetStreamSettings

Sample = DecodeResponse.StreamContent.Sample


class StandInOrchestrator:
    """Stricter than the real one, so that a client that breaks JetStream's rules is found: that one doesn't check
    `max_tokens`, and of a prompt that is too long it silently takes the end.
    """

    def __init__(self, settings: JetStreamSettings, driver: Driver) -> None:
        self._settings = settings
        self._driver = driver

    async def decode(
        self, request: DecodeRequest, context: grpc.aio.ServicerContext[DecodeRequest, DecodeResponse]
    ) -> AsyncIterator[DecodeResponse]:
        """Token ids for token ids."""
        if trouble := self._find_trouble(request):
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, trouble)
        channel = self._driver.submit(list(request.token_content.token_ids), request.max_tokens)
        while (tokens := await channel.get()) is not None:
            content = DecodeResponse.StreamContent(samples=[Sample(token_ids=tokens)])
            yield DecodeResponse(stream_content=content)

    async def health_check(
        self,
        request: HealthCheckRequest,
        context: grpc.aio.ServicerContext[HealthCheckRequest, HealthCheckResponse],
    ) -> HealthCheckResponse:
        """Live as long as the driver is."""
        return HealthCheckResponse(is_live=self._driver.live)

    def _find_trouble(self, request: DecodeRequest) -> str:
        settings = self._settings
        most = settings.max_total_tokens - settings.max_prefill_tokens
        # The server's own BOS comes before them.
        length = len(request.token_content.token_ids) + 1
        if request.WhichOneof("content") != "token_content":
            return "stand-in: it has no tokenizer, send token_content"
        if not 1 <= request.max_tokens <= most:
            return (
                f"stand-in: max_tokens is {request.max_tokens}, at most max_target_length - max_prefill_predict_length "
                f"= {settings.max_total_tokens} - {settings.max_prefill_tokens} = {most}"
            )
        if length > settings.max_prefill_tokens:
            most = settings.max_prefill_tokens
            return f"stand-in: the prompt has {length} tokens with BOS, at most max_prefill_predict_length = {most}"
        if request.num_samples > 1:
            return "stand-in: num_samples above 1 needs a server with multi_sampling"
        return ""
