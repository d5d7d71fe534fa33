"""The status of a spread model: what its parts say, added up, with the worst of it told first."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Final

from mistral_operator.api.common import Condition, QueueStatus
from mistral_operator.api.model import MistralModel
from mistral_operator.api.status import CapacityStatus, ModelStatus, PartStatus, RungStatus, Summary, TimelineEntry
from mistral_operator.capacity.ladder import RungState
from mistral_operator.status.build import write_conditions
from mistral_operator.status.ends import REPLICA_ENDS_SOON
from mistral_operator.status.findings import Finding, met, unmet
from mistral_operator.status.plan import describe_money, word
from mistral_operator.status.timeline import LONGEST, RUNG_LEFT

_MOST_RUNGS: Final = 16
_MOST_CLAIMS: Final = 64
_ANY: Final = frozenset({"Degraded", "Reconciling", "Stalled"})
"""Conditions that hold for a model as soon as they hold for one of its parts."""
_TOLD: Final = frozenset({RUNG_LEFT, REPLICA_ENDS_SOON})
"""What the timeline tells of later parts; the way to Ready is told of the first."""
_COUNTING: Final = frozenset({"CapacityReady", "WorkloadReady"})
_BEST_STATE: Final = (RungState.ACTIVE, RungState.TRYING, RungState.EXHAUSTED, RungState.REFUSED, RungState.NEXT)


@dataclass(frozen=True, slots=True)
class PartView:
    """One part's status, and what its workload is called."""

    number: int
    workload: str
    status: ModelStatus
    before: ModelStatus
    """Its status of the last look."""

    @property
    def wanted(self) -> int:
        """Replicas that are wanted of it."""
        summary = self.status.summary
        return int((summary.ready or "0/0").partition("/")[2]) if summary else 0

    @property
    def ready(self) -> int:
        """Those that answer."""
        return self.status.ready_replicas or 0


def read_part_status(before: ModelStatus, number: int) -> ModelStatus:
    """What was told of one part, as the status of a model; what was told before it was spread is about the first."""
    told = next((part for part in before.parts if part.number == number), None)
    if told is None:
        return before if number == 1 else ModelStatus()
    plan = before.plan.model_copy(update={"revision": told.revision}) if before.plan else None
    return before.model_copy(
        update={"plan": plan, "capacity": CapacityStatus(options=told.options), "ready_replicas": told.ready_replicas}
    )


def merge_statuses(model: MistralModel, views: Sequence[PartView], before: ModelStatus, now: datetime) -> ModelStatus:
    """The status of the whole model. Its plan is the first part's; `parts` has the others' revisions."""
    first = views[0].status
    findings = _merge_findings(views)
    return first.model_copy(
        update={
            "summary": _sum_up(views, findings),
            "conditions": write_conditions(findings, before.conditions, model.metadata.generation, now),
            "replicas": sum(view.status.replicas or 0 for view in views),
            "ready_replicas": sum(view.ready for view in views),
            "updated_replicas": sum(view.status.updated_replicas or 0 for view in views),
            "timeline": (*first.timeline, *(entry for view in views[1:] for entry in _tell(view)))[-LONGEST:],
            "capacity": CapacityStatus(
                options=_merge_rungs(views), claims=_merge_claims(views), queue=_find_queue(views)
            ),
            "cost": first.cost.model_copy(update=_merge_costs(views)) if first.cost else None,
            "parts": tuple(map(_describe, views)),
        }
    )


def _find_queue(views: Iterable[PartView]) -> QueueStatus | None:
    """The place of the first part that waits."""
    return next(
        (view.status.capacity.queue for view in views if view.status.capacity and view.status.capacity.queue), None
    )


def _describe(view: PartView) -> PartStatus:
    capacity, plan = view.status.capacity, view.status.plan
    return PartStatus(
        number=view.number,
        workload=view.workload,
        replicas=view.wanted,
        ready_replicas=view.ready,
        revision=plan.revision if plan else None,
        options=capacity.options if capacity else (),
    )


def _tell(view: PartView) -> Iterable[TimelineEntry]:
    """New entries of a later part, which say whose they are."""
    known = {(entry.reason, entry.message) for entry in view.before.timeline}
    for entry in view.status.timeline:
        if entry.reason in _TOLD and entry not in view.before.timeline:
            told = entry.model_copy(update={"message": f"Part {view.number}: {entry.message}"[:1000]})
            if entry.reason == RUNG_LEFT or (told.reason, told.message) not in known:
                yield told


