"""Claims of multi-host slices: what GKE is asked for, in which zone, and what is taken for one's own."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.support.claim_cases import GROUP, SETTINGS, SLICE_ZONES, USERS, a_slice, pool_of

from mistral_operator.api.claim import NodePoolClaim
from mistral_operator.api.names import CLAIM_LABEL, SHAPE_LABEL
from mistral_operator.capacity.claims.drift import find_drift
from mistral_operator.capacity.claims.slice_zone import choose_zone
from mistral_operator.capacity.claims.sync import sync_claim
from mistral_operator.capacity.claims.types import Call, ClaimOutcome, CreatePool, FailedCall, Seen
from mistral_operator.capacity.errors import CloudFinding
from mistral_operator.capacity.pools import NodeFacts, differences, is_surely_own, node_selector, pool_spec
from mistral_operator.capacity.port import PoolSpec, PoolStatus
from mistral_operator.capacity.provisioners.container_api import node_pool

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ZONES = SLICE_ZONES


def spec_of(claim: NodePoolClaim, zone: str = "us-central1-a") -> PoolSpec:
    return pool_spec(claim, total_max=1, facts=NodeFacts(), cluster_uid="c", zone=zone)


def decide(claim: NodePoolClaim, **seen: Any) -> ClaimOutcome:
    return sync_claim(claim, Seen(users=USERS, **seen), SETTINGS, NOW)


def failed(zone: str, reason: str = "StockedOut") -> FailedCall:
    return FailedCall(Call.CREATE, CloudFinding(reason, "no", retryable=False), NOW, zone=zone)


def test_gke_is_asked_for_a_whole_slice_in_one_zone() -> None:
    message = node_pool(spec_of(a_slice()))
    assert message.initial_node_count == 4
    assert list(message.locations) == ["us-central1-a"]
    assert message.placement_policy.tpu_topology == "4x4"
    assert message.placement_policy.type_.name == "COMPACT"
    assert not message.autoscaling.enabled
    assert list(message.config.accelerators) == []
    assert message.upgrade_settings.max_surge == 0
    assert dict(message.config.labels) == {SHAPE_LABEL: GROUP, CLAIM_LABEL: f"{GROUP}-0"}
    assert node_selector(a_slice()) == f"{CLAIM_LABEL}={GROUP}-0"


def test_a_single_host_pool_names_neither_chips_nor_topology() -> None:
    claim = a_slice().model_copy(deep=True)
    shape = claim.spec.shape.model_copy(update={"topology": "2x2", "hosts": None})
    ordinary = claim.model_copy(update={"spec": claim.spec.model_copy(update={"shape": shape, "slice": None})})
    message = node_pool(pool_spec(ordinary, total_max=3, facts=NodeFacts()))
    assert list(message.config.accelerators) == []
    assert message.placement_policy.tpu_topology == ""
    assert (message.initial_node_count, message.autoscaling.total_max_node_count) == (0, 3)


@pytest.mark.parametrize(
    ("number", "status", "failures", "zone"),
    [
        (0, {}, (), ZONES[0]),
        (1, {}, (), ZONES[1]),
        (4, {}, (), ZONES[1]),
        (0, {"zone": ZONES[2]}, (), ZONES[2]),
        (0, {}, (failed(ZONES[0]),), ZONES[1]),
        (0, {"zone": ZONES[0]}, (failed(ZONES[2]),), ZONES[0]),
        (0, {}, (failed(ZONES[1], "QuotaExceeded"),), ZONES[2]),
        (0, {}, (failed(ZONES[1], "ReservationNotFound"),), ZONES[2]),
        (0, {}, (failed(ZONES[1], "ReservationNotReady"),), ZONES[1]),
        (0, {}, (failed(ZONES[1], "ClusterBusy"),), ZONES[1]),
        (0, {"zone": "us-east5-a"}, (), ZONES[0]),
    ],
)
def test_the_next_zone_is_tried_when_one_has_nothing(
    number: int, status: dict[str, Any], failures: tuple[FailedCall, ...], zone: str
) -> None:
    claim = a_slice(number, **status)
    assert choose_zone(claim, failures) == zone
    outcome = decide(claim, failures=failures)
    assert isinstance(outcome.action, CreatePool)
    assert outcome.action.spec.locations == (zone,)


def test_one_zone_is_tried_again() -> None:
    assert choose_zone(a_slice(zones=ZONES[:1]), (failed(ZONES[0]),)) == ZONES[0]


def test_a_slice_that_stands_is_ready_whole_and_never_resized() -> None:
    claim = a_slice()
    outcome = decide(claim, pool=pool_of(spec_of(claim), PoolStatus.RUNNING), nodes=4)
    assert outcome.action is None
    assert outcome.status is not None
    assert outcome.status["zone"] == "us-central1-a"
    assert outcome.status["nodes"] == {"desiredMax": 4, "current": 4}
    ready = next(c for c in outcome.status["conditions"] if c["type"] == "Ready")
    assert (ready["status"], "4 nodes, topology 4x4" in ready["message"]) == ("True", True)


def test_a_slice_of_another_topology_or_place_is_told_and_left_alone() -> None:
    claim = a_slice()
    stands = pool_of(spec_of(claim), PoolStatus.RUNNING)
    assert differences(stands, claim) == ()
    assert differences(replace(stands, slice_topology="2x4"), claim) == ("topology is 2x4, not 4x4",)
    assert "zones" in differences(replace(stands, locations=("europe-west4-a",)), claim)[0]
    unnumbered = replace(stands, node_labels={SHAPE_LABEL: GROUP})
    assert [drift.finding for drift in find_drift(unnumbered, claim)] == ["NodeLabelsChanged"]


def test_a_slice_that_lost_its_claim_is_known_by_its_labels() -> None:
    claim = a_slice(2)
    stands = pool_of(spec_of(claim, "us-central1-c"), PoolStatus.RUNNING)
    assert is_surely_own(stands, claim.metadata.name, "c")
    assert not is_surely_own(stands, claim.metadata.name, "another cluster")
    assert not is_surely_own(replace(stands, slice_topology="2x4"), claim.metadata.name, "c")
    assert not is_surely_own(stands, f"{GROUP}-1", "c")
