"""Which Events count: those of Config Connector, about the last making, and of before the pool was called ready."""

from typing import Any

import pytest

from mistral_operator.capacity.objects.node_pool_condition import read_status
from mistral_operator.capacity.objects.node_pool_events import CONTROLLER, find_failures
from mistral_operator.capacity.port import PoolStatus

STOCK_OUT = (
    "Update call failed: error applying desired state: summary: Error waiting for creating GKE NodePool:"
    " [GCE_STOCKOUT]: none, detail: "
)
READY_AT = "2026-11-23T12:10:00Z"


def an_object(ready_at: str = READY_AT, uid: str = "uid-1") -> dict[str, Any]:
    """A pool that Config Connector calls up to date since then."""
    condition = {"type": "Ready", "status": "True", "reason": "UpToDate", "lastTransitionTime": ready_at}
    return {"metadata": {"name": "pool", "uid": uid}, "status": {"conditions": [condition], "instanceGroupUrls": ["x"]}}


def an_event(reason: str, last: str, *, first: str = "", version: str = "1", **more: Any) -> dict[str, Any]:
    """Of Config Connector about that object; times are those of a day, such as `12:05:00`."""
    return {
        "metadata": {"creationTimestamp": f"2026-11-23T{first or last}Z", "resourceVersion": version},
        "involvedObject": {"uid": "uid-1"},
        "reason": reason,
        "message": STOCK_OUT if reason == "UpdateFailed" else "Update in progress",
        "lastTimestamp": f"2026-11-23T{last}Z",
        "source": {"component": CONTROLLER},
        "reportingComponent": CONTROLLER,
        **more,
    }


BEGUN, FAILED = an_event("Updating", "12:01:00"), an_event("UpdateFailed", "12:05:00")
BEGUN_AGAIN = an_event("Updating", "12:05:02", first="12:01:00")


def test_a_failed_pool_that_was_taken_over_is_failed() -> None:
    """Config Connector found the pool in status ERROR and had nothing to do, so it began nothing."""
    failures = find_failures([an_object()], [BEGUN, FAILED])
    assert failures == {"uid-1": STOCK_OUT}
    status, (finding,) = read_status(an_object(), age_s=1, failure_told=failures["uid-1"])
    assert (status, finding.reason) == (PoolStatus.ERROR, "StockedOut")


def test_a_pool_that_was_made_after_a_failure_is_no_failed_one() -> None:
    """The recorder counts up the first Event about the beginning, which so has a later time."""
    assert find_failures([an_object()], [FAILED, BEGUN_AGAIN]) == {}


def test_a_failure_of_the_last_making_counts_whatever_was_before() -> None:
    again = an_event("UpdateFailed", "12:09:00", first="12:05:00")
    assert find_failures([an_object()], [again, BEGUN_AGAIN]) == {"uid-1": STOCK_OUT}


@pytest.mark.parametrize(("begun", "failed", "expected"), [("9", "10", True), ("11", "10", False)])
def test_within_a_second_the_order_of_writes_tells(begun: str, failed: str, expected: bool) -> None:
    events = [an_event("UpdateFailed", "12:05:00", version=failed), an_event("Updating", "12:05:00", version=begun)]
    assert bool(find_failures([an_object()], events)) is expected


@pytest.mark.parametrize(
    "forged",
    [
        {"source": {"component": "somebody"}},
        {"source": {}, "reportingComponent": ""},
        {"reportingComponent": "somebody"},
        {"involvedObject": {"uid": "uid-2"}},
        {"involvedObject": {}},
        {"lastTimestamp": "2026-11-23T12:10:01Z"},
        {"metadata": {"creationTimestamp": "2026-11-23T12:10:01Z", "resourceVersion": "9"}},
        {"metadata": {}, "lastTimestamp": "soon"},
    ],
)
def test_an_event_of_somebody_else_says_nothing(forged: dict[str, Any]) -> None:
    """Neither that the pool failed, nor that it was made after it had."""
    if forged.get("lastTimestamp") != "soon":
        assert find_failures([an_object()], [{**FAILED, **forged}]) == {}
        assert find_failures([an_object()], [FAILED, {**BEGUN_AGAIN, **forged}]) == {"uid-1": STOCK_OUT}
    assert find_failures([an_object()], [{**BEGUN_AGAIN, **forged}, FAILED]) == {"uid-1": STOCK_OUT}


@pytest.mark.parametrize("named", [{"source": {"component": CONTROLLER}}, {"reportingComponent": CONTROLLER}])
def test_recorders_of_either_age_are_believed(named: dict[str, Any]) -> None:
    unnamed = {name: value for name, value in FAILED.items() if name not in ("source", "reportingComponent")}
    assert find_failures([an_object()], [{**unnamed, **named}]) == {"uid-1": STOCK_OUT}
