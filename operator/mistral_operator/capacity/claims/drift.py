"""What somebody changed of a pool of ours, and what can be done about it. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from mistral_operator.api.claim import NodePoolClaim
from mistral_operator.api.names import DRIFT_ANNOTATION
from mistral_operator.api.times import read_time
from mistral_operator.capacity.pools import compare, upkeep_of, wanted_beside
from mistral_operator.capacity.port import (
    Bounds,
    Mend,
    PoolView,
    SetExclusion,
    SetManagement,
    SetNodeLabels,
    SetResourceLabels,
    SetTaints,
    SetUpgrades,
    StopAutoscaling,
    Taint,
    UpgradeHold,
    Upkeep,
)

KEPT_NOTES: Final = 10
"""Notes in the status; the oldest go first."""
AGAIN_AFTER_S: Final = 600.0
"""What was put right so short a while ago and isn't any more, somebody else sets: it is told instead of fought over."""
_GOOGLES_DOMAINS: Final = ("google.com", "gke.io", "kubernetes.io", "k8s.io", "nvidia.com")
"""Of the taints that GKE and its components put on nodes by themselves."""
_KEEPS_PODS_OFF: Final = frozenset({"NoSchedule", "NoExecute"})


class DriftPolicy(StrEnum):
    """What is done about a pool that somebody changed. Each does what the one before it does, and more."""

    REPORT = "Report"
    """Tell it."""
    REPAIR = "Repair"
    """Put right what can be changed while pods run."""
    REPLACE = "Replace"
    """Make a pool again that can't be put right, when no pods run there."""


class Done(StrEnum):
    """What was done about a finding; the values stand in the status."""

    REPORTED = "Reported"
    REPAIRED = "Repaired"
    REPLACED = "Replaced"


@dataclass(frozen=True, slots=True)
class Drift:
    """One thing that isn't as the claim asks for."""

    finding: str
    """In CamelCase, such as `NodeLabelsChanged`."""
    text: str
    """What it is, and what it should be."""
    mend: Mend | None
    """None for bounds, which follow the users by a call of their own."""
    harms: bool = False
    """Whether pods can't come to the pool's nodes as long as it is so."""


@dataclass(frozen=True, slots=True)
class DriftNote:
    """A finding, and what was done about it."""

    finding: str
    text: str
    done: Done


def policy_of(claim: NodePoolClaim, usual: DriftPolicy) -> DriftPolicy:
    """The claim's own, if it names one; a word that is none counts for nothing."""
    named = claim.metadata.annotations.get(DRIFT_ANNOTATION, "")
    return next((policy for policy in DriftPolicy if policy.value == named), usual)


def find_drift(
    pool: PoolView, claim: NodePoolClaim, cluster_uid: str = "", hold: UpgradeHold | None = UpgradeHold.NONE
) -> tuple[Drift, ...]:
    """What can be put right while pods run, the harmful first. Labels and settings of others are left as they are.

    `hold` is what should keep GKE from upgrading the pool; None where that isn't known and nothing is said of it.
    """
    found = (*_check_labels(pool, claim, cluster_uid), *_check_taints(pool), *_check_upkeep(pool, claim, hold))
    if claim.spec.slice is not None and pool.autoscaled:
        words = "the cluster autoscaler decides about the size of a slice, which is fixed"
        found = (*found, Drift("AutoscalingChanged", words, StopAutoscaling()))
    return tuple(sorted(found, key=lambda drift: not drift.harms))


def _check_labels(pool: PoolView, claim: NodePoolClaim, cluster_uid: str) -> Iterator[Drift]:
    wanted = wanted_beside(pool, claim, cluster_uid)
    if found := _compare_labels("node label", pool.node_labels, wanted.node_labels):
        mend = SetNodeLabels({**pool.node_labels, **wanted.node_labels})
        yield Drift("NodeLabelsChanged", found, mend, harms=True)
    if found := _compare_labels("resource label", pool.resource_labels, wanted.resource_labels):
        yield Drift(
            "ResourceLabelsChanged", found, SetResourceLabels({**pool.resource_labels, **wanted.resource_labels})
        )


def _compare_labels(what: str, has: Mapping[str, str], wanted: Mapping[str, str]) -> str:
    return "; ".join(compare((f"{what} {key}", has.get(key, ""), value) for key, value in sorted(wanted.items())))


