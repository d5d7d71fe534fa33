"""Several models under one budget: who gets what is left, who waits where, and what is never taken away."""

from datetime import timedelta
from decimal import Decimal

import pytest
from tests.support.fleet import Fleet
from tests.support.world import SETTINGS, World, autoscaler_event, make_model

from mistral_operator.capacity.arbitration import Account, Budget, Contender

A100 = {"accelerator": "a100-80"}
SHUTDOWN = {"key": "cloud.google.com/impending-node-termination", "effect": "NoSchedule"}
TWO = "2.00"
"""US dollars an hour: pays for two L4 machines at 0.8536, not for three."""
BUDGET = "the budget of MistralServingClass standard"


def test_the_budget_goes_to_the_oldest_and_the_others_are_told_of_their_place() -> None:
    fleet = Fleet(maxTotalHourlyCost=TWO)
    for name in ("a", "b", "c", "d"):
        fleet.add(name)
    fleet.look("a", "b", "c", "d", "c")
    assert fleet.replicas() == {"a": 1, "b": 1, "c": 0, "d": 0}
    assert [fleet.queue(name) for name in "abcd"] == [
        {},
        {},
        {"position": 1, "of": 2, "for": BUDGET},
        {"position": 2, "of": 2, "for": BUDGET},
    ]
    ready, degraded = (fleet.worlds["d"].condition(kind) for kind in ("Ready", "Degraded"))
    assert (ready["status"], ready["reason"], degraded["status"]) == ("False", "WaitsInLine", "True")
    assert ready["message"].startswith(f"0 of 1 replicas for now: 2nd of 2 in line for {BUDGET}, behind c (priority 0)")


def test_two_models_never_take_the_last_of_a_budget_both() -> None:
    fleet = Fleet(maxTotalHourlyCost="1.00")
    fleet.add("old")
    fleet.add("new")
    fleet.look("new", "old")
    assert fleet.replicas() == {"old": 0, "new": 1}, "nobody knew of the older one, and what was given stays"


def test_a_model_of_higher_priority_takes_nothing_away_and_comes_next() -> None:
    fleet = Fleet(maxTotalHourlyCost=TWO)
    fleet.add("a")
    fleet.add("b")
    fleet.serve("a")
    fleet.serve("b")
    fleet.add("low")
    fleet.add("high", priority=10)
    fleet.look("low", "high", "low")
    assert fleet.replicas() == {"a": 1, "b": 1, "low": 0, "high": 0}
    assert (fleet.queue("high")["position"], fleet.queue("low")["position"]) == (1, 2)
    fleet.woken.clear()
    fleet.delete("a")
    assert fleet.woken == ["high", "low"], "both are looked at at once"
    fleet.look("low", "high")
    assert fleet.replicas() == {"b": 1, "low": 0, "high": 1}, "what the one ahead is going to take is left for it"


def test_a_large_model_is_not_overtaken_by_small_ones() -> None:
    fleet = Fleet(maxTotalHourlyCost="5.50")
    fleet.add("a", replicas=2)
    fleet.serve("a")
    fleet.add("large", capacity={"options": [{"accelerator": "a100-80"}]})
    fleet.add("small")
    fleet.look("large", "small")
    assert fleet.replicas() == {"a": 2, "large": 0, "small": 0}, "3.79 are free, and large needs more"
    assert "of other" not in fleet.worlds["small"].condition("Degraded")["message"]
    fleet.worlds["large"].change(suspend=True)
    fleet.woken.clear()
    fleet.look("large")
    assert fleet.woken == ["small"]
    fleet.look("small")
    assert fleet.replicas() == {"a": 2, "large": 0, "small": 1}


def test_models_of_other_namespaces_are_counted_and_not_named() -> None:
    fleet = Fleet(maxTotalHourlyCost="0.90")
    fleet.add("a")
    fleet.serve("a")
    fleet.add("secret", namespace="team-b")
    fleet.add("mine")
    fleet.look("secret", "mine")
    told = fleet.worlds["mine"].condition("Degraded")["message"]
    assert "2nd of 2 in line" in told
    assert "behind 1 model of other namespaces" in told
    assert "secret" not in str(fleet.worlds["mine"].model["status"])


