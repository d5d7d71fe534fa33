"""What becomes of a claim, for each thing that can be seen of it."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from tests.support.claim_cases import (
    CHAT,
    DELETED,
    NAME,
    NOW,
    POOL,
    QUOTA,
    SETTINGS,
    STOCK_OUT,
    STRANGERS,
    a_claim,
    a_failure,
    a_finding,
    a_pool,
    an_operation,
    bounds,
)

from mistral_operator.api.claim import NodePoolClaim
from mistral_operator.api.names import CLAIM_RESOURCE_LABEL, SHAPE_LABEL, TENANT_RESOURCE_LABEL
from mistral_operator.capacity.claims.sync import sync_claim
from mistral_operator.capacity.claims.types import (
    AddFinalizer,
    Call,
    ClaimOutcome,
    ClaimUser,
    CreatePool,
    DeleteClaim,
    DeletePool,
    RemoveFinalizer,
    Seen,
    SetAutoscaling,
)
from mistral_operator.capacity.pools import NodeFacts
from mistral_operator.capacity.port import PoolStatus

LOST = a_failure(Call.CREATE, "socket closed", code="UNAVAILABLE", wait_s=3)


def outcome_of(claim: NodePoolClaim | None = None, **seen: Any) -> ClaimOutcome:
    return sync_claim(claim or a_claim(), Seen(**{"users": (CHAT,), **seen}), SETTINGS, NOW)


def story(outcome: ClaimOutcome) -> tuple[str, str, str]:
    """State, the Ready condition's status and its reason."""
    ready = condition(outcome, "Ready")
    assert outcome.status is not None
    return outcome.status["state"], ready["status"], ready["reason"]


def condition(outcome: ClaimOutcome, kind: str) -> dict[str, Any]:
    assert outcome.status is not None
    return next(found for found in outcome.status["conditions"] if found["type"] == kind)


@pytest.mark.parametrize(
    ("seen", "expected", "action"),
    [
        ({"operation": an_operation(Call.CREATE)}, ("Provisioning", "False", "PoolCreating"), None),
        ({"operation": an_operation(Call.DELETE)}, ("Releasing", "False", "PoolDeleting"), None),
        ({"operation": an_operation(Call.RESIZE)}, ("Resizing", "True", "PoolResizing"), None),
        ({"pool": a_pool()}, ("Ready", "True", "PoolReady"), None),
        ({"pool": a_pool(PoolStatus.RUNNING_WITH_ERROR)}, ("Ready", "True", "PoolReady"), None),
        ({"pool": a_pool(PoolStatus.RECONCILING)}, ("Ready", "True", "PoolReady"), None),
        ({"pool": a_pool(PoolStatus.RECONCILING, total_max=9)}, ("Ready", "True", "PoolReady"), None),
        ({"pool": a_pool(PoolStatus.PROVISIONING)}, ("Provisioning", "False", "PoolCreating"), None),
        ({"pool": a_pool(PoolStatus.STOPPING)}, ("Releasing", "False", "PoolDeleting"), None),
        ({"pool": a_pool(**STRANGERS)}, ("Refused", "False", "PoolNameTaken"), None),
        ({"pool": a_pool(machine_type="e2-medium")}, ("Failed", "False", "PoolDiffers"), None),
        (
            {"pool": a_pool(total_max=9)},
            ("Resizing", "True", "PoolResizing"),
            SetAutoscaling(POOL, bounds(2)),
        ),
        (
            {"pool": a_pool(bounds=None)},
            ("Resizing", "True", "PoolResizing"),
            SetAutoscaling(POOL, bounds(2)),
        ),
        ({"may_call": False}, ("Provisioning", "False", "WaitsForTurn"), None),
        ({"failures": (a_failure(Call.CREATE, STOCK_OUT),)}, ("Failed", "False", "StockedOut"), None),
        ({"failures": (a_failure(Call.CREATE, QUOTA),)}, ("Failed", "False", "QuotaExceeded"), None),
        (
            {"failures": (a_failure(Call.CREATE, "Cluster is running incompatible operation op-1."),)},
            ("Provisioning", "False", "ClusterBusy"),
            None,
        ),
        ({"failures": (LOST,)}, ("Provisioning", "False", "CloudUnavailable"), None),
        (
            {"failures": (a_failure(Call.CREATE, "no", code="PERMISSION_DENIED"),)},
            ("Failed", "False", "PermissionDenied"),
            None,
        ),
        (
            {"pool": a_pool(total_max=9), "failures": (a_failure(Call.RESIZE, "busy", code="FAILED_PRECONDITION"),)},
            ("Resizing", "True", "PoolResizing"),
            None,
        ),
        (
            {"pool": a_pool(PoolStatus.ERROR, says=[STOCK_OUT])},
            ("Failed", "False", "StockedOut"),
            DeletePool(POOL, cause=a_finding(STOCK_OUT)),
        ),
        (
            {"pool": a_pool(PoolStatus.ERROR, says=[STOCK_OUT]), "nodes": 1},
            ("Failed", "False", "StockedOut"),
            None,
        ),
        ({"blind": a_finding("no", "PERMISSION_DENIED")}, ("Pending", "False", "PermissionDenied"), None),
    ],
)
def test_a_claim_that_is_used(seen: dict[str, Any], expected: tuple[str, str, str], action: object) -> None:
    outcome = outcome_of(**seen)
    assert story(outcome) == expected
    assert outcome.action == action
    assert outcome.action or outcome.requeue_after_s, "somebody must look again"


