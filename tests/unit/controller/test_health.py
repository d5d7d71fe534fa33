"""What the probes answer."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from mistral_operator.controller.health import Health
from mistral_operator.controller.metrics import Metrics


@pytest.fixture
async def health() -> AsyncIterator[Health]:
    made = Health(Metrics())
    yield made
    await made.stop()


async def ask(port: int, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as answer:
        return answer.status, await answer.text()


async def test_ready_when_nothing_is_wrong(health: Health) -> None:
    wrong = ["still reading"]
    health.ready["caches"] = lambda: wrong[0]
    port = await health.start(0, "127.0.0.1")
    assert await ask(port, "/readyz") == (503, "caches: still reading\n")
    assert await ask(port, "/healthz") == (200, "ok\n")
    wrong[0] = ""
    assert await ask(port, "/readyz") == (200, "ok\n")


async def test_what_is_worth_knowing_is_told_beside(health: Health) -> None:
    health.notes.append("not on GKE")
    port = await health.start(0, "127.0.0.1")
    assert await ask(port, "/readyz") == (200, "ok\nnot on GKE\n")
    assert await ask(port, "/healthz") == (200, "ok\n")


async def test_alive_fails_for_what_a_restart_mends(health: Health) -> None:
    health.alive["kopf"] = lambda: "stands still"
    port = await health.start(0, "127.0.0.1")
    assert await ask(port, "/healthz") == (503, "kopf: stands still\n")


async def test_metrics(health: Health) -> None:
    port = await health.start(0, "127.0.0.1")
    status, text = await ask(port, "/metrics")
    assert status == 200
    assert "mistral_operator_event_loop_lag_seconds" in text
