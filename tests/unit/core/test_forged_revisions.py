"""Whoever may write ControllerRevisions may write anything into them: it is read, or it counts for nothing."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.world import UID, World, make_model

from mistral_operator.api.names import CLAIM_LABEL, REVISION_LABEL
from mistral_operator.cluster.apply import covers
from mistral_operator.manifests.identity import hash_content
from mistral_operator.manifests.revision import claims_of_revision, read_revision

Json = dict[str, Any]
Path = tuple[Any, ...]

_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.sampled_from(["vllm-gpu", "Spot"])
)


NASTY = (
    None,
    True,
    -1,
    0,
    2**70,
    1e300,
    "",
    "NaN",
    "-1",
    "1e999999",
    "1e-999999",
    "x" * 5000,
    [],
    [[]],
    {},
    {"a": None},
)
"""Tried in each place, one after the other."""


def _objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Json]:
    names = ["name", "metadata", "spec", "claim", "plan", "options", "podTemplate", "tenant"]
    return st.dictionaries(st.sampled_from(names) | st.text(max_size=5), inner, max_size=3)


ANYTHING = st.recursive(_LEAVES, lambda inner: st.lists(inner, max_size=3) | _objects(inner), max_leaves=6)


def _pinned(**spec: Any) -> World:
    world = World(model=make_model(**spec))
    world.step()
    world.provision()
    return world


_SLICES = {"model": "mixtral-8x7b", "allowExperimental": True}
_SLICES |= {"capacity": {"options": [{"accelerator": "v6e", "topology": "4x4"}]}}
WORLDS = {"a pod a replica": _pinned(), "slices": _pinned(**_SLICES)}


def _paths(item: Any, above: Path = ()) -> Iterator[Path]:
    """Every place in a JSON value."""
    parts = item.items() if isinstance(item, dict) else enumerate(item) if isinstance(item, list) else ()
    for key, part in parts:
        yield (*above, key)
        yield from _paths(part, (*above, key))


def _forge(revision: Json, path: Path, value: Any, *, remove: bool) -> Json:
    forged = copy.deepcopy(revision)
    holder = forged["data"]
    for key in path[:-1]:
        holder = holder[key]
    if remove:
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    claim = forged["data"].get("claim")
    if isinstance(claim, dict) and isinstance(claim.get("spec"), dict):  # Whoever forges it makes a name that fits.
        name = f"forged-{hash_content(claim['spec'])}"
        forged["metadata"]["labels"][CLAIM_LABEL] = name
        if isinstance(claim.get("metadata"), dict):
            claim["metadata"]["name"] = name
    return forged


def _look(world: World, *stored: Json) -> list[str]:
    """Why Accepted is as it is, for each of them: what the operator does must not raise, and it has a word for all.

    Where it can be, a pod of that revision serves.
    """
    reasons = []
    for revision in stored:
        read_revision(revision)
        claims_of_revision(revision)
        looking = copy.copy(world)
        looking.children = {**world.children, ("ControllerRevision", revision["metadata"]["name"]): revision}
        looking.pods = {}
        if ("Deployment", "chat") in world.children:
            pod = looking.start_pod()
            pod["metadata"]["labels"][REVISION_LABEL] = revision["metadata"]["labels"][REVISION_LABEL]
            looking.make_ready()
        outcome = looking.decide()
        for manifest in outcome.manifests:
            live = looking.children.get((manifest["kind"], manifest["metadata"]["name"]))
            assert live is None or covers(live, manifest) in (True, False)
        reasons += [each["reason"] for each in outcome.status["conditions"] if each["type"] == "Accepted"]
    return reasons


@pytest.mark.parametrize("kind", WORLDS)
@settings(max_examples=150)
@given(st.data())
def test_nothing_in_a_revision_keeps_the_operator_from_its_work(kind: str, data: st.DataObject) -> None:
    world = WORLDS[kind]
    ours = world.revisions[0]
    path = data.draw(st.sampled_from(sorted(_paths(ours["data"]), key=str)))
    forged = _forge(ours, path, data.draw(ANYTHING), remove=data.draw(st.booleans()))
    assert set(_look(world, forged)) <= {"Planned", "PlanUnreadable"}


def test_no_part_of_a_plan_is_believed() -> None:
    world = WORLDS["a pod a replica"]
    ours = world.revisions[0]
    of_one_kind = [path for path in _paths(ours["data"]) if path[0] != "podTemplate" and not {*range(1, 99)} & {*path}]
    assert len(of_one_kind) > 80
    for path in of_one_kind:
        for value in NASTY:
            assert set(_look(world, _forge(ours, path, value, remove=False))) <= {"Planned", "PlanUnreadable"}
        assert set(_look(world, _forge(ours, path, None, remove=True))) <= {"Planned", "PlanUnreadable"}


@given(ANYTHING, st.sampled_from(["", "x", "0,1", "9" * 3000]))
def test_any_data_at_all(content: Any, slices: str) -> None:
    world = WORLDS["a pod a replica"]
    forged = copy.deepcopy(world.revisions[0]) | {"data": content, "revision": 9}
    forged["metadata"]["annotations"] = {"serving.mistral-operator.dev/slices": slices}
    other = copy.deepcopy(forged)
    other["metadata"] |= {"name": "chat-other"}
    other["metadata"]["labels"] |= {REVISION_LABEL: "other", CLAIM_LABEL: ""}
    assert _look(world, forged, other) == ["Planned", "Planned"]


def test_an_untouched_revision_is_read() -> None:
    """Otherwise the tests above would show nothing."""
    for world in WORLDS.values():
        (stored,) = world.revisions
        assert stored["metadata"]["ownerReferences"][0]["uid"] == UID
        read = read_revision(stored)
        assert read is not None
        assert read.hash == stored["metadata"]["labels"][REVISION_LABEL]
        (path, value) = (("plan", "model_id"), "forged")
        assert read_revision(_forge(stored, path, value, remove=False)) is not None


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("claim", "spec", "slice"), {"group": "g2-standard-8-od-aaaaaaaaaa", "number": 0}),
        (("claim", "spec", "shape", "hosts"), 256),
    ],
)
def test_a_claim_is_no_slice_and_no_larger_than_its_plan(path: Path, value: Any) -> None:
    """The label on the pool's nodes follows from the slice: with somebody else's it would draw his pods."""
    (ours,) = WORLDS["a pod a replica"].revisions
    assert read_revision(_forge(ours, path, value, remove=False)) is None


def test_a_second_revision_with_the_hash_of_ours_is_not_written_over_ours() -> None:
    """A revision that goes away is applied as long as it has pods, and its data can't be changed."""
    world = _pinned()
    (ours,) = world.revisions
    pod = world.start_pod()
    world.make_ready()
    world.change(engine={"contextLength": 4096})
    forged = copy.deepcopy(ours)
    forged["metadata"] |= {"name": "chat-forged", "uid": "forged"}
    forged["data"]["podTemplate"]["metadata"]["labels"]["forged"] = "yes"
    world.children["ControllerRevision", "chat-forged"] = forged
    outcome = world.decide()
    written = [each for each in outcome.manifests if each["kind"] == "ControllerRevision"]
    assert pod["metadata"]["labels"][REVISION_LABEL] == ours["metadata"]["labels"][REVISION_LABEL]
    assert [each["data"] for each in written if each["metadata"]["name"] == ours["metadata"]["name"]] == [ours["data"]]
    assert "chat-forged" in {ref.name for ref in outcome.prune}
