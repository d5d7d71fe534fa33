"""What becomes of one NodePoolClaim: a chain of policies, the first that has an opinion decides. Pure.

A claim has one action at a time. The reconciler does it, looks again and asks again, so that a process that dies
anywhere in between finds its way back from what is there: the finalizer comes before the first call to the cloud, a
pool of our name and label is ours whoever created it, and nothing is let go before the cloud shows no pool.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Final

from mistral_operator.api.capacity import Provisioner
from mistral_operator.api.claim import NodePoolClaim
from mistral_operator.api.names import CLAIM_FINALIZER, CLAIM_RESOURCE_LABEL
from mistral_operator.api.times import read_time
from mistral_operator.capacity.claims import drift_steps, policy_steps, upgrade_steps
from mistral_operator.capacity.claims import status as claim_status
from mistral_operator.capacity.claims.case import Case, ask, describe_pool, tell
from mistral_operator.capacity.claims.drift import Done, DriftNote
from mistral_operator.capacity.claims.line import WAITS_IN_LINE
from mistral_operator.capacity.claims.policy_steps import PolicyStep
from mistral_operator.capacity.claims.slice_zone import choose_zone
from mistral_operator.capacity.claims.types import (
    AddFinalizer,
    Call,
    ClaimOutcome,
    ClaimSettings,
    ClaimState,
    CreatePool,
    Decision,
    DeleteClaim,
    DeletePool,
    RemoveFinalizer,
    Seen,
)
from mistral_operator.capacity.errors import CloudFinding
from mistral_operator.capacity.pools import command_to_delete, find_flaw, is_own, pool_spec
from mistral_operator.capacity.port import PoolStatus, PoolView, UpgradeHold
from mistral_operator.capacity.purchases import is_class


def sync_claim(claim: NodePoolClaim, seen: Seen, settings: ClaimSettings, now: datetime) -> ClaimOutcome:
    """The next action on a claim and its status. `now` is in UTC.

    An action that can't be done yet (a call that failed lately, too many operations under way) is not answered; the
    status says what it waits for, and `requeue_after_s` when to ask again.
    """
    if claim.metadata.deletion_timestamp is not None and CLAIM_FINALIZER not in claim.metadata.finalizers:
        return ClaimOutcome(action=None, status=None, requeue_after_s=None)
    case = Case(claim, seen, settings, now)
    decision = next(found for policy in _POLICIES if (found := policy(case)) is not None)
    decision = replace(decision, notes=tuple(note for note in decision.notes if note not in seen.notes))
    status = claim_status.build_status(claim, seen, decision, now=now)
    return ClaimOutcome(
        action=decision.action,
        status=status,
        requeue_after_s=decision.requeue_after_s,
        settled=decision.state is ClaimState.READY and decision.degraded is None,
        notes=decision.notes,
    )


def _stay_blind(case: Case) -> Decision | None:
    """Without an answer nothing is known: a pool that was ready still is, until the cloud says otherwise."""
    finding = case.seen.blind
    if finding is None:
        return None
    ready = claim_status.was_ready(case.claim)
    known = case.claim.status.get("state")
    state = ClaimState(known) if known in set(ClaimState) else ClaimState.PENDING
    words = f"GKE can't be asked about {case.thing}. {tell(finding, case)}"
    wait_s = case.settings.unsettled_s
    return Decision(state, finding.reason, words, ready=ready, degraded=finding, requeue_after_s=wait_s)


def _await_operation(case: Case) -> Decision | None:
    """Nothing else is asked of a pool while it is worked on: GKE would refuse it."""
    operation = case.seen.operation
    if operation is None:
        return None
    poll_s = _poll_s(operation.view.started_at, case)
    told = f"{case.thing} (operation {operation.view.name})"
    failure = case.last_finding
    if operation.call is Call.CREATE:
        words = f"GKE is creating {told}."
        failure = failure or operation.view.obstacle
        if operation.view.obstacle:
            words = f"{words} {tell(operation.view.obstacle, case)}"
        return Decision(ClaimState.PROVISIONING, "PoolCreating", words, degraded=failure, requeue_after_s=poll_s)
    if operation.call is Call.DELETE:
        words = f"GKE is deleting {told}."
        if failure and case.seen.users:
            words = f"{tell(failure, case)} {words} It is made again after that."
            return Decision(ClaimState.FAILED, failure.reason, words, degraded=failure, requeue_after_s=poll_s)
        return Decision(ClaimState.RELEASING, "PoolDeleting", words, degraded=failure, requeue_after_s=poll_s)
    if operation.call is Call.RESIZE:
        words = f"GKE is changing the bounds of {told}."
        return Decision(ClaimState.RESIZING, "PoolResizing", words, ready=True, requeue_after_s=poll_s)
    ready = claim_status.was_ready(case.claim)
    if operation.call is Call.UPGRADE:
        words = f"GKE is upgrading {told}; no other slice of the model is upgraded meanwhile."
        return Decision(ClaimState.UPGRADING, "SliceUpgrading", words, ready=ready, requeue_after_s=poll_s)
    words = f"GKE is putting right {told}."
    return Decision(ClaimState.REPAIRING, "PoolRepairing", words, ready=ready, degraded=failure, requeue_after_s=poll_s)


def _release(case: Case) -> Decision | None:
    """Nobody needs the claim: delete it, then its pool, then let it go."""
    if not case.unused:
        return None
    if not case.deleting:
        return _retire(case)
    pool = case.seen.pool
    if pool is None or not is_own(pool, case.claim):
        return _let_go(case)
    if pool.status in _BUSY and not _is_object_to_make(pool, case):
        words = f"Waits until GKE is done with {case.thing}, which is {pool.status}."
        return Decision(ClaimState.RELEASING, "Releasing", words, requeue_after_s=case.settings.unsettled_s)
    if is_class(case.claim) and case.seen.nodes:
        return _await_empty_nodes(pool, case)
    words = f"No model uses the claim any more; {case.thing} is being deleted."
    return ask(case, Call.DELETE, DeletePool(pool.name, None, pool.uid), ClaimState.RELEASING, "Releasing", words)


def _is_object_to_make(pool: PoolView, case: Case) -> bool:
    """An object needs no quiet pool: Config Connector does as it is told once it can, and may never come to make it."""
    by_object = case.claim.spec.provisioner is Provisioner.CONFIG_CONNECTOR
    return by_object and pool.status is PoolStatus.PROVISIONING


def _await_empty_nodes(pool: PoolView, case: Case) -> Decision:
    """Without its class nobody would see that a node of it is still paid for."""
    count = case.seen.nodes
    words = (
        f"No model uses the claim any more. ComputeClass {pool.name} still has {count} node{'' if count == 1 else 's'},"
        " which GKE removes about 10 minutes after the last pod has gone; the class is deleted then."
    )
    return Decision(ClaimState.RELEASING, "NodesRemain", words, requeue_after_s=case.settings.unsettled_s)


def _retire(case: Case) -> Decision:
    wait_s = case.settings.idle_after_s - claim_status.unused_for_s(case.claim, now=case.now)
    if wait_s > 0:
        words = f"No model uses the claim; it is deleted with its node pool in {wait_s:.0f} s unless one comes."
        ready = case.seen.pool is not None and is_own(case.seen.pool, case.claim)
        return Decision(ClaimState.READY, "Unused", words, ready=ready, requeue_after_s=wait_s)
    words = "No model uses the claim any more; it is being deleted with its node pool."
    return Decision(ClaimState.RELEASING, "Releasing", words, action=DeleteClaim())


def _let_go(case: Case) -> Decision:
    """Remove the finalizer, unless a create whose answer was lost may still bring a pool, or its policy is there."""
    if case.seen.unheard_s > 0:
        words = "A call to create the node pool may have had no answer; waits to see whether it took effect."
        wait_s = min(case.seen.unheard_s, case.settings.slowest_poll_s)
        return Decision(ClaimState.RELEASING, "Releasing", words, requeue_after_s=wait_s)
    if step := policy_steps.dispose(case.claim, case.seen, case.settings.place):
        return _take(case, step)
    words = f"GKE has no {case.thing} of this claim; the claim is let go."
    warning = ""
    if policy_steps.is_surely_absent(case.claim, case.seen.policy):
        warning = f"workload policy {case.pool_name} may not be looked at; none was made as far as the claim knows"
    return Decision(ClaimState.RELEASING, "Released", words, action=RemoveFinalizer(warning))


def _finish_deletion(case: Case) -> Decision | None:
    """A deleted claim that is still used keeps its pool; once the pool is gone the claim goes and is made anew."""
    pool = case.seen.pool
    if case.deleting and (pool is None or not is_own(pool, case.claim)):
        return _let_go(case)
    return None


def _refuse_impossible(case: Case) -> Decision | None:
    flaw = find_flaw(case.claim)
    return Decision(ClaimState.REFUSED, "InvalidClaim", flaw) if flaw else None


def _hold(case: Case) -> Decision | None:
    if case.deleting or CLAIM_FINALIZER in case.claim.metadata.finalizers:
        return None
    return Decision(ClaimState.PENDING, "PoolPending", "The node pool is about to be created.", action=AddFinalizer())


def _refuse_stranger(case: Case) -> Decision | None:
    pool = case.seen.pool
    if pool is None or is_own(pool, case.claim):
        return None
    owner = pool.resource_labels.get(CLAIM_RESOURCE_LABEL)
    whose = f"belongs to claim {owner}" if owner else "was not made by this operator"
    words = (
        f"{case.subject} exists and {whose} (it lacks the {'' if is_class(case.claim) else 'resource '}label"
        f" {CLAIM_RESOURCE_LABEL}={case.claim.metadata.name}), so it is left alone. Remove or rename it:"
        f" `{command_to_delete(case.claim, case.settings.place)}`."
    )
    return Decision(ClaimState.REFUSED, "PoolNameTaken", words, requeue_after_s=case.settings.resync_s)


def _prepare_policy(case: Case) -> Decision | None:
    if case.seen.pool is not None or not case.seen.users:
        return None
    step = policy_steps.prepare(case.claim, case.seen, case.settings.place)
    return _take(case, step) if step else None


def _create(case: Case) -> Decision | None:
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
    spec = pool_spec(
        case.claim,
        total_max=case.desired_max,
        facts=case.seen.facts,
        cluster_uid=uid,
        zone=zone,
        hold=case.hold or UpgradeHold.NONE,
    )
    words = f"{case.subject} is about to be created."
    decision = ask(case, Call.CREATE, CreatePool(spec), ClaimState.PROVISIONING, "PoolCreating", words)
    return replace(decision, notes=_note_gone(case))


def _note_gone(case: Case) -> tuple[DriftNote, ...]:
    """A pool that was ready at the last look, and that nobody of ours has deleted since."""
    if not claim_status.was_ready(case.claim):
        return ()
    return (DriftNote("PoolGone", f"{case.thing} was deleted by somebody else", Done.REPLACED),)


def _follow_provisioning(case: Case) -> Decision | None:
    """A pool that is made or deleted without an operation that we know: an earlier process began it."""
    status = case.pool.status
    if status in (PoolStatus.PROVISIONING, PoolStatus.UNKNOWN):
        words, obstacle = f"GKE is creating {case.thing}.", next(iter(case.pool.findings), None)
        if obstacle:
            words = f"{words} {tell(obstacle, case)}"
        wait_s = case.settings.unsettled_s
        return Decision(ClaimState.PROVISIONING, "PoolCreating", words, degraded=obstacle, requeue_after_s=wait_s)
    if status is PoolStatus.STOPPING:
        words = f"GKE is deleting {case.thing}; it is made again after that while a model needs it."
        wait_s, notes = case.settings.unsettled_s, _note_gone(case)
        return Decision(ClaimState.RELEASING, "PoolDeleting", words, requeue_after_s=wait_s, notes=notes)
    return None


def _replace_failed(case: Case) -> Decision | None:
    """A failed pool without nodes serves nobody: delete it, and create it again after a while."""
    pool = case.pool
    if pool.status is not PoolStatus.ERROR:
        return None
    cause = _cause(pool, case)
    words = tell(cause, case)
    if case.seen.nodes:
        words = f"{words} The pool is left as it is, because {case.seen.nodes} nodes of it are there."
        wait_s = case.settings.resync_s
        return Decision(ClaimState.FAILED, cause.reason, words, degraded=cause, requeue_after_s=wait_s)
    words = f"{words} {case.subject} is deleted and made again."
    return ask(case, Call.DELETE, DeletePool(pool.name, cause, pool.uid), ClaimState.FAILED, cause.reason, words)


def _follow_pool(case: Case) -> Decision:
    """A pool that can be used."""
    pool = case.pool
    # One that is unhealthy now may still serve: say so and go on.
    unhealthy = _cause(pool, case) if pool.status is PoolStatus.RUNNING_WITH_ERROR else None
    words = describe_pool(pool, case)
    if pool.status is PoolStatus.RECONCILING:
        words = f"GKE is working on node pool {pool.name}, an upgrade or a repair perhaps; it can be used meanwhile."
    if unhealthy:
        words = f"{words} {tell(unhealthy, case)}"
    wait_s = case.settings.resync_s if pool.status is not PoolStatus.RECONCILING else case.settings.unsettled_s
    if unhealthy and is_class(case.claim) and not case.seen.nodes:
        # Nothing serves there, and GKE makes no node by a class that it calls unhealthy.
        words = tell(unhealthy, case)
        return Decision(ClaimState.FAILED, unhealthy.reason, words, degraded=unhealthy, requeue_after_s=wait_s)
    return Decision(ClaimState.READY, "PoolReady", words, ready=True, degraded=unhealthy, requeue_after_s=wait_s)


_BUSY: Final = frozenset({PoolStatus.STOPPING, PoolStatus.PROVISIONING, PoolStatus.RECONCILING})

_POLICIES: Final[tuple[Callable[[Case], Decision | None], ...]] = (
    _stay_blind,
    _await_operation,
    _release,
    _finish_deletion,
    _refuse_impossible,
    _hold,
    _refuse_stranger,
    _prepare_policy,
    _create,
    _follow_provisioning,
    _replace_failed,
    drift_steps.settle_differences,
    drift_steps.follow_bounds,
    drift_steps.await_nodes,
    drift_steps.mend_drift,
    upgrade_steps.follow_version,
    _follow_pool,
)


def _take(case: Case, step: PolicyStep) -> Decision:
    """A step about the workload policy: its call, or the wait for it."""
    if step.action is not None and step.call is not None:
        return ask(case, step.call, step.action, step.state, step.reason, step.message)
    wait_s = case.settings.resync_s if step.refused else case.settings.unsettled_s
    last = step.finding or case.last_finding
    return Decision(step.state, step.reason, step.message, degraded=last, requeue_after_s=wait_s)


def _cause(pool: PoolView, case: Case) -> CloudFinding:
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


def _poll_s(started_at: str, case: Case) -> float:
    """A tenth of the operation's age, within bounds: fresh ones are looked at often, slow ones rarely."""
    slowest, fastest = case.settings.slowest_poll_s, case.settings.fastest_poll_s
    started = read_time(started_at)
    return min(slowest, max(fastest, (case.now - started).total_seconds() / 10)) if started else fastest
