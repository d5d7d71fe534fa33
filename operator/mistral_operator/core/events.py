"""Kubernetes Events: one per change of a condition's reason, so that `kubectl describe` tells the story."""

from typing import Final

from mistral_operator.api.common import Condition
from mistral_operator.api.status import ModelStatus
from mistral_operator.core.types import EventNote

# Each of these says something of its own; the others only sum them up.
_TOLD: Final = ("Accepted", "CapacityReady", "WeightsReady", "WorkloadReady", "AutoscalingReady", "Ready")
# The plain course of things: told, but nobody needs to be warned.
_NORMAL: Final = frozenset({
    "ClaimPending", "PoolPending", "PoolCreating", "PoolResizing", "WaitingForNodes", "ScalingUp", "WaitingForReplica",
    "Loading", "Starting", "RollingOut", "Pending", "ScaledToZero", "Suspended", "NoReadyReplica", "ClaimReleasing",
})  # fmt: skip
# Before a model is accepted the other conditions only repeat that it isn't.
_SILENT: Final = frozenset({"NotPlanned"})


def note_changes(before: ModelStatus, after: ModelStatus) -> tuple[EventNote, ...]:
    """Note each told condition whose reason is another than before."""
    old = {condition.type: condition.reason for condition in before.conditions}
    changed = (c for c in after.conditions if c.type in _TOLD and old.get(c.type) != c.reason)
    return tuple(dict.fromkeys(_note(c) for c in changed if c.reason not in _SILENT))


def _note(condition: Condition) -> EventNote:
    calm = condition.status == "True" or condition.reason in _NORMAL
    return EventNote("Normal" if calm else "Warning", condition.reason, condition.message[:1000])
