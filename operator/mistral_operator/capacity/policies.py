"""Workload policies of Compute Engine, by which alone GKE places some slices: the port to them, and whose one is. Pure.

A claim that needs one has its own, of its node pool's name: made before the pool and deleted after it. A policy has no
labels, so who made it stands in its description.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from mistral_operator.api.claim import NodePoolClaim
from mistral_operator.api.names import CLAIM_RESOURCE_LABEL, CLUSTER_RESOURCE_LABEL, TENANT_RESOURCE_LABEL
from mistral_operator.capacity.pools import pool_name
from mistral_operator.capacity.port import PoolView

HIGH_THROUGHPUT: Final = "HIGH_THROUGHPUT"
"""Compute Engine's word for machines that are wired together; the other one spreads them."""
_MARK: Final = re.compile(r"(?P<key>mistral-operator-[a-z]+)=(?P<value>[a-z0-9-]+)")


class PolicyState(StrEnum):
    """Compute Engine's status of a resource policy."""

    CREATING = "CREATING"
    READY = "READY"
    DELETING = "DELETING"
    EXPIRED = "EXPIRED"
    INVALID = "INVALID"


@dataclass(frozen=True, slots=True)
class PolicySpec:
    """A workload policy to create, in the cluster's region."""

    name: str
    topology: str
    """Of the accelerators, such as `2x2x2`."""
    description: str


@dataclass(frozen=True, slots=True)
class PolicyView:
    """A resource policy as the cloud has it."""

    name: str
    state: PolicyState
    type: str
    """Of a workload policy; empty for a resource policy of another kind."""
    topology: str
    description: str

    @property
    def marks(self) -> Mapping[str, str]:
        """What the description says of who made it; empty for somebody else's."""
        return {found["key"]: found["value"] for found in _MARK.finditer(self.description)}


class WorkloadPolicies(Protocol):
    """Resource policies of one region. Each call has a deadline and is tried once; failures are `CloudError`s."""

    async def list_policies(self) -> tuple[PolicyView, ...]:
        """All resource policies of the region, ours and others'."""
        ...

    async def find_policy(self, name: str) -> PolicyView | None:
        """The one of that name, whosever it is."""
        ...

    async def create_policy(self, spec: PolicySpec) -> None:
        """Create one and wait for it, some seconds; `AlreadyExistsError` when the name is taken, by whomever."""
        ...

    async def delete_policy(self, name: str) -> None:
        """Delete one and wait for it; `NotFoundError` when it is gone, `InUseError` while something is placed by it."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


def needs_policy(claim: NodePoolClaim) -> bool:
    """Whether the claim's pool is placed by a workload policy."""
    return claim.spec.placement is not None


def policy_spec(claim: NodePoolClaim, cluster_uid: str) -> PolicySpec:
    """The policy to create for a claim that needs one. An unknown cluster's uid is left out."""
    marks = {CLAIM_RESOURCE_LABEL: claim.metadata.name, TENANT_RESOURCE_LABEL: claim.spec.tenant}
    if cluster_uid:
        marks[CLUSTER_RESOURCE_LABEL] = cluster_uid
    written = " ".join(f"{key}={value}" for key, value in marks.items())
    return PolicySpec(
        name=pool_name(claim.metadata.name),
        topology=claim.spec.shape.topology or "",
        description=f"Made by mistral-operator for a NodePoolClaim: {written}",
    )


def is_own_policy(policy: PolicyView, claim: NodePoolClaim, cluster_uid: str) -> bool:
    """True when the policy was made for this claim, be it by an earlier life of it or of the operator.

    A region may have several clusters whose claims have the same name, as it is a hash of what is asked for; one that
    names another cluster is that one's.
    """
    cluster = policy.marks.get(CLUSTER_RESOURCE_LABEL, "")
    foreign = bool(cluster and cluster_uid and cluster != cluster_uid)
    return policy.marks.get(CLAIM_RESOURCE_LABEL) == claim.metadata.name and not foreign


def differs(policy: PolicyView, claim: NodePoolClaim) -> bool:
    """Whether a policy places machines otherwise than the claim asks, or can't be used at all."""
    usable = policy.state not in (PolicyState.EXPIRED, PolicyState.INVALID)
    return not usable or (policy.type, policy.topology) != (HIGH_THROUGHPUT, claim.spec.shape.topology)


def find_unclaimed_policies(
    policies: Iterable[PolicyView], claims: Collection[str], pools: Iterable[PoolView], cluster_uid: str
) -> tuple[PolicyView, ...]:
    """Those that this cluster's operator surely made for a claim that isn't among `claims` and has no pool either.

    By name. Without the cluster's uid nothing is sure.
    """
    placing = {pool.placement_policy or pool.name for pool in pools}
    return tuple(
        sorted(
            (
                policy
                for policy in policies
                if (claim := lost_claim(policy, cluster_uid)) and claim not in claims and policy.name not in placing
            ),
            key=lambda policy: policy.name,
        )
    )


def lost_claim(policy: PolicyView, cluster_uid: str) -> str:
    """The claim for which this cluster's operator surely made the policy; empty where that isn't sure."""
    marks = policy.marks
    claim = marks.get(CLAIM_RESOURCE_LABEL, "")
    sure = (
        bool(cluster_uid and claim and marks.get(TENANT_RESOURCE_LABEL))
        and marks.get(CLUSTER_RESOURCE_LABEL) == cluster_uid
        and policy.name == pool_name(claim)
        and policy.type == HIGH_THROUGHPUT
        and policy.state is PolicyState.READY
    )
    return claim if sure else ""
