"""The image cache of a class over a model's life: pinned with the plan; another one is for what is planned anew."""

import copy
from typing import Any

from tests.support.world import World


def cache_of(disk_image: str) -> dict[str, Any]:
    return {"imageCaches": [{"engine": "vllm-gpu", "diskImage": f"projects/ours/global/images/{disk_image}"}]}


def test_another_image_cache_is_for_what_is_planned_anew() -> None:
    world = World()
    world.set_class(defaults=cache_of("vllm-1"))
    world.step()
    world.provision()
    world.start_pod()
    world.make_ready()
    world.step()
    (claim,) = world.claims.values()
    assert claim["spec"]["imageCache"] == "projects/ours/global/images/vllm-1"
    before = copy.deepcopy((world.claims, world.deployment["spec"]["template"], world.revisions))
    for changed in (cache_of("vllm-2"), {}):
        world.set_class(defaults=changed)
        for _ in range(2):
            world.step()
        assert (world.claims, world.deployment["spec"]["template"], world.revisions) == before
        assert world.condition("Ready")["status"] == "True"
        assert world.condition("Degraded")["status"] == "False", "a default is no limit"

    world.set_class(defaults=cache_of("vllm-2"))
    world.change(engine={"contextLength": 8192})
    world.step()
    made = [item["spec"]["imageCache"] for name, item in world.claims.items() if name not in before[0]]
    assert made == ["projects/ours/global/images/vllm-2"]


def test_a_model_that_runs_gets_none_when_its_class_begins_to_give_one() -> None:
    world = World()
    world.set_class()
    world.step()
    world.provision()
    world.start_pod()
    world.make_ready()
    world.step()
    before = copy.deepcopy(world.claims)
    world.set_class(defaults=cache_of("vllm-1"))
    world.step()
    assert world.claims == before
    assert not any("imageCache" in item["spec"] for item in before.values())
