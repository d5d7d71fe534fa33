"""The gRPC surface: what a client of JetStream meets."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import grpc
import pytest
from prometheus_client import generate_latest
from tests.support.polling import eventually

from mistral_operator.sandbox.engine.jetstream_answer import compose, sentence
from mistral_operator.sandbox.engine.jetstream_driver import Driver
from mistral_operator.sandbox.engine.jetstream_metrics import JetStreamMetrics
from mistral_operator.sandbox.engine.jetstream_service import StandInOrchestrator
from mistral_operator.sandbox.engine.jetstream_settings import read_settings
from mistral_operator.wire.jetstream_pb2 import DecodeRequest, HealthCheckRequest
from mistral_operator.wire.orchestrator import DecodeCall, OrchestratorStub, add_orchestrator

FLAGS = ("model_name=mistral-7b", "max_prefill_predict_length=32", "max_target_length=96", "per_device_batch_size=2")


class StandIn:
    """One in this process, with its client."""

    def __init__(self, driver: Driver, metrics: JetStreamMetrics, stub: OrchestratorStub) -> None:
        self.driver = driver
        self._metrics = metrics
        self._stub = stub

    def decode(self, prompt: list[int], max_tokens: int = 40, **more: int) -> DecodeCall:
        content = DecodeRequest.TokenContent(token_ids=prompt)
        return self._stub.decode(DecodeRequest(max_tokens=max_tokens, token_content=content, **more))  # type: ignore[arg-type]

    async def is_live(self) -> bool:
        return (await self._stub.health_check(HealthCheckRequest())).is_live

    def metric(self, name: str) -> float:
        lines = generate_latest(self._metrics.registry).decode().splitlines()
        return next(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name}{{"))

    def load(self) -> tuple[float, float]:
        """Share of slots in use, and requests that wait."""
        return self.metric("jetstream_slots_used_percentage"), self.metric("jetstream_prefill_backlog_size")


Start = Callable[..., Awaitable[StandIn]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    async with AsyncExitStack() as stack:

        async def run(**environment: str) -> StandIn:
            settings = read_settings(
                ["maxtext", "base.yml", *FLAGS], {"STAND_IN_TOKENS_PER_SECOND": "1000", **environment}
            )
            metrics = JetStreamMetrics({"HOSTNAME": "pod-0"})
            driver = Driver(settings, metrics)
            server = grpc.aio.server()
            add_orchestrator(server, StandInOrchestrator(settings, driver))
            port = server.add_insecure_port("127.0.0.1:0")
            await server.start()
            stack.push_async_callback(server.stop, 0)
            stack.callback(driver.stop)
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{port}"))
            return StandIn(driver, metrics, OrchestratorStub(channel))

        yield run


async def read(call: DecodeCall) -> list[list[int]]:
    """Token ids by message."""
    return [list(response.stream_content.samples[0].token_ids) async for response in call]


async def test_token_ids_for_token_ids(start: Start) -> None:
    stand_in = await start()
    messages = await read(stand_in.decode([7, 8]))
    assert messages == [*([token] for token in (*sentence("v1"), 7, 8)), []]
    assert await stand_in.is_live()


async def test_no_more_than_max_tokens(start: Start) -> None:
    stand_in = await start()
    assert await read(stand_in.decode([7, 8], 2)) == [[token] for token in sentence("v1")[:2]] + [[]]


@pytest.mark.parametrize(
    ("prompt", "more", "message"),
    [
        ([7], {"max_tokens": 65}, "max_target_length - max_prefill_predict_length = 96 - 32 = 64"),
        ([7], {"max_tokens": 0}, "max_tokens is 0"),
        ([7] * 32, {}, "the prompt has 33 tokens with BOS"),
        ([7], {"num_samples": 2}, "multi_sampling"),
    ],
)
async def test_refused(start: Start, prompt: list[int], more: dict[str, int], message: str) -> None:
    stand_in = await start()
    with pytest.raises(grpc.aio.AioRpcError, match=message) as refused:
        await read(stand_in.decode(prompt, **more))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_requests_wait_for_a_slot(start: Start) -> None:
    stand_in = await start(STAND_IN_TOKENS_PER_SECOND="20")
    calls = [asyncio.create_task(read(stand_in.decode([7]))) for _ in range(3)]
    await eventually(lambda: _holds(stand_in.load() == (1.0, 1)), message="two slots are used, one request waits")
    await asyncio.gather(*calls)
    await eventually(lambda: _holds(stand_in.load() == (0.0, 0)), message="all slots are free")
    assert stand_in.metric("jetstream_request_success_count_total") == 3
    assert stand_in.metric("jetstream_queue_duration_sum") > 0.5


async def test_a_client_that_leaves_frees_no_slot(start: Start) -> None:
    stand_in = await start(STAND_IN_TOKENS_PER_SECOND="20")
    call = stand_in.decode([7])
    await eventually(lambda: _holds(stand_in.load() == (0.5, 0)), message="a slot is used")
    call.cancel()
    await eventually(lambda: _holds(stand_in.load() == (0.0, 0)), message="the answer has ended")
    assert stand_in.metric("jetstream_request_success_count_total") == 1


async def test_a_stopped_driver_is_not_live_and_generates_nothing(start: Start) -> None:
    stand_in = await start(STAND_IN_TOKENS_PER_SECOND="20")
    call = stand_in.decode([7])
    assert await call.read()
    stand_in.driver.stop()
    assert not await stand_in.is_live()
    rest = asyncio.create_task(_read_on(call))
    done, _ = await asyncio.wait([rest], timeout=0.3)
    assert not done
    rest.cancel()


async def test_a_dead_engine_says_so(start: Start) -> None:
    stand_in = await start(STAND_IN_DEAD_AFTER_SECONDS="0")
    assert not await stand_in.is_live()


def test_what_it_says() -> None:
    assert compose([7, 8], 100, "v3") == (*sentence("v3"), 7, 8)
    assert compose([7, 8], 3, "v3") == sentence("v3")[:3]


async def _read_on(call: DecodeCall) -> None:
    while await call.read() is not grpc.aio.EOF:
        continue


async def _holds(condition: bool) -> bool:
    return condition
