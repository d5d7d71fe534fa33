"""What somebody changed of a node pool: what is found, what is done about it by each policy, and what is told."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.support.claim_cases import (
    CHAT,
    NAME,
    NOW,
    POOL,
    SETTINGS,
    STOCK_OUT,
    a_claim,
    a_failure,
    a_pool,
    an_operation,
    bounds,
    claim_body,
    pool_of,
)

from mistral_operator.api.claim import NodePoolClaim
from mistral_operator.api.names import CLAIM_RESOURCE_LABEL, DRIFT_ANNOTATION, SHAPE_LABEL
from mistral_operator.capacity.claim_types import (
    Action,
    Call,
    ClaimOutcome,
    CreatePool,
    MendPool,
    ReplacePool,
    Seen,
    SetAutoscaling,
)
from mistral_operator.capacity.claims import sync_claim
from mistral_operator.capacity.drift import DriftPolicy
from mistral_operator.capacity.ladder import Sight
from mistral_operator.capacity.pools import NodeFacts, pool_spec, upkeep_of
from mistral_operator.capacity.port import (
    Bounds,
    PoolStatus,
    PoolView,
    SetManagement,
    SetNodeLabels,
    SetResourceLabels,
    SetSize,
    SetTaints,
    SetUpgrades,
    StopAutoscaling,
    Taint,
)
from mistral_operator.planning.types import Consumption

SPEC = pool_spec(a_claim(), total_max=2, facts=NodeFacts())
UPKEEP = upkeep_of(SPEC)
MINE = Taint("team.example/mine", "yes", "NoSchedule")
GOOGLES = Taint("nvidia.com/gpu", "present", "NoSchedule")
UNLABELLED = a_pool(node_labels={"team": "a"})
UNREPAIRED = a_pool(upkeep=replace(UPKEEP, auto_repair=False))
Json = dict[str, Any]


def decide(claim: NodePoolClaim, pool: PoolView, policy: DriftPolicy = DriftPolicy.REPAIR, **seen: Any) -> ClaimOutcome:
    return sync_claim(claim, Seen(users=(CHAT,), pool=pool, **seen), replace(SETTINGS, drift=policy), NOW)


def status_of(outcome: ClaimOutcome) -> Json:
    assert outcome.status is not None
    return outcome.status


def condition(outcome: ClaimOutcome, kind: str = "Ready") -> Json:
    found: Json = next(each for each in status_of(outcome)["conditions"] if each["type"] == kind)
    return found


@pytest.mark.parametrize(
    ("pool", "mend", "ready"),
    [
        (UNLABELLED, SetNodeLabels({"team": "a", SHAPE_LABEL: NAME}), "False"),
        (a_pool(taints=(GOOGLES, MINE)), SetTaints((GOOGLES,)), "False"),
        (
            a_pool(resource_labels={CLAIM_RESOURCE_LABEL: NAME, "cost": "x"}),
            SetResourceLabels({"cost": "x", **SPEC.resource_labels}),
            "True",
        ),
        (UNREPAIRED, SetManagement(UPKEEP), "True"),
        (a_pool(upkeep=replace(UPKEEP, max_surge=0, max_unavailable=1)), SetUpgrades(UPKEEP), "True"),
        (a_pool(upkeep=replace(UPKEEP, strategy="BLUE_GREEN")), SetUpgrades(UPKEEP), "True"),
    ],
)
def test_what_can_be_changed_while_pods_run_is_put_right_and_told(pool: PoolView, mend: object, ready: str) -> None:
    outcome = decide(a_claim(), pool)
    assert outcome.action == MendPool(POOL, mend)  # type: ignore[arg-type]
    assert status_of(outcome)["state"] == "Repairing"
    assert (condition(outcome)["status"], condition(outcome)["reason"]) == (ready, "PoolRepairing")
    (note,) = status_of(outcome)["drift"]
    assert note["done"] == "Repaired"
    assert note["message"] in condition(outcome)["message"]


@pytest.mark.parametrize(
    "pool",
    [
        a_pool(taints=(GOOGLES, Taint("cloud.google.com/gke-spot", "true", "NoSchedule"))),
        a_pool(taints=(Taint("team.example/rather-not", "", "PreferNoSchedule"),)),
        a_pool(upkeep=None),
        a_pool(node_labels={**SPEC.node_labels, "team": "a"}),
        a_pool(resource_labels={**SPEC.resource_labels, "goog-gke-x": "y"}),
    ],
)
def test_what_google_and_others_add_beside_ours_is_no_drift(pool: PoolView) -> None:
    outcome = decide(a_claim(), pool)
    assert (outcome.action, outcome.settled) == (None, True)
    assert "drift" not in status_of(outcome)


@pytest.mark.parametrize(
    ("pool", "ready", "reason"), [(UNLABELLED, "False", "PoolDiffers"), (UNREPAIRED, "True", "PoolReady")]
)
def test_a_policy_to_report_leaves_it_and_keeps_telling(pool: PoolView, ready: str, reason: str) -> None:
    first = decide(a_claim(), pool, DriftPolicy.REPORT)
    assert first.action is None
    assert (condition(first)["status"], condition(first)["reason"]) == (ready, reason)
    assert condition(first, "Degraded")["status"] == "True"
    assert status_of(first)["drift"][0]["done"] == "Reported"
    again = decide(a_claim(first.status), pool, DriftPolicy.REPORT)
    assert again.status == first.status, "it is written down once"


def test_a_claims_own_policy_comes_before_the_operators() -> None:
    body = claim_body()
    body["metadata"]["annotations"] = {DRIFT_ANNOTATION: "Report"}
    assert decide(NodePoolClaim.model_validate(body), UNREPAIRED).action is None
    body["metadata"]["annotations"] = {DRIFT_ANNOTATION: "report it"}
    assert decide(NodePoolClaim.model_validate(body), UNREPAIRED).action is not None


def test_what_the_provisioner_can_not_change_is_told() -> None:
    outcome = decide(a_claim(), UNREPAIRED, mends=frozenset())
    assert outcome.action is None
    assert "what provisions the pool can't change it" in condition(outcome)["message"]


def test_what_the_provisioner_can_change_is_put_right_beside_what_it_can_not() -> None:
    pool = replace(UNREPAIRED, taints=(MINE,))
    assert decide(a_claim(), pool, mends=frozenset({SetManagement})).action == MendPool(POOL, SetManagement(UPKEEP))
    assert decide(a_claim(), pool, mends=frozenset({SetTaints})).action == MendPool(POOL, SetTaints(()))


def test_nobody_is_fought_with_over_a_setting() -> None:
    first = decide(a_claim(), UNREPAIRED)
    again = decide(a_claim(first.status), UNREPAIRED)
    assert again.action is None
    assert "somebody sets it back" in condition(again)["message"]
    later = sync_claim(a_claim(first.status), Seen(users=(CHAT,), pool=UNREPAIRED), SETTINGS, NOW + timedelta(hours=1))
    assert isinstance(later.action, MendPool)


def test_a_refused_repair_holds_up_neither_the_others_nor_the_bounds() -> None:
    pool = a_pool(node_labels={}, upkeep=replace(UPKEEP, auto_repair=False))
    refused = a_failure(Call.UPDATE, "no", code="PERMISSION_DENIED")
    assert decide(a_claim(), pool, failures=(refused,)).action == MendPool(POOL, SetManagement(UPKEEP))
    grown = replace(pool, bounds=bounds(9))
    assert decide(a_claim(), grown, failures=(refused,)).action == SetAutoscaling(POOL, bounds(2))
    only = decide(a_claim(), a_pool(resource_labels={CLAIM_RESOURCE_LABEL: NAME}), failures=(refused,))
    assert only.action is None
    assert (condition(only)["status"], condition(only, "Degraded")["reason"]) == ("True", "PermissionDenied")


def test_a_pool_is_usable_while_it_is_put_right() -> None:
    before = decide(a_claim(), a_pool())
    outcome = sync_claim(
        a_claim(before.status), Seen(users=(CHAT,), operation=an_operation(Call.MANAGE)), SETTINGS, NOW
    )
    assert (condition(outcome)["status"], condition(outcome)["reason"]) == ("True", "PoolRepairing")


def test_gke_at_work_is_not_disturbed() -> None:
    assert decide(a_claim(), replace(UNREPAIRED, status=PoolStatus.RECONCILING)).action is None


@pytest.mark.parametrize(
    ("policy", "pods", "action"),
    [
        (DriftPolicy.REPORT, 0, None),
        (DriftPolicy.REPAIR, 0, None),
        (DriftPolicy.REPLACE, 0, ReplacePool(POOL)),
        (DriftPolicy.REPLACE, 3, None),
    ],
)
def test_what_can_not_be_changed_is_replaced_only_by_policy_and_without_pods(
    policy: DriftPolicy, pods: int, action: Action | None
) -> None:
    outcome = decide(a_claim(), a_pool(machine_type="e2-medium"), policy, pods=pods)
    assert outcome.action == action
    assert condition(outcome)["reason"] == "PoolDiffers"
    assert status_of(outcome)["drift"][0]["done"] == ("Replaced" if action else "Reported")
    assert ("3 pods run there" in condition(outcome)["message"]) == bool(pods)


def test_bounds_that_somebody_changed_are_told_from_those_that_follow_the_users() -> None:
    settled = decide(a_claim(), a_pool())
    grown = sync_claim(
        a_claim(settled.status), Seen(users=(CHAT, replace(CHAT, name="b")), pool=a_pool()), SETTINGS, NOW
    )
    assert grown.action == SetAutoscaling(POOL, bounds(4))
    assert "drift" not in status_of(grown)
    changed = decide(a_claim(settled.status), a_pool(total_max=9))
    assert changed.action == SetAutoscaling(POOL, bounds(2))
    assert status_of(changed)["drift"][0]["message"] == "the bounds are 0 to 9 nodes, not 0 to 2 nodes"


def test_bounds_that_somebody_raised_are_put_right_down_to_the_nodes_that_came_of_it() -> None:
    before = decide(a_claim(), a_pool())
    raised = decide(a_claim(before.status), a_pool(total_max=9), nodes=5)
    assert raised.action == SetAutoscaling(POOL, bounds(5))
    (note,) = status_of(raised)["drift"]
    assert note["message"] == "the bounds are 0 to 9 nodes, not 0 to 2 nodes"
    mended = decide(a_claim(raised.status), a_pool(total_max=5), nodes=5)
    assert mended.action is None
    fewer = decide(a_claim(mended.status), a_pool(total_max=5), nodes=4)
    assert fewer.action == SetAutoscaling(POOL, bounds(4))
    assert status_of(fewer)["drift"] == [note], "the operator's own bounds are nobody's doing"


def test_raised_bounds_that_are_left_stay_so_while_nodes_come_and_go() -> None:
    outcome = decide(a_claim(), a_pool(), DriftPolicy.REPORT)
    for nodes in (0, 5, 7, 3):
        outcome = decide(a_claim(outcome.status), a_pool(total_max=9), DriftPolicy.REPORT, nodes=nodes)
        assert outcome.action is None
    assert len(status_of(outcome)["drift"]) == 1


def test_bounds_are_left_by_policy_until_the_users_want_others() -> None:
    settled = decide(a_claim(), a_pool())
    first = decide(a_claim(settled.status), a_pool(total_max=9), DriftPolicy.REPORT)
    assert (first.action, condition(first)["status"]) == (None, "True")
    second = decide(a_claim(first.status), a_pool(total_max=9), DriftPolicy.REPORT)
    assert (second.action, second.status) == (None, first.status)
    more = sync_claim(
        a_claim(second.status),
        Seen(users=(replace(CHAT, nodes=5),), pool=a_pool(total_max=9)),
        replace(SETTINGS, drift=DriftPolicy.REPORT),
        NOW,
    )
    assert more.action == SetAutoscaling(POOL, bounds(5))


def test_a_pool_that_somebody_deleted_is_made_again_and_told() -> None:
    settled = decide(a_claim(), a_pool())
    outcome = sync_claim(a_claim(settled.status), Seen(users=(CHAT,)), SETTINGS, NOW)
    assert isinstance(outcome.action, CreatePool)
    assert [(note["finding"], note["done"]) for note in status_of(outcome)["drift"]] == [("PoolGone", "Replaced")]
    stopping = decide(a_claim(settled.status), a_pool(PoolStatus.STOPPING))
    assert status_of(stopping)["drift"][0]["finding"] == "PoolGone"
    new = sync_claim(a_claim(), Seen(users=(CHAT,)), SETTINGS, NOW)
    assert "drift" not in status_of(new), "one that never was has not gone"


def test_what_was_done_in_this_go_is_told_once() -> None:
    first = decide(a_claim(), UNREPAIRED)
    after = decide(a_claim(), UNREPAIRED, notes=first.notes)
    assert len(status_of(after)["drift"]) == 1


def slice_claim(status: Json | None = None) -> NodePoolClaim:
    shape = {
        "machineType": "ct6e-standard-4t",
        "accelerator": {"type": "tpu-v6e-slice", "count": 4},
        "topology": "4x4",
        "hosts": 4,
    }
    terms = {"shape": shape, "model": "mix", "slice": {"group": "group", "number": 0}}
    return a_claim(status, terms=terms)


@pytest.mark.parametrize(
    ("empty_s", "nodes", "action", "reason"),
    [
        (None, 4, None, "PoolReady"),
        (None, 2, None, "PoolReady"),
        (1.0, 0, None, "PoolReady"),
        (60.0, 0, None, "WaitingForNodes"),
        (400.0, 0, MendPool(POOL, SetSize(4)), "PoolRepairing"),
    ],
)
def test_a_slice_whose_nodes_somebody_gave_up_gets_all_of_them_again(
    empty_s: float | None, nodes: int, action: Action | None, reason: str
) -> None:
    claim = slice_claim()
    pool = pool_of(pool_spec(claim, total_max=1, facts=NodeFacts(), zone="us-central1-a"))
    outcome = decide(claim, pool, empty_s=empty_s, nodes=nodes)
    assert outcome.action == action
    assert (condition(outcome)["reason"], condition(outcome)["status"]) == (reason, str(reason == "PoolReady"))


@pytest.mark.parametrize(
    ("policy", "refused", "reason"),
    [
        (DriftPolicy.REPAIR, (), "SliceEmptied"),
        (DriftPolicy.REPAIR, (a_failure(Call.SIZE, STOCK_OUT),), "StockedOut"),
        (DriftPolicy.REPORT, (), "SliceEmptied"),
    ],
)
def test_a_reclaimed_slice_that_gets_no_nodes_again_is_a_stock_out_and_nobodys_doing(
    policy: DriftPolicy, refused: tuple[Any, ...], reason: str
) -> None:
    claim = slice_claim()
    pool = pool_of(pool_spec(claim, total_max=1, facts=NodeFacts(), zone="us-central1-a"))
    asked = decide(claim, pool, policy, empty_s=400.0)
    assert "somebody" not in condition(asked)["message"]
    again = decide(slice_claim(asked.status), pool, policy, empty_s=400.0, failures=refused)
    assert again.action is None
    assert (status_of(again)["state"], condition(again)["reason"]) == ("Provisioning", reason)
    assert condition(again, "Degraded")["reason"] == reason
    assert "has lost its nodes" in condition(again)["message"]
    for accusing in ("somebody", "node-pools delete"):
        assert accusing not in condition(again)["message"]
    rung = Sight("spot", False, frozenset(), reason, "", Consumption.SPOT, zones=1, node_s=90)
    assert (rung.is_stocked_out, rung.is_refused) == (True, False), "its rung isn't barred for an hour"


@pytest.mark.parametrize(("found", "words"), [(bounds(9), "0 to 9 nodes"), (Bounds(2, 2), "2 to 2 nodes")])
def test_nobody_is_fought_with_over_bounds_that_are_high_enough(found: Bounds, words: str) -> None:
    """Something that sets them each minute would else cost an operation each minute for ever."""
    claim, repaired, told = a_claim(decide(a_claim(), a_pool()).status), 0, ""
    for minute in range(60):
        now, seen = NOW + timedelta(minutes=minute), Seen(users=(CHAT,), pool=a_pool(bounds=found))
        outcome = sync_claim(claim, seen, SETTINGS, now)
        if isinstance(outcome.action, SetAutoscaling):
            repaired += 1
            done = Seen(users=(CHAT,), pool=a_pool(), notes=outcome.notes)
            outcome = sync_claim(claim, done, SETTINGS, now + timedelta(seconds=20))
        else:
            told = condition(outcome, "Degraded")["message"]
            assert condition(outcome)["status"] == "True"
            assert outcome.requeue_after_s
        claim = a_claim(outcome.status)
    assert repaired == 6, "once in 10 minutes"
    assert told == f"the bounds are {words}, not 0 to 2 nodes"


def test_bounds_that_starve_replicas_are_put_right_each_time() -> None:
    settled = decide(a_claim(), a_pool())
    first = decide(a_claim(settled.status), a_pool(total_max=1))
    assert first.action == SetAutoscaling(POOL, bounds(2))
    mended = decide(a_claim(settled.status), a_pool(), notes=first.notes)
    assert decide(a_claim(mended.status), a_pool(total_max=1)).action == SetAutoscaling(POOL, bounds(2))


def test_a_slice_that_somebody_lets_be_autoscaled_has_its_fixed_size_again() -> None:
    claim = slice_claim()
    pool = pool_of(pool_spec(claim, total_max=1, facts=NodeFacts(), zone="us-central1-a"))
    assert decide(claim, replace(pool, autoscaled=True), nodes=4).action == MendPool(POOL, StopAutoscaling())
