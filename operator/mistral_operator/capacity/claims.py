"""What becomes of one NodePoolClaim: a chain of policies, the first that has an opinion decides. Pure.

A claim has one action at a time. The reconciler does it, looks again and asks again, so that a process that dies
anywhere in between finds its way back from what is there: the finalizer comes before the first call to the cloud, a
pool of our name and label is ours whoever created it, and nothing is let go before the cloud shows no pool.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, NamedTuple

from mistral_operator.api.claim import NodePoolClaim
from mistral_operator.api.names import CLAIM_FINALIZER, CLAIM_RESOURCE_LABEL
from mistral_operator.capacity import claim_status
from mistral_operator.capacity.advice import advise, cite
from mistral_operator.capacity.claim_line import WAITS_IN_LINE
from mistral_operator.capacity.claim_types import (
    Action,
    AddFinalizer,
    Call,
    ClaimOutcome,
    ClaimSettings,
    ClaimState,
    CreatePool,
    Decision,
    DeleteClaim,
    DeletePool,
    FailedCall,
    RemoveFinalizer,
    Seen,
    SetAutoscaling,
)
from mistral_operator.capacity.errors import CloudFinding
from mistral_operator.capacity.pools import differences, find_flaw, is_own, pool_name, pool_spec
from mistral_operator.capacity.port import Bounds, PoolStatus, PoolView
from mistral_operator.capacity.slice_zone import choose_zone

MOST_NODES: Final = 1000


class _Case(NamedTuple):
    claim: NodePoolClaim
    seen: Seen
    settings: ClaimSettings
    now: datetime

    @property
    def pool_name(self) -> str:
        return pool_name(self.claim.metadata.name)

    @property
    def deleting(self) -> bool:
        return self.claim.metadata.deletion_timestamp is not None

    @property
    def unused(self) -> bool:
        return not self.seen.users and not self.seen.held_by

    @property
    def desired_max(self) -> int:
        """GKE takes no upper bound of 0, and none above what a pool may have."""
        return min(MOST_NODES, max(1, sum(user.nodes for user in self.seen.users)))

    def failed(self, call: Call) -> FailedCall | None:
        """The failure of such a call that isn't to be repeated yet."""
        waiting = (failure for failure in self.seen.failures if failure.call is call and self.now < failure.retry_at)
        return next(waiting, None)

    @property
    def last_finding(self) -> CloudFinding | None:
        """What the cloud refused last, while the pool isn't as it should be."""
        return self.seen.failures[-1].finding if self.seen.failures else None


def sync_claim(claim: NodePoolClaim, seen: Seen, settings: ClaimSettings, now: datetime) -> ClaimOutcome:
    """The next action on a claim and its status. `now` is in UTC.

    An action that can't be done yet (a call that failed lately, too many operations under way) is not answered; the
    status says what it waits for, and `requeue_after_s` when to ask again.
    """
    if claim.metadata.deletion_timestamp is not None and CLAIM_FINALIZER not in claim.metadata.finalizers:
        return ClaimOutcome(action=None, status=None, requeue_after_s=None)
    case = _Case(claim, seen, settings, now)
    decision = next(found for policy in _POLICIES if (found := policy(case)) is not None)
    status = claim_status.build_status(claim, seen, decision, now=now)
    return ClaimOutcome(
        action=decision.action,
        status=status,
        requeue_after_s=decision.requeue_after_s,
        settled=decision.state is ClaimState.READY and decision.degraded is None,
    )


def _stay_blind(case: _Case) -> Decision | None:
    """Without an answer nothing is known: a pool that was ready still is, until the cloud says otherwise."""
    finding = case.seen.blind
    if finding is None:
        return None
    ready = claim_status.was_ready(case.claim)
    known = case.claim.status.get("state")
    state = ClaimState(known) if known in set(ClaimState) else ClaimState.PENDING
    words = f"GKE can't be asked about node pool {case.pool_name}. {_tell(finding, case)}"
    wait_s = case.settings.unsettled_s
    return Decision(state, finding.reason, words, ready=ready, degraded=finding, requeue_after_s=wait_s)


