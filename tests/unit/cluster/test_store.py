"""Versions decide what the store believes, in whatever order they arrive."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mistral_operator.cluster.kinds import SERVICE
from mistral_operator.cluster.store import Key, Meta, Rules, Shelf

KEY = Key("team", "chat")


def body(version: int, *, name: str = "chat", app: str = "a", **rest: Any) -> dict[str, Any]:
    metadata = {
        "namespace": "team",
        "name": name,
        "uid": f"uid-{name}",
        "resourceVersion": str(version),
        "generation": 2,
    }
    return {"apiVersion": "v1", "kind": "Service", "metadata": {**metadata, "labels": {"app": app}}, **rest}


def shelf() -> Shelf:
    return Shelf(SERVICE, Rules(indexes={"app": lambda found: [found["metadata"]["labels"]["app"]]}))


def test_older_and_equal_versions_are_ignored() -> None:
    kept = shelf()
    assert kept.put(body(5, spec={"x": 1}))
    assert not kept.put(body(5, spec={"x": 2}))
    assert not kept.put(body(4, spec={"x": 3}))
    assert kept.get(KEY) == body(5, spec={"x": 1})


def test_late_answer_to_a_write_does_not_bring_back_what_was_deleted() -> None:
    kept = shelf()
    kept.put(body(5))
    assert kept.remove(KEY, 9)
    assert not kept.put(body(7))
    assert kept.get(KEY) is None
    assert kept.put(body(10))


def test_deletion_older_than_what_is_there_is_ignored() -> None:
    kept = shelf()
    kept.put(body(5))
    assert not kept.remove(KEY, 4)
    assert kept.get(KEY) is not None


def test_index_follows_changes() -> None:
    kept = shelf()
    kept.put(body(1, app="a"))
    kept.put(body(2, name="other", app="a"))
    kept.put(body(3, app="b"))
    assert [found["metadata"]["name"] for found in kept.find("app", "a")] == ["other"]
    assert [found["metadata"]["name"] for found in kept.find("app", "b")] == ["chat"]
    kept.remove(KEY, 4)
    assert kept.find("app", "b") == []


def test_managed_fields_and_last_applied_are_dropped_and_large_objects_come_back_whole() -> None:
    kept = shelf()
    large = body(1, spec={"text": "x" * 10_000})
    annotated = {"kubectl.kubernetes.io/last-applied-configuration": "{}", "kept": "yes"}
    noisy = {**large, "metadata": {**large["metadata"], "managedFields": [{}], "annotations": annotated}}
    kept.put(noisy)
    assert kept.get(KEY) == {**large, "metadata": {**large["metadata"], "annotations": {"kept": "yes"}}}


def test_listeners_hear_before_and_after() -> None:
    kept = shelf()
    heard: list[tuple[int | None, int | None, bool]] = []

    def listener(old: Meta | None, new: Meta | None) -> None:
        heard.append((old and old.version, new and new.version, bool(new and new.own)))

    kept.listen(listener)
    kept.put(body(1))
    kept.put(body(2), own=True)
    kept.put(body(2))
    kept.remove(KEY, 3)
    assert heard == [(None, 1, False), (1, 2, True), (2, None, False)]


def test_what_a_list_lacks_is_gone_unless_it_is_newer_than_the_list() -> None:
    kept = shelf()
    for version, name in ((1, "gone"), (2, "there"), (9, "newer")):
        kept.put(body(version, name=name))
    assert list(kept.absent_from([Key("team", "there")], 5)) == [Key("team", "gone")]


@given(st.permutations([("put", 1), ("put", 3), ("remove", 4), ("put", 6), ("put", 7)]))
def test_any_order_of_arrival_ends_the_same(steps: list[tuple[str, int]]) -> None:
    kept = shelf()
    for what, version in steps:
        if what == "put":
            kept.put(body(version))
        else:
            kept.remove(KEY, version)
    assert kept.get(KEY) == body(7)


@given(st.permutations([("put", 1), ("put", 3), ("remove", 8)]))
def test_a_deletion_that_is_newest_wins_in_any_order(steps: list[tuple[str, int]]) -> None:
    kept = shelf()
    for what, version in steps:
        if what == "put":
            kept.put(body(version))
        else:
            kept.remove(KEY, version)
    assert kept.get(KEY) is None
    assert len(kept) == 0
