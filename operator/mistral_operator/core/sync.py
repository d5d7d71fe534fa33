"""From a model and what was observed to what should be: one pure function, the same everywhere.

The operator, `render`, and every kind of test call it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any, Final

from mistral_operator.api.model import MistralModel
from mistral_operator.autoscaling.registry import choose_autoscaler
from mistral_operator.capacity.arbitration import Budget
from mistral_operator.capacity.ladder import Moment
from mistral_operator.catalogue.types import Catalogue
from mistral_operator.core.budget import Allotment, Outlay, allot, find_payer, read_template_revision, weigh_outlay
from mistral_operator.core.choice import Choice, Grounds, choose_revision
from mistral_operator.core.ends import anticipate
from mistral_operator.core.events import note_changes
from mistral_operator.core.idle import price_idle_nodes
from mistral_operator.core.parts import read_part
from mistral_operator.core.pods import find_own_pods
from mistral_operator.core.render import render, render_claims
from mistral_operator.core.revisions import History, distrust, read_history
from mistral_operator.core.rungs import Ladder, count_on_rungs, judge
from mistral_operator.core.serving_class import Ruling, annotate, bound_spend, list_image_caches, name_spend_limit, rule
from mistral_operator.core.slices import (
    explain_missing_controller,
    find_held,
    find_occupied,
    number_former,
    number_slices,
    price_slices,
    price_unnamed,
)
from mistral_operator.core.spend import find_standing
from mistral_operator.core.spread import is_spread, sync_parts
from mistral_operator.core.types import Manifest, ObjectRef, Observed, Outcome
from mistral_operator.engines.registry import ENGINES
from mistral_operator.manifests import conversion, slices
from mistral_operator.manifests.conversion import name_conversion
from mistral_operator.manifests.identity import is_owned_by, name_workload, part_number
from mistral_operator.manifests.revision import KIND as REVISION_KIND
from mistral_operator.manifests.revision import Revision
from mistral_operator.manifests.slices import name_groups
from mistral_operator.manifests.workload import DEPLOYMENT
from mistral_operator.planning.plan import plan_model
from mistral_operator.planning.remember import Planner
from mistral_operator.planning.resolve import check_pinned_license
from mistral_operator.planning.types import Settings
from mistral_operator.status.build import build_status, read_status
from mistral_operator.status.conversion import ConversionView, view_conversion
from mistral_operator.status.findings import Finding, unmet
from mistral_operator.status.pods import PodView, view_pods
from mistral_operator.status.situation import ClassView, Situation

_Object = Mapping[str, Any]
WORKLOADS: Final = (DEPLOYMENT, slices.KIND)
"""Kinds whose pods are replicas."""
PER_PART: Final = (*WORKLOADS, REVISION_KIND)
"""Kinds of which each part of a spread model has its own."""


def sync(
    model: MistralModel,
    observed: Observed,
    catalogue: Catalogue,
    settings: Settings,
    now: datetime,
    planner: Planner = plan_model,
) -> Outcome:
    """Decide everything about one model.

    `observed` may be stale or empty: what it lacks is found again at the next call. A spec that is refused leaves what
    runs as it is, from the last revision that was accepted. `planner` may remember plans, and answers the same.
    """
    if is_spread(model, observed):
        return sync_parts(model, observed, now, lambda part, seen: _sync(part, seen, catalogue, settings, now, planner))
    return _sync(model, observed, catalogue, settings, now, planner)


def _sync(
    model: MistralModel,
    observed: Observed,
    catalogue: Catalogue,
    settings: Settings,
    now: datetime,
    planner: Planner,
) -> Outcome:
    """Decide about a model, or about one part of one that is spread."""
    children = [child for child in observed.children if _belongs_to(child, model)]
    history, before = _read_history(observed, children), read_status(model)
    at, ruling = Moment(now, settings.ladder, model.metadata.uid), rule(model, observed.serving_classes)
    outlay, budget = _weigh(model, observed, children, history, catalogue, settings), observed.budget or Budget()
    payer = find_payer(ruling, outlay, budget)
    plan = partial(planner, ruling.model, catalogue, observed.cluster, settings, terms=ruling.terms)
    choice = choose_revision(Grounds(model, ruling, payer, history, before, at, settings.operator_version, plan))
    revision = choice.revision
    missing = explain_missing_controller(revision, served=observed.cluster.leader_worker_set)
    accepted = annotate(ruling, _accept(model, choice, catalogue, missing))
    occupied = find_occupied(observed, (*history.revisions, *((revision,) if revision else ())))
    pods = _view_pods(model, observed, children, history, revision)
    former = number_former(_retain(history, revision, pods), occupied, (pod for pod in pods if pod.leads))
    bounded = _bound(model, ruling, history, children, accepted, revision)
    standing = find_standing(former, pods)
    allotment = allot(ruling, bounded, revision, standing, outlay, budget)
    if revision:
        needed = 0 if missing or allotment.stays else allotment.replicas
        revision = number_slices(revision, occupied, find_held(revision, history.revisions), needed)
    situation = _gather(allotment, observed, children, history, pods, accepted, revision)
    ladder = _judge(situation, payer, revision, history, choice, at)
    situation = replace(situation, rungs=ladder.rungs, serving_rungs=ladder.serving, returns=ladder.returns)
    where = count_on_rungs(situation.standing_pods, history, revision) if revision else {}
    situation = replace(situation, model=model, rung_replicas=where)
    situation = replace(situation, serving_class=_view_class(model, ruling, revision))
    ending = anticipate(allotment.payer or allotment.model, situation, observed.machines, at)
    situation = replace(situation, succession=ending.succession)
    status = build_status(situation, before, now)
    manifests = render(allotment.model, revision, former, situation) if revision else ()
    return Outcome(
        manifests=manifests,
        claims=render_claims(revision, former),
        prune=tuple(_find_unwanted(model, children, manifests, situation)) if accepted.holds else (),
        status=status.model_dump(by_alias=True, exclude_defaults=True, mode="json"),
        events=note_changes(before, status),
        account=allotment.charge(ending.succession.extra_replicas),
        requeue_after_s=_find_soonest(_look_at_service_s(situation), ladder.next_look_s, ending.next_look_s),
        marks=ending.marks,
    )


def _read_history(observed: Observed, children: Sequence[_Object]) -> History:
    live = {claim["metadata"]["name"] for claim in observed.claims}
    return distrust(read_history(children), live, list_image_caches(observed.serving_classes))


def _belongs_to(child: _Object, model: MistralModel) -> bool:
    """An owner reference can be written by anybody, also in another namespace."""
    metadata = child["metadata"]
    mine = child["kind"] not in PER_PART or read_part(child) == part_number(model)
    return mine and metadata.get("namespace") == model.metadata.namespace and is_owned_by(child, model.metadata.uid)


def _accept(model: MistralModel, choice: Choice, catalogue: Catalogue, missing: Finding | None) -> Finding:
    """The verdict on the spec, and on the license and the controller that what is served needs."""
    if choice.revision is None or not choice.accepted.holds:
        return choice.accepted
    refused = check_pinned_license(model.spec, choice.revision.plan, catalogue)
    return unmet(refused.reason, refused.message) if refused else missing or choice.accepted


def _look_at_service_s(situation: Situation) -> float | None:
    """When the Service has been made again, nothing else will tell of that."""
    return 0.0 if situation.cut_off and situation.plan is not None else None


def _find_soonest(*moments_s: float | None) -> float | None:
    return min((each for each in moments_s if each is not None), default=None)


def _bound(
    model: MistralModel,
    ruling: Ruling,
    history: History,
    children: Sequence[_Object],
    accepted: Finding,
    revision: Revision | None,
) -> MistralModel:
    """The model as far as its class pays for it."""
    if revision is None:
        return model
    workload = _find_workload(model, children, revision) or {}
    return bound_spend(
        ruling,
        model,
        revision.plan,
        accepted=accepted.holds,
        pinned=history.is_latest(revision),
        standing=int(workload.get("spec", {}).get("replicas", 0)),
        current=read_template_revision(workload) == revision.hash,
    )


def _weigh(
    model: MistralModel,
    observed: Observed,
    children: Sequence[_Object],
    history: History,
    catalogue: Catalogue,
    settings: Settings,
) -> Outlay:
    workloads = [child for child in children if child["kind"] in WORKLOADS]
    pods = [pod for pod in observed.pods if read_part(pod) == part_number(model)]
    # Nobody knows any more of which part they were: the first one, which every model has, pays for them.
    first = part_number(model) == 1
    unnamed = price_unnamed(observed.claims, observed.children, catalogue, settings) if first else Decimal(0)
    return weigh_outlay(history.revisions, workloads, pods, observed.claims, unnamed)


def _judge(
    situation: Situation, payer: MistralModel, revision: Revision | None, history: History, choice: Choice, at: Moment
) -> Ladder:
    """What is known of the rungs now, under the limits of the class."""
    if revision is None:
        return Ladder()
    return judge(replace(situation, model=payer), revision, history, choice.rungs, at)


def _view_class(model: MistralModel, ruling: Ruling, revision: Revision | None) -> ClassView:
    breach = ruling.find_breach(revision.plan) if revision else None
    return ClassView(
        name=ruling.name, breach=breach.message if breach else "", spend_limit=name_spend_limit(ruling, model)
    )


def _view_pods(
    model: MistralModel,
    observed: Observed,
    children: Sequence[_Object],
    history: History,
    revision: Revision | None,
) -> Sequence[PodView]:
    hashes = history.hashes | ({revision.hash} if revision else set())
    workloads = (child for child in children if child["kind"] in WORKLOADS)
    return view_pods(find_own_pods(model, observed.pods, hashes, workloads), ENGINES.values())


def _gather(
    allotment: Allotment,
    observed: Observed,
    children: Sequence[_Object],
    history: History,
    pods: Sequence[PodView],
    accepted: Finding,
    revision: Revision | None,
) -> Situation:
    model = allotment.model
    return Situation(
        model=model,
        cluster=observed.cluster,
        accepted=accepted,
        plan=revision.plan if revision else None,
        revision=revision.hash if revision else "",
        planner_version=revision.planner_version if revision else "",
        prices=history.prices,
        slice_prices=price_slices(observed.claims, history.revisions),
        idle_prices=tuple(price_idle_nodes(observed, history)),
        wanted_replicas=allotment.replicas,
        place=allotment.place,
        stays=allotment.stays,
        pods=tuple(pod for pod in pods if pod.leads),
        workers=tuple(pod for pod in pods if not pod.leads),
        pod_events=observed.pod_events,
        claims=tuple(_find_claims(observed, revision)) if revision else (),
        service=_find_child(children, "Service", model.metadata.name),
        workload=_find_workload(model, children, revision) if revision else None,
        conversion=_find_conversion(model, observed, children, revision) if revision else None,
        autoscaler=_find_child(children, "HorizontalPodAutoscaler", model.metadata.name),
        wants_autoscaler=choose_autoscaler(model).name != "None",
    )


def _name_workloads(model: MistralModel) -> dict[str, str]:
    """Kind → name; a model has one of them, and two while it moves from one to the other."""
    return {DEPLOYMENT: name_workload(model), slices.KIND: name_groups(model)}


def _find_workload(model: MistralModel, children: Sequence[_Object], revision: Revision) -> _Object | None:
    kind = slices.KIND if revision.spans_hosts else DEPLOYMENT
    return _find_child(children, kind, _name_workloads(model)[kind])


def _find_conversion(
    model: MistralModel, observed: Observed, children: Sequence[_Object], revision: Revision
) -> ConversionView | None:
    if revision.conversion is None:
        return None
    name = name_conversion(model, revision.conversion)
    return view_conversion(name, _find_child(children, conversion.KIND, name), observed.pods)


def _retain(history: History, active: Revision | None, pods: Iterable[PodView]) -> tuple[Revision, ...]:
    """Older revisions with pods on nodes: their capacity must stay until the last of them is gone. What only waits for
    nodes is not worth any.
    """
    running = {pod.revision for pod in pods if pod.scheduled}
    return tuple(r for r in history.revisions if r.hash in running and (active is None or r.hash != active.hash))


def _find_unwanted(
    model: MistralModel, children: Iterable[_Object], manifests: Iterable[Manifest], situation: Situation
) -> Iterable[ObjectRef]:
    """What the model owns and no longer needs; a revision is needed as long as a pod of it is there."""
    kept = {(m["kind"], m["metadata"]["name"]) for m in manifests}
    kept |= {("ControllerRevision", f"{model.metadata.name}-{pod.revision}") for pod in situation.all_pods}
    if not situation.current_replicas_answer and situation.leaves_nodes:
        # Another kind of workload serves until this one does.
        kept |= set(_name_workloads(model).items())
    for child in children:
        metadata = child["metadata"]
        if (child["kind"], metadata["name"]) not in kept and "deletionTimestamp" not in metadata:
            yield ObjectRef(child["apiVersion"], child["kind"], metadata["name"], metadata.get("uid", ""))


def _find_child(children: Sequence[_Object], kind: str, name: str) -> _Object | None:
    return next((c for c in children if c["kind"] == kind and c["metadata"]["name"] == name), None)


def _find_claims(observed: Observed, revision: Revision) -> Iterable[_Object | None]:
    """The live claims that the pinned plan needs, in the order of their names; None for one that isn't there yet."""
    live = {claim["metadata"]["name"]: claim for claim in observed.claims}
    return (live.get(claim["metadata"]["name"]) for claim in revision.claims)
