"""Each finding is sent once, and nothing waits for it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.support.polling import eventually

from mistral_operator.cluster.errors import Forbidden
from mistral_operator.controller.events import Recorder

MODEL = {
    "apiVersion": "serving.mistral-operator.dev/v1alpha1",
    "kind": "MistralModel",
    "metadata": {"name": "chat", "namespace": "team", "uid": "u", "resourceVersion": "7"},
}
CLAIM = {"apiVersion": "x/v1", "kind": "NodePoolClaim", "metadata": {"name": "pool", "uid": "c"}}


class Client:
    """A stand-in for the client that keeps what is created, and refuses while told to."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.refuse = False

    async def create(self, manifest: dict[str, Any]) -> dict[str, Any]:
        if self.refuse:
            self.refuse = False
            raise Forbidden(403, "Forbidden", "no")
        self.sent.append(manifest)
        return manifest


@asynccontextmanager
async def recording(client: Client, clock: list[float]) -> AsyncIterator[Recorder]:
    recorder = Recorder(client, clock=lambda: clock[0])  # type: ignore[arg-type]
    task = asyncio.create_task(recorder.run())
    yield recorder
    assert not task.done()
    task.cancel()


async def test_the_same_is_sent_once_in_ten_minutes() -> None:
    client, clock = Client(), [0.0]
    async with recording(client, clock) as recorder:
        for _ in range(5):
            recorder.record(MODEL, "Warning", "StockOut", "none left")
        recorder.record(MODEL, "Warning", "StockOut", "still none left")
        await eventually(lambda: len(client.sent) == 2)
        clock[0] = 601.0
        recorder.record(MODEL, "Warning", "StockOut", "none left")
        await eventually(lambda: len(client.sent) == 3)
    first = client.sent[0]
    assert (first["type"], first["reason"], first["message"]) == ("Warning", "StockOut", "none left")
    assert first["metadata"]["namespace"] == "team"
    assert first["involvedObject"]["uid"] == "u"


async def test_cluster_scoped_objects_have_theirs_in_default_and_long_messages_are_cut() -> None:
    client = Client()
    async with recording(client, [0.0]) as recorder:
        recorder.record(CLAIM, "Normal", "Made", "x" * 5000)
        await eventually(lambda: client.sent)
    assert client.sent[0]["metadata"]["namespace"] == "default"
    assert client.sent[0]["involvedObject"]["namespace"] == ""
    assert len(client.sent[0]["message"]) == 1024


async def test_a_refused_event_is_dropped_and_others_follow() -> None:
    client = Client()
    client.refuse = True
    async with recording(client, [0.0]) as recorder:
        recorder.record(MODEL, "Normal", "First", "refused")
        recorder.record(MODEL, "Normal", "Second", "sent")
        await eventually(lambda: [event["reason"] for event in client.sent] == ["Second"])


async def test_too_many_are_dropped_rather_than_kept() -> None:
    recorder = Recorder(Client(), clock=lambda: 0.0)  # type: ignore[arg-type]
    for number in range(5000):
        recorder.record(MODEL, "Normal", "Flood", str(number))
    assert recorder._waiting.qsize() == 2000
