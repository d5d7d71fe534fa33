"""One claim at the moment of a decision, and the sentences and calls that all of its policies share. Pure."""

from datetime import datetime
from typing import Final, NamedTuple

from mistral_operator.api.claim import NodePoolClaim
from mistral_operator.capacity.advice import advise, cite
from mistral_operator.capacity.claims.policy_steps import SPEAKER
from mistral_operator.capacity.claims.slice_upgrades import choose_hold
from mistral_operator.capacity.claims.types import (
    Action,
    Call,
    ClaimSettings,
    ClaimState,
    Decision,
    FailedCall,
    Seen,
)
from mistral_operator.capacity.errors import CloudFinding
from mistral_operator.capacity.pools import name_pool, pool_name
from mistral_operator.capacity.port import Bounds, PoolView, UpgradeHold
from mistral_operator.capacity.purchases import is_class, word_purchases

MOST_NODES: Final = 1000
_SPEAKERS: Final = {Call.CREATE_POLICY: SPEAKER, Call.DELETE_POLICY: SPEAKER}
"""Who answers a call, where that isn't GKE."""


class Case(NamedTuple):
    claim: NodePoolClaim
    seen: Seen
    settings: ClaimSettings
    now: datetime

    @property
    def pool_name(self) -> str:
        return pool_name(self.claim.metadata.name)

    @property
    def thing(self) -> str:
        """What the claim asks for, in the middle of a sentence."""
        return name_pool(self.claim)

    @property
    def subject(self) -> str:
        """The same at its start."""
        return self.thing[:1].upper() + self.thing[1:]

    @property
    def pool(self) -> PoolView:
        """The pool that is there; an earlier policy creates it or waits for it."""
        assert self.seen.pool is not None, "an earlier policy creates the pool or waits for it"
        return self.seen.pool

    @property
    def bounds(self) -> Bounds:
        """The bounds that the users need of an ordinary pool."""
        return Bounds(total_min=0, total_max=self.desired_max)

    @property
    def hold(self) -> UpgradeHold | None:
        """What should keep GKE from upgrading the pool by itself; None where that isn't known."""
        return choose_hold(self.claim, self.seen.cluster, self.settings.slice_upgrades)

    @property
    def deleting(self) -> bool:
        return self.claim.metadata.deletion_timestamp is not None

    @property
    def unused(self) -> bool:
        return not self.seen.users and not self.seen.held_by

    @property
    def needed_max(self) -> int:
        """What the users may need at most. GKE takes no upper bound of 0, and none above what a pool may have."""
        return min(MOST_NODES, max(1, self.seen.nodes_for(sum(user.nodes for user in self.seen.users))))

    @property
    def desired_max(self) -> int:
        """The same, and as long as there are more nodes, as many as there are: pods may stand on them. A pool that has
        grown beyond its bounds, as in an upgrade, isn't allowed more for that.
        """
        pool, nodes = self.seen.pool, self.seen.nodes
        allowed = pool.bounds.total_max if pool and pool.bounds else MOST_NODES
        return max(self.needed_max, min(nodes, allowed) if pool else 0)

    def failed(self, call: Call) -> FailedCall | None:
        """The failure of such a call that isn't to be repeated yet."""
        waiting = (failure for failure in self.seen.failures if failure.call is call and self.now < failure.retry_at)
        return next(waiting, None)

    @property
    def last_finding(self) -> CloudFinding | None:
        """What the cloud refused last, while the pool isn't as it should be."""
        return self.seen.failures[-1].finding if self.seen.failures else None


def ask(
    case: Case, call: Call, action: Action, state: ClaimState, reason: str, message: str, *, ready: bool = False
) -> Decision:
    """The action, unless such a call failed a moment ago or others have to finish first."""
    failure = case.failed(call)
    if failure is not None:
        wait_s = (failure.retry_at - case.now).total_seconds()
        finding = failure.finding
        if not finding.retryable and call in (Call.CREATE, Call.CREATE_POLICY):
            state = ClaimState.FAILED
        told = f"{tell(finding, case, _SPEAKERS.get(call, 'GKE'))} Tried again at {failure.retry_at:%H:%M:%S} UTC."
        told_reason = reason if ready else finding.reason
        return Decision(state, told_reason, told, ready=ready, degraded=finding, requeue_after_s=wait_s)
    last = case.last_finding
    if not case.seen.may_call:
        words = f"{message} It waits its turn: other operations on node pools of the cluster are under way."
        wait_s = case.settings.fastest_poll_s
        return Decision(state, "WaitsForTurn", words, ready=ready, degraded=last, requeue_after_s=wait_s)
    return Decision(state, reason, message, ready=ready, degraded=last, action=action)


def tell(finding: CloudFinding, case: Case, speaker: str = "GKE") -> str:
    """The cloud's words, and what to do about them."""
    return f"{cite(finding, speaker)} {advise(finding, case.settings.place)}".strip()


def describe_pool(pool: PoolView, case: Case) -> str:
    """What stands there, in a sentence."""
    if case.claim.spec.slice is not None:
        hosts, topology = case.claim.spec.shape.hosts, case.claim.spec.shape.topology
        return f"Slice {pool.name} stands in {', '.join(pool.locations)}: {hosts} nodes, topology {topology}."
    if is_class(case.claim):
        ways = word_purchases(pool.purchases)
        return f"ComputeClass {pool.name} is there; GKE makes nodes when pods need them: {ways}."
    bounds = f"0 to {pool.bounds.total_max} nodes" if pool.bounds else "a fixed size"
    return f"Node pool {pool.name} is there with {bounds}; the cluster autoscaler adds nodes when pods need them."
