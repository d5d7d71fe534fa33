"""A successor for each replica whose node is going to end: when it is time for one, and which replica goes for it.

One machine more is taken at a time: that is what pools are bounded for, and what the spend limits speak of.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from mistral_operator.api.model import MistralModel
from mistral_operator.api.pod import Toleration
from mistral_operator.api.rollout import RolloutStrategy
from mistral_operator.capacity.ladder import Moment
from mistral_operator.capacity.purchases import FLEX_START_LABEL
from mistral_operator.core.spend import may_surge
from mistral_operator.core.types import PodMark
from mistral_operator.planning.nodes import Taint, find_untolerated
from mistral_operator.planning.types import LadderSettings, PlannedOption
from mistral_operator.status.ends import NO_ENDS, EndCause, NodeEnd, Step, Succession
from mistral_operator.status.pods import PodView
from mistral_operator.status.situation import Situation

_Object = Mapping[str, Any]
MAINTENANCE_LABEL: Final = "cloud.google.com/scheduled-maintenance-time"
"""On nodes: seconds since 1970, when the host is taken down."""
SHUTDOWN_TAINT: Final = "cloud.google.com/impending-node-termination"
_LAST: Final = "-100"
"""A deletion cost below that of all pods without one, so that this pod is the one that a smaller ReplicaSet removes."""
_REMOVAL_S: Final = 600.0
"""GKE's cluster autoscaler removes a node that has been empty for so long."""
_BELIEVED_S: Final = 3600.0
"""An announced end that hasn't come an hour later isn't waited for: GKE gives a drain as long at most."""
_LOOK_AGAIN_S: Final = 30.0
"""Of a pool with many users, nobody is told that an empty node has gone."""


@dataclass(frozen=True, slots=True)
class Anticipation:
    """What follows from the ends of nodes."""

    succession: Succession = NO_ENDS
    marks: tuple[PodMark, ...] = ()
    """Pods to mark, or whose mark is to go, before the workload is made smaller."""
    next_look_s: float | None = None


def anticipate(model: MistralModel, situation: Situation, machines: Sequence[_Object], at: Moment) -> Anticipation:
    """Look for ends that are nearer than a successor takes to answer. `model` is as its spend limits bound it.

    Nothing is begun during a roll-out, which replaces the replicas anyway, nor for slices, of which one more takes a
    whole pool more.
    """
    option = situation.plan.chosen if situation.plan else None
    still = situation.accepted.holds and situation.wanted_replicas and not situation.leaving_pods
    if option is None or option.hosts > 1 or not still:
        return Anticipation()
    ends = find_ends(situation.ready_pods, machines, option, at.now)
    leads = _leads_s(option, at.settings, len(ends))
    due = tuple(end for end, lead_s in zip(ends, leads, strict=True) if _is_due(end, lead_s, at.now))
    marks = tuple(_mark(situation.ready_pods, {end.pod for end in due}))
    coming = [_seconds_to(end, lead_s, at.now) for end, lead_s in zip(ends, leads, strict=True) if end not in due]
    if not due:
        return Anticipation(marks=marks, next_look_s=min(coming, default=None))
    empty = any(_would_take(machine, situation, option, leads[-1], at.now) for machine in machines)
    step = _choose_step(model, situation, due, option, empty)
    waits = [_LOOK_AGAIN_S] if step is Step.WAITING else []
    return Anticipation(Succession(due, step), marks, min((*coming, *waits), default=None))


def find_ends(
    pods: Iterable[PodView], machines: Iterable[_Object], option: PlannedOption, now: datetime
) -> tuple[NodeEnd, ...]:
    """The ends that are known of the nodes on which these pods are, the nearest first."""
    by_name = {machine["metadata"]["name"]: machine for machine in machines}
    found = (_find_end(pod, by_name[pod.node], option, now) for pod in pods if pod.node in by_name)
    return tuple(sorted((end for end in found if end), key=lambda end: (_moment(end, now), end.pod)))


def _find_end(pod: PodView, machine: _Object, option: PlannedOption, now: datetime) -> NodeEnd | None:
    if any(taint.get("key") == SHUTDOWN_TAINT for taint in _taints(machine)):
        return NodeEnd(pod.name, pod.node, EndCause.SHUTDOWN, None)
    known = _find_times(machine, option)
    believed = [(at, cause) for at, cause in known if (now - at).total_seconds() < _BELIEVED_S]
    if not believed:
        return None
    at, cause = min(believed)
    return NodeEnd(pod.name, pod.node, cause, at)


