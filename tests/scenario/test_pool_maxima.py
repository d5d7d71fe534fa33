"""What a pool may grow to follows what its models' limits pay for, and is always enough for what they were granted."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.fleet import Fleet
from tests.support.pool_users import needs_of, price_of
from tests.support.world import REVISION_LABEL, World, make_model

from mistral_operator.api.names import MOST_REPLICAS_ANNOTATION

L4 = {"accelerator": "l4", "devices": 1}
A100 = {"accelerator": "a100-40", "devices": 1}
SHUTDOWN = {"key": "cloud.google.com/impending-node-termination", "effect": "NoSchedule"}
Json = dict[str, Any]


def serving(**spec: Any) -> World:
    """A model of which all replicas that it was granted answer."""
    world = World(model=make_model(**spec))
    world.step()
    world.provision()
    roll(world)
    world.step()
    return world


def needs(world: World) -> int:
    """Nodes that the model may need at most; it has one claim."""
    (claim,) = needs_of([world]).values()
    return claim["chat"]


def claims_of_pods(world: World) -> list[str]:
    claims = {each["metadata"]["labels"][REVISION_LABEL]: world.claim_of(each) for each in world.revisions}
    return [claims[pod["metadata"]["labels"][REVISION_LABEL]] for pod in world.pods.values()]


def roll(world: World) -> None:
    """Replicas come and go as the Deployment says, each on a node of its own, one step of a roll-out at a time. A node
    comes only within the maximum of its pool.
    """
    spec = world.deployment["spec"]
    current, wanted = spec["template"]["metadata"]["labels"][REVISION_LABEL], spec["replicas"]
    update = spec["strategy"].get("rollingUpdate", {"maxSurge": 0, "maxUnavailable": "100%"})
    mine = [name for name, pod in world.pods.items() if pod["metadata"]["labels"][REVISION_LABEL] == current]
    old = [name for name in world.pods if name not in mine]
    away = {"100%": len(old)}.get(update["maxUnavailable"], update["maxUnavailable"])
    for name in old[: max(away, len(world.pods) - wanted)]:
        del world.pods[name]
    for name in mine[wanted:]:
        del world.pods[name]
    while len(mine) < wanted and len(world.pods) < wanted + update["maxSurge"]:
        mine.append(start(world))


def start(world: World) -> str:
    model = world.model["metadata"]["name"]
    name = next(f"{model}-{number}" for number in range(99) if f"{model}-{number}" not in world.pods)
    world.start_pod(name, node=f"node-of-{name}")
    world.make_ready(name)
    there, claim = claims_of_pods(world), claims_of_pods(world)[-1]
    most = max(1, needs_of([world])[claim][model])
    assert there.count(claim) <= most, "a replica waits for a node that the operator's own maximum keeps away"
    return name


def test_without_a_limit_nothing_is_said_and_the_spec_alone_counts() -> None:
    world = serving(replicas=3, scaling={"maxReplicas": 5})
    (revision,) = world.revisions
    assert MOST_REPLICAS_ANNOTATION not in revision["metadata"]["annotations"]
    assert needs(world) == 6


def test_a_limit_bounds_the_pool_and_not_only_the_replicas() -> None:
    world = serving(replicas=3, capacity={"maxHourlyCost": "1.00"})
    assert (world.deployment["spec"]["replicas"], needs(world)) == (1, 1)
    before = world.revisions
    world.change(capacity={"maxHourlyCost": "2.00"})
    outcome = world.step()
    assert (world.deployment["spec"]["replicas"], needs(world)) == (2, 2)
    kinds = [manifest["kind"] for manifest in outcome.manifests]
    assert kinds.index("ControllerRevision") < kinds.index("Deployment"), "the pool may grow before the pods are made"
    (revision,) = world.revisions
    assert (revision["data"], revision["metadata"]["name"]) == (before[0]["data"], before[0]["metadata"]["name"])
    world.change(capacity={})
    world.step()
    assert (world.deployment["spec"]["replicas"], needs(world)) == (3, 4)


def test_a_limit_that_pays_for_all_is_said_once_and_changes_nothing() -> None:
    world = serving(replicas=1, scaling={"maxReplicas": 4}, capacity={"maxHourlyCost": "20.00"})
    before = world.revisions
    for replicas in (2, 3, 4):
        world.change(replicas=replicas)
        world.step()
        assert needs(world) == 5
    assert world.revisions == before


def test_the_machine_more_of_a_roll_out_counts_only_where_it_is_paid_for() -> None:
    assert needs(serving(replicas=2, capacity={"maxHourlyCost": "2.00"})) == 2
    assert needs(serving(replicas=2, capacity={"maxHourlyCost": "2.00", "maxSurgeHourlyCost": "1.00"})) == 3
    recreated = {"rollout": {"strategy": "Recreate"}, "replicas": 2}
    assert needs(serving(**recreated, capacity={"maxHourlyCost": "2.00", "maxSurgeHourlyCost": "1.00"})) == 2


def test_a_successor_of_a_replica_whose_node_ends_finds_room() -> None:
    world = serving(replicas=2, capacity={"maxHourlyCost": "2.00", "maxSurgeHourlyCost": "1.00"})
    world.set_machine("node-of-chat-0", taints=[SHUTDOWN])
    world.step()
    assert world.deployment["spec"]["replicas"] == 3
    assert needs(world) == 3


def test_models_that_share_gpus_are_bounded_by_whole_machines() -> None:
    sharing = {"strategy": "TimeSharing", "clients": 2}
    options = [{"accelerator": "l4", "machineType": "g2-standard-8", "sharing": sharing}]
    small = {"model": "ministral-3-3b-2512", "allowExperimental": True, "replicas": 9}
    world = serving(**small, capacity={"options": options, "maxHourlyCost": "2.00"})
    assert (world.deployment["spec"]["replicas"], needs(world)) == (4, 4), "two machines of two replicas each"
    world.change(replicas=3)
    world.step()
    assert needs(world) == 4, "the third one's machine has room for the replica more of a roll-out"


def test_a_move_to_other_hardware_keeps_what_stands_and_lets_nothing_more_come_there() -> None:
    world = serving(replicas=2, capacity={"options": [L4], "maxHourlyCost": "12.00"})
    (old,) = needs_of([world])
    assert needs(world) == 3, "as many as the spec asks for, which is less than the limit pays for"
    world.change(capacity={"options": [A100], "maxHourlyCost": "12.00"})
    world.step()
    found = needs_of([world])
    (new,) = found.keys() - {old}
    assert (found[old]["chat"], found[new]["chat"]) == (2, 3)
    world.provision()
    roll(world)
    world.step()
    assert len(world.pods) == 3
    roll(world)
    world.step()
    assert needs_of([world])[old] == {"chat": 1}
    for _ in range(3):
        roll(world)
        world.step()
    assert old not in needs_of([world])


def test_a_class_that_gives_no_more_holds_the_pool_too() -> None:
    world = World(model=make_model(replicas=2))
    world.step()
    world.provision()
    world.set_class(limits={"accelerators": ["a100-40"]})
    world.change(replicas=5)
    world.step()
    assert world.deployment["spec"]["replicas"] == 2
    assert needs(world) == 3


def test_a_lower_limit_of_the_class_leaves_the_pool_what_stands_and_no_more() -> None:
    world = serving(replicas=3, scaling={"maxReplicas": 9})
    world.set_class(limits={"maxHourlyCost": "1.00"})
    world.step()
    assert (world.deployment["spec"]["replicas"], needs(world)) == (3, 3)
    world.change(replicas=5)
    world.step()
    assert (world.deployment["spec"]["replicas"], needs(world)) == (3, 3)
    world.change(replicas=2)
    world.step()
    world.step()
    assert needs(world) == 2, "what is given up stays given up"


def total(fleet: Fleet) -> Json:
    """Model → nodes that it may need; all share one claim."""
    (claim,) = needs_of(fleet.worlds.values()).values()
    return claim


def test_the_maximum_follows_what_two_models_are_granted_of_one_budget_in_both_directions() -> None:
    fleet = Fleet(maxTotalHourlyCost="3.00")
    fleet.add("a", replicas=2)
    fleet.serve("a")
    fleet.add("b", replicas=3, scaling={"maxReplicas": 9})
    fleet.look("b")
    assert (fleet.replicas(), total(fleet)) == ({"a": 2, "b": 1}, {"a": 2, "b": 1}), "three machines are paid for"
    fleet.worlds["a"].change(replicas=1)
    fleet.look("a", "b")
    assert total(fleet) == {"a": 2, "b": 1}, "the pod that goes is still on its machine"
    del fleet.worlds["a"].pods["a-1"]
    fleet.look("a", "b")
    assert total(fleet) == {"a": 1, "b": 2}
    fleet.worlds["b"].change(suspend=True)
    fleet.worlds["a"].change(replicas=3)
    fleet.look("b", "a")
    assert (fleet.replicas(), total(fleet)) == ({"a": 3, "b": 0}, {"a": 3, "b": 0})
    fleet.limit(maxTotalHourlyCost="6.00")
    fleet.worlds["b"].change(suspend=False)
    fleet.look("a", "b")
    assert total(fleet) == {"a": 3, "b": 3}
    fleet.limit()
    fleet.look("a", "b")
    assert total(fleet) == {"a": 4, "b": 10}


def test_what_waits_for_the_budget_of_a_dearer_plan_has_no_machine_of_it() -> None:
    fleet = Fleet(maxTotalHourlyCost="5.50")
    fleet.add("a")
    fleet.add("b")
    fleet.serve("a")
    fleet.serve("b")
    (old,) = needs_of(fleet.worlds.values())
    fleet.worlds["b"].change(capacity={"options": [{"accelerator": "a100-80"}]})
    fleet.look("b")
    assert fleet.worlds["b"].condition("Degraded")["reason"] == "WaitsInLine"
    found = needs_of(fleet.worlds.values())
    (new,) = found.keys() - {old}
    assert (found[old], found[new]) == ({"a": 1, "b": 1}, {"b": 0})
    fleet.delete("a")
    fleet.look("b")
    found = needs_of(fleet.worlds.values())
    assert (found[old], found[new]) == ({"b": 1}, {"b": 1})


def test_what_would_pay_for_a_part_of_a_move_is_not_held_by_the_pool_that_stays() -> None:
    fleet = Fleet(maxTotalHourlyCost="18.00")
    fleet.add("b", replicas=2, capacity={"options": [{"accelerator": "a100-80"}]})
    fleet.add("a", replicas=3, scaling={"maxReplicas": 9})
    fleet.serve("b")
    fleet.serve("a")
    (old,) = needs_of([fleet.worlds["a"]])
    fleet.worlds["a"].change(capacity={"options": [{"accelerator": "a100-80"}]})
    fleet.look("a")
    assert fleet.replicas()["a"] == 3
    found = needs_of([fleet.worlds["a"]])
    assert {claim: each["a"] for claim, each in found.items()} == {claim: 3 if claim == old else 0 for claim in found}


def test_replicas_that_move_between_pools_have_the_one_more_in_neither() -> None:
    """What stands in the old pool and what comes to the new one are together as many as a roll-out may have."""
    capacity = {"maxHourlyCost": "8.00", "maxSurgeHourlyCost": "4.00"}
    world = serving(replicas=2, capacity={"options": [L4], **capacity})
    world.change(capacity={"options": [A100], **capacity})
    world.step()
    assert world.deployment["spec"]["strategy"]["rollingUpdate"]["maxSurge"] == 1
    assert sorted(each["chat"] for each in needs_of([world]).values()) == [2, 2]
    world.provision()
    for _ in range(4):
        roll(world)
        world.step()
    assert needs(world) == 3, "they may roll out there now"


@pytest.mark.parametrize("limit", ["3.00", "30.00"])
def test_the_parts_of_a_spread_model_share_its_limit(limit: str) -> None:
    options = [L4 | {"replicas": 2}, L4 | {"consumption": "Spot"}]
    world = World(model=make_model(replicas=5, capacity={"options": options, "maxHourlyCost": limit}))
    world.step()
    world.step()
    prices = price_of(world)
    asked = [each["spec"]["replicas"] for (kind, _), each in world.children.items() if kind == "Deployment"]
    found = needs_of([world])
    assert sorted(each["chat"] for each in found.values()) == sorted(asked)
    assert sum(prices[claim] * each["chat"] for claim, each in found.items()) <= Decimal(limit)


changes = st.one_of(
    st.builds(lambda n: {"replicas": n}, st.integers(0, 5)),
    st.builds(lambda n: {"scaling": {"maxReplicas": n}}, st.integers(1, 7)),
    st.builds(lambda n: {"engine": {"contextLength": n}}, st.sampled_from([4096, 8192])),
    st.builds(lambda suspend: {"suspend": suspend}, st.booleans()),
    st.builds(lambda strategy: {"rollout": {"strategy": strategy}}, st.sampled_from(["Recreate", "RollingUpdate"])),
    st.builds(
        lambda option, limit, surge: {
            "capacity": {
                "options": [option],
                **({"maxHourlyCost": limit} if limit else {}),
                **({"maxSurgeHourlyCost": surge} if surge else {}),
            }
        },
        st.sampled_from([L4, A100]),
        st.sampled_from(["", "1.00", "2.00", "4.50", "9.00"]),
        st.sampled_from(["", "1.00", "4.00"]),
    ),
)


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(st.tuples(changes, st.integers(0, 3)), min_size=2, max_size=6))
def test_what_is_granted_always_fits_and_all_maxima_together_cost_no_more_than_the_limits(
    steps: list[tuple[Json, int]],
) -> None:
    """However the spec changes, in whatever phase of a roll-out; `start` looks whether each replica finds room."""
    world = serving(capacity={"options": [L4], "maxHourlyCost": "4.50"}, replicas=2)
    for change, rounds in steps:
        world.change(**change)
        world.step()
        world.provision()
        check_spend(world)
        for _ in range(rounds):
            roll(world)
            world.step()
            check_spend(world)


def check_spend(world: World) -> None:
    """Other claims than the one that replicas come to now have what stands there, and no more."""
    capacity = world.model["spec"]["capacity"]
    if "maxHourlyCost" in capacity:
        limit = Decimal(capacity["maxHourlyCost"]) + Decimal(capacity.get("maxSurgeHourlyCost", "0"))
        assert cost_of_maximum(world) <= limit


def cost_of_maximum(world: World) -> Decimal:
    """US dollars an hour of all nodes that may come to the claim to which replicas come now."""
    name = world.model["metadata"]["name"]
    served = world.deployment["spec"]["template"]["metadata"]["labels"][REVISION_LABEL]
    now = next(world.claim_of(each) for each in world.revisions if each["metadata"]["name"].endswith(served))
    found, there = needs_of([world]), claims_of_pods(world)
    assert all(each[name] <= there.count(claim) for claim, each in found.items() if claim != now)
    return found[now][name] * price_of(world)[now]


shared = st.one_of(
    st.builds(lambda n: {"replicas": n}, st.integers(0, 4)),
    st.builds(lambda suspend: {"suspend": suspend}, st.booleans()),
    st.builds(lambda option: {"capacity": {"options": [option]}}, st.sampled_from([L4, A100])),
    st.builds(lambda n: {"engine": {"contextLength": n}}, st.sampled_from([4096, 8192])),
    st.none(),
)


@settings(max_examples=40, deadline=None)
@given(steps=st.lists(st.tuples(st.sampled_from("abc"), shared), min_size=3, max_size=12))
def test_the_maxima_of_all_models_cost_no_more_than_their_budget(steps: list[tuple[str, Json | None]]) -> None:
    """Whatever the order in which they change and are looked at, and their replicas come and go."""
    fleet = Fleet(maxTotalHourlyCost="6.00")
    for name in "abc":
        fleet.add(name, scaling={"maxReplicas": 9})
        fleet.look(name)
    for name, change in steps:
        world = fleet.worlds[name]
        if change is None:
            roll(world)
        else:
            world.change(**change)
        fleet.look(name)
        world.provision()
        assert sum(map(cost_of_maximum, fleet.worlds.values())) <= Decimal("6.00")
