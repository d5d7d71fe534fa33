"""What every provisioner must do for a claim, whatever it does that with: the same tests for all of them."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from tests.support.claim_cases import NAME, POOL
from tests.support.claim_world import Crash
from tests.support.harnesses import HARNESSES
from tests.support.provisioned_world import STRANGER, Harness, ProvisionedWorld

from mistral_operator.cluster.kinds import CLAIM
from mistral_operator.cluster.store import Key
from mistral_operator.core.support import NOT_YET
from mistral_operator.planning.types import Provisioner

Life = Callable[[ProvisionedWorld], Awaitable[None]]
MOST_EFFECTS = 12
REFUSED = {("Refused", "InvalidClaim"), ("Failed", "InvalidRequest")}
"""By the claim's own policies, or by the adapter before it asks anybody."""


@pytest.fixture(params=list(HARNESSES), ids=lambda provisioner: provisioner.value)
async def harness(request: pytest.FixtureRequest) -> AsyncIterator[Harness]:
    async with HARNESSES[request.param]() as made:
        yield made


async def served(harness: Harness) -> ProvisionedWorld:
    """A world with one model whose claim is ready."""
    world = ProvisionedWorld(harness)
    world.add_model()
    await world.settle()
    assert world.condition()["status"] == "True", world.condition()
    return world


async def serve(world: ProvisionedWorld) -> None:
    await world.settle()


async def release(world: ProvisionedWorld) -> None:
    """The last user goes. What was made goes before the claim does, never after."""
    world.delete_model()
    while world.claim is not None:
        await world.step()
        world.clock_s += 1.0
        if world.claim is None:
            assert await world.harness.own() == set()


async def look(world: ProvisionedWorld, *, for_s: int, until: str = "") -> None:
    """Once a second, for what never settles; `until` is a reason that ends it: between two tries others are told."""
    for _ in range(for_s):
        await world.step()
        world.clock_s += 1.0
        if until and world.condition()["reason"] == until:
            return


def wanted(harness: Harness) -> set[str]:
    return {POOL} if harness.makes_pools else set()


def test_every_provisioner_that_a_model_may_ask_for_is_in_the_suite() -> None:
    refused = {entry.rpartition("=")[2] for entry in NOT_YET if entry.startswith("capacity.provisioner=")}
    assert {provisioner.value for provisioner in HARNESSES} == {item.value for item in Provisioner} - refused


async def test_a_claim_is_served_once_and_then_left_alone(harness: Harness) -> None:
    world = await served(harness)
    assert await harness.own() == wanted(harness)
    assert world.state == "Ready"
    assert world.condition("InUse")["reason"] == "HasUsers"
    assert world.calls.count("create") == len(wanted(harness))
    writes, begun = world.cluster.writes, len(world.calls)
    for _ in range(5):
        await world.step()
    assert world.cluster.writes == writes
    assert world.calls[begun:] in ([], ["list"]), "within one interval, one list is everybody's"
    world.clock_s += 600
    await world.step()
    assert world.calls[begun:].count("list") <= 2
    assert {*world.calls[begun:]} <= {"list"}


async def test_a_machine_with_tpus_is_made_like_any_other(harness: Harness) -> None:
    """Nodes that are there are found by what pods ask of them, whatever the shape says."""
    world = ProvisionedWorld(harness)
    tpus = {"type": "tpu-v6e-slice", "count": 8}
    world.apply_claim(shape={"machineType": "ct6e-standard-8t", "accelerator": tpus, "topology": "2x4"})
    world.add_model()
    await world.settle()
    assert world.condition()["status"] == "True", world.condition()
    assert await harness.own() == wanted(harness)
    await release(world)


async def test_it_goes_with_its_last_user_and_takes_only_its_own(harness: Harness) -> None:
    if harness.makes_pools:
        await harness.put_stranger(STRANGER)
    world = await served(harness)
    world.add_model("draft")
    world.delete_model()
    await world.settle()
    assert await harness.own() == wanted(harness), "somebody uses it"
    world.delete_model("draft")
    await release(world)
    assert await harness.own() == set()
    assert not harness.makes_pools or await harness.has_stranger(STRANGER)


async def test_what_took_the_name_just_before_the_deletion_is_left_alone(harness: Harness) -> None:
    """The look at what is to be deleted and the deletion are two calls; others may come in between."""
    world = await served(harness)
    if harness.has_uids:
        assert harness.port is not None
        harness.port.before_delete = harness.usurp
    await release(world)
    assert not harness.has_uids or await harness.has_stranger(POOL)


async def test_what_others_changed_is_put_right_and_told(harness: Harness) -> None:
    world = await served(harness)
    before = await harness.kept()
    spoiled = await harness.spoil()
    world.clock_s += 60
    await world.settle(for_s=120)
    assert await harness.kept() == before
    assert world.calls.count("mend") == spoiled
    assert [note["done"] for note in (world.claim or {})["status"].get("drift", ())] == ["Repaired"] * spoiled
    assert world.condition()["status"] == "True"
    assert world.condition("Degraded")["status"] == "False"


async def until_killed(world: ProvisionedWorld, life: Life) -> bool:
    """Whether the process was killed; fewer effects than the number asked for end well."""
    try:
        await life(world)
    except Crash:
        return True
    finally:
        world.kills.disarm()
    return False


