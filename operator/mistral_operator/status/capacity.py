"""CapacityReady: are there nodes for every replica, and if not, what does the cloud say?"""

from collections.abc import Mapping
from typing import Any, Final

from mistral_operator.capacity.advice import ClusterPlace, advise
from mistral_operator.capacity.errors import RESERVATION_REASONS, classify
from mistral_operator.manifests.slices import GROUPS_LABEL, name_groups
from mistral_operator.planning.types import ClusterProfile, Provisioner
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

_BACKED_OFF: Final = (
    "A scale-up failed a short while ago, most often because Google had none of these machines, so GKE asks for none"
    f" for this pod either before its backoff is over (5 minutes, after more failures up to 30); {_OTHER_CAPACITY}"
)
_IN_BACKOFF: Final = "in backoff after failed scale-up"
"""The cluster autoscaler's words for a node group that it leaves alone, among those for the groups of other shapes. It
asks for the backoff first, so a group of another shape counts, too: the pod's own one is full or unfit then.
"""

_RANKS: Final = {"TriggeredScaleUp": 0, "NotTriggerScaleUp": 1, "FailedScaleUp": 2}


def check_capacity(situation: Situation) -> Finding:
    """Follow the replicas from the claim through the node pool to their nodes."""
    if situation.plan is None:
        return unmet("NotPlanned", "No capacity is asked for before the model is accepted.")
    if situation.wanted_replicas == 0:
        return met("NoneNeeded", "No replica is wanted, so no node is.")
    unscheduled = [pod for pod in situation.needed_pods if not pod.scheduled]
    progress = _describe_progress(situation)
    # An earlier plan's replicas may stand on slices of other hardware as long as this one's are waited for.
    missing = _check_claims(situation) if situation.hosts_per_replica > 1 else None
    if missing:
        return missing
    if not unscheduled and not situation.nothing_to_load and _are_all_there(situation):
        return met("NodesReady", f"{progress}.")
    refused = check_pod_creation(situation) or _check_claims(situation)
    if refused:
        return refused
    if situation.nothing_to_load and not unscheduled:
        return unmet("WaitingForReplica", "Replicas ask for nodes when the checkpoint has been converted.")
    if situation.hosts_per_replica > 1:
        return _check_groups(situation, progress)
    return _check_scale_up(situation, {pod.uid for pod in unscheduled}, progress)


def _are_all_there(situation: Situation) -> bool:
    return len(situation.standing_hosts) >= situation.wanted_replicas * situation.hosts_per_replica


def _check_groups(situation: Situation, progress: str) -> Finding:
    """A slice's pool has all its machines from the start, so no autoscaler has a word in it."""
    words = next((pod.scheduling_message for pod in situation.standing_hosts if pod.scheduling_message), "")
    if words:
        return unmet("WaitingForNodes", f"{progress}. The scheduler says: {quote(words)}")
    selector = f"-n {situation.model.metadata.namespace} -l {GROUPS_LABEL}={name_groups(situation.model)}"
    return unmet(
        "WaitingForPods",
        f"{progress}; the slices are there. If it stays so, the API server may refuse the pods (quota, policy, no such"
        f" ServiceAccount), which only events of their StatefulSets say: `kubectl describe statefulsets {selector}`.",
    )


def _describe_progress(situation: Situation) -> str:
    converter = situation.converter
    if converter is not None and not converter.scheduled:
        return f"Pod {converter.name}, which converts the checkpoint, has no node yet"
    wanted, hosts = situation.wanted_replicas, situation.hosts_per_replica
    scheduled = sum(1 for pod in situation.standing_hosts if pod.scheduled)
    if hosts == 1:
        return f"{scheduled} of {wanted} replicas have their nodes"
    return f"{scheduled} of {wanted * hosts} hosts of {wanted} slices have their pods"


def check_pod_creation(situation: Situation) -> Finding | None:
    """Pods that the API server refuses (quota, policy, a missing ServiceAccount) show only in the Deployment."""
    failure = read_condition(situation.workload or {}, "ReplicaFailure")
    if failure.get("status") != "True":
        return None
    return unmet("PodsRefused", f"The API server refuses this model's pods: {quote(failure.get('message', ''))}")


