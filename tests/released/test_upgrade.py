"""A model that a release serves meets this version: its plan is read, and no pod is replaced."""

from pathlib import Path
from typing import Any

import pytest
from tests.released.releases import label, read, read_all, released
from tests.support.world import UID, World

from mistral_operator.planning.types import Settings

EXAMPLES = released("examples/*.yaml")
NEWER = Settings(operator_version="99.0.0", images={"gateway": "registry.example/mistral-operator:99.0.0"})
PODS = {"Deployment", "LeaderWorkerSet", "Job"}


def _released_world(example: Path) -> World:
    """The model and its objects as the release left them in the cluster."""
    model = read(example)
    model["metadata"] |= {"namespace": "team-a", "uid": UID, "generation": 1}
    folder = example.parents[1] / "golden" / example.stem
    objects = read_all(folder / "manifests.yaml")
    (model["status"],) = read_all(folder / "status.yaml")
    world = World(model=model, settings=NEWER)
    for item in objects:
        key = (item["kind"], item["metadata"]["name"])
        if item["kind"] == "NodePoolClaim":
            world.claims[key[1]] = item
        else:
            item["metadata"]["uid"] = f"uid-{item['kind']}-{key[1]}"
            world.children[key] = item
    return world


@pytest.mark.parametrize("example", EXAMPLES, ids=label)
def test_no_pod_is_replaced_and_no_claim_is_given_up(example: Path) -> None:
    world = _released_world(example)
    before = {key: _pods(item) for key, item in world.children.items()}
    claims = {name: claim["spec"] for name, claim in world.claims.items()}
    outcome = world.decide()
    assert not outcome.prune
    assert {(item["kind"], item["metadata"]["name"]) for item in outcome.manifests} >= before.keys()
    for item in outcome.manifests:
        assert _pods(item) == before.get((item["kind"], item["metadata"]["name"]), {})
    assert {claim["metadata"]["name"]: claim["spec"] for claim in outcome.claims} == claims
    assert outcome.status["plan"] == world.model["status"]["plan"]


@pytest.mark.parametrize("example", EXAMPLES, ids=label)
def test_the_story_goes_on_where_the_release_left_it(example: Path) -> None:
    world = _released_world(example)
    told = world.model["status"]
    again = world.decide().status
    assert {c["type"] for c in told["conditions"]} <= {c["type"] for c in again["conditions"]}
    assert again["timeline"][: len(told["timeline"])] == told["timeline"]
    assert told.keys() <= again.keys()


def _pods(item: dict[str, Any]) -> dict[str, Any]:
    """The part of an object whose change replaces pods; empty for one that has no pods."""
    if item["kind"] not in PODS:
        return {}
    spec = item["spec"]
    return dict(spec["leaderWorkerTemplate"] if item["kind"] == "LeaderWorkerSet" else spec["template"])
