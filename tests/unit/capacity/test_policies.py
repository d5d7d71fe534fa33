"""Slices that are placed by a workload policy: what is asked of whom, in which order, and whose a policy is."""

from dataclasses import replace
from typing import Any

import pytest
from google.cloud import container_v1
from tests.support.claim_cases import CHAT, DELETED, NOW, SETTINGS, a_failure, a_finding, claim_body, policy_of, pool_of

from mistral_operator.api.claim import NodePoolClaim
from mistral_operator.capacity.claims.sync import sync_claim
from mistral_operator.capacity.claims.types import (
    Call,
    ClaimOutcome,
    CreatePolicy,
    CreatePool,
    DeletePolicy,
    DeletePool,
    RemoveFinalizer,
    Seen,
)
from mistral_operator.capacity.errors import CloudFinding
from mistral_operator.capacity.policies import (
    PolicyState,
    PolicyView,
    find_unclaimed_policies,
    is_own_policy,
    lost_claim,
    policy_spec,
)
from mistral_operator.capacity.pools import NodeFacts, differences, find_flaw, pool_spec
from mistral_operator.capacity.port import PoolView
from mistral_operator.capacity.provisioners.compute_policies import policy_body
from mistral_operator.capacity.provisioners.container_api import node_pool, pool_view

GROUP = "tpu7x-standard-4t-od-0123456789"
NAME = f"{GROUP}-0"
POOL = f"mm-{NAME}"
UID = "0a1b2c3d-0000-4000-8000-000000000000"
TERMS: dict[str, Any] = {
    "shape": {
        "machineType": "tpu7x-standard-4t",
        "accelerator": {"type": "tpu7x", "count": 4},
        "topology": "2x2x2",
        "hosts": 2,
    },
    "placement": "WorkloadPolicy",
    "model": "chat",
    "slice": {"group": GROUP, "number": 0},
}
PLACE = replace(SETTINGS.place, uid=UID)
SURE = replace(SETTINGS, place=PLACE)


def a_placed(**metadata: Any) -> NodePoolClaim:
    return NodePoolClaim.model_validate(claim_body(NAME, terms=TERMS, **metadata))


def a_policy(**changes: Any) -> PolicyView:
    """The claim's own."""
    return replace(policy_of(policy_spec(a_placed(), UID)), **changes)


def a_slice(**changes: Any) -> PoolView:
    spec = pool_spec(a_placed(), total_max=1, facts=NodeFacts(), cluster_uid=UID, zone="us-central1-a")
    return replace(pool_of(spec), **changes)


STRANGER = a_policy(description="ours, of team ring")
REBUILT = a_policy(description=policy_spec(a_placed(), "another-cluster").description)


def decide(claim: NodePoolClaim | None = None, **seen: Any) -> ClaimOutcome:
    return sync_claim(claim or a_placed(), Seen(**{"users": (CHAT,), **seen}), SURE, NOW)


def story(outcome: ClaimOutcome) -> tuple[str, str, str]:
    assert outcome.status is not None
    ready = next(found for found in outcome.status["conditions"] if found["type"] == "Ready")
    return outcome.status["state"], ready["reason"], ready["message"]


def test_compute_engine_is_asked_for_the_policy_and_gke_for_a_pool_that_names_it() -> None:
    """The body that Google's reference has, and the form of the pool that a live probe has seen accepted."""
    assert policy_body(policy_spec(a_placed(), UID)) == {
        "name": POOL,
        "description": (
            f"Made by mistral-operator for a NodePoolClaim: mistral-operator-claim={NAME}"
            f" mistral-operator-tenant=team mistral-operator-cluster={UID}"
        ),
        "workloadPolicy": {"type": "HIGH_THROUGHPUT", "acceleratorTopology": "2x2x2"},
    }
    facts = NodeFacts(boot_disk="hyperdisk-balanced")
    pool = node_pool(pool_spec(a_placed(), total_max=1, facts=facts, zone="us-central1-a"))
    assert container_v1.NodePool.PlacementPolicy.to_dict(pool.placement_policy) == {
        "type_": 0,
        "tpu_topology": "2x2x2",
        "policy_name": POOL,
    }
    assert (pool.initial_node_count, pool.config.disk_type) == (2, "hyperdisk-balanced")
    assert list(pool.config.accelerators) == []
    pool.placement_policy.policy_name = f"projects/p/regions/us-central1/resourcePolicies/{POOL}"
    assert differences(pool_view(pool), a_placed()) == ()
    pool.placement_policy.policy_name = "another"
    assert differences(pool_view(pool), a_placed()) == (f"workload policy is another, not {POOL}",)