@pytest.mark.parametrize("where", ["before", "after"])
async def test_killed_at_any_step_the_next_process_finds_its_way(harness: Harness, where: str) -> None:
    """There and back: each number of effects is a life of its own, until there is none that is killed any more."""
    for life in (serve, release):
        for effect in range(1, MOST_EFFECTS):
            world = ProvisionedWorld(harness) if life is serve else await served(harness)
            if life is serve:
                world.add_model()
            setattr(harness.kills, where, harness.kills.effects + effect)
            killed = await until_killed(world, life)
            world.start()
            if life is serve:
                await world.settle(for_s=60)
                assert world.condition()["status"] == "True"
                assert await harness.own() == wanted(harness), f"killed {where} effect {effect}"
            await release(world)
            assert await harness.own() == set(), f"killed {where} effect {effect}"
            if not killed:
                break
        else:
            raise AssertionError(f"a life has more than {MOST_EFFECTS} effects")


async def test_killed_on_the_way_and_the_model_gone_meanwhile_nothing_is_left(harness: Harness) -> None:
    for effect in range(1, MOST_EFFECTS):
        world = ProvisionedWorld(harness)
        world.add_model()
        harness.kills.after = harness.kills.effects + effect
        killed = await until_killed(world, serve)
        world.delete_model()
        world.start()
        await release(world)
        assert await harness.own() == set()
        if not killed:
            return
    raise AssertionError(f"a life has more than {MOST_EFFECTS} effects")


@pytest.mark.parametrize("lost", ["status", "object"])
async def test_what_runs_is_taken_over_after_status_or_object_were_lost(harness: Harness, lost: str) -> None:
    """A backup brings objects back with other uids and without status."""
    world = await served(harness)
    body = world.claim
    assert body is not None
    begun = len(world.calls)
    metadata = {**body["metadata"], "uid": body["metadata"]["uid"] if lost == "status" else "uid-restored"}
    if lost == "object":
        world.cluster.remove(CLAIM, Key("", NAME))
        metadata["finalizers"] = []
    world.cluster.put(CLAIM, {name: value for name, value in body.items() if name != "status"} | {"metadata": metadata})
    world.start()
    await world.settle()
    assert world.condition()["status"] == "True"
    assert not {"create", "resize", "delete"} & {*world.calls[begun:]}
    assert await harness.own() == wanted(harness)


async def test_a_strangers_thing_is_neither_used_nor_touched(harness: Harness) -> None:
    await harness.put_stranger(POOL)
    world = ProvisionedWorld(harness)
    world.add_model()
    await world.settle()
    assert world.condition()["status"] == "False"
    assert world.condition()["reason"] == ("PoolNameTaken" if harness.makes_pools else "NoNodesMatch")
    assert not {"create", "resize", "delete"} & {*world.calls}
    await release(world)
    assert await harness.has_stranger(POOL)


async def test_an_obstacle_is_told_in_the_clouds_own_words_until_it_is_gone(harness: Harness) -> None:
    obstacles = harness.obstacles()
    assert obstacles
    for what, obstacle in obstacles.items():
        obstacle.raise_()
        world = ProvisionedWorld(harness)
        world.add_model()
        await look(world, for_s=60, until=obstacle.reason)
        ready = world.condition()
        assert (ready["status"], ready["reason"]) == ("False", obstacle.reason), what
        assert obstacle.words in ready["message"]
        obstacle.remove()
        world.clock_s += 3600
        await world.settle()
        assert world.condition()["status"] == "True", what
        assert world.condition("Degraded")["status"] == "False"
        await release(world)


async def test_bounds_follow_the_users(harness: Harness) -> None:
    world = await served(harness)
    first = await harness.bounds()
    world.add_model("draft", scaling={"maxReplicas": 4})
    await world.settle()
    if harness.has_bounds:
        assert (first, await harness.bounds()) == (2, 7)
        assert world.calls.count("resize") == 1
        world.delete_model("draft")
        await world.settle()
        assert await harness.bounds() == 2
    else:
        assert (first, await harness.bounds()) == (None, None)
        assert "resize" not in world.calls
    assert world.condition()["status"] == "True"


async def test_what_it_cannot_do_is_refused_before_anything_is_made(harness: Harness) -> None:
    assert harness.impossible
    for terms in harness.impossible:
        world = ProvisionedWorld(harness)
        world.apply_claim(**terms)
        world.add_model()
        await look(world, for_s=10)
        ready = world.condition()
        assert (world.state, ready["reason"]) in REFUSED
        assert "write" in ready["message"]
        assert await harness.own() == set()
        await release(world)


async def test_a_create_whose_answer_was_lost_makes_one_thing(harness: Harness) -> None:
    harness.lose_answer()
    world = await served(harness)
    assert await harness.own() == wanted(harness)
    await release(world)


async def test_what_has_lost_its_claim_is_found(harness: Harness) -> None:
    world = await served(harness)
    assert await world.find_orphans() == []
    world.cluster.remove(CLAIM, Key("", NAME))
    world.clock_s += 60
    assert await world.find_orphans() == ([NAME] if harness.makes_pools else [])
