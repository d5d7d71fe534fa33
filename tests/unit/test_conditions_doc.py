"""docs/conditions.md names every reason, and its table of states is what the code says."""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.world import World, autoscaler_event, make_model

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "conditions.md").read_text()
PACKAGES = ("status", "core")
FINDINGS = {"met", "unmet", "unknown", "PlanRefused"}


def _reasons() -> Iterator[str]:
    files = [f for p in PACKAGES for f in (ROOT / "operator/mistral_operator" / p).glob("*.py")]
    for file in (*files, *(ROOT / "operator/mistral_operator/planning").glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FINDINGS:
                first = node.args[0] if node.args else None
                if isinstance(first, ast.Constant):
                    yield str(first.value)


def test_every_reason_is_documented() -> None:
    missing = {reason for reason in _reasons() if f"`{reason}`" not in DOCUMENT}
    assert missing == set()


def _answering(**spec: object) -> World:
    world = World(model=make_model(**spec))
    world.step()
    world.provision()
    world.start_pod()
    world.make_ready()
    world.step()
    return world


def _partly() -> World:
    world = _answering(replicas=2)
    world.start_pod("chat-1", node="")
    world.step()
    return world


def _rolling() -> World:
    world = _answering()
    world.change(engine={"contextLength": 4096})
    world.step()
    world.start_pod("chat-new")
    world.step()
    return world


def _waiting(reason: str) -> World:
    world = World()
    world.step()
    for claim in world.claims.values():
        claim["status"] = {"conditions": [{"type": "Ready", "status": "False", "reason": reason, "message": "…"}]}
    world.start_pod(node="")
    world.step()
    return world


def _pending(reason: str, message: str) -> World:
    world = World()
    world.step()
    world.provision()
    world.events = [autoscaler_event(world.start_pod(node=""), reason, message)]
    world.step()
    return world


def _loading(**container: object) -> World:
    world = World(model=make_model(weights={"huggingFace": {"tokenSecretRef": {"name": "hf"}}}))
    world.step()
    world.provision()
    world.start_pod()["status"]["containerStatuses"] = [{"name": "vllm", "restartCount": 0, **container}]
    world.step()
    return world


def _refused_edit() -> World:
    world = _answering()
    world.change(model="no-such-model")
    world.step()
    return world


def _stepped(**spec: object) -> World:
    world = World(model=make_model(**spec))
    world.step()
    return world


def _converting() -> World:
    engine = {"type": "JetStreamMaxText", "image": "registry.example/jetstream:1"}
    weights = {"cache": {"mode": "Bucket", "uri": "gs://models/converted"}}
    world = _stepped(model="mistral-7b-v0.1", allowExperimental=True, engine=engine, weights=weights)
    world.provision()
    world.start_converter(containerStatuses=[{"name": "convert", "state": {"running": {}}}])
    world.step()
    return world


STATES: dict[str, Callable[[], World]] = {
    "all replicas answer": _answering,
    "some replicas answer": _partly,
    "rolling out, the old replica answers": _rolling,
    "scaled to zero": lambda: _stepped(replicas=0),
    "suspended": lambda: _stepped(suspend=True),
    "waiting for the node pool": lambda: _waiting("PoolCreating"),
    "waiting for nodes": lambda: _pending("TriggeredScaleUp", "pod triggered scale-up"),
    "the zone is out of stock": lambda: _pending("FailedScaleUp", "GCE out of resources"),
    "the checkpoint is being converted": _converting,
    "loading weights": lambda: _loading(state={"running": {}}),
    "the token's Secret is missing": lambda: _loading(
        state={"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "hf" not found'}}
    ),
    "refused, nothing runs": lambda: _stepped(model="no-such-model"),
    "refused edit, the last plan runs": _refused_edit,
}


def _rows() -> dict[str, list[str]]:
    table = DOCUMENT.split("## Ready, state by state")[1].split("```lua")[0]
    cells = [[c.strip() for c in row.strip("|").split("|")] for row in re.findall(r"^\|.*\|$", table, re.MULTILINE)]
    return {row[0]: row[1:] for row in cells[2:]}


def _kstatus(conditions: dict[str, str]) -> str:
    """What kstatus makes of the standard conditions of a kind that it doesn't know."""
    if conditions["Stalled"] == "True":
        return "Failed"
    if conditions["Reconciling"] == "True" or conditions["Ready"] != "True":
        return "InProgress"
    return "Current"


def test_the_table_has_just_the_states_that_are_tested() -> None:
    assert set(_rows()) == set(STATES)


@pytest.mark.parametrize("state", STATES)
def test_state_is_as_documented(state: str) -> None:
    found = {c["type"]: c for c in STATES[state]().model["status"]["conditions"]}
    values = {name: condition["status"] for name, condition in found.items()}
    row = _rows()[state]
    assert row[:5] == [
        values["Ready"],
        found["Ready"]["reason"],
        values["Reconciling"],
        values["Stalled"],
        _kstatus(values),
    ]
