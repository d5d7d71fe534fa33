"""What the operator remembers of its models' budgets, and whom it wakes when something is free."""

from decimal import Decimal
from typing import Any

import pytest
from tests.support.world import make_class

from mistral_operator.api.names import MODEL_LABEL
from mistral_operator.capacity.arbitration import Account, Contender
from mistral_operator.cluster.kinds import CLAIM, MODEL, POD, Kind
from mistral_operator.cluster.store import Key, Store
from mistral_operator.controller.ledger import Ledger
from mistral_operator.controller.observation import RULES

STANDARD = make_class()
LARGE = make_class("large", default=False)
CLASSES = (STANDARD, LARGE)


class Site:
    """A store with models, and the ledger over it."""

    def __init__(self, *names: str) -> None:
        self.store = Store(RULES)
        self.version = 0
        self.woken: list[str] = []
        for name in names:
            self.put(MODEL, name)
        self.ledger = Ledger(self.store, lambda key: self.woken.append(key.name))

    def put(self, kind: Kind, name: str, *, metadata: dict[str, Any] | None = None, **content: Any) -> None:
        self.version += 1
        meta = {"name": name, "namespace": "team", "uid": name, "resourceVersion": str(self.version)}
        self.store[kind].put({"metadata": {**meta, **(metadata or {})}, "spec": {}} | content)

    def remove(self, kind: Kind, name: str) -> None:
        self.version += 1
        self.store[kind].remove(Key("team", name), self.version)

    def record(self, name: str, held: int, wanted: int, named: str = "", priority: int = 0) -> None:
        self.ledger.record(key(name), named, Account(who(name, priority), Decimal(held), Decimal(wanted)))

    def others_hold(self, name: str, named: str = "") -> Decimal:
        return self.ledger.show(key(name), named, CLASSES).others_hold


def key(name: str) -> Key:
    return Key("team", name)


def who(name: str, priority: int = 0) -> Contender:
    return Contender("team", name, priority)


def test_models_that_name_the_default_class_share_its_budget_with_those_that_name_none() -> None:
    site = Site()
    site.record("a", 1, 1)
    site.record("b", 2, 5, named="standard")
    site.record("c", 4, 6, named="large", priority=9)
    site.record("d", 0, 9, priority=1)
    assert (site.others_hold("a"), site.others_hold("b", "standard"), site.others_hold("c", "large")) == (2, 1, 0)
    waiting = site.ledger.show(key("a"), "", CLASSES).waiting
    assert [each.who.name for each in waiting] == ["d", "b"]
    assert [each.who.name for each in site.ledger.show(key("d"), "", CLASSES).waiting] == ["b"]
    assert site.ledger.show(key("x"), "", ()).others_hold == 1, "without a default class, those that name none"


def test_what_a_model_has_is_replaced_and_never_counted_twice() -> None:
    site = Site()
    site.record("a", 1, 3)
    site.record("a", 2, 3)
    site.record("a", 2, 2, named="large")
    assert (site.others_hold("b"), site.others_hold("b", "large")) == (0, 2)
    assert site.ledger.show(key("a"), "large", CLASSES).held == 2


@pytest.mark.parametrize(("held", "wanted"), [(1, 2), (2, 2)])
def test_those_in_line_are_looked_at_when_somebody_gives_back_or_leaves_the_line(held: int, wanted: int) -> None:
    site = Site()
    site.record("a", 2, 3)
    site.record("b", 0, 1)
    site.woken.clear()
    site.record("a", 2, 3)
    assert site.woken == [], "nothing has changed"
    site.record("a", held, wanted)
    assert "b" in site.woken


def test_only_the_first_of_a_long_line_are_looked_at() -> None:
    site = Site()
    for number in range(40):
        site.record(f"m{number:02}", 0, 1)
    site.record("rich", 9, 9)
    site.woken.clear()
    site.record("rich", 8, 8)
    assert site.woken == [f"m{number:02}" for number in range(16)]


def test_a_model_that_goes_pays_as_long_as_its_pods_stand() -> None:
    site = Site("a")
    site.record("a", 2, 5)
    site.put(POD, "a-0", metadata={"labels": {MODEL_LABEL: "a"}})
    site.record("b", 0, 1)
    site.remove(MODEL, "a")
    budget = site.ledger.show(key("b"), "", CLASSES)
    assert (budget.others_hold, budget.waiting) == (2, ())
    site.woken.clear()
    site.remove(POD, "a-0")
    assert site.others_hold("b") == 0
    assert site.woken == ["b"]


def test_a_model_that_goes_pays_as_long_as_a_slice_of_it_stands() -> None:
    site = Site("mix")
    site.record("mix", 2, 2)
    site.put(POD, "mix-0", metadata={"labels": {MODEL_LABEL: "mix"}})
    for name, of in (("g-0", "mix"), ("other-0", "other")):
        spec = {"tenant": "team", "model": of, "slice": {"group": "g", "number": 0}}
        site.put(CLAIM, name, metadata={"namespace": ""}, spec=spec)
    site.put(CLAIM, "pool", metadata={"namespace": ""}, spec={"tenant": "team"})
    site.remove(MODEL, "mix")
    site.remove(POD, "mix-0")
    assert site.others_hold("mix2") == 2, "its claim, and the slice that is paid for, are still there"
    site.version += 1
    site.store[CLAIM].remove(Key("", "g-0"), site.version)
    assert site.others_hold("mix2") == 0


def test_a_model_without_pods_is_forgotten_at_once() -> None:
    site = Site("a")
    site.record("a", 2, 5)
    site.remove(MODEL, "a")
    assert site.others_hold("b") == 0


def test_accounts_are_complete_when_each_model_that_was_there_has_been_looked_at_or_is_gone() -> None:
    site = Site("a", "b", "c")
    site.put(MODEL, "going", metadata={"deletionTimestamp": "2026-11-23T12:00:00Z"})
    assert not site.ledger.complete
    site.put(MODEL, "new")
    site.record("a", 0, 1)
    site.remove(MODEL, "b")
    assert not site.ledger.show(key("a"), "", CLASSES).complete
    site.put(MODEL, "c", status={"cost": {"hourly": "1.50"}})
    site.ledger.give_up(key("c"))
    assert site.ledger.complete
    assert site.others_hold("a") == Decimal("1.50"), "what can't be read counts with what it said that it costs"
    assert site.woken == ["a"]


@pytest.mark.parametrize("status", [{}, {"cost": {}}, {"cost": {"hourly": "unknown"}}])
def test_a_model_that_never_told_its_cost_counts_with_nothing(status: dict[str, Any]) -> None:
    site = Site()
    site.put(MODEL, "a", status=status)
    site.ledger.give_up(key("a"))
    assert site.ledger.complete
    assert site.others_hold("b") == 0
