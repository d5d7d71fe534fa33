"""The whole status of a MistralModel, made from one situation. It is written whole: a field left out is removed."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from pydantic import ValidationError

from mistral_operator.api.common import Condition, QueueStatus
from mistral_operator.api.model import MistralModel
from mistral_operator.api.status import (
    CapacityStatus,
    CostStatus,
    EndpointStatus,
    ModelStatus,
    Summary,
)
from mistral_operator.capacity.arbitration import Place
from mistral_operator.manifests.identity import pod_selector
from mistral_operator.manifests.network import endpoint_url
from mistral_operator.planning.types import Plan
from mistral_operator.status.capacity import check_capacity
from mistral_operator.status.cost import describe_hourly_cost, describe_idle_cost
from mistral_operator.status.findings import Finding, format_time, quote
from mistral_operator.status.overall import check_degraded, check_ready, check_reconciling, check_stalled, explain
from mistral_operator.status.plan import describe_plan, word
from mistral_operator.status.rungs import describe_rung, tell_left
from mistral_operator.status.serving import check_autoscaling, check_endpoint, check_weights, check_workload
from mistral_operator.status.situation import Situation
from mistral_operator.status.timeline import extend_timeline

_MOST_CLAIMS: Final = 64
"""So many the status lists; a model may have a thousand slices."""


def check_all(situation: Situation) -> dict[str, Finding]:
    """Every condition of the model, in the order in which they are written."""
    parts = {
        "Accepted": situation.accepted,
        "CapacityReady": check_capacity(situation),
        "WeightsReady": check_weights(situation),
        "WorkloadReady": check_workload(situation),
        "AutoscalingReady": check_autoscaling(situation),
        "EndpointReady": check_endpoint(situation),
    }
    return {
        "Ready": check_ready(situation, parts),
        **parts,
        "Degraded": check_degraded(situation, parts),
        "Reconciling": check_reconciling(situation, parts),
        "Stalled": check_stalled(parts),
    }


def build_status(situation: Situation, previous: ModelStatus, now: datetime) -> ModelStatus:
    """Make the status; times of conditions that didn't change, and what happened before, are kept."""
    findings = check_all(situation)
    model, plan = situation.model, situation.plan
    capacity = _describe_capacity(situation)
    left = tell_left(previous.capacity, capacity)
    status = ModelStatus(
        observed_generation=model.metadata.generation,
        summary=_summarize(situation, findings),
        conditions=write_conditions(findings, previous.conditions, model.metadata.generation, now),
        replicas=len(situation.standing_pods),
        ready_replicas=len(situation.ready_pods),
        updated_replicas=len(situation.current_pods),
        selector=",".join(f"{name}={value}" for name, value in sorted(pod_selector(model).items())),
        timeline=extend_timeline(situation, findings, previous.timeline, now, left),
        serving_class_name=situation.serving_class.name or None,
    )
    if plan is None:
        return status
    served = {
        "plan": describe_plan(plan, f"{model.metadata.name}-{situation.revision}", situation.planner_version),
        "capacity": capacity,
        "endpoint": EndpointStatus(
            url=endpoint_url(model), served_name=word(plan.served_name), service=model.metadata.name
        ),
        "cost": _describe_cost(situation, plan),
    }
    return status.model_copy(update=served)


def read_status(model: MistralModel) -> ModelStatus:
    """Read the status that was written last; one of another version counts as lost, and is made again."""
    try:
        return ModelStatus.model_validate(model.status)
    except ValidationError:
        return ModelStatus()


def write_conditions(
    findings: Mapping[str, Finding], previous: Sequence[Condition], generation: int, now: datetime
) -> tuple[Condition, ...]:
    """Write metav1 conditions; `lastTransitionTime` moves only when the status does."""
    before = {condition.type: condition for condition in previous}
    return tuple(_write(kind, finding, before.get(kind), generation, now) for kind, finding in findings.items())


def _write(kind: str, finding: Finding, before: Condition | None, generation: int, now: datetime) -> Condition:
    unchanged = before is not None and before.status == finding.status
    return Condition(
        type=kind,
        status=finding.status,
        reason=finding.reason,
        message=quote(finding.message),
        last_transition_time=before.last_transition_time if before and unchanged else format_time(now),
        observed_generation=generation,
    )


def _summarize(situation: Situation, findings: Mapping[str, Finding]) -> Summary:
    ready, degraded = findings["Ready"], findings["Degraded"]
    telling = degraded if ready.holds and degraded.holds else ready
    reason = explain(findings).reason if telling.reason == "ReplicasMissing" else telling.reason
    summary = Summary(ready=f"{len(situation.ready_pods)}/{situation.wanted_replicas}", reason=reason)
    if situation.plan is None:
        return summary
    option = situation.plan.chosen
    machines = f"{option.hosts} × {option.machine_type}" if option.hosts > 1 else option.machine_type
    ways = "/".join(dict.fromkeys(bought.consumption.value for bought in option.purchases))
    hardware = f"{option.hardware} ({machines}, {ways})"
    return summary.model_copy(
        update={"hardware": word(hardware), "hourly_cost": describe_hourly_cost(situation, situation.plan)}
    )


def _describe_cost(situation: Situation, plan: Plan) -> CostStatus:
    return CostStatus(
        hourly=describe_hourly_cost(situation, plan),
        idle=describe_idle_cost(situation),
        currency="USD",
        note=plan.chosen.price_note[:1024],
    )


def _describe_capacity(situation: Situation) -> CapacityStatus:
    claims = tuple(claim["metadata"]["name"] for claim in situation.claims if claim is not None)
    rungs = tuple(describe_rung(rung, situation.rung_replicas.get(rung.name, 0)) for rung in situation.rungs)
    queue = _describe_place(situation.place) if situation.place else _find_queue(situation)
    return CapacityStatus(options=rungs, claims=claims[:_MOST_CLAIMS], queue=queue)


def _find_queue(situation: Situation) -> QueueStatus | None:
    """The place of the first claim that waits."""
    told = ((claim.get("status") or {}).get("queue") for claim in situation.claims if claim is not None)
    return next((QueueStatus.model_validate(queue) for queue in told if queue), None)


def _describe_place(place: Place) -> QueueStatus:
    return QueueStatus(position=place.position, of=place.of, waits_for=word(place.waits_for))
