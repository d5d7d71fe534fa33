"""Slices that wait for one reservation or quota: whose turn it is, by what their claims and models say."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.support.claim_cases import SETTINGS

from mistral_operator.api.claim import NodePoolClaim
from mistral_operator.capacity.arbitration import Place
from mistral_operator.capacity.claims.sync import sync_claim
from mistral_operator.capacity.claims.types import ClaimUser, CreatePool, Seen
from mistral_operator.cluster.kinds import CLAIM, MODEL
from mistral_operator.cluster.store import Key, Store
from mistral_operator.controller.claim_lines import find_place_of, list_next
from mistral_operator.controller.observation import RULES

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ZONE = "us-central1-a"
TOLD = "ReservationExhausted"
Json = dict[str, Any]


class Site:
    """A store with slices of models that are each younger than the one before."""

    def __init__(self) -> None:
        self.store = Store(RULES)
        self.version = 0

    def put(self, kind: Any, body: Json) -> None:
        self.version += 1
        body["metadata"]["resourceVersion"] = str(self.version)
        self.store[kind].put(body)

    def add(self, model: str, *, priority: int = 0, namespace: str = "team", **terms: Any) -> None:
        """A model, and a claim of its own name that asks for a slice."""
        born = f"2026-11-23T10:00:{self.version:02}Z"
        metadata = {"name": model, "namespace": namespace, "creationTimestamp": born}
        self.put(MODEL, {"metadata": metadata, "spec": {"capacity": {"priority": priority}}})
        spec = {
            "shape": {"machineType": "m-4t", "accelerator": {"type": "tpu-v6e-slice", "count": 4}, "hosts": 4},
            "consumption": "Reservation",
            "reservation": "ours",
            "zones": [ZONE],
            "tenant": namespace,
            "model": model,
            "slice": {"group": model, "number": 0},
            **terms,
        }
        kept = {name: value for name, value in spec.items() if value is not None}
        names = {"name": model, "finalizers": ["serving.mistral-operator.dev/node-pool"]}
        self.put(CLAIM, {"metadata": names, "spec": kept})

    def tell(self, model: str, reason: str, *, degraded: str = "", minutes_ago: int = 1, ready: bool = False) -> None:
        """What the claim's status says."""
        since = (NOW - timedelta(minutes=minutes_ago)).isoformat()
        conditions = [
            {"type": "Ready", "status": str(ready), "reason": reason, "lastTransitionTime": since},
            {"type": "Degraded", "status": str(bool(degraded)), "reason": degraded, "lastTransitionTime": since},
        ]
        body = self.store[CLAIM].get(Key("", model)) or {}
        self.put(CLAIM, {**body, "status": {"conditions": conditions}})

    def claim(self, model: str) -> NodePoolClaim:
        return NodePoolClaim.model_validate(self.store[CLAIM].get(Key("", model)))

    def place(self, model: str) -> Place | None:
        return find_place_of(self.store, self.claim(model), NOW)


@pytest.fixture
def site() -> Site:
    made = Site()
    made.add("old")
    made.add("young")
    return made


def test_nobody_waits_before_the_cloud_has_said_that_there_is_none_left(site: Site) -> None:
    site.tell("old", "PoolCreating")
    assert site.place("old") is None
    assert site.place("young") is None


def test_those_behind_wait_for_the_one_that_was_told_also_while_it_is_tried_again(site: Site) -> None:
    site.tell("old", "PoolCreating", degraded=TOLD)
    assert site.place("old") is None
    place = site.place("young")
    assert place is not None
    assert place.tell("team") == "2nd of 2 in line for reservation ours, behind old (priority 0)"


def test_a_higher_priority_goes_before_age(site: Site) -> None:
    site.add("urgent", priority=5)
    site.tell("old", TOLD, degraded=TOLD)
    site.tell("urgent", TOLD, degraded=TOLD)
    assert site.place("urgent") is None
    place = site.place("old")
    assert place is not None
    assert [each.name for each in place.ahead] == ["urgent"]


def test_one_that_has_waited_also_waits_for_those_whose_try_is_under_way(site: Site) -> None:
    site.tell("old", "PoolCreating")
    site.tell("young", "WaitsInLine")
    place = site.place("young")
    assert place is not None, "the answer to the one ahead is still to come"
    assert place.position == 2
    site.tell("old", "PoolReady", ready=True)
    assert site.place("young") is None


