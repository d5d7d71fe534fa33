"""The stories of `make chaos` are the same for the same seed, and their models' specs are ones that can be accepted."""

from typing import Any

import pytest
from tests.chaos.story import CLASS, CLASS_LIMIT, SLICE, Story, draw_story
from tests.chaos.watch import SHAPE, Watcher

from mistral_operator.api.model import MistralModel
from mistral_operator.core.parts import find_conflict
from mistral_operator.sandbox.kube import Kube

STORIES = [draw_story(7, number) for number in range(300)]


def specs(story: Story) -> list[dict[str, Any]]:
    return [story.spec, *(step.spec for step in story.steps if step.spec), story.final_spec]


def is_spread(story: Story) -> bool:
    return any("replicas" in option for option in story.spec["capacity"]["options"])


def test_a_seed_draws_the_same_stories_each_time() -> None:
    assert [draw_story(7, number) for number in range(300)] == STORIES
    assert [draw_story(8, number) for number in range(300)] != STORIES


def test_some_share_a_budget_with_different_priorities_and_some_are_spread() -> None:
    sharing = [story for story in STORIES if story.shares_budget]
    assert {story.spec["capacity"]["priority"] for story in sharing} == {0, 10}
    assert {story.wants_machines for story in sharing} == {True, False}
    assert any(map(is_spread, STORIES))
    assert not any(is_spread(story) or story.limit for story in sharing)


def test_some_are_on_slices_and_none_of_those_is_expected_to_serve_throughout() -> None:
    sliced = [story for story in STORIES if SLICE in story.spec["capacity"]["options"]]
    assert {len(story.spec["capacity"]["options"]) for story in sliced} == {1, 2}
    assert all(story.interrupted and not story.limit and not story.shares_budget for story in sliced)


def test_each_spec_of_a_story_is_one_that_the_api_takes_and_stays_spread_if_it_was() -> None:
    for story in STORIES:
        for spec in specs(story):
            body = {"metadata": {"name": "chat", "namespace": "team-a"}, "spec": spec}
            parsed = MistralModel.model_validate(body).spec
            assert parsed.capacity is not None
            assert find_conflict(parsed.capacity.options) == ""
            assert any(option.replicas for option in parsed.capacity.options) == is_spread(story)


class FakeKube(Kube):
    """Answers with what a test says that there is."""

    def __init__(self, claims: list[Any], pods: list[Any]) -> None:
        self._lists = {"nodepoolclaims": claims, "pods": pods}

    async def request(self, method: str, path: str, *_: Any, **__: Any) -> Any:
        return {"items": self._lists[path.rpartition("/")[2]]}


def pod_on(namespace: str, claim: str, **metadata: Any) -> dict[str, Any]:
    metadata = {"namespace": namespace, **metadata}
    return {"metadata": metadata, "spec": {"nodeName": "node", "nodeSelector": {SHAPE: claim}}}


@pytest.mark.parametrize(
    ("namespaces", "leaving", "told"),
    [(["a", "b"], False, True), (["a", "other"], False, False), (["a", "b"], True, False), (["a"], False, False)],
)
async def test_the_watcher_adds_up_what_the_models_of_a_class_have(
    namespaces: list[str], leaving: bool, told: bool
) -> None:
    """An A100 machine costs 3.67 US dollars an hour: one is within the budget, and two aren't."""
    first, second = [story for story in STORIES if story.shares_budget][:2]
    stories = {"a": first, "b": second, "other": next(story for story in STORIES if not story.shares_budget)}
    spec = {"shape": {"machineType": "a2-highgpu-1g"}, "consumption": "OnDemand"}
    gone = {"deletionTimestamp": "2026-11-26T00:00:00Z"} if leaving else {}
    pods = [pod_on(namespace, "a100", **gone) for namespace in namespaces]
    watcher = Watcher(FakeKube([{"metadata": {"name": "a100"}, "spec": spec}], pods), stories)
    await watcher.look()
    rules = {rule: words for (_, rule), words in watcher.violations.items()}
    assert ("budget" in rules) == told
    assert not told or f"above {CLASS_LIMIT} of {CLASS}" in rules["budget"]
