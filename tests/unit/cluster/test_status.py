"""Statuses against definitions that are older than the operator."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mistral_operator.cluster.errors import Invalid, Undeclared, error_of
from mistral_operator.cluster.status import StatusWriter, without_fields

Json = dict[str, Any]

SPEED = {"tokensPerSecond": 90}
STATUS: Json = {
    "phase": "Ready",
    "plan": {"chosen": {"devices": 1, "speed": SPEED}},
    "conditions": [{"type": "Ready", "colour": "green"}, {"type": "Planned"}],
}
OLDER: Json = {
    "phase": "Ready",
    "plan": {"chosen": {"devices": 1}},
    "conditions": [{"type": "Ready"}, {"type": "Planned"}],
}
OWN_DEFINITION: frozenset[str] = frozenset()


class OlderServer:
    """Refuses statuses as the API server does, telling all undeclared fields at once, or one at a time."""

    def __init__(self, undeclared: frozenset[str], *, at_once: int = 99) -> None:
        self.undeclared = undeclared
        self.at_once = at_once
        self.asked: list[Json] = []

    async def apply_status(self, manifest: Mapping[str, Any]) -> Json:
        self.asked.append(manifest["status"])
        found = sorted(path for path in _paths_of(manifest) if path in self.undeclared)[: self.at_once]
        if found:
            raise error_of(500, _refusal(found), {})
        return {**manifest, "answered": True}


def _paths_of(value: Any, at: str = "") -> list[str]:
    if isinstance(value, list):
        return [path for element in value for path in _paths_of(element, f'{at}[type="{element["type"]}"]')]
    if not isinstance(value, Mapping):
        return []
    here = [f"{at}.{name}" for name in value]
    return here + [path for name, inner in value.items() for path in _paths_of(inner, f"{at}.{name}")]


def _refusal(paths: list[str]) -> str:
    lines = [f"{path}: field not declared in schema" for path in paths]
    told = lines[0] if len(lines) == 1 else "errors:\n  " + "\n  ".join(lines)
    return f"failed to create typed patch object (team-a/chat; x/v1alpha1, Kind=MistralModel): {told}"


def model(status: Json | None = None) -> Json:
    metadata = {"name": "chat", "namespace": "team-a", "uid": "u", "resourceVersion": "7"}
    found = {"apiVersion": "x/v1alpha1", "kind": "MistralModel", "metadata": metadata}
    return found if status is None else {**found, "status": status}


LACKING = frozenset({".status.plan.chosen.speed", '.status.conditions[type="Ready"].colour'})


@pytest.mark.parametrize("at_once", [1, 99])
async def test_fields_that_the_definition_lacks_are_left_out_and_the_rest_is_written(at_once: int) -> None:
    server = OlderServer(LACKING, at_once=at_once)
    written = await StatusWriter(server).write_if_needed(model(), STATUS)
    assert written == {
        "apiVersion": "x/v1alpha1",
        "kind": "MistralModel",
        "metadata": {"name": "chat", "namespace": "team-a", "uid": "u"},
        "status": OLDER,
        "answered": True,
    }


async def test_what_was_learnt_costs_no_further_request(caplog: pytest.LogCaptureFixture) -> None:
    server = OlderServer(LACKING)
    writer = StatusWriter(server)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert await writer.write_if_needed(model(), STATUS)
            assert await writer.write_if_needed(model(OLDER), STATUS) is None
    assert server.asked == [STATUS, OLDER, OLDER, OLDER]
    told = [record.getMessage() for record in caplog.records]
    assert [message.split("status.")[1].split(",")[0] for message in told] == ["conditions.colour", "plan.chosen.speed"]
    assert all("Apply the CustomResourceDefinitions of this version" in message for message in told)


async def test_two_writers_may_learn_the_same_at_once() -> None:
    class Slow(OlderServer):
        async def apply_status(self, manifest: Mapping[str, Any]) -> Json:
            await asyncio.sleep(0)
            return await super().apply_status(manifest)

    writer = StatusWriter(Slow(LACKING, at_once=1))
    written = await asyncio.gather(*(writer.write_if_needed(model(), STATUS) for _ in range(4)))
    assert [answer and answer["status"] for answer in written] == [OLDER] * 4


async def test_a_definition_that_was_upgraded_gets_the_whole_status_again() -> None:
    now_s = 1000.0
    server = OlderServer(LACKING)
    writer = StatusWriter(server, lambda: now_s)
    await writer.write_if_needed(model(), STATUS)
    server.undeclared = OWN_DEFINITION
    now_s += 599
    assert await writer.write_if_needed(model(OLDER), STATUS) is None
    now_s += 2
    written = await writer.write_if_needed(model(OLDER), STATUS)
    assert written is not None
    assert written["status"] == STATUS


async def test_a_status_that_is_there_is_not_written() -> None:
    server = OlderServer(OWN_DEFINITION)
    assert await StatusWriter(server).write_if_needed(model(STATUS), STATUS) is None
    assert not server.asked


@pytest.mark.parametrize("field", [".spec.model", ".status", ".status.elsewhere"])
async def test_a_refusal_that_leaving_out_does_not_help_is_raised(field: str) -> None:
    class Stubborn(OlderServer):
        async def apply_status(self, manifest: Mapping[str, Any]) -> Json:
            self.asked.append(manifest["status"])
            raise error_of(500, _refusal([field]), {})

    server = Stubborn(OWN_DEFINITION)
    with pytest.raises(Undeclared):
        await StatusWriter(server).write_if_needed(model(), STATUS)
    assert len(server.asked) == 1


async def test_what_the_server_refuses_otherwise_is_raised() -> None:
    class Strict(OlderServer):
        async def apply_status(self, manifest: Mapping[str, Any]) -> Json:
            raise error_of(422, '{"message": "status.phase: Unsupported value"}', {})

    with pytest.raises(Invalid, match="Unsupported value"):
        await StatusWriter(Strict(OWN_DEFINITION)).write_if_needed(model(), STATUS)


NAMES = st.sampled_from(["a", "b", "c"])
VALUES = st.recursive(
    st.integers(), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=12
)


def _has(value: Any, path: tuple[str, ...]) -> bool:
    if isinstance(value, list):
        return any(_has(element, path) for element in value)
    if not isinstance(value, Mapping) or path[0] not in value:
        return False
    return len(path) == 1 or _has(value[path[0]], path[1:])


@given(VALUES, st.sets(st.lists(NAMES, min_size=1, max_size=3).map(tuple), max_size=3))
def test_leaving_out_takes_those_fields_and_no_others(value: Any, paths: set[tuple[str, ...]]) -> None:
    rest = without_fields(value, paths)
    assert not any(_has(rest, path) for path in paths)
    if not any(_has(value, path) for path in paths):
        assert rest == value
    assert without_fields(rest, paths) == rest
