"""Kubernetes Events: one per change of a condition's reason, so that `kubectl describe` tells the story."""

from typing import Final

from mistral_operator.api.common import Condition
from mistral_operator.api.status import ModelStatus
from mistral_operator.core.types import EventNote
from mistral_operator.status.rungs import tell_left
from mistral_operator.status.timeline import RUNG_LEFT

# Each of these says something of its own; the others only sum them up.
_TOLD: Final = ("Accepted", "CapacityReady", "WeightsReady", "WorkloadReady", "AutoscalingReady", "Ready")
# The plain course of things: told, but nobody needs to be warned.
_NORMAL: Final = frozenset({
    "ClaimPending", "PoolPending", "PoolCreating", "PoolResizing", "PoolRepairing", "WaitingForNodes", "ScalingUp",
    "WaitingForReplica", "Loading", "Starting", "RollingOut", "Pending", "ScaledToZero", "Suspended",
    "NoReadyReplica", "ClaimReleasing", "Converting", "ServicePending", "WaitingForMetrics",
})  # fmt: skip
# Before a model is accepted the other conditions only repeat that it isn't.
_SILENT: Final = frozenset({"NotPlanned"})


def note_changes(before: ModelStatus, after: ModelStatus) -> tuple[EventNote, ...]:
    """Note each rung that was left, and each told condition whose reason is another than before.

    Of a new model only whether it is accepted, and what is wrong: its other conditions have not changed yet.
    """
    old = {condition.type: condition.reason for condition in before.conditions}
    changed = (c for c in after.conditions if c.type in _TOLD and old.get(c.type) != c.reason)
    told = (c for c in changed if c.type in old or c.type == "Accepted" or not _is_calm(c))
    left = (EventNote("Warning", RUNG_LEFT, words[:1000]) for words in tell_left(before.capacity, after.capacity))
    return (*left, *dict.fromkeys(_note(c) for c in told if c.reason not in _SILENT))


def _note(condition: Condition) -> EventNote:
    return EventNote("Normal" if _is_calm(condition) else "Warning", condition.reason, condition.message[:1000])


def _is_calm(condition: Condition) -> bool:
    return condition.status == "True" or condition.reason in _NORMAL
