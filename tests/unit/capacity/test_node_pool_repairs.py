"""What puts an object of Config Connector's right that somebody edited: as a patch, and in the pool behind it."""

from typing import Any

import jsonschema
import pytest
from tests.support.claim_cases import NAME, POOL, a_claim, bounds
from tests.support.config_connector import NAMESPACE, PLACE, SPEC, Stack, merge, read_schema, running_config_connector
from tests.support.polling import eventually

from mistral_operator.api.names import CLAIM_RESOURCE_LABEL, SHAPE_LABEL, TENANT_RESOURCE_LABEL
from mistral_operator.capacity.drift import find_drift
from mistral_operator.capacity.node_pool_object import node_pool_object, pool_view
from mistral_operator.capacity.node_pool_repairs import MENDS, mend_patch
from mistral_operator.capacity.port import (
    Mend,
    PoolStatus,
    SetExclusion,
    SetNodeLabels,
    SetSize,
    SetVersion,
    StopAutoscaling,
)
from mistral_operator.cluster.kinds import CONTAINER_NODE_POOL

TAINT = {"key": "team.example/mine", "value": "", "effect": "NO_EXECUTE"}
GOOGLES = {"key": "nvidia.com/gpu", "value": "present", "effect": "NO_SCHEDULE"}
EDITS: list[dict[str, Any]] = [
    {"nodeConfig": {"labels": {SHAPE_LABEL: None, "team": "a"}}},
    {"nodeConfig": {"taint": [GOOGLES, TAINT]}},
    {"nodeConfig": {"resourceLabels": {TENANT_RESOURCE_LABEL: "somebody", "cost": "x"}}},
    {"management": None},
    {"upgradeSettings": {"maxSurge": 0, "maxUnavailable": 2}},
    {"upgradeSettings": {"strategy": "BLUE_GREEN", "blueGreenSettings": {"nodePoolSoakDuration": "60s"}}},
]


def an_object() -> dict[str, Any]:
    """As the operator makes it."""
    body = node_pool_object(SPEC, PLACE)
    return {**body, "metadata": {**body["metadata"], "uid": "uid-1"}}


def mends_of(body: dict[str, Any]) -> list[Mend]:
    """What the claim's policies would have put right of it."""
    found = find_drift(pool_view(body, age_s=1), a_claim(), cluster_uid="uid-1")
    return [drift.mend for drift in found if drift.mend is not None]


def test_an_object_that_nobody_edited_has_no_drift() -> None:
    assert mends_of(an_object()) == []


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: str(edit)[:40])
def test_each_edit_is_put_right_by_one_patch(edit: dict[str, Any]) -> None:
    edited = merge(an_object(), {"spec": edit})
    (mend,) = mends_of(edited)
    assert type(mend) in MENDS
    mended = merge(edited, {"spec": mend_patch(mend)})
    assert mends_of(mended) == []
    jsonschema.validate(mended["spec"], read_schema("containernodepools")["properties"]["spec"])


def test_what_others_put_beside_ours_stays() -> None:
    edited = an_object()
    for edit in EDITS[:3]:
        edited = merge(edited, {"spec": edit})
    for mend in mends_of(edited):
        edited = merge(edited, {"spec": mend_patch(mend)})
    config = edited["spec"]["nodeConfig"]
    assert config["labels"] == {**an_object()["spec"]["nodeConfig"]["labels"], "team": "a"}
    assert config["taint"] == [GOOGLES]
    assert config["resourceLabels"]["cost"] == "x"
    assert config["resourceLabels"][CLAIM_RESOURCE_LABEL] == NAME


def test_a_slice_is_taken_from_the_autoscaler() -> None:
    assert merge(an_object(), {"spec": mend_patch(StopAutoscaling())})["spec"].get("autoscaling") is None


@pytest.mark.parametrize("mend", [SetSize(4), SetVersion("1.36.0"), SetExclusion(on=True)])
def test_what_the_schema_has_no_place_for_is_not_offered(mend: Mend) -> None:
    assert type(mend) not in MENDS
    with pytest.raises(ValueError, match="is none of"):
        mend_patch(mend)


async def test_an_edit_that_config_connector_refused_is_taken_back_and_holds_up_no_bounds_any_more() -> None:
    """Node labels can't be changed in a pool's life, so the pool has them still: only the object lost them."""
    async with running_config_connector() as stack:
        await stack.make(SPEC)
        edit = {"spec": {"nodeConfig": {"labels": {SHAPE_LABEL: "other"}}}}
        await stack.objects.merge_patch(CONTAINER_NODE_POOL, POOL, NAMESPACE, edit)
        await eventually(lambda: _has_status(stack, PoolStatus.RUNNING_WITH_ERROR), message="the edit is refused")
        refused = await stack.ended(await stack.pools.set_autoscaling(POOL, bounds(5)))
        assert refused.finding is not None
        mended = await stack.ended(await stack.pools.mend_pool(POOL, SetNodeLabels(SPEC.node_labels)))
        assert mended.finding is None
        assert await _has_status(stack, PoolStatus.RUNNING)
        made = await stack.gke.pool(POOL)
        assert dict(made.config.labels) == SPEC.node_labels
        assert made.autoscaling.total_max_node_count == 5


async def _has_status(stack: Stack, status: PoolStatus) -> bool:
    pool = await stack.find(POOL)
    return pool is not None and pool.status is status