@pytest.mark.parametrize(
    ("metadata", "seen", "expected", "action"),
    [
        ({}, {"pool": a_pool()}, "Releasing", DeleteClaim()),
        ({}, {}, "Releasing", DeleteClaim()),
        ({}, {"pool": a_pool(**STRANGERS)}, "Releasing", DeleteClaim()),
        (DELETED, {"pool": a_pool()}, "Releasing", DeletePool(POOL, cause=None)),
        (DELETED, {"pool": a_pool(PoolStatus.ERROR)}, "Releasing", DeletePool(POOL, cause=None)),
        (DELETED, {"pool": a_pool(machine_type="e2-medium")}, "Releasing", DeletePool(POOL, cause=None)),
        (DELETED, {"pool": a_pool(PoolStatus.PROVISIONING)}, "Releasing", None),
        (DELETED, {"pool": a_pool(PoolStatus.STOPPING)}, "Releasing", None),
        (DELETED, {"operation": an_operation(Call.DELETE)}, "Releasing", None),
        (DELETED, {"pool": a_pool(), "may_call": False}, "Releasing", None),
        (DELETED, {"pool": a_pool(**STRANGERS)}, "Releasing", RemoveFinalizer()),
        (DELETED, {}, "Releasing", RemoveFinalizer()),
        (DELETED, {"unheard_s": 30.0}, "Releasing", None),
        (DELETED, {"failures": (a_failure(Call.CREATE, STOCK_OUT),)}, "Releasing", RemoveFinalizer()),
        (DELETED, {"blind": a_finding("x", "UNAVAILABLE")}, "Pending", None),
        (DELETED, {"held_by": ("team/chat-1",), "pool": a_pool()}, "Ready", None),
        ({}, {"held_by": ("team/chat-1",), "pool": a_pool()}, "Ready", None),
        ({}, {"held_by": ("team/chat-1",)}, "Pending", None),
    ],
)
def test_a_claim_that_nobody_uses(
    metadata: dict[str, Any], seen: dict[str, Any], expected: str, action: object
) -> None:
    outcome = outcome_of(a_claim(**metadata), users=(), **seen)
    assert outcome.status is not None
    assert outcome.status["state"] == expected
    assert outcome.action == action
    assert outcome.action or outcome.requeue_after_s, "somebody must look again"


@pytest.mark.parametrize(
    ("seen", "expected", "action"),
    [
        ({"pool": a_pool()}, "Ready", None),
        ({"pool": a_pool(total_max=9)}, "Resizing", SetAutoscaling(POOL, bounds(2))),
        ({"pool": a_pool(PoolStatus.STOPPING)}, "Releasing", None),
        ({}, "Releasing", RemoveFinalizer()),
        ({"unheard_s": 30.0}, "Releasing", None),
    ],
)
def test_a_deleted_claim_that_is_used_keeps_its_pool_and_goes_with_it(
    seen: dict[str, Any], expected: str, action: object
) -> None:
    outcome = outcome_of(a_claim(**DELETED), **seen)
    assert outcome.status is not None
    assert outcome.status["state"] == expected
    assert outcome.action == action
    assert condition(outcome, "InUse")["reason"] == "DeletionWaitsForUsers"


def test_the_finalizer_comes_before_the_first_call() -> None:
    outcome = outcome_of(a_claim(finalizers=[]))
    assert outcome.action == AddFinalizer()


def test_a_deleted_claim_without_our_finalizer_is_nobodys_business() -> None:
    outcome = outcome_of(a_claim(finalizers=["other"], **DELETED), pool=a_pool())
    assert (outcome.action, outcome.status, outcome.requeue_after_s) == (None, None, None)