def _await_operation(case: _Case) -> Decision | None:
    """Nothing else is asked of a pool while it is worked on: GKE would refuse it."""
    operation = case.seen.operation
    if operation is None:
        return None
    poll_s = _poll_s(operation.view.started_at, case)
    told = f"{case.pool_name} (operation {operation.view.name})"
    failure = case.last_finding
    if operation.call is Call.CREATE:
        words = f"GKE is creating node pool {told}."
        return Decision(ClaimState.PROVISIONING, "PoolCreating", words, degraded=failure, requeue_after_s=poll_s)
    if operation.call is Call.DELETE:
        words = f"GKE is deleting node pool {told}."
        if failure and case.seen.users:
            words = f"{_tell(failure, case)} {words} It is made again after that."
            return Decision(ClaimState.FAILED, failure.reason, words, degraded=failure, requeue_after_s=poll_s)
        return Decision(ClaimState.RELEASING, "PoolDeleting", words, degraded=failure, requeue_after_s=poll_s)
    words = f"GKE is changing the bounds of node pool {told}."
    return Decision(ClaimState.RESIZING, "PoolResizing", words, ready=True, requeue_after_s=poll_s)


def _release(case: _Case) -> Decision | None:
    """Nobody needs the claim: delete it, then its pool, then let it go."""
    if not case.unused:
        return None
    if not case.deleting:
        return _retire(case)
    pool = case.seen.pool
    if pool is None or not is_own(pool, case.claim):
        return _let_go(case)
    if pool.status in (PoolStatus.STOPPING, PoolStatus.PROVISIONING, PoolStatus.RECONCILING):
        words = f"Waits until GKE is done with node pool {pool.name}, which is {pool.status}."
        return Decision(ClaimState.RELEASING, "Releasing", words, requeue_after_s=case.settings.unsettled_s)
    words = f"No model uses the claim any more; node pool {pool.name} is being deleted."
    return _call(case, Call.DELETE, DeletePool(pool.name, cause=None), ClaimState.RELEASING, "Releasing", words)


def _retire(case: _Case) -> Decision:
    wait_s = case.settings.idle_after_s - claim_status.unused_for_s(case.claim, now=case.now)
    if wait_s > 0:
        words = f"No model uses the claim; it is deleted with its node pool in {wait_s:.0f} s unless one comes."
        ready = case.seen.pool is not None and is_own(case.seen.pool, case.claim)
        return Decision(ClaimState.READY, "Unused", words, ready=ready, requeue_after_s=wait_s)
    words = "No model uses the claim any more; it is being deleted with its node pool."
    return Decision(ClaimState.RELEASING, "Releasing", words, action=DeleteClaim())


def _let_go(case: _Case) -> Decision:
    """Remove the finalizer, unless a create whose answer was lost may still bring a pool."""
    if case.seen.unheard_s > 0:
        words = "A call to create the node pool may have had no answer; waits to see whether it took effect."
        wait_s = min(case.seen.unheard_s, case.settings.slowest_poll_s)
        return Decision(ClaimState.RELEASING, "Releasing", words, requeue_after_s=wait_s)
    words = f"GKE has no node pool {case.pool_name} of this claim; the claim is let go."
    return Decision(ClaimState.RELEASING, "Released", words, action=RemoveFinalizer())


def _finish_deletion(case: _Case) -> Decision | None:
    """A deleted claim that is still used keeps its pool; once the pool is gone the claim goes and is made anew."""
    pool = case.seen.pool
    if case.deleting and (pool is None or not is_own(pool, case.claim)):
        return _let_go(case)
    return None


def _refuse_impossible(case: _Case) -> Decision | None:
    flaw = find_flaw(case.claim)
    return Decision(ClaimState.REFUSED, "InvalidClaim", flaw) if flaw else None


def _hold(case: _Case) -> Decision | None:
    if case.deleting or CLAIM_FINALIZER in case.claim.metadata.finalizers:
        return None
    return Decision(ClaimState.PENDING, "PoolPending", "The node pool is about to be created.", action=AddFinalizer())


def _refuse_stranger(case: _Case) -> Decision | None:
    pool = case.seen.pool
    if pool is None or is_own(pool, case.claim):
        return None
    owner = pool.resource_labels.get(CLAIM_RESOURCE_LABEL)
    whose = f"belongs to claim {owner}" if owner else "was not made by this operator"
    place = case.settings.place
    words = (
        f"Node pool {pool.name} exists and {whose} (it lacks the resource label {CLAIM_RESOURCE_LABEL}="
        f"{case.claim.metadata.name}), so it is left alone. Remove or rename it: `gcloud container node-pools delete"
        f" {pool.name} --cluster {place.cluster} --location {place.location} --project {place.project}`."
    )
    return Decision(ClaimState.REFUSED, "PoolNameTaken", words, requeue_after_s=case.settings.resync_s)


