"""CapacityReady: are there nodes for every replica, and if not, what does the cloud say?"""

from collections.abc import Mapping
from typing import Any, Final

from mistral_operator.status.findings import Finding, met, quote, read_condition, unmet
from mistral_operator.status.situation import Situation

# How the cluster autoscaler's own words map to findings; the first match counts. The event's text is always quoted.
_OTHER_CAPACITY: Final = "other zones or another accelerator can be given in spec.capacity.options."
_RAISE_QUOTA: Final = f"Raise the quota in Google Cloud's console (IAM & Admin, Quotas); {_OTHER_CAPACITY}"
_WAIT_FOR_STOCK: Final = (
    f"Google has none of these machines there now, and GKE tries again by itself; {_OTHER_CAPACITY}"
)
_SCALE_UP_FAILURES: Final = (
    ("quota", "QuotaExceeded", _RAISE_QUOTA),
    ("out of resources", "StockedOut", _WAIT_FOR_STOCK),
    ("stockout", "StockedOut", _WAIT_FOR_STOCK),
    ("ip space", "IPSpaceExhausted", "Give the cluster's node subnet or pod range more addresses."),
)


def check_capacity(situation: Situation) -> Finding:
    """Follow the replicas from the claim through the node pool to their nodes."""
    if situation.plan is None:
        return unmet("NotPlanned", "No capacity is asked for before the model is accepted.")
    if situation.wanted_replicas == 0:
        return met("NoneNeeded", "No replica is wanted, so no node is.")
    unscheduled = [pod for pod in situation.standing_pods if not pod.scheduled]
    scheduled = len(situation.standing_pods) - len(unscheduled)
    if not unscheduled and scheduled >= situation.wanted_replicas:
        return met("NodesReady", f"{scheduled} of {situation.wanted_replicas} replicas have their nodes.")
    refused = _check_claim(situation)
    if refused:
        return refused
    return _check_scale_up(situation, {pod.uid for pod in unscheduled}, scheduled)


def _check_claim(situation: Situation) -> Finding | None:
    claim = situation.claim
    if claim is None:
        return unmet("ClaimPending", "The NodePoolClaim is being made.")
    name = claim["metadata"]["name"]
    if "deletionTimestamp" in claim["metadata"]:
        return unmet("ClaimReleasing", f"NodePoolClaim {name} is still being released; it is made again after that.")
    ready = read_condition(claim, "Ready")
    if ready.get("status") == "True":
        return None
    reason = ready.get("reason", "ClaimPending")
    return unmet(reason, f"NodePoolClaim {name}: {quote(ready.get('message', 'waiting for its node pool.'))}")


def _check_scale_up(situation: Situation, pending: set[str], scheduled: int) -> Finding:
    progress = f"{scheduled} of {situation.wanted_replicas} replicas have their nodes"
    event = _latest_autoscaler_event(situation, pending)
    if event is None:
        words = next((p.scheduling_message for p in situation.standing_pods if p.scheduling_message), "")
        return unmet("WaitingForNodes", f"{progress}; waiting for the cluster autoscaler. {quote(words)}".strip())
    text = quote(event.get("message", ""))
    if event.get("reason") == "TriggeredScaleUp":
        return unmet("ScalingUp", f"{progress}; nodes are being added. The cluster autoscaler says: {text}")
    for words, reason, advice in _SCALE_UP_FAILURES:
        if words in text.lower():
            return unmet(reason, f"{progress}. The cluster autoscaler says: {text} {advice}")
    if event.get("reason") == "FailedScaleUp":
        return unmet("ScaleUpFailed", f"{progress}. The cluster autoscaler says: {text}")
    return unmet("NoScaleUp", f"{progress}. The cluster autoscaler says: {text}")


def _latest_autoscaler_event(situation: Situation, pending: set[str]) -> Mapping[str, Any] | None:
    """The newest event of the pending pods; a failure is not hidden by the back-off message that follows it."""
    mine = [e for e in situation.pod_events if e.get("involvedObject", {}).get("uid") in pending]
    telling = [e for e in mine if e.get("reason") in {"TriggeredScaleUp", "FailedScaleUp", "NotTriggerScaleUp"}]
    if not telling:
        return None
    newest = max(telling, key=_last_seen)
    if newest.get("reason") == "NotTriggerScaleUp" and "backoff" in newest.get("message", ""):
        failures = [e for e in telling if e.get("reason") == "FailedScaleUp"]
        return max(failures, key=_last_seen) if failures else newest
    return newest


def _last_seen(event: Mapping[str, Any]) -> str:
    metadata = event.get("metadata", {})
    seen = event.get("lastTimestamp") or event.get("eventTime") or metadata.get("creationTimestamp") or ""
    return str(seen)
