"""A pool's bounds follow the models that use it, with few changes: each is an operation that keeps GKE busy."""

from tests.support.claim_cases import POOL, bounds
from tests.support.claim_world import World

from mistral_operator.capacity.errors import classify


async def served() -> World:
    world = World()
    world.add_model()
    await world.settle()
    return world


async def wait(world: World, seconds: int) -> None:
    """The reconciler looks every second, as when models come and go."""
    for _ in range(seconds):
        await world.step()
        world.clock_s += 1.0


async def test_models_that_come_one_by_one_share_changes_of_the_bounds() -> None:
    world = await served()
    for number in range(30):
        world.add_model(f"chat-{number}")
        await wait(world, 1)
    await wait(world, 20)
    assert world.pool is not None
    assert world.pool.bounds == bounds(62), "all of them are counted in the end"
    assert world.cloud.calls.count("resize") <= 4


async def test_models_that_go_one_by_one_share_them_too() -> None:
    world = await served()
    for number in range(30):
        world.add_model(f"chat-{number}")
    await wait(world, 30)
    for number in range(30):
        world.delete_model(f"chat-{number}")
        await wait(world, 1)
    await wait(world, 20)
    assert world.pool is not None
    assert world.pool.bounds == bounds(2)
    assert world.cloud.calls.count("resize") <= 5


async def test_the_first_one_waits_for_nobody_and_the_next_is_told_when_its_turn_is() -> None:
    world = await served()
    world.add_model("chat-0")
    await wait(world, 6)
    assert world.pool is not None
    assert world.pool.bounds == bounds(4)
    assert not world.cloud_pools.is_at_work(POOL)
    world.add_model("chat-1")
    await wait(world, 1)
    ready = world.condition()
    assert (world.state, ready["status"], ready["reason"]) == ("Resizing", "True", "PoolResizing")
    assert "as of now 0 to 6 nodes" in ready["message"]
    assert world.cloud.calls.count("resize") == 1
    await wait(world, 15)
    assert world.pool.bounds == bounds(6)
    assert world.condition()["reason"] == "PoolReady"


async def test_a_new_process_sets_the_bounds_without_waiting() -> None:
    world = await served()
    world.add_model("chat-0")
    await wait(world, 6)
    world.add_model("chat-1")
    world.start()
    await wait(world, 6)
    assert world.pool is not None
    assert world.pool.bounds == bounds(6)


async def test_a_change_that_was_refused_begins_no_rest() -> None:
    world = await served()
    world.cloud.refusals["resize"] = [
        classify("FAILED_PRECONDITION", "Cluster is running incompatible operation op-1.")
    ]
    world.add_model("chat-0")
    await wait(world, 8)
    assert world.pool is not None
    assert world.pool.bounds == bounds(4)
    assert world.cloud.calls.count("resize") == 2