def test_a_model_grows_as_far_as_the_budget_goes_and_on_when_others_shrink() -> None:
    fleet = Fleet(maxTotalHourlyCost="3.00")
    fleet.add("a", replicas=2)
    fleet.serve("a")
    fleet.add("b", replicas=3)
    fleet.look("b")
    assert fleet.replicas() == {"a": 2, "b": 1}
    fleet.worlds["a"].change(replicas=1)
    fleet.look("a", "b")
    assert fleet.replicas() == {"a": 1, "b": 1}, "the pod that goes is still on its machine"
    del fleet.worlds["a"].pods["a-1"]
    fleet.woken.clear()
    fleet.look("a")
    assert fleet.woken == ["b"]
    fleet.look("b")
    assert fleet.replicas() == {"a": 1, "b": 2}


def test_a_lower_limit_takes_nothing_away_and_gives_nothing() -> None:
    fleet = Fleet(maxTotalHourlyCost="4.00")
    fleet.add("a", replicas=2)
    fleet.add("b", replicas=2)
    fleet.serve("a")
    fleet.serve("b")
    fleet.limit(maxTotalHourlyCost="1.00")
    for name in ("a", "b"):
        fleet.worlds[name].change(replicas=4)
    fleet.look("a", "b")
    assert fleet.replicas() == {"a": 2, "b": 2}
    assert fleet.worlds["a"].condition("Ready")["status"] == "True"
    fleet.limit()
    fleet.look("a", "b")
    assert fleet.replicas() == {"a": 4, "b": 4}


def test_after_a_restart_nobody_gets_more_before_all_have_been_looked_at() -> None:
    fleet = Fleet(maxTotalHourlyCost=TWO)
    for name in ("a", "b", "c"):
        fleet.add(name)
    for name in ("a", "b"):
        fleet.serve(name)
    fleet.look("c", "a", "b", "c")
    known = {name: world.model["status"] for name, world in fleet.worlds.items()}
    fleet.restart()
    fleet.woken.clear()
    fleet.look("c")
    assert not fleet.ledger.complete
    assert fleet.replicas()["c"] == 0
    fleet.look("a", "b")
    assert fleet.ledger.complete
    assert "c" in fleet.woken
    fleet.look("c", "a", "b")
    assert {name: world.model["status"] for name, world in fleet.worlds.items()} == known


def test_a_roll_out_has_a_replica_more_only_of_what_nobody_waits_for() -> None:
    def roll(limit: str) -> tuple[int, int]:
        fleet = Fleet(maxTotalHourlyCost=limit)
        fleet.add("a")
        fleet.serve("a")
        fleet.worlds["a"].change(engine={"contextLength": 4096})
        fleet.look("a")
        deployment = fleet.worlds["a"].deployment["spec"]
        assert deployment["replicas"] == 1
        update = deployment["strategy"]["rollingUpdate"]
        return update["maxSurge"], update["maxUnavailable"]

    assert roll(TWO) == (1, 0)
    assert roll("1.00") == (0, 1)


def test_a_dearer_plan_waits_for_its_budget_while_the_earlier_one_serves() -> None:
    fleet = Fleet(maxTotalHourlyCost="5.50")
    fleet.add("a")
    fleet.add("b")
    fleet.serve("a")
    fleet.serve("b")
    before = fleet.worlds["b"].deployment["spec"]["template"]
    fleet.worlds["b"].change(capacity={"options": [{"accelerator": "a100-80"}]})
    fleet.look("b")
    deployment = fleet.worlds["b"].deployment["spec"]
    assert (deployment["template"], deployment["replicas"]) == (before, 1)
    ready, degraded = (fleet.worlds["b"].condition(kind) for kind in ("Ready", "Degraded"))
    assert ready["status"] == "True"
    assert degraded["reason"] == "WaitsInLine"
    assert "what runs goes on until then" in degraded["message"]
    fleet.delete("a")
    fleet.look("b")
    assert fleet.worlds["b"].deployment["spec"]["template"] != before