def _create(case: _Case) -> Decision | None:
    if case.seen.pool is not None:
        return None
    if not case.seen.users:
        held = ", ".join(case.seen.held_by[:3])
        words = f"No living model uses the claim, but {held} still names it; delete that revision to release the claim."
        return Decision(ClaimState.PENDING, "HeldByRevision", words, requeue_after_s=case.settings.unsettled_s)
    place, tenant = case.seen.place, case.claim.spec.tenant
    if place is not None:
        words = f"{place.tell(tenant)}. It is tried when its turn comes."
        wait_s, last = case.settings.unsettled_s, case.last_finding
        return Decision(ClaimState.PENDING, WAITS_IN_LINE, words, degraded=last, requeue_after_s=wait_s)
    uid, zone = case.settings.place.uid, choose_zone(case.claim, case.seen.failures)
    spec = pool_spec(case.claim, total_max=case.desired_max, facts=case.seen.facts, cluster_uid=uid, zone=zone)
    words = f"Node pool {spec.name} is about to be created."
    return _call(case, Call.CREATE, CreatePool(spec), ClaimState.PROVISIONING, "PoolCreating", words)


def _follow_provisioning(case: _Case) -> Decision | None:
    """A pool that is made or deleted without an operation that we know: an earlier process began it."""
    status = _pool(case).status
    if status in (PoolStatus.PROVISIONING, PoolStatus.UNKNOWN):
        words = f"GKE is creating node pool {case.pool_name}."
        return Decision(ClaimState.PROVISIONING, "PoolCreating", words, requeue_after_s=case.settings.unsettled_s)
    if status is PoolStatus.STOPPING:
        words = f"GKE is deleting node pool {case.pool_name}; it is made again after that while a model needs it."
        return Decision(ClaimState.RELEASING, "PoolDeleting", words, requeue_after_s=case.settings.unsettled_s)
    return None


def _replace_failed(case: _Case) -> Decision | None:
    """A failed pool without nodes serves nobody: delete it, and create it again after a while."""
    pool = _pool(case)
    if pool.status is not PoolStatus.ERROR:
        return None
    cause = _cause(pool, case)
    words = _tell(cause, case)
    if case.seen.nodes:
        words = f"{words} The pool is left as it is, because {case.seen.nodes} nodes of it are there."
        wait_s = case.settings.resync_s
        return Decision(ClaimState.FAILED, cause.reason, words, degraded=cause, requeue_after_s=wait_s)
    words = f"{words} Node pool {pool.name} is deleted and made again."
    return _call(case, Call.DELETE, DeletePool(pool.name, cause=cause), ClaimState.FAILED, cause.reason, words)


def _report_differences(case: _Case) -> Decision | None:
    found = differences(_pool(case), case.claim)
    if not found:
        return None
    place = case.settings.place
    words = (
        f"Node pool {case.pool_name} is not what the claim asks for: {'; '.join(found)}. It is left alone, because pods"
        f" may run there. Once they may go: `gcloud container node-pools delete {case.pool_name} --cluster"
        f" {place.cluster} --location {place.location} --project {place.project}`; it is made again then."
    )
    finding = CloudFinding("PoolDiffers", "; ".join(found), retryable=False, verbatim=False)
    return Decision(ClaimState.FAILED, "PoolDiffers", words, degraded=finding, requeue_after_s=case.settings.resync_s)


