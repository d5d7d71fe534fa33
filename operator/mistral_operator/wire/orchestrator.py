"""JetStream's service `jetstream_proto.Orchestrator`, typed, for its callers and for who answers in its place."""

from collections.abc import AsyncIterator
from typing import Any, Protocol

import grpc

from .jetstream_pb2 import DecodeRequest, DecodeResponse, HealthCheckRequest, HealthCheckResponse

SERVICE = "jetstream_proto.Orchestrator"

DecodeCall = grpc.aio.UnaryStreamCall[DecodeRequest, DecodeResponse]


class Orchestrator(Protocol):
    """What a server implements."""

    def decode(
        self, request: DecodeRequest, context: grpc.aio.ServicerContext[DecodeRequest, DecodeResponse]
    ) -> AsyncIterator[DecodeResponse]:
        """The answer, piece by piece."""

    async def health_check(
        self,
        request: HealthCheckRequest,
        context: grpc.aio.ServicerContext[HealthCheckRequest, HealthCheckResponse],
    ) -> HealthCheckResponse:
        """Whether the engine works."""


class OrchestratorStub:
    """The service's methods over a channel."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.decode: grpc.aio.UnaryStreamMultiCallable[DecodeRequest, DecodeResponse] = channel.unary_stream(
            f"/{SERVICE}/Decode",
            request_serializer=DecodeRequest.SerializeToString,
            response_deserializer=DecodeResponse.FromString,
        )
        self.health_check: grpc.aio.UnaryUnaryMultiCallable[HealthCheckRequest, HealthCheckResponse] = (
            channel.unary_unary(
                f"/{SERVICE}/HealthCheck",
                request_serializer=HealthCheckRequest.SerializeToString,
                response_deserializer=HealthCheckResponse.FromString,
            )
        )


def add_orchestrator(server: grpc.aio.Server, orchestrator: Orchestrator) -> None:
    """Let `server` answer with `orchestrator`; call it before the server starts."""
    handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        "Decode": grpc.unary_stream_rpc_method_handler(
            orchestrator.decode,
            request_deserializer=DecodeRequest.FromString,
            response_serializer=DecodeResponse.SerializeToString,
        ),
        "HealthCheck": grpc.unary_unary_rpc_method_handler(
            orchestrator.health_check,
            request_deserializer=HealthCheckRequest.FromString,
            response_serializer=HealthCheckResponse.SerializeToString,
        ),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