def _merge_findings(views: Sequence[PartView]) -> dict[str, Finding]:
    parts = [{c.type: _read(c) for c in view.status.conditions} for view in views]
    merged = {kind: _pick(kind, views, [found[kind] for found in parts]) for kind in parts[0]}
    ready, wanted = sum(view.ready for view in views), sum(view.wanted for view in views)
    if not any(found["Ready"].reason in _SERVING for found in parts):
        return merged
    waits, words = merged["Ready"], f"{ready} of {wanted} replicas answer."
    merged["Ready"] = met("Serving" if ready >= wanted else "ServingPartially", words)
    endpoint = views[0].status.endpoint
    merged["EndpointReady"] = met("Serving", f"{endpoint.url if endpoint else ''} is answered by {ready} replicas.")
    if not waits.holds and not merged["Degraded"].holds:
        merged["Degraded"] = met("ReplicasMissing", f"{waits.reason}: {waits.message}")
    return merged


_SERVING: Final = frozenset({"Serving", "ServingPartially"})


def _pick(kind: str, views: Sequence[PartView], findings: Sequence[Finding]) -> Finding:
    """The first that is as it should not be, with its part's number; else the first, or all that count replicas."""
    bad = [index for index, finding in enumerate(findings) if finding.holds == (kind in _ANY)]
    if bad:
        worst, same = findings[bad[0]], all(finding == findings[0] for finding in findings)
        whose = "Each part" if same else f"Part {views[bad[0]].number}"
        return replace(worst, message=f"{whose}: {worst.message}")
    if kind not in _COUNTING:
        return findings[0]
    ends = (finding for finding in findings if finding.reason == REPLICA_ENDS_SOON)
    told = " ".join(f"Part {view.number}: {each.message}" for view, each in zip(views, findings, strict=True))
    return replace(next(ends, findings[0]), message=told)


def _read(condition: Condition) -> Finding:
    return (met if condition.status == "True" else unmet)(condition.reason, condition.message)


def _sum_up(views: Sequence[PartView], findings: Mapping[str, Finding]) -> Summary:
    ready, degraded = findings["Ready"], findings["Degraded"]
    told = degraded if ready.holds and degraded.holds else ready
    hardware = (view.status.summary.hardware for view in views if view.status.summary and view.wanted)
    known = " + ".join(dict.fromkeys(each for each in hardware if each))
    return Summary(
        ready=f"{sum(view.ready for view in views)}/{sum(view.wanted for view in views)}",
        hardware=word(known) or (views[0].status.summary.hardware if views[0].status.summary else None),
        hourly_cost=_merge_costs(views)["hourly"],
        reason=told.reason,
    )


def _merge_costs(views: Iterable[PartView]) -> dict[str, str | None]:
    costs = [view.status.cost for view in views if view.status.cost]
    idle = [cost.idle for cost in costs if cost.idle]
    return {
        "hourly": _add_costs(cost.hourly for cost in costs if cost.hourly),
        "idle": _add_costs(idle) if idle else None,
    }


def _add_costs(amounts: Iterable[str]) -> str:
    known = list(amounts)
    return describe_money(None if "unknown" in known else sum(map(Decimal, known), Decimal(0)))


def _merge_rungs(views: Sequence[PartView]) -> tuple[RungStatus, ...]:
    """Each rung once, in the first part's order, as it is for the part that fares best there."""
    merged: dict[str, RungStatus] = {}
    for view in views:
        for rung in view.status.capacity.options if view.status.capacity else ():
            known = merged.get(rung.name)
            better = rung if known is None or _rank(rung) < _rank(known) else known
            replicas = (known.replicas or 0 if known else 0) + (rung.replicas or 0)
            merged[rung.name] = better.model_copy(update={"replicas": replicas})
    return tuple(merged.values())[:_MOST_RUNGS]


def _rank(rung: RungStatus) -> int:
    states = [state.value for state in _BEST_STATE]
    return states.index(rung.state) if rung.state in states else len(states)


def _merge_claims(views: Iterable[PartView]) -> tuple[str, ...]:
    claims = (claim for view in views if view.status.capacity for claim in view.status.capacity.claims)
    return tuple(dict.fromkeys(claims))[:_MOST_CLAIMS]
