"""The claim reconciler killed before or after each of its side effects: a new process ends where the old one would."""

from collections.abc import Awaitable, Callable

import pytest
from tests.support.claim_cases import POOL
from tests.support.claim_world import Crash, Kills, World


async def served() -> World:
    """A world with one model whose pool is there."""
    world = World()
    world.add_model()
    await world.settle()
    return world


async def release(world: World) -> None:
    world.delete_model()
    await world.settle()


async def serve(world: World) -> None:
    await world.settle()


@pytest.mark.parametrize("where", ["before", "after"])
@pytest.mark.parametrize("effect", range(1, 5))
async def test_killed_anywhere_on_the_way_to_the_pool(where: str, effect: int) -> None:
    world = World(kills=Kills(**{where: effect}))
    world.add_model()
    assert await killed_in(world, serve)
    world.start()
    await world.settle(for_s=60)
    assert world.state == "Ready"
    assert list(world.cloud.pools) == [POOL]
    await release(world)
    assert (world.claim, world.cloud.pools) == (None, {})


@pytest.mark.parametrize("where", ["before", "after"])
@pytest.mark.parametrize("effect", range(1, 5))
async def test_killed_anywhere_on_the_way_back(where: str, effect: int) -> None:
    world = await served()
    setattr(world.kills, where, world.kills.effects + effect)
    assert await killed_in(world, release)
    world.start()
    await world.settle(for_s=60)
    assert (world.claim, world.cloud.pools) == (None, {})


@pytest.mark.parametrize("where", ["before", "after"])
@pytest.mark.parametrize("effect", range(1, 5))
async def test_killed_on_the_way_and_the_model_deleted_meanwhile(where: str, effect: int) -> None:
    world = World(kills=Kills(**{where: effect}))
    world.add_model()
    assert await killed_in(world, serve)
    world.delete_model()
    world.start()
    await world.settle(for_s=60)
    assert (world.claim, world.cloud.pools) == (None, {})


@pytest.mark.parametrize("late_s", [10, 70])
async def test_killed_while_a_create_is_under_way_and_the_model_deleted_meanwhile(late_s: float) -> None:
    world = World(kills=Kills(after=2))
    world.cloud.late_creates = [late_s]
    world.add_model()
    assert await killed_in(world, serve)
    assert world.cloud.calls[-1] == "create"
    world.delete_model()
    world.clock_s += 1
    world.start()
    await world.settle()
    assert world.claim is None
    world.clock_s += 300
    assert await world.cloud.list_pools() == ()


async def killed_in(world: World, life: Callable[[World], Awaitable[None]]) -> bool:
    """Whether the process was killed; fewer effects than the number asked for end well."""
    try:
        await life(world)
    except Crash:
        return True
    finally:
        world.kills.disarm()
    return False
