"""Fixtures for all tests. What needs the control plane is marked `cluster`, by the fixtures that it asks for."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any

import hypothesis
import pytest
from tests.support.namespaces import new_namespace
from tests.support.running_sandbox import CRDS, RunningSandbox, running_sandbox

from mistral_operator.sandbox.control_plane import ControlPlane
from mistral_operator.sandbox.kube import Kube

CLUSTER_FIXTURES = {"cluster", "sandbox", "shared_sandbox", "stack"}

# How long an example takes is the machine's matter: a busy one must not fail a test of what is right.
hypothesis.settings.register_profile(
    "busy machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("busy machine")

SandboxFactory = Callable[..., Awaitable[RunningSandbox]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`pytest -m "not cluster"` runs what needs no control plane."""
    for item in items:
        if CLUSTER_FIXTURES.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.cluster)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[ControlPlane]:
    """One real control plane for the whole session: API server, controllers and scheduler, no nodes."""
    plane = ControlPlane(tmp_path_factory.mktemp("plane"), _teller(pytestconfig), crds=CRDS)
    # In a thread with a loop of its own: this fixture outlives the loop of any single test.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, plane.start()).result()
        yield plane
        thread.submit(asyncio.run, plane.stop()).result()


@pytest.fixture
async def kube(cluster: ControlPlane) -> AsyncIterator[Kube]:
    """A client with all rights on the session's control plane."""
    async with Kube(cluster.kubeconfig) as client:
        yield client


@pytest.fixture
async def namespace(kube: Kube) -> AsyncIterator[str]:
    """A fresh namespace on the session's control plane."""
    async with new_namespace(kube) as name:
        yield name


@pytest.fixture
async def sandbox(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SandboxFactory]:
    """`await sandbox(scenario=PATH, speed=50)` starts a whole sandbox for this test."""
    async with AsyncExitStack() as stack:

        async def start(**options: Any) -> RunningSandbox:
            return await stack.enter_async_context(running_sandbox(tmp_path_factory.mktemp("sandbox"), **options))

        yield start


@pytest.fixture(scope="session")
def shared_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    """One whole sandbox for the session, with the default scenario; tests keep to namespaces of their own."""
    directory = tmp_path_factory.mktemp("sandbox")
    running = running_sandbox(directory)
    with ThreadPoolExecutor(1) as thread:
        # One loop for start and end: a closing loop would also end the generator behind `running`.
        runner = asyncio.Runner()
        yield thread.submit(runner.run, _enter(running)).result()
        thread.submit(runner.run, _leave(running)).result()
        thread.submit(runner.close).result()


async def _enter(running: AbstractAsyncContextManager[RunningSandbox]) -> RunningSandbox:
    return await running.__aenter__()


async def _leave(running: AbstractAsyncContextManager[RunningSandbox]) -> None:
    await running.__aexit__(None, None, None)


def _teller(config: pytest.Config) -> Callable[[str], None]:
    """Progress of a first build goes past pytest's capturing: minutes of silence look like a hang."""
    capture = config.pluginmanager.getplugin("capturemanager")

    def say(text: str) -> None:
        with capture.global_and_fixture_disabled():
            print(text, flush=True)

    return say
