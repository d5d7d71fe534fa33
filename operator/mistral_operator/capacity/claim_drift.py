"""The policies of a claim about a pool that isn't as it should be, though it is there and can be used. Pure."""

from dataclasses import replace

from mistral_operator.capacity.claim_case import Case, ask, describe_pool, tell
from mistral_operator.capacity.claim_types import (
    Call,
    ClaimState,
    Decision,
    MendPool,
    ReplacePool,
    SetAutoscaling,
    call_of,
)
from mistral_operator.capacity.drift import Done, DriftNote, DriftPolicy, policy_of
from mistral_operator.capacity.errors import CloudFinding
from mistral_operator.capacity.pools import command_to_delete, differences
from mistral_operator.capacity.port import PoolStatus
from mistral_operator.capacity.purchases import is_class
from mistral_operator.capacity.remedy import (
    SLICE_EMPTIED,
    Remedy,
    are_others_bounds,
    choose_remedy,
    find_changed_bounds,
    is_left,
)


def settle_differences(case: Case) -> Decision | None:
    """What can't be changed in a pool's life: told, or the pool is made again where that is allowed and harms none."""
    found = "; ".join(differences(case.pool, case.claim))
    if not found:
        return None
    replaces = policy_of(case.claim, case.settings.drift) is DriftPolicy.REPLACE
    if not replaces or case.seen.pods or (is_class(case.claim) and case.seen.nodes):
        # The pods of a class aren't counted: GKE's pools for it have names of their own.
        why = f"{case.seen.pods} pods" if case.seen.pods else "pods may"
        return _leave_different(case, found, f"because {why} run there")
    words = f"{case.subject} is not what the claim asks for: {found}. No pod runs there: it is made again."
    action = ReplacePool(case.pool_name, case.pool.uid)
    decision = ask(case, Call.DELETE, action, ClaimState.FAILED, "PoolDiffers", words)
    return replace(decision, notes=(DriftNote("PoolDiffers", found, Done.REPLACED),)) if decision.action else decision


def _leave_different(case: Case, found: str, why: str) -> Decision:
    notes = (DriftNote("PoolDiffers", found, Done.REPORTED),)
    words = (
        f"{case.subject} is not what the claim asks for: {found}. It is left alone, {why}."
        f" Once they may go: `{command_to_delete(case.claim, case.settings.place)}`; it is made again then."
    )
    finding = CloudFinding("PoolDiffers", found, retryable=False, verbatim=False)
    wait_s = case.settings.resync_s
    return Decision(ClaimState.FAILED, "PoolDiffers", words, degraded=finding, requeue_after_s=wait_s, notes=notes)


def follow_bounds(case: Case) -> Decision | None:
    """Bounds follow the users, and are put right when somebody else changed them; not for each user that comes."""
    drift = find_changed_bounds(case)
    if drift is None or is_left(case, drift) or case.pool.status is PoolStatus.RECONCILING:
        return None
    if case.seen.bounds_rest_s > 0:
        return _rest(case)
    words = f"Node pool {case.pool_name} is about to get the bounds 0 to {case.desired_max} nodes."
    action = SetAutoscaling(case.pool_name, case.bounds)
    decision = ask(case, Call.RESIZE, action, ClaimState.RESIZING, "PoolResizing", words, ready=True)
    notes = (DriftNote(drift.finding, drift.text, Done.REPAIRED),) if are_others_bounds(case, drift) else ()
    return replace(decision, notes=notes) if decision.action else decision


def _rest(case: Case) -> Decision:
    """One change for all users that come and go within a while: each keeps GKE busy, and it does one at a time."""
    rest_s = case.seen.bounds_rest_s
    words = (
        f"The bounds of node pool {case.pool_name} were changed a short while ago. In {rest_s:.0f} s it gets those that"
        f" its users need by then; as of now 0 to {case.desired_max} nodes."
    )
    last = case.last_finding
    return Decision(ClaimState.RESIZING, "PoolResizing", words, ready=True, degraded=last, requeue_after_s=rest_s)


def await_nodes(case: Case) -> Decision | None:
    """A slice without nodes: GKE brings back what was lost by itself, which takes it a while."""
    empty_s, settings = case.seen.empty_s, case.settings
    if empty_s is None or not settings.unsettled_s <= empty_s < settings.slice_empty_after_s:
        return None
    words = f"None of the nodes of slice {case.pool_name} is there, though GKE calls it running; waits for them."
    wait_s = settings.unsettled_s
    return Decision(ClaimState.PROVISIONING, "WaitingForNodes", words, requeue_after_s=wait_s)


def mend_drift(case: Case) -> Decision | None:
    """What can be put right while pods run, one thing after the other."""
    remedy = choose_remedy(case)
    if remedy is None:
        return None
    if remedy.mend is None or remedy.mend.mend is None:
        return _tell_drift(case, remedy)
    words = f"Node pool {case.pool_name} is not as it should be: {remedy.text}. It is being put right."
    if remedy.mend.finding == SLICE_EMPTIED:
        words = f"Slice {case.pool_name} is asked for anew: {remedy.mend.text}."
    action, call = MendPool(case.pool_name, remedy.mend.mend), call_of(remedy.mend.mend)
    decision = ask(case, call, action, ClaimState.REPAIRING, "PoolRepairing", words, ready=not remedy.harms)
    return replace(decision, notes=remedy.notes) if decision.action else decision


def _await_stock(case: Case, remedy: Remedy) -> Decision:
    """A slice that stays without nodes has lost its machines, and may be better off elsewhere."""
    refused = [failure.finding for failure in case.seen.failures if failure.call is Call.SIZE]
    finding = refused[-1] if refused else CloudFinding(SLICE_EMPTIED, remedy.text, retryable=True, verbatim=False)
    words = f"Slice {case.pool_name} has lost its nodes: {remedy.text}."
    if refused:
        words = f"{words} {tell(finding, case)}"
    wait_s = case.settings.resync_s
    return Decision(ClaimState.PROVISIONING, finding.reason, words, degraded=finding, requeue_after_s=wait_s)


def _tell_drift(case: Case, remedy: Remedy) -> Decision:
    """Where pods can still come to the nodes, the pool is ready and not as it should be."""
    if remedy.is_lack:
        return replace(_await_stock(case, remedy), notes=remedy.notes)
    if remedy.harms:
        return replace(_leave_different(case, remedy.text, remedy.why), notes=remedy.notes)
    words = f"{describe_pool(case.pool, case)} But {remedy.text}; it is left as it is, {remedy.why}."
    finding = CloudFinding("PoolDrifted", remedy.text, retryable=False, verbatim=False)
    wait_s = case.settings.resync_s
    return Decision(
        ClaimState.READY, "PoolReady", words, ready=True, degraded=finding, requeue_after_s=wait_s, notes=remedy.notes
    )