def test_the_pool_is_asked_for_empty_labelled_and_large_enough() -> None:
    other = ClaimUser("team", "draft", 3)
    action = outcome_of(users=(CHAT, other), facts=NodeFacts(accelerator_memory_gib=24)).action
    assert isinstance(action, CreatePool)
    assert action.spec.name == POOL
    assert action.spec.bounds == bounds(5)
    assert action.spec.node_labels == {SHAPE_LABEL: NAME}
    assert action.spec.resource_labels[CLAIM_RESOURCE_LABEL] == NAME
    assert action.spec.resource_labels[TENANT_RESOURCE_LABEL] == "team"
    assert action.spec.locations == ("us-central1-a", "us-central1-b")
    assert not action.spec.spot
    assert action.spec.boot_disk_gb == 224


def test_spot_is_asked_for_as_such() -> None:
    action = outcome_of(a_claim(consumption="Spot")).action
    assert isinstance(action, CreatePool)
    assert action.spec.spot


def test_a_pool_grows_no_larger_than_gke_allows() -> None:
    action = outcome_of(users=(ClaimUser("team", "huge", 4000),), pool=a_pool()).action
    assert action == SetAutoscaling(POOL, bounds(1000))


@pytest.mark.parametrize(
    ("nodes", "allowed", "wanted"),
    [(0, 9, 2), (2, 9, 2), (4, 9, 4), (4, 4, 4), (3, 4, 3), (5, 4, 4), (4, 1, 2), (4, None, 4), (1200, None, 1000)],
)
def test_a_maximum_is_lowered_no_further_than_to_the_nodes_that_are_there(
    nodes: int, allowed: int | None, wanted: int
) -> None:
    """They may have pods. A pool that has more nodes than it may, as in an upgrade, isn't allowed more for that."""
    pool = a_pool(bounds=bounds(allowed) if allowed else None)
    action = outcome_of(pool=pool, nodes=nodes).action
    assert action == (None if wanted == allowed else SetAutoscaling(POOL, bounds(wanted)))


def test_a_pool_is_created_for_its_users_whatever_nodes_are_left_of_an_earlier_one() -> None:
    action = outcome_of(nodes=7).action
    assert isinstance(action, CreatePool)
    assert action.spec.bounds == bounds(2)


def test_a_stranger_is_told_how_to_make_room() -> None:
    message = condition(outcome_of(pool=a_pool(**STRANGERS)), "Ready")["message"]
    assert f"gcloud container node-pools delete {POOL} --cluster serving" in message


def test_another_claims_pool_is_not_ours() -> None:
    outcome = outcome_of(pool=a_pool(resource_labels={CLAIM_RESOURCE_LABEL: "other"}))
    assert story(outcome)[0] == "Refused"
    assert "belongs to claim other" in condition(outcome, "Ready")["message"]


@pytest.mark.parametrize(
    ("text", "code", "advice"),
    [
        (QUOTA, "", "NVIDIA_L4_GPUS (now 1.0) in us-central1"),
        (STOCK_OUT, "", "spec.capacity.options"),
        ('Required "container.clusters.update"', "PERMISSION_DENIED", "roles/mistralOperator"),
        ("iam.serviceAccounts.actAs is missing", "PERMISSION_DENIED", "roles/iam.serviceAccountUser"),
        ("IP_SPACE_EXHAUSTED", "", "gcloud container clusters describe serving"),
        (
            "Machine type with name 'g2-standard-12' does not exist in zone 'us-central1-f'.",
            "INVALID_ARGUMENT",
            'zones; `gcloud compute machine-types list --project team-project --filter="name=g2-standard-12"`',
        ),
        (
            'Accelerator type nvidia-l4 does not exist in zone "us-central1-f".',
            "INVALID_ARGUMENT",
            '`gcloud compute accelerator-types list --project team-project --filter="name=nvidia-l4"`',
        ),
    ],
)
def test_a_refusal_is_quoted_with_what_fixes_it(text: str, code: str, advice: str) -> None:
    outcome = outcome_of(failures=(a_failure(Call.CREATE, text, code=code),))
    message = condition(outcome, "Ready")["message"]
    assert text in message
    assert advice in message
    assert "Tried again at 12:00:30 UTC" in message
    assert condition(outcome, "Degraded")["status"] == "True"


def test_what_is_wrong_otherwise_with_a_request_gets_no_advice_on_zones() -> None:
    outcome = outcome_of(failures=(a_failure(Call.CREATE, "Invalid value for field.", code="INVALID_ARGUMENT"),))
    assert "zones" not in condition(outcome, "Ready")["message"]


def test_a_failed_call_is_repeated_when_its_time_has_come() -> None:
    failure = a_failure(Call.CREATE, STOCK_OUT, wait_s=0)
    outcome = outcome_of(failures=(failure,))
    assert isinstance(outcome.action, CreatePool)
    assert condition(outcome, "Degraded")["reason"] == "StockedOut", "not forgotten before it went well"