def _find_times(machine: _Object, option: PlannedOption) -> Iterable[tuple[datetime, EndCause]]:
    metadata = machine["metadata"]
    announced = str((metadata.get("labels") or {}).get(MAINTENANCE_LABEL, ""))
    if announced.isdecimal() and len(announced) <= len("9999999999"):
        yield datetime.fromtimestamp(int(announced), UTC), EndCause.MAINTENANCE
    born, run_s = str(metadata.get("creationTimestamp") or ""), _longest_run_s(metadata.get("labels") or {}, option)
    if run_s and born:
        yield datetime.fromisoformat(born) + timedelta(seconds=run_s), EndCause.RUN_OVER


def _longest_run_s(labels: _Object, option: PlannedOption) -> int:
    """Seconds for which the node may run; 0 without an end. Where GKE chooses how to buy, the node tells what it is."""
    if not option.alternatives:
        return option.max_run_s
    is_flex_start = labels.get(FLEX_START_LABEL) == "true"
    return max(purchase.max_run_s for purchase in option.purchases) if is_flex_start else 0


def _taints(machine: _Object) -> Sequence[_Object]:
    return (machine.get("spec") or {}).get("taints") or ()


def _leads_s(option: PlannedOption, settings: LadderSettings, number: int) -> tuple[float, ...]:
    """Before the nearest end the time that a successor takes; before each later one also what those before it take,
    and the time until the emptied node of its predecessor has been removed.
    """
    lead_s = max(settings.successor_lead_s, settings.successor_margin * option.startup.total_s)
    return tuple(lead_s + index * (lead_s + _REMOVAL_S) for index in range(number))


def _moment(end: NodeEnd, now: datetime) -> datetime:
    return end.at or now


def _seconds_to(end: NodeEnd, lead_s: float, now: datetime) -> float:
    return (_moment(end, now) - now).total_seconds() - lead_s


def _is_due(end: NodeEnd, lead_s: float, now: datetime) -> bool:
    return end.at is None or _seconds_to(end, lead_s, now) <= 0


def _choose_step(
    model: MistralModel,
    situation: Situation,
    due: Sequence[NodeEnd],
    option: PlannedOption,
    empty: bool,
) -> Step:
    """`empty` says that there is a node for which the successor would wait in vain."""
    ending, wanted = {end.pod for end in due}, situation.wanted_replicas
    staying = sum(1 for pod in situation.ready_pods if pod.name not in ending)
    if staying > wanted - len(ending):
        return Step.LEAVING
    rollout = model.spec.rollout
    if rollout is not None and rollout.strategy is RolloutStrategy.RECREATE:
        return Step.RECREATE
    if situation.serving_class.breach:
        return Step.OUTSIDE_CLASS
    if wanted < situation.model.spec.replicas or not may_surge(model, option):
        return Step.UNPAID
    asked = int(((situation.workload or {}).get("spec") or {}).get("replicas", 0))
    return Step.WAITING if empty and asked <= wanted else Step.STARTING


def _would_take(machine: _Object, situation: Situation, option: PlannedOption, within_s: float, now: datetime) -> bool:
    """Whether a successor would land on this empty node, which ends so soon that it would need one itself."""
    name = machine["metadata"]["name"]
    if any(pod.node == name for pod in situation.all_pods) or (machine.get("spec") or {}).get("unschedulable"):
        return False
    tolerated = _tolerations(situation.workload or {})
    closed = find_untolerated(map(_taint, _taints(machine)), tolerated, option.resource_name) is not None
    left_s = [(at - now).total_seconds() for at, _ in _find_times(machine, option)]
    return not closed and any(-_BELIEVED_S < seconds <= within_s for seconds in left_s)


def _tolerations(workload: _Object) -> tuple[Toleration, ...]:
    """What the pods tolerate, such as GKE's taint on the nodes of their ComputeClass."""
    template = (workload.get("spec") or {}).get("template") or {}
    return tuple(Toleration.model_validate(each) for each in (template.get("spec") or {}).get("tolerations") or ())


def _taint(taint: _Object) -> Taint:
    return Taint(str(taint.get("key", "")), str(taint.get("value", "")), str(taint.get("effect", "")))


def _mark(pods: Iterable[PodView], ending: set[str]) -> Iterable[PodMark]:
    for pod in pods:
        if pod.name in ending and pod.deletion_cost != _LAST:
            yield PodMark(pod.name, pod.uid, _LAST)
        if pod.name not in ending and pod.deletion_cost == _LAST:
            yield PodMark(pod.name, pod.uid, None)