def holds(fleet: Fleet, name: str) -> Decimal:
    """What the ledger has of a model, in US dollars an hour."""
    held = fleet.ledger.show(fleet.key(fleet.worlds[name]), "", tuple(fleet.classes.values())).held
    assert held is not None
    return held


def test_a_dearer_plan_that_is_paid_for_in_part_takes_no_replica_that_serves() -> None:
    fleet = Fleet(maxTotalHourlyCost="18.00")
    fleet.add("b", replicas=2, capacity={"options": [A100]})
    fleet.add("a", replicas=3)
    fleet.serve("b")
    fleet.serve("a")
    world = fleet.worlds["a"]
    before, held = world.deployment["spec"]["template"], holds(fleet, "a")
    world.change(capacity={"options": [A100]})
    fleet.look("a", "a")
    deployment = world.deployment["spec"]
    assert (deployment["template"], deployment["replicas"]) == (before, 3), "one of the new plan would be paid for"
    assert world.condition("Degraded")["reason"] == "WaitsInLine"
    assert holds(fleet, "a") == held, "what isn't enough for a move isn't kept from the others"
    world.change(replicas=1)
    fleet.look("a")
    deployment = world.deployment["spec"]
    assert (deployment["template"] != before, deployment["replicas"]) == (True, 1), "it is enough for as many as wanted"


def test_slices_of_an_earlier_plan_are_paid_for_until_their_claims_are_gone() -> None:
    fleet = Fleet(maxTotalHourlyCost="60.00")
    slices = {"options": [{"accelerator": "v6e", "topology": "4x4"}]}
    world = fleet.add("mix", model="mixtral-8x7b", allowExperimental=True, capacity=slices)
    fleet.look("mix")
    (claim,) = world.claims
    world.provision()
    world.make_ready(*world.start_group("mix-0", claim))
    fleet.look("mix")
    of_slice = holds(fleet, "mix")
    world.change(capacity={"options": [{"machineType": "a2-ultragpu-2g"}]})
    fleet.look("mix")
    world.provision()
    world.start_pod("mix-gpu", node="node-mix")
    world.make_ready("mix-gpu")
    fleet.look("mix")
    for pod in [name for name in world.pods if name != "mix-gpu"]:
        del world.pods[pod]
    fleet.look("mix", "mix")
    assert len(world.revisions) == 1, "nothing names the slice any more"
    of_both = holds(fleet, "mix")
    fleet.restart()
    fleet.look("mix")
    assert holds(fleet, "mix") == of_both, "another process of the operator counts it, too"
    del world.claims[claim]
    fleet.look("mix")
    assert holds(fleet, "mix") == of_both - of_slice > 0


def test_a_successor_is_paid_of_what_nobody_waits_for_and_the_others_know_of_it() -> None:
    fleet = Fleet(maxTotalHourlyCost="2.60")
    fleet.add("a", replicas=2)
    fleet.serve("a")
    two, world = holds(fleet, "a"), fleet.worlds["a"]
    world.set_machine("node-a-1", taints=[SHUTDOWN])
    fleet.look("a")
    assert fleet.replicas()["a"] == 3
    assert holds(fleet, "a") == two * 3 / 2, "nobody else is given that machine"
    fleet.add("b")
    fleet.look("b", "a", "b", "a")
    assert fleet.replicas() == {"a": 3, "b": 0}, "what is begun goes on, though somebody waits now"
    world.start_pod("a-2", node="node-a-2")
    world.make_ready("a-2")
    fleet.look("a")
    assert fleet.replicas()["a"] == 2
    del world.pods["a-1"], world.machines["node-a-1"]
    fleet.look("a", "b")
    assert holds(fleet, "a") == two
    assert fleet.replicas() == {"a": 2, "b": 1}


