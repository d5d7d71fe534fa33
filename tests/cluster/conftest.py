"""Fixtures for tests on the control plane."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import aiohttp
import pytest
from tests.support.namespaces import new_namespace
from tests.support.operator_account import become_operator
from tests.support.running_sandbox import RunningSandbox
from tests.support.stack import Operator, Stack

from mistral_operator.sandbox.control_plane import ControlPlane
from mistral_operator.sandbox.crds import install_crds
from mistral_operator.sandbox.kube import Kube
from mistral_operator.sandbox.processes import ProcessGroup

CRDS = Path(__file__).parents[2] / "crds"


@pytest.fixture
async def crds(cluster: ControlPlane) -> Path:
    """The project's CRDs, established on the session's control plane."""
    async with Kube(cluster.kubeconfig) as kube:
        await install_crds(kube, CRDS)
    return CRDS


@pytest.fixture(scope="session")
def shared_operator(shared_sandbox: RunningSandbox) -> Iterator[Operator]:
    """One operator for the session's sandbox; tests that kill or change it start one of their own."""
    # In a thread: the fixture is made while the loop of a test may run.
    with ThreadPoolExecutor(1) as thread, ProcessGroup() as processes:
        account = become_operator(shared_sandbox.kubeconfig, shared_sandbox.directory)
        operator = Operator(shared_sandbox, processes, thread.submit(asyncio.run, account).result())
        operator.start()
        yield operator


@pytest.fixture
async def stack(shared_sandbox: RunningSandbox, shared_operator: Operator) -> AsyncIterator[Stack]:
    """The session's sandbox and operator, in a fresh namespace, which is a tenant of its own."""
    async with Kube(shared_sandbox.kubeconfig) as kube, aiohttp.ClientSession() as http, new_namespace(kube) as name:
        yield Stack(shared_sandbox, kube, shared_operator, http, name)
