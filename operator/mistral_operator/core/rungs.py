"""On which rung of its ladder a model is: what the status tells of the rungs, what is seen of them, where to go."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from itertools import chain
from typing import Final

from mistral_operator.api.model import MistralModel
from mistral_operator.api.rollout import RolloutStrategy
from mistral_operator.api.status import ModelStatus, RungStatus
from mistral_operator.api.times import read_time
from mistral_operator.capacity.ladder import Moment, Rung, RungState, Sight, choose_rung, judge_rungs, next_look_s
from mistral_operator.core.revisions import History
from mistral_operator.core.spend import count_paid_replicas, may_surge
from mistral_operator.manifests.inputs import hash_rung
from mistral_operator.manifests.revision import Revision
from mistral_operator.planning.types import Plan, PlanRefused
from mistral_operator.status.capacity import check_capacity
from mistral_operator.status.findings import Finding
from mistral_operator.status.pods import PodView
from mistral_operator.status.situation import Situation

_NO_LACK: Final = frozenset({"WaitingForReplica", "WaitingForPods", "PodsRefused"})
"""Findings about capacity that another rung would not change: a conversion goes on, or there are no pods to place."""


def read_rungs(model: MistralModel, status: ModelStatus, revision: Revision) -> tuple[Rung, ...]:
    """The ladder of a revision, with what the status tells of it. Of another ladder nothing is believed."""
    told = status.capacity.options if status.capacity and _is_about(status, model, revision) else ()
    known = {rung.name: rung for rung in told}
    return tuple(_read_rung(name, known) for name in revision.plan.rung_names)


def _is_about(status: ModelStatus, model: MistralModel, revision: Revision) -> bool:
    """Whether the status was written on a rung of the same ladder, whose revision may be gone by now."""
    told, inputs = status.plan.revision if status.plan else None, revision.inputs
    digests = chain((inputs,), (hash_rung(inputs, name) for name in revision.plan.rung_names))
    return any(told == f"{model.metadata.name}-{digest}" for digest in digests)


def _read_rung(name: str, known: Mapping[str, RungStatus]) -> Rung:
    told = known.get(name)
    state = next((state for state in RungState if told and told.state == state.value), None)
    if told is None or state is None:
        return Rung(name)
    times = (read_time(told.since), read_time(told.retry_after))
    return Rung(name, state, told.reason or "", told.message or "", *times)


def refuse_rung(rungs: Iterable[Rung], name: str, refusal: PlanRefused, at: Moment) -> tuple[Rung, ...]:
    """A rung that can't be planned now has its next turn much later: limits, prices and the catalogue may change."""
    retry_after = at.now + timedelta(seconds=at.settings.refused_cooldown_s)
    refused = Rung(name, RungState.REFUSED, refusal.reason, refusal.message, at.now, retry_after)
    return tuple(refused if rung.name == name else rung for rung in rungs)


def may_climb(model: MistralModel, plan: Plan, rungs: Iterable[Rung], settled: bool, rung: str) -> bool:
    """Whether a rung's replicas can be built beside those that serve, so that nothing is interrupted or overspent.

    `settled` says that a replica serves, or that none is wanted.
    """
    rollout = model.spec.rollout
    if not settled or (rollout is not None and rollout.strategy is RolloutStrategy.RECREATE):
        return False
    options = dict(zip(plan.rung_names, plan.options, strict=True))
    serving = [options[each.name] for each in rungs if each.state is RungState.ACTIVE]
    most = min((count_paid_replicas(model, option) for option in serving), default=model.spec.replicas)
    enough = count_paid_replicas(model, options[rung]) >= most
    return enough and may_surge(model, options[rung], serving)


@dataclass(frozen=True, slots=True)
class Ladder:
    """What is known of a model's rungs after a look at it."""

    rungs: tuple[Rung, ...] = ()
    serving: frozenset[str] = frozenset()
    """The rungs on which a replica answers."""
    returns: bool = True
    """Whether the first one could be built beside what serves."""
    next_look_s: float | None = None


def judge(situation: Situation, revision: Revision, history: History, rungs: tuple[Rung, ...], at: Moment) -> Ladder:
    """Look at the rung that a revision is for. One that is to be left is left at the next look, which is at once."""
    sight = look_at_rung(situation, revision, history)
    if not situation.accepted.holds:
        return Ladder(rungs, sight.serving)
    judged = judge_rungs(rungs, sight, at)
    settled = bool(situation.ready_pods) or situation.wanted_replicas == 0
    climb = partial(may_climb, situation.model, revision.plan, judged, settled)
    target = choose_rung(judged, revision.rung, climb, at)
    wait_s = next_look_s(judged, sight, at) if target == revision.rung else 0.0
    return Ladder(judged, sight.serving, climb(judged[0].name), wait_s)


def look_at_rung(situation: Situation, revision: Revision, history: History) -> Sight:
    """What is seen of the revision's own pods and claims: those of other revisions tell of other rungs."""
    own = replace(
        situation,
        pods=tuple(pod for pod in situation.pods if pod.revision == revision.hash),
        workers=tuple(pod for pod in situation.workers if pod.revision == revision.hash),
    )
    finding, option = check_capacity(own), revision.plan.chosen
    answering = {pod.revision for pod in situation.ready_pods}
    rungs = _name_rungs(history, revision)
    return Sight(
        rung=revision.rung,
        has_nodes=finding.holds or _lacks_nothing(finding, own) or any(pod.scheduled for pod in own.standing_hosts),
        serving=frozenset(rungs[each] for each in answering if each in rungs),
        reason=finding.reason,
        message=finding.message,
        consumption=option.consumption,
        zones=max(1, sum(len(purchase.zones) for purchase in option.purchases)),
        node_s=option.startup.node_s,
        startup_s=option.startup.total_s,
        by_zone=option.hosts > 1,
        further=tuple(purchase.consumption for purchase in option.purchases[1:]),
    )


def count_on_rungs(pods: Iterable[PodView], history: History, revision: Revision) -> dict[str, int]:
    """Rung's name → replicas that are on it; those of another ladder are on none."""
    rungs = _name_rungs(history, revision)
    return dict(Counter(rungs[pod.revision] for pod in pods if pod.revision in rungs))


def _name_rungs(history: History, revision: Revision) -> dict[str, str]:
    """Hash → rung, of the revisions on the same ladder."""
    return {each.hash: each.rung for each in (*history.revisions, revision) if each.inputs == revision.inputs}


def _lacks_nothing(finding: Finding, situation: Situation) -> bool:
    """Another rung would not help. A model on slices of which it can pay for none has no claim, and no pods to miss."""
    return finding.reason in _NO_LACK and (bool(situation.claims) or situation.converting)
