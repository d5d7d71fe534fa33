"""What happened, in order: a revision was planned, its capacity came step by step, it started, it served; and what went
wrong on the way.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from mistral_operator.api.status import TimelineEntry
from mistral_operator.status.ends import REPLICA_ENDS_SOON
from mistral_operator.status.findings import Finding, format_time, is_true
from mistral_operator.status.situation import Situation

LONGEST = 20
"""Entries that are kept; the oldest go first."""
_FIRST_PHASE = "Planned"
RUNG_LEFT = "RungLeft"
_NO_STEP: Final = frozenset({"NotPlanned", "WaitingForReplica"})
"""Findings about capacity that are no step towards it."""


def extend_timeline(
    situation: Situation,
    findings: Mapping[str, Finding],
    previous: Sequence[TimelineEntry],
    now: datetime,
    left: Iterable[str] = (),
) -> tuple[TimelineEntry, ...]:
    """Add the phases that the present revision has reached since `previous` was written, steps of its capacity, what
    others changed of its node pools, the rungs that it has left, and replicas whose nodes are going to end. Each step
    is told once for a revision.
    """
    if not situation.revision:
        return tuple(previous)
    known = _reached_before(situation, previous)
    gone = (TimelineEntry(time=format_time(now), reason=RUNG_LEFT, message=words[:1000]) for words in left)
    drift = _tell_drift(situation.claims, previous)
    steps = {**_phases(situation, findings), **_capacity_step(findings["CapacityReady"])}
    fresh = (
        TimelineEntry(time=format_time(now), reason=phase, message=message)
        for phase, (reached, message) in steps.items()
        if reached and phase not in known
    )
    told = {entry.message for entry in previous if entry.reason == REPLICA_ENDS_SOON}
    words = (end.describe() for end in situation.succession.ends)
    ends = (
        TimelineEntry(time=format_time(now), reason=REPLICA_ENDS_SOON, message=each)
        for each in words
        if each not in told
    )
    return (*previous, *drift, *fresh, *gone, *ends)[-LONGEST:]


def _capacity_step(finding: Finding) -> Mapping[str, tuple[bool, str]]:
    """What capacity waits for now, in the cloud's own words where it said something; none once it is there."""
    if finding.holds or finding.reason in _NO_STEP:
        return {}
    return {finding.reason: (True, finding.message[:1000])}


def _tell_drift(
    claims: Iterable[Mapping[str, Any] | None], previous: Sequence[TimelineEntry]
) -> Iterator[TimelineEntry]:
    """What was found on the node pools since the model's story began; the times are those of the claims."""
    told = {(entry.time, entry.reason, entry.message) for entry in previous}
    begun = _moment(previous[0].time) if previous else None
    for claim in claims:
        for note in ((claim or {}).get("status") or {}).get("drift") or ():
            message = f"{claim['metadata']['name'] if claim else ''}: {note['message']}. {note['done']}."[:1000]
            entry = TimelineEntry(time=note["time"], reason=note["finding"], message=message)
            is_later = begun is not None and _moment(note["time"]) >= begun
            if is_later and (entry.time, entry.reason, entry.message) not in told:
                yield entry


def _moment(time: str) -> datetime:
    moment = datetime.fromisoformat(time)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _reached_before(situation: Situation, previous: Sequence[TimelineEntry]) -> frozenset[str]:
    """Phases noted since the revision was planned; none when another one was planned after it."""
    starts = [index for index, entry in enumerate(previous) if entry.reason == _FIRST_PHASE]
    if not starts or not _is_about(previous[starts[-1]], situation.revision):
        return frozenset()
    return frozenset(entry.reason for entry in previous[starts[-1] :])


def _is_about(entry: TimelineEntry, revision: str) -> bool:
    return (entry.message or "").startswith(f"Revision {revision}:")


def _phases(situation: Situation, findings: Mapping[str, Finding]) -> Mapping[str, tuple[bool, str]]:
    pods = situation.current_pods
    scheduled = sum(1 for pod in pods if pod.scheduled)
    return {
        _FIRST_PHASE: (True, f"Revision {situation.revision}: {findings['Accepted'].message}"[:1000]),
        "NodePoolReady": (_is_pool_ready(situation), _describe_pools(situation)),
        "NodesReady": (scheduled > 0, "The first replica has its node."),
        "Started": (any(pod.running for pod in pods), "The engine runs and loads the weights."),
        "Serving": (_is_served(situation, findings), "The first replica answers."),
    }


def _is_served(situation: Situation, findings: Mapping[str, Finding]) -> bool:
    return findings["EndpointReady"].holds and any(pod.ready for pod in situation.current_pods)


def _is_pool_ready(situation: Situation) -> bool:
    return any(claim is not None and is_true(claim, "Ready") for claim in situation.claims)


def _describe_pools(situation: Situation) -> str:
    if situation.hosts_per_replica > 1:
        return "The first slice stands, with all its hosts."
    return "The node pool stands; nodes come with the replicas."