@pytest.mark.parametrize(
    ("seen", "state", "reason", "action"),
    [
        ({}, "Provisioning", "PolicyCreating", CreatePolicy(policy_spec(a_placed(), UID))),
        ({"policy": a_policy(state=PolicyState.CREATING)}, "Provisioning", "PolicyCreating", None),
        ({"policy": a_policy(state=PolicyState.DELETING)}, "Provisioning", "PolicyDeleting", None),
        ({"policy": a_policy(topology="2x2x4")}, "Provisioning", "PolicyDiffers", DeletePolicy(POOL)),
        ({"policy": a_policy(type="HIGH_AVAILABILITY")}, "Provisioning", "PolicyDiffers", DeletePolicy(POOL)),
        ({"policy": a_policy(state=PolicyState.INVALID)}, "Provisioning", "PolicyDiffers", DeletePolicy(POOL)),
        ({"policy": STRANGER}, "Refused", "PolicyNameTaken", None),
        ({"policy": REBUILT}, "Refused", "PolicyNameTaken", None),
        ({"policy": a_finding("no", "PERMISSION_DENIED")}, "Pending", "PermissionDenied", None),
        (
            {"failures": (a_failure(Call.CREATE_POLICY, "no", code="PERMISSION_DENIED"),)},
            "Failed",
            "PermissionDenied",
            None,
        ),
        (
            {"failures": (a_failure(Call.CREATE_POLICY, "x", code="UNAVAILABLE"),)},
            "Provisioning",
            "CloudUnavailable",
            None,
        ),
    ],
)
def test_the_policy_comes_before_the_pool(seen: dict[str, Any], state: str, reason: str, action: object) -> None:
    outcome = decide(**seen)
    assert story(outcome)[:2] == (state, reason)
    assert outcome.action == action
    assert outcome.action or outcome.requeue_after_s, "somebody must look again"
    assert outcome.status is not None
    is_known = not isinstance(seen.get("policy"), CloudFinding)
    assert outcome.status.get("policyName") == (POOL if is_known else None)


def test_a_policy_that_is_there_is_used_and_the_pool_named_after_it() -> None:
    action = decide(policy=a_policy()).action
    assert isinstance(action, CreatePool)
    assert action.spec.placement_policy == POOL


@pytest.mark.parametrize(
    ("seen", "reason", "action"),
    [
        ({"policy": a_policy()}, "PolicyDeleting", DeletePolicy(POOL)),
        ({"policy": a_policy(topology="2x2x4")}, "PolicyDeleting", DeletePolicy(POOL)),
        ({"policy": a_policy(), "unheard_s": 30.0}, "Releasing", None),
        ({"policy": a_policy(state=PolicyState.DELETING)}, "PolicyDeleting", None),
        ({"policy": a_finding("down", "UNAVAILABLE")}, "CloudUnavailable", None),
        ({"policy": STRANGER}, "Released", RemoveFinalizer()),
        ({"policy": REBUILT}, "Released", RemoveFinalizer()),
        ({}, "Released", RemoveFinalizer()),
    ],
)
@pytest.mark.parametrize("users", [(), (CHAT,)])
def test_the_policy_goes_after_the_pool_and_before_the_claim(
    users: tuple[Any, ...], seen: dict[str, Any], reason: str, action: object
) -> None:
    outcome = decide(a_placed(**DELETED), users=users, **seen)
    assert story(outcome)[:2] == ("Releasing", reason)
    assert outcome.action == action
    assert outcome.action or outcome.requeue_after_s


