"""A stored plan is read back exactly, whatever is in it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mistral_operator.planning.serialize import PlanFormatError, plan_from_dict, plan_to_dict
from mistral_operator.planning.types import Plan, PlannedOption

MONEY = st.none() | st.decimals(min_value=0, max_value=10**7, allow_nan=False, allow_infinity=False)
SMALL = st.integers(0, 2**31 - 1)
BYTES = st.integers(0, 2**50)
OPTIONS = st.builds(
    PlannedOption,
    hourly_cost=MONEY,
    shm_bytes=BYTES,
    devices=SMALL,
    tensor_parallel=SMALL,
    pipeline_parallel=SMALL,
    context_length=SMALL,
    max_context_length=SMALL,
    max_concurrency=SMALL,
    kv_cache_tokens=SMALL,
    max_batched_tokens=SMALL,
)
PLANS = st.builds(Plan, weights_bytes=BYTES, options=st.lists(OPTIONS, min_size=1, max_size=3).map(tuple))


@given(PLANS)
def test_round_trip(plan: Plan) -> None:
    stored = json.loads(json.dumps(plan_to_dict(plan)))
    assert plan_from_dict(stored) == plan


@given(PLANS)
def test_money_and_bytes_are_texts(plan: Plan) -> None:
    data = plan_to_dict(plan)
    assert isinstance(data["weights_bytes"], str)
    for option in data["options"]:
        assert option["hourly_cost"] is None or isinstance(option["hourly_cost"], str)
        assert all(isinstance(value, str) for value in option["memory"].values())


@given(PLANS)
def test_a_record_without_newer_fields_is_read(plan: Plan) -> None:
    data = plan_to_dict(plan)
    for option in data["options"]:
        del option["notes"]
    assert all(option.notes == () for option in plan_from_dict(data).options)


@pytest.mark.parametrize("change", [{"options": None}, {"weights_bytes": "many"}, {"options": [{"name": "o"}]}])
def test_a_broken_record_is_told(change: dict[str, Any]) -> None:
    plan: dict[str, Any] = {
        "model_id": "m",
        "display_name": "M",
        "repository": "r",
        "revision": "",
        "served_name": "m",
        "engine_flags": [],
        "weights_bytes": "1",
        "license_id": "apache-2.0",
        "options": [],
        "refusals": [],
    }
    assert plan_from_dict(plan).model_id == "m"
    with pytest.raises(PlanFormatError, match="no plan that this version can read"):
        plan_from_dict(plan | change)


def test_what_only_a_newer_version_knows_is_left_aside() -> None:
    refusal = {"subject": "s", "reason": "R", "message": "m"}
    record: dict[str, Any] = {
        "model_id": "m",
        "display_name": "M",
        "repository": "r",
        "revision": "",
        "served_name": "m",
        "engine_flags": [],
        "weights_bytes": "1",
        "license_id": "apache-2.0",
        "options": [],
        "refusals": [refusal],
    }
    newer = {**record, "from_the_future": 1, "refusals": [{**refusal, "severity": "high"}]}
    assert plan_from_dict(newer) == plan_from_dict(record)
