"""Tokenizers, which take a moment to load, settings, and a gateway in this process in front of a scripted engine."""

import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from tests.support.scripted_engine import ScriptedEngine, scripted_engine

from mistral_operator.gateway.engine import Engine
from mistral_operator.gateway.server import GatewayServer
from mistral_operator.gateway.settings import GatewaySettings
from mistral_operator.gateway.tokens import Tokenizer

SERVER = web.AppKey("server", GatewayServer)


@pytest.fixture(scope="session")
def v1() -> Tokenizer:
    """32,000 tokens; the template is written in plain text."""
    return Tokenizer("v1")


@pytest.fixture(scope="session")
def v3() -> Tokenizer:
    """32,768 tokens; the template has tokens of its own."""
    return Tokenizer("v3")


@pytest.fixture
def settings() -> GatewaySettings:
    """A small engine: prompts of 64 tokens, answers of 32."""
    return GatewaySettings("chat", "v1", max_prefill_tokens=64, max_total_tokens=96, max_concurrency=8)


@pytest.fixture
async def engine() -> AsyncIterator[ScriptedEngine]:
    """An engine that does what the test scripts."""
    async with scripted_engine() as running:
        yield running


Gateway = Callable[..., Awaitable[TestClient[web.Request, web.Application]]]


@pytest.fixture
async def gateway(engine: ScriptedEngine, settings: GatewaySettings, v1: Tokenizer) -> AsyncIterator[Gateway]:
    """`await gateway(max_concurrency=1)` gives a client of a gateway in front of the engine."""
    async with AsyncExitStack() as stack:

        async def start(**changes: Any) -> TestClient[web.Request, web.Application]:
            connected = await stack.enter_async_context(Engine(engine.address))
            server = GatewayServer(dataclasses.replace(settings, **changes), v1, connected)
            application = server.application()
            application[SERVER] = server
            return await stack.enter_async_context(TestClient(TestServer(application)))

        yield start