def _check_taints(pool: PoolView) -> Iterator[Drift]:
    """The operator asks for no taints, and its pods tolerate GKE's."""
    foreign = [taint for taint in pool.taints if taint.effect in _KEEPS_PODS_OFF and not _is_googles(taint)]
    if foreign:
        words = ", ".join(f"{taint.key}={taint.value}:{taint.effect}" for taint in foreign)
        kept = tuple(taint for taint in pool.taints if taint not in foreign)
        text = f"the nodes have the taint {words}, and the operator asked for none"
        yield Drift("TaintsAdded", text, SetTaints(kept), harms=True)


def _is_googles(taint: Taint) -> bool:
    domain = taint.key.partition("/")[0]
    return any(domain == known or domain.endswith(f".{known}") for known in _GOOGLES_DOMAINS)


def _check_upkeep(pool: PoolView, claim: NodePoolClaim, hold: UpgradeHold | None) -> Iterator[Drift]:
    has, wanted = pool.upkeep, upkeep_of(wanted_beside(pool, claim, hold=hold or UpgradeHold.NONE))
    if has is None:
        return
    if hold is None:
        wanted = replace(wanted, auto_upgrade=has.auto_upgrade, excluded=has.excluded)
    if claim.spec.slice is not None:
        exclusion = ("exclusion from automatic upgrades", _switch(has.excluded), _switch(wanted.excluded))
        if found := "; ".join(compare([exclusion])):
            yield Drift("UpgradeExclusionChanged", found, SetExclusion(wanted.excluded))
    switches = (
        ("auto-repair", _switch(has.auto_repair), _switch(wanted.auto_repair)),
        ("auto-upgrade", _switch(has.auto_upgrade), _switch(wanted.auto_upgrade)),
    )
    if found := "; ".join(compare(switches)):
        yield Drift("ManagementChanged", found, SetManagement(wanted))
    if found := "; ".join(compare([("upgrade strategy", _strategy(has), _strategy(wanted))])):
        yield Drift("UpgradeSettingsChanged", found, SetUpgrades(wanted))


def _switch(on: bool) -> str:
    return "on" if on else "off"


def _strategy(upkeep: Upkeep) -> str:
    """Surge and unavailability mean something only where nodes are replaced by surging."""
    if upkeep.strategy != "SURGE":
        return upkeep.strategy
    return f"SURGE with {upkeep.max_surge} more and {upkeep.max_unavailable} away"


def describe_bounds(bounds: Bounds | None) -> str:
    """Bounds in words."""
    return f"{bounds.total_min} to {bounds.total_max} nodes" if bounds else "a fixed size, or of each zone"


def known_notes(claim: NodePoolClaim) -> tuple[Mapping[str, Any], ...]:
    """What the status tells of earlier drift."""
    return tuple(claim.status.get("drift") or ())


def extend_notes(claim: NodePoolClaim, notes: Iterable[DriftNote], now: str) -> list[dict[str, Any]]:
    """The status' list with these added. What stays as it was told is not told again."""
    told = [dict(note) for note in known_notes(claim)]
    for note in notes:
        last = next((each for each in reversed(told) if each["finding"] == note.finding), None)
        if note.done is Done.REPORTED and last and (last["message"], last["done"]) == (note.text, note.done.value):
            continue
        told.append({"time": now, "finding": note.finding, "message": note.text[:1000], "done": note.done.value})
    return told[-KEPT_NOTES:]


def was_mended_lately(claim: NodePoolClaim, finding: str, text: str, now: datetime) -> bool:
    """Whether just this was put right a short while ago."""
    return any(
        (note.get("finding"), note.get("message"), note.get("done")) == (finding, text[:1000], Done.REPAIRED.value)
        and _age_s(str(note.get("time", "")), now) < AGAIN_AFTER_S
        for note in known_notes(claim)
    )


def is_reported(claim: NodePoolClaim, finding: str, text: str) -> bool:
    """Whether that is the last that was told of the finding, and it was left as it was."""
    told = [note for note in known_notes(claim) if note.get("finding") == finding]
    return bool(told) and (told[-1].get("message"), told[-1].get("done")) == (text[:1000], Done.REPORTED.value)


def _age_s(time: str, now: datetime) -> float:
    moment = read_time(time)
    return (now - moment).total_seconds() if moment else AGAIN_AFTER_S