def _check_claims(situation: Situation) -> Finding | None:
    """The first of the claims that isn't ready. A model on ordinary pools has one, and one on slices as many as it
    has replicas.
    """
    return next((finding for claim in situation.claims if (finding := _check_claim(claim))), None)


def _check_claim(claim: Mapping[str, Any] | None) -> Finding | None:
    if claim is None:
        return unmet("ClaimPending", "The NodePoolClaim is being made.")
    name = claim["metadata"]["name"]
    ready = read_condition(claim, "Ready")
    if ready.get("status") == "True":
        return None
    if "deletionTimestamp" in claim["metadata"]:
        return unmet("ClaimReleasing", f"NodePoolClaim {name} is still being released; it is made again after that.")
    reason = ready.get("reason", "ClaimPending")
    return unmet(reason, f"NodePoolClaim {name}: {quote(ready.get('message', 'waiting for its node pool.'))}")


def _check_scale_up(situation: Situation, pending: set[str], progress: str) -> Finding:
    event = _latest_autoscaler_event(situation, pending)
    if event is None:
        words = next((p.scheduling_message for p in situation.needed_pods if p.scheduling_message), "")
        existing = situation.plan is not None and situation.plan.chosen.provisioner is Provisioner.EXISTING
        awaited = "room on the nodes that are there" if existing else "the cluster autoscaler"
        return unmet("WaitingForNodes", f"{progress}; waiting for {awaited}. {quote(words)}".strip())
    text = quote(event.get("message", ""))
    if event.get("reason") == "TriggeredScaleUp":
        return unmet("ScalingUp", f"{progress}; nodes are being added. The cluster autoscaler says: {text}")
    for words, reason, advice in _SCALE_UP_FAILURES:
        if words in text.lower():
            return unmet(reason, f"{progress}. The cluster autoscaler says: {text} {advice}")
    finding = classify("", event.get("message", "")).finding
    if finding.reason in RESERVATION_REASONS:
        advice = advise(finding, _place_of(situation.cluster))
        return unmet(finding.reason, f"{progress}. The cluster autoscaler says: {text} {advice}")
    if event.get("reason") == "FailedScaleUp":
        return unmet("ScaleUpFailed", f"{progress}. The cluster autoscaler says: {text}")
    if _is_back_off(event):
        return unmet("ScaleUpBackedOff", f"{progress}. The cluster autoscaler says: {text}. {_BACKED_OFF}")
    return unmet("NoScaleUp", f"{progress}. The cluster autoscaler says: {text}")


def _place_of(cluster: ClusterProfile) -> ClusterPlace:
    return ClusterPlace(cluster.project, cluster.location, cluster.cluster)


def _latest_autoscaler_event(situation: Situation, pending: set[str]) -> Mapping[str, Any] | None:
    """The worst of what was said last of each pending pod, so that several pods don't take turns."""
    told: dict[str, Mapping[str, Any]] = {}
    for event in situation.pod_events:
        pod = event.get("involvedObject", {}).get("uid")
        if pod in pending and event.get("reason") in _RANKS and _outweighs(event, told.get(pod)):
            told[pod] = event
    return max(told.values(), key=_weigh, default=None)


def _outweighs(event: Mapping[str, Any], before: Mapping[str, Any] | None) -> bool:
    """Newer than what is known; a failure isn't hidden by the back-off message that follows it."""
    if before is None:
        return True
    if before["reason"] == "FailedScaleUp" and _is_back_off(event):
        return False
    if event["reason"] == "FailedScaleUp" and _is_back_off(before):
        return True
    return (_last_seen(event), _RANKS[event["reason"]]) > (_last_seen(before), _RANKS[before["reason"]])


def _is_back_off(event: Mapping[str, Any]) -> bool:
    return event["reason"] == "NotTriggerScaleUp" and _IN_BACKOFF in event.get("message", "")


def _weigh(event: Mapping[str, Any]) -> tuple[int, str, str]:
    return (_RANKS[event["reason"]], _last_seen(event), str(event.get("message", "")))


def _last_seen(event: Mapping[str, Any]) -> str:
    metadata = event.get("metadata", {})
    seen = event.get("lastTimestamp") or event.get("eventTime") or metadata.get("creationTimestamp") or ""
    return str(seen)
