"""Fixtures: a simulated GKE without Kubernetes behind Google's own client."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from tests.support.simulated_gke import Gke, Start, running_gke


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """`await start(**scenario)` serves a simulated GKE until the test ends."""
    async with AsyncExitStack() as stack:

        async def run(**scenario: Any) -> Gke:
            return await stack.enter_async_context(running_gke(**scenario))

        yield run


@pytest.fixture
async def gke(start: Start) -> Gke:
    """The default scenario."""
    return await start()
