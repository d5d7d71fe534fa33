"""A stand-in engine in this process, on a free port."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
from aiohttp.test_utils import TestClient, TestServer

from mistral_operator.sandbox.control_plane.ports import free_port as find_free_port
from mistral_operator.sandbox.engine.flags import parse_serve
from mistral_operator.sandbox.engine.server import EngineServer
from mistral_operator.sandbox.engine.settings import read_settings

Engine = Callable[..., Awaitable[TestClient]]


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    """`await engine("--max-model-len", "64", STAND_IN_TOKENS_PER_SECOND="1000")` gives a client."""
    async with AsyncExitStack() as stack:

        async def start(*flags: str, **environment: str) -> TestClient:
            fast = {"STAND_IN_TOKENS_PER_SECOND": "2000"}
            settings = read_settings(parse_serve(["serve", "mistralai/Chat", *flags]), fast | environment)
            server = TestServer(EngineServer(settings).application())
            return await stack.enter_async_context(TestClient(server))

        yield start


@pytest.fixture
def free_ports() -> Callable[[], int]:
    """Call it for a TCP port of 127.0.0.1 that nobody uses, nor gets for an outgoing connection."""
    return find_free_port


@pytest.fixture
def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody uses, nor gets for an outgoing connection."""
    return find_free_port()
