"""What the API server refuses is said beside what serves, not in its place."""

from typing import Any

from tests.support.world import START, World

from mistral_operator.core.failure import add_failure


def _add(world: World, *, lasting: bool = True) -> dict[str, dict[str, Any]]:
    status = world.model["status"]
    told = add_failure(status, status, reason="ApplyRefused", message="no", lasting=lasting, now=START)
    assert told["summary"]["reason"] == "ApplyRefused"
    return {condition["type"]: condition for condition in told["conditions"]}


def test_what_serves_stays_ready_and_is_degraded() -> None:
    world = World()
    world.step()
    world.provision()
    world.start_pod()
    world.make_ready()
    world.step()
    told = _add(world)
    assert told["Ready"]["status"] == "True"
    assert (told["Degraded"]["status"], told["Degraded"]["reason"]) == ("True", "ApplyRefused")
    assert told["Stalled"]["status"] == "True"


def test_what_serves_nothing_is_not_ready_for_this_reason() -> None:
    world = World()
    world.step()
    told = _add(world, lasting=False)
    assert (told["Ready"]["status"], told["Ready"]["reason"]) == ("False", "ApplyRefused")
    assert told["Stalled"]["status"] == "False"


def test_saying_it_again_changes_nothing() -> None:
    world = World()
    world.step()
    status = world.model["status"]
    told = add_failure(status, status, reason="R", message="no", lasting=True, now=START)
    again = add_failure(status, told, reason="R", message="no", lasting=True, now=world.now)
    assert again == told