@pytest.mark.parametrize("stuck", ["StockedOut", "PoolNameTaken", "PermissionDenied", "InvalidClaim"])
@pytest.mark.parametrize("retrying", [False, True])
def test_one_that_is_stuck_for_another_reason_is_waited_for_by_nobody(site: Site, stuck: str, retrying: bool) -> None:
    """It may never ask for what the one behind it needs."""
    site.add("urgent", priority=10)
    site.tell("urgent", "PoolCreating" if retrying else stuck, degraded=stuck)
    site.tell("young", "WaitsInLine", degraded=TOLD, minutes_ago=3 * 24 * 60)
    assert site.place("young") is None


def test_a_pool_by_an_operation_that_only_the_status_knows_is_under_way(site: Site) -> None:
    body = site.store[CLAIM].get(Key("", "old")) or {}
    site.put(CLAIM, {**body, "status": {"operation": {"name": "o", "type": "CREATE_NODE_POOL"}}})
    assert site.place("young") is None
    site.tell("young", "WaitsInLine")
    assert site.place("young") is not None


@pytest.mark.parametrize(
    "terms",
    [
        {"reservation": "theirs"},
        {"zones": ["us-central1-b"]},
        {"reservation": None, "consumption": "OnDemand"},
        {"slice": None},
    ],
    ids=["another reservation", "another zone", "on demand", "no slice"],
)
def test_who_needs_something_else_does_not_wait(terms: Json) -> None:
    site = Site()
    site.add("old")
    site.add("young", **terms)
    site.tell("old", TOLD, degraded=TOLD)
    assert site.place("young") is None


def test_a_quota_is_one_for_the_same_accelerator_bought_in_the_same_way() -> None:
    site = Site()
    on_demand = {"reservation": None, "consumption": "OnDemand"}
    site.add("old", **on_demand)
    site.add("young", **on_demand, zones=["us-central1-b"])
    site.add("spot", reservation=None, consumption="Spot")
    site.tell("old", "QuotaExceeded", degraded="QuotaExceeded")
    place = site.place("young")
    assert place is not None
    assert place.waits_for == "quota of tpu-v6e-slice, on demand"
    assert site.place("spot") is None


def test_one_that_may_need_more_than_there_is_lets_others_pass_after_an_hour(site: Site) -> None:
    site.tell("old", TOLD, degraded=TOLD, minutes_ago=59)
    assert site.place("young") is not None
    site.tell("old", TOLD, degraded=TOLD, minutes_ago=61)
    assert site.place("young") is None


def test_a_claim_that_goes_or_whose_model_has_gone_is_not_waited_for(site: Site) -> None:
    site.tell("old", TOLD, degraded=TOLD)
    site.store[MODEL].remove(Key("team", "old"), 99)
    assert site.place("young") is None


def test_a_place_in_a_long_line_is_found_without_parsing_every_claim_in_it(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of the claims in a line looks at all the others."""
    site.tell("old", TOLD, degraded=TOLD)
    claim = site.claim("young")

    def refuse(*_: object) -> None:
        raise AssertionError("another claim is parsed")

    monkeypatch.setattr(NodePoolClaim, "model_validate", refuse)
    assert find_place_of(site.store, claim, NOW) is not None


def test_slices_of_one_model_do_not_wait_for_each_other(site: Site) -> None:
    site.tell("old", TOLD, degraded=TOLD)
    body = site.claim("old").model_dump(by_alias=True, exclude_none=True, mode="json")
    body["metadata"]["name"] = "old-1"
    site.put(CLAIM, {**body, "status": {}})
    assert site.place("old-1") is None


def test_the_first_in_line_are_tried_at_once_when_something_is_given_back(site: Site) -> None:
    site.add("urgent", priority=5)
    for name in ("old", "urgent"):
        site.tell(name, TOLD, degraded=TOLD)
    site.add("gone")
    site.tell("gone", "PoolReady", ready=True)
    site.tell("young", "WaitsInLine")
    assert list_next(site.store, site.claim("gone")) == ["urgent", "old", "young"]


def test_a_claim_that_waits_asks_the_cloud_for_nothing_and_tells_its_place(site: Site) -> None:
    site.tell("old", TOLD, degraded=TOLD)
    users, place = (ClaimUser("team", "young", 4),), site.place("young")
    waiting = sync_claim(site.claim("young"), Seen(users=users, place=place), SETTINGS, NOW)
    assert (waiting.action, waiting.requeue_after_s) == (None, SETTINGS.unsettled_s)
    assert waiting.status is not None
    assert waiting.status["queue"] == {"position": 2, "of": 2, "for": "reservation ours"}
    (ready,) = (each for each in waiting.status["conditions"] if each["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "WaitsInLine")
    turn = sync_claim(site.claim("young"), Seen(users=users), SETTINGS, NOW)
    assert isinstance(turn.action, CreatePool)
    assert turn.status is not None
    assert "queue" not in turn.status