def _follow_pool(case: _Case) -> Decision:
    """A pool that can be used. Its bounds follow the users, and are put right when somebody else changed them."""
    pool = _pool(case)
    # One that is unhealthy now may still serve: say so and go on.
    unhealthy = _cause(pool, case) if pool.status is PoolStatus.RUNNING_WITH_ERROR else None
    wanted, is_slice = Bounds(total_min=0, total_max=case.desired_max), case.claim.spec.slice is not None
    if case.seen.users and not is_slice and pool.bounds != wanted and pool.status is not PoolStatus.RECONCILING:
        words = f"Node pool {pool.name} is about to get the bounds 0 to {wanted.total_max} nodes."
        action = SetAutoscaling(pool.name, wanted)
        return _call(case, Call.RESIZE, action, ClaimState.RESIZING, "PoolResizing", words, ready=True)
    words = _describe_pool(pool, case)
    if pool.status is PoolStatus.RECONCILING:
        words = f"GKE is working on node pool {pool.name}, an upgrade or a repair perhaps; it can be used meanwhile."
    if unhealthy:
        words = f"{words} {_tell(unhealthy, case)}"
    wait_s = case.settings.resync_s if pool.status is not PoolStatus.RECONCILING else case.settings.unsettled_s
    return Decision(ClaimState.READY, "PoolReady", words, ready=True, degraded=unhealthy, requeue_after_s=wait_s)


def _describe_pool(pool: PoolView, case: _Case) -> str:
    if case.claim.spec.slice is not None:
        hosts, topology = case.claim.spec.shape.hosts, case.claim.spec.shape.topology
        return f"Slice {pool.name} stands in {', '.join(pool.locations)}: {hosts} nodes, topology {topology}."
    bounds = f"0 to {pool.bounds.total_max} nodes" if pool.bounds else "a fixed size"
    return f"Node pool {pool.name} is there with {bounds}; the cluster autoscaler adds nodes when pods need them."


_POLICIES: Final[tuple[Callable[[_Case], Decision | None], ...]] = (
    _stay_blind,
    _await_operation,
    _release,
    _finish_deletion,
    _refuse_impossible,
    _hold,
    _refuse_stranger,
    _create,
    _follow_provisioning,
    _replace_failed,
    _report_differences,
    _follow_pool,
)


def _call(
    case: _Case, call: Call, action: Action, state: ClaimState, reason: str, message: str, *, ready: bool = False
) -> Decision:
    """The action, unless such a call failed a moment ago or others have to finish first."""
    failure = case.failed(call)
    if failure is not None:
        wait_s = (failure.retry_at - case.now).total_seconds()
        finding = failure.finding
        if not finding.retryable and call is Call.CREATE:
            state = ClaimState.FAILED
        told = f"{_tell(finding, case)} Tried again at {failure.retry_at:%H:%M:%S} UTC."
        told_reason = reason if ready else finding.reason
        return Decision(state, told_reason, told, ready=ready, degraded=finding, requeue_after_s=wait_s)
    last = case.last_finding
    if not case.seen.may_call:
        words = f"{message} It waits its turn: other operations on node pools of the cluster are under way."
        wait_s = case.settings.fastest_poll_s
        return Decision(state, "WaitsForTurn", words, ready=ready, degraded=last, requeue_after_s=wait_s)
    return Decision(state, reason, message, ready=ready, degraded=last, action=action)


def _cause(pool: PoolView, case: _Case) -> CloudFinding:
    """Why a pool failed: its own conditions, else its operation's error, else only that it failed."""
    known = [finding for finding in pool.findings if not finding.outcome_unknown]
    if known:
        return known[0]
    failed = [failure.finding for failure in case.seen.failures if failure.call is Call.CREATE]
    if failed and not failed[0].outcome_unknown:
        return failed[0]
    if pool.findings:
        return CloudFinding("PoolFailed", pool.findings[0].text, retryable=False)
    return CloudFinding(
        "PoolFailed", f"node pool {pool.name} has status {pool.status}", retryable=False, verbatim=False
    )


def _tell(finding: CloudFinding, case: _Case) -> str:
    return f"{cite(finding)} {advise(finding, case.settings.place)}".strip()


def _pool(case: _Case) -> PoolView:
    assert case.seen.pool is not None, "an earlier policy creates the pool or waits for it"
    return case.seen.pool


def _poll_s(started_at: str, case: _Case) -> float:
    """A tenth of the operation's age, within bounds: fresh ones are looked at often, slow ones rarely."""
    slowest, fastest = case.settings.slowest_poll_s, case.settings.fastest_poll_s
    try:
        started = datetime.fromisoformat(started_at)
    except ValueError:
        return fastest
    age_s = (case.now - (started if started.tzinfo else started.replace(tzinfo=UTC))).total_seconds()
    return min(slowest, max(fastest, age_s / 10))