def test_a_successor_is_not_begun_with_what_somebody_waits_for() -> None:
    fleet = Fleet(maxTotalHourlyCost="2.60")
    fleet.add("a", replicas=2)
    fleet.serve("a")
    fleet.add("b", replicas=9)
    fleet.add("c", replicas=9)
    fleet.look("b", "c")
    fleet.worlds["a"].set_machine("node-a-1", taints=[SHUTDOWN])
    fleet.look("a")
    assert fleet.replicas()["a"] == 2
    assert fleet.worlds["a"].condition("Ready")["status"] == "True"


def serve_below_spot() -> World:
    """A model on demand, whose better rung had nothing and has its turn again."""
    l4 = {"accelerator": "l4", "devices": 1}
    world = World(model=make_model(capacity={"options": [l4 | {"consumption": "Spot"}, l4]}))
    world.step()
    world.provision()
    message = "Node scale up in zones us-central1-a associated with this pod failed: GCE out of resources"
    at = world.now.strftime("%Y-%m-%dT%H:%M:%SZ")
    world.events = [autoscaler_event(world.start_pod("chat-0", node=""), "FailedScaleUp", message, at)]
    for wait_s in (0.0, SETTINGS.ladder.zone_patience_s * 3, 0.0):
        world.now += timedelta(seconds=wait_s)
        world.step()
    del world.pods["chat-0"]
    world.start_pod("chat-1")
    world.provision()
    world.make_ready("chat-1")
    world.step()
    assert world.model["status"]["capacity"]["options"][1]["state"] == "Active"
    world.now += timedelta(seconds=SETTINGS.ladder.return_interval_s)
    return world


@pytest.mark.parametrize(("limit", "waits", "returns"), [("1.40", 0, True), ("1.40", 1, False), ("1.00", 0, False)])
def test_a_return_to_a_better_rung_is_made_beside_what_serves_or_not_at_all(
    limit: str, waits: int, returns: bool
) -> None:
    """What serves costs 0.85, and the Spot machine beside it less."""
    world = serve_below_spot()
    before = world.deployment["spec"]["template"]
    world.set_class(limits={"maxTotalHourlyCost": limit})
    other = Account(Contender("team-a", "other", created="2027"), Decimal(0), Decimal(waits))
    world.budget = Budget(waiting=(other,) * waits)
    world.step()
    spec = world.deployment["spec"]
    assert (spec["template"] != before) == returns
    assert not returns or spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


def test_a_model_alone_may_not_cost_more_than_all_together() -> None:
    fleet = Fleet(maxTotalHourlyCost="1.00")
    fleet.add("a", capacity={"options": [{"accelerator": "a100-80"}]})
    fleet.look("a")
    accepted = fleet.worlds["a"].condition("Accepted")
    assert (accepted["status"], accepted["reason"]) == ("False", "NothingFits")
    assert "limits.maxTotalHourlyCost of MistralServingClass standard" in accepted["message"]


def test_the_parts_of_a_spread_model_share_what_the_model_gets() -> None:
    fleet = Fleet(maxTotalHourlyCost="2.60")
    options = [{"accelerator": "l4", "replicas": 2}, {"accelerator": "l4", "consumption": "Spot"}]
    fleet.add("a")
    fleet.serve("a")
    world = fleet.add("spread", replicas=4, capacity={"options": options})
    for _ in range(3):
        fleet.look("spread")
    asked = {name: child["spec"]["replicas"] for (kind, name), child in world.children.items() if kind == "Deployment"}
    assert asked["spread"] == 2, "the first part is paid first"
    account = fleet.ledger.show(fleet.key(fleet.worlds["a"]), "", tuple(fleet.classes.values()))
    assert account.others_hold <= Decimal("2.60") - Decimal("0.8536")
    assert fleet.queue("spread")["position"] == 1
    assert world.condition("Degraded")["reason"] == "WaitsInLine"
