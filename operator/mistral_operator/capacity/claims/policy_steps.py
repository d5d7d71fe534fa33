"""What a claim does about its workload policy, before its node pool is made and after it has gone. Pure."""

from dataclasses import dataclass
from typing import Final

from mistral_operator.api.claim import NodePoolClaim
from mistral_operator.capacity.advice import ClusterPlace, advise, cite
from mistral_operator.capacity.claims.types import Action, Call, ClaimState, CreatePolicy, DeletePolicy, Seen
from mistral_operator.capacity.errors import CloudFinding
from mistral_operator.capacity.policies import (
    PolicyState,
    PolicyView,
    differs,
    is_own_policy,
    needs_policy,
    policy_spec,
)
from mistral_operator.capacity.pools import pool_name

SPEAKER = "Compute Engine"
_DENIED: Final = "PermissionDenied"


@dataclass(frozen=True, slots=True)
class PolicyStep:
    """What is found about the policy. Without an action it is waited for, or for a person where `refused`."""

    state: ClaimState
    reason: str
    message: str
    action: Action | None = None
    call: Call | None = None
    """What the action asks of the cloud."""
    finding: CloudFinding | None = None
    """The cloud's refusal to tell."""
    refused: bool = False


def prepare(claim: NodePoolClaim, seen: Seen, place: ClusterPlace) -> PolicyStep | None:
    """What has to happen before the pool can be made; None when nothing has to."""
    if not needs_policy(claim):
        return None
    spec, found = policy_spec(claim, place.uid), seen.policy
    if isinstance(found, CloudFinding):
        return _blind(found, ClaimState.PENDING, spec.name, place)
    if found is None:
        words = f"Workload policy {spec.name} is about to be created, by which GKE places the slice."
        create = CreatePolicy(spec)
        return PolicyStep(ClaimState.PROVISIONING, "PolicyCreating", words, create, Call.CREATE_POLICY)
    if not is_own_policy(found, claim, place.uid):
        return PolicyStep(ClaimState.REFUSED, "PolicyNameTaken", _tell_stranger(found, place), refused=True)
    if found.state is PolicyState.CREATING:
        words = f"{SPEAKER} is creating workload policy {found.name}; the node pool comes after it."
        return PolicyStep(ClaimState.PROVISIONING, "PolicyCreating", words)
    if found.state is PolicyState.DELETING:
        words = f"{SPEAKER} is deleting workload policy {found.name}; it is made again after that."
        return PolicyStep(ClaimState.PROVISIONING, "PolicyDeleting", words)
    if differs(found, claim):
        words = (
            f"Workload policy {found.name} is {found.state}, {found.type or 'no workload policy'} with topology"
            f" {found.topology or 'none'}, not what the claim asks for; it is deleted and made again."
        )
        delete = DeletePolicy(found.name)
        return PolicyStep(ClaimState.PROVISIONING, "PolicyDiffers", words, delete, Call.DELETE_POLICY)
    return None


def dispose(claim: NodePoolClaim, seen: Seen, place: ClusterPlace) -> PolicyStep | None:
    """What has to happen once the pool has gone, before the claim may; None when no policy of ours is left."""
    if not needs_policy(claim):
        return None
    name, found = pool_name(claim.metadata.name), seen.policy
    if isinstance(found, CloudFinding):
        return None if is_surely_absent(claim, found) else _blind(found, ClaimState.RELEASING, name, place)
    if found is None or not is_own_policy(found, claim, place.uid):
        return None
    if found.state in (PolicyState.CREATING, PolicyState.DELETING):
        words = f"Waits until {SPEAKER} is done with workload policy {name}, which is {found.state}."
        return PolicyStep(ClaimState.RELEASING, "PolicyDeleting", words)
    words = f"The node pool has gone; workload policy {name} is being deleted."
    return PolicyStep(ClaimState.RELEASING, "PolicyDeleting", words, DeletePolicy(name), Call.DELETE_POLICY)


def is_surely_absent(claim: NodePoolClaim, found: PolicyView | CloudFinding | None) -> bool:
    """Whether the policy may not be looked at and never could be: then none was made for the claim either."""
    denied = isinstance(found, CloudFinding) and found.reason == _DENIED
    return denied and "policyName" not in claim.status


def _blind(finding: CloudFinding, state: ClaimState, name: str, place: ClusterPlace) -> PolicyStep:
    told = f"{cite(finding, SPEAKER)} {advise(finding, place)}".strip()
    words = f"{SPEAKER} can't be asked about workload policy {name}. {told}"
    return PolicyStep(state, finding.reason, words, finding=finding)


def _tell_stranger(policy: PolicyView, place: ClusterPlace) -> str:
    return (
        f"Resource policy {policy.name} exists in {place.region} and was not made for this claim (its description says"
        f" {policy.description[:200] or 'nothing'!r}), so it is left alone. Remove it if nobody needs it: `gcloud"
        f" compute resource-policies delete {policy.name} --region {place.region} --project {place.project}`."
    )
