"""The status of a spread model: what its parts say, added up, with the worst of it told first."""

from collections.abc import Callable, Iterable, Mapping, Sequence
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
            "cost": first.cost.model_copy(update={"hourly": _add_costs(views)}) if first.cost else None,
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
        told = entry.model_copy(update={"message": f"Part {view.number}: {entry.message}"[:1000]})
        left = entry.reason == RUNG_LEFT and entry not in view.before.timeline
        ends = entry.reason == REPLICA_ENDS_SOON and (told.reason, told.message) not in known
        if left or ends:
            yield told


def _merge_findings(views: Sequence[PartView]) -> dict[str, Finding]:
    parts = {view.number: {c.type: _read(view, c) for c in view.status.conditions} for view in views}
    merged = {kind: _pick(kind, [found[kind] for found in parts.values()]) for kind in parts[views[0].number]}
    ready, wanted = sum(view.ready for view in views), sum(view.wanted for view in views)
    serving = next((found["Ready"] for found in parts.values() if found["Ready"].reason in _SERVING), None)
    if serving is None:
        return merged
    words = f"{ready} of {wanted} replicas answer."
    merged["Ready"] = met("Serving" if ready >= wanted else "ServingPartially", words)
    merged["EndpointReady"] = next(found["EndpointReady"] for found in parts.values() if found["EndpointReady"].holds)
    waiting = next((found["Ready"] for found in parts.values() if not found["Ready"].holds), None)
    if waiting and not merged["Degraded"].holds:
        merged["Degraded"] = met("ReplicasMissing", f"{waiting.reason}: {waiting.message}")
    return merged


_SERVING: Final = frozenset({"Serving", "ServingPartially"})


def _pick(kind: str, findings: Sequence[Finding]) -> Finding:
    """The first that is as it should not be, else the first."""
    bad: Callable[[Finding], bool] = (lambda f: f.holds) if kind in _ANY else (lambda f: not f.holds)
    return next((finding for finding in findings if bad(finding)), findings[0])


def _read(view: PartView, condition: Condition) -> Finding:
    """A condition of a part, with the part's number before it where there is something to act on."""
    holds = condition.status == "True"
    finding = (met if holds else unmet)(condition.reason, condition.message)
    plain = finding.holds != (condition.type in _ANY) or condition.type == "Accepted"
    return finding if plain else replace(finding, message=f"Part {view.number}: {finding.message}")


def _sum_up(views: Sequence[PartView], findings: Mapping[str, Finding]) -> Summary:
    ready, degraded = findings["Ready"], findings["Degraded"]
    told = degraded if ready.holds and degraded.holds else ready
    hardware = (view.status.summary.hardware for view in views if view.status.summary and view.wanted)
    known = " + ".join(dict.fromkeys(each for each in hardware if each))
    return Summary(
        ready=f"{sum(view.ready for view in views)}/{sum(view.wanted for view in views)}",
        hardware=word(known) or (views[0].status.summary.hardware if views[0].status.summary else None),
        hourly_cost=_add_costs(views),
        reason=told.reason,
    )


def _add_costs(views: Iterable[PartView]) -> str:
    hourly = [view.status.cost.hourly for view in views if view.status.cost and view.status.cost.hourly]
    if "unknown" in hourly:
        return describe_money(None)
    return describe_money(sum(map(Decimal, hourly), Decimal(0)))


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