def test_a_failure_of_one_call_does_not_hold_up_another() -> None:
    outcome = outcome_of(pool=a_pool(total_max=9), failures=(a_failure(Call.CREATE, STOCK_OUT),))
    assert outcome.action == SetAutoscaling(POOL, bounds(2))


def test_a_failed_pool_without_conditions_says_what_its_operation_said() -> None:
    failure = a_failure(Call.CREATE, QUOTA)
    outcome = outcome_of(pool=a_pool(PoolStatus.ERROR), failures=(failure,))
    assert outcome.action == DeletePool(POOL, cause=failure.finding)


def test_a_failed_pool_of_which_nothing_is_known_is_called_failed() -> None:
    outcome = outcome_of(pool=a_pool(PoolStatus.ERROR))
    assert story(outcome) == ("Failed", "False", "PoolFailed")
    assert isinstance(outcome.action, DeletePool)
    assert outcome.action.cause is not None
    assert not outcome.action.cause.verbatim  # GKE said nothing that could be quoted.


def test_an_unhealthy_pool_is_ready_and_degraded() -> None:
    outcome = outcome_of(pool=a_pool(PoolStatus.RUNNING_WITH_ERROR, says=[STOCK_OUT]))
    assert condition(outcome, "Ready")["status"] == "True"
    assert condition(outcome, "Degraded")["reason"] == "StockedOut"
    assert not outcome.settled


def test_without_an_answer_what_was_ready_stays_ready() -> None:
    before = outcome_of(pool=a_pool())
    outcome = outcome_of(a_claim(before.status), blind=a_finding("x", "UNAVAILABLE"))
    assert story(outcome) == ("Ready", "True", "CloudUnavailable")
    assert condition(outcome, "Degraded")["status"] == "True"
    assert not outcome.settled


def test_conditions_keep_their_time_while_their_status_stays() -> None:
    first = outcome_of(operation=an_operation(Call.CREATE))
    later = sync_claim(a_claim(first.status), Seen(users=(CHAT,), pool=a_pool()), SETTINGS, NOW + timedelta(minutes=3))
    assert condition(first, "Ready")["lastTransitionTime"] == "2026-11-23T12:00:00Z"
    assert condition(later, "Ready")["lastTransitionTime"] == "2026-11-23T12:03:00Z"
    assert condition(later, "InUse")["lastTransitionTime"] == "2026-11-23T12:00:00Z"
    assert condition(later, "Ready")["observedGeneration"] == 1


def test_a_settled_claim_gives_the_same_status_again() -> None:
    first = outcome_of(pool=a_pool(), facts=NodeFacts(hourly_price=Decimal("1.0004")))
    again = sync_claim(
        a_claim(first.status),
        Seen(users=(CHAT,), pool=a_pool(), facts=NodeFacts(hourly_price=Decimal("1.0004"))),
        SETTINGS,
        NOW + timedelta(hours=1),
    )
    assert again.status == first.status
    assert again.settled


def test_the_status_counts_nodes_and_money() -> None:
    status = outcome_of(pool=a_pool(), nodes=2, facts=NodeFacts(hourly_price=Decimal("1.0004"))).status
    assert status is not None
    assert status["nodes"] == {"desiredMax": 2, "current": 2, "allowedMax": 2}
    assert status["hourlyCost"] == "2.00"
    assert status["users"] == [{"namespace": "team", "name": "chat", "nodes": 2}]
    assert status["poolName"] == POOL


def test_many_users_are_counted_and_the_first_hundred_listed() -> None:
    users = tuple(ClaimUser("team", f"m{i:04}", 1) for i in range(1000))
    outcome = outcome_of(users=users, pool=a_pool())
    assert outcome.status is not None
    assert len(outcome.status["users"]) == 100
    assert "1000 models" in condition(outcome, "InUse")["message"]


def test_an_unused_claim_may_be_kept_for_a_while() -> None:
    patient = replace(SETTINGS, idle_after_s=300)
    first = sync_claim(a_claim(), Seen(pool=a_pool()), patient, NOW)
    assert first.action is None
    assert first.requeue_after_s == 300
    kept = sync_claim(a_claim(first.status), Seen(pool=a_pool()), patient, NOW + timedelta(seconds=299))
    assert kept.action is None
    over = sync_claim(a_claim(first.status), Seen(pool=a_pool()), patient, NOW + timedelta(seconds=301))
    assert over.action == DeleteClaim()


@pytest.mark.parametrize(("age_s", "poll_s"), [(0, 1.0), (60, 6.0), (3600, 10.0)])
def test_old_operations_are_looked_at_less_often(age_s: float, poll_s: float) -> None:
    assert outcome_of(operation=an_operation(Call.CREATE, age_s)).requeue_after_s == poll_s