def test_a_claim_whose_policy_may_never_be_looked_at_is_let_go_and_that_is_logged() -> None:
    denied = {"policy": a_finding("no", "PERMISSION_DENIED")}
    never = decide(**denied)
    claim = a_placed(**DELETED)
    gone = decide(claim.model_copy(update={"status": never.status}), users=(), **denied)
    assert isinstance(gone.action, RemoveFinalizer)
    assert f"workload policy {POOL} may not be looked at" in gone.action.warning
    seen_once = decide(policy=a_policy(state=PolicyState.CREATING))
    held = decide(claim.model_copy(update={"status": seen_once.status}), users=(), **denied)
    assert (held.action, story(held)[1]) == (None, "PermissionDenied")


def test_the_pool_goes_first() -> None:
    assert decide(a_placed(**DELETED), users=(), pool=a_slice()).action == DeletePool(POOL, cause=None)


def test_who_speaks_is_named_and_what_fixes_it() -> None:
    words = "Required 'compute.resourcePolicies.create' permission for 'projects/team-project'"
    message = story(decide(failures=(a_failure(Call.CREATE_POLICY, words, code="PERMISSION_DENIED"),)))[2]
    assert message.startswith(f'Compute Engine says: "{words}" Grant it to the operator\'s identity:')
    used = (
        f"The resource_policy resource '{POOL}' is already being used by 'projects/p/zones/z/instanceGroupManagers/x'"
    )
    claim = a_placed(**DELETED)
    refused = a_failure(Call.DELETE_POLICY, used, code="INVALID_ARGUMENT")
    told = decide(claim, users=(), policy=a_policy(), failures=(refused,))
    assert refused.finding.reason == "PolicyInUse"
    assert used in story(told)[2]
    told_stranger = story(decide(policy=STRANGER))[2]
    assert (
        f"gcloud compute resource-policies delete {POOL} --region us-central1 --project team-project" in told_stranger
    )


def test_a_claim_of_no_slice_has_no_policy() -> None:
    spec = {**TERMS, "slice": None}
    claim = NodePoolClaim.model_validate(claim_body(NAME, terms=spec))
    assert "places a slice" in find_flaw(claim)
    assert find_flaw(a_placed()) == ""


def test_a_policy_of_the_same_name_of_another_cluster_is_not_ours() -> None:
    assert is_own_policy(a_policy(), a_placed(), UID)
    assert is_own_policy(a_policy(), a_placed(), ""), "where the uid can't be read, the claim's name has to do"
    assert not is_own_policy(REBUILT, a_placed(), UID)
    assert not is_own_policy(STRANGER, a_placed(), UID)


@pytest.mark.parametrize(
    ("policy", "uid"),
    [
        (STRANGER, UID),
        (REBUILT, UID),
        (a_policy(), ""),
        (a_policy(name="mm-other"), UID),
        (a_policy(type=""), UID),
        (a_policy(state=PolicyState.CREATING), UID),
    ],
)
def test_only_what_is_surely_ours_can_have_lost_its_claim(policy: PolicyView, uid: str) -> None:
    assert lost_claim(policy, uid) == ""
    assert find_unclaimed_policies([policy], set(), [], uid) == ()


def test_a_policy_has_lost_its_claim_when_it_has_neither_claim_nor_pool() -> None:
    policy = a_policy()
    assert find_unclaimed_policies([policy], set(), [], UID) == (policy,)
    assert find_unclaimed_policies([policy], {NAME}, [], UID) == ()
    assert find_unclaimed_policies([policy], set(), [a_slice()], UID) == ()
