"""Which revision is served: the verdict on the spec, the plan that is pinned for it, and the rung of its ladder."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from mistral_operator.api.model import MistralModel
from mistral_operator.api.part import ModelPart
from mistral_operator.api.status import ModelStatus
from mistral_operator.capacity.ladder import Moment, Rung, choose_rung
from mistral_operator.core.revisions import History, pin
from mistral_operator.core.rungs import may_climb, read_rungs, refuse_rung
from mistral_operator.core.serving_class import Ruling
from mistral_operator.core.support import find_unsupported
from mistral_operator.manifests.inputs import hash_inputs, hash_rung
from mistral_operator.manifests.revision import Revision, Unreadable
from mistral_operator.planning.types import Plan, PlannedOption, PlanRefused, Provisioner
from mistral_operator.status.findings import Finding, met, unmet


@dataclass(frozen=True, slots=True)
class Grounds:
    """What the choice rests on."""

    model: MistralModel
    ruling: Ruling
    """What its serving class says of it."""
    payer: MistralModel
    """As far as its class could pay for it now."""
    history: History
    status: ModelStatus
    """As it was written last."""
    at: Moment
    version: str
    """The operator's, for what is pinned now."""
    plan: Callable[[str], Plan | PlanRefused]
    """Plans the model for the best option, or for the rung of that name."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What is to be served."""

    accepted: Finding
    revision: Revision | None
    """None where there never was a plan."""
    rungs: tuple[Rung, ...] = ()
    """Its ladder, with what the status tells of it."""


def choose_revision(grounds: Grounds) -> Choice:
    """A spec that is refused leaves what runs as it is, from the last revision that was accepted."""
    model, history = grounds.model, grounds.history
    if isinstance(model, ModelPart) and model.leaving:
        return _leave(grounds)
    inputs = hash_inputs(model)
    refused = find_unsupported(model) or _find_unreadable(model, history, inputs)
    if refused:
        return _stay(grounds, refused)
    held = history.find(inputs)
    barred = _find_bar(grounds, held)
    if held and not barred and not _contradicts(model, held):
        return _stand(grounds, held)
    planned = barred or _plan(grounds, "")
    if isinstance(planned, PlanRefused):
        return _stay(grounds, unmet(planned.reason, planned.message))
    # A name that is taken by other content can't be given again.
    digest = hash_rung(inputs, planned.rung_names[0]) if held else inputs
    made = _pin(grounds, planned, digest, inputs)
    return Choice(_accept(planned), made, _read(grounds, made))


def _leave(grounds: Grounds) -> Choice:
    """A part that is wanted no more goes on with what it has, until the others answer."""
    latest = grounds.history.latest
    leaving = met("Leaving", "This part goes when the others answer in its place.")
    return Choice(leaving, latest, _read(grounds, latest) if latest else ())


def _plan(grounds: Grounds, rung: str) -> Plan | PlanRefused:
    """Two parts might want slices of one group, of which the operator couldn't say whose they are."""
    plan = grounds.plan(rung)
    if not isinstance(grounds.model, ModelPart) or isinstance(plan, PlanRefused) or plan.chosen.hosts == 1:
        return plan
    what = f"{plan.chosen.name}: a replica of {plan.chosen.hosts} hosts"
    return PlanRefused("SlicesNotSpread", f"{what} can't be one part of a model yet; leave replicas out of"
                       " spec.capacity.options, or write a machine that holds the model by itself")  # fmt: skip


def _contradicts(model: MistralModel, held: Revision) -> bool:
    """Whether every option says how it is to be bought, and the plan has another way: a serving class chose it before.

    `OnDemand` says no more than nothing to the hash that names a revision, but more than nothing to a class.
    """
    options = model.spec.capacity.options if model.spec.capacity else ()
    stated = {option.consumption.value for option in options if option.consumption}
    planned = {bought.consumption.value for option in held.plan.options for bought in option.purchases}
    return bool(options) and all(option.consumption for option in options) and not planned <= stated


def _find_bar(grounds: Grounds, held: Revision | None) -> PlanRefused | None:
    """Why the serving class lets nothing be planned. What runs stays when its class changes; a plan that comes back,
    because the spec goes back, is held to the class like a new one.
    """
    ruling = grounds.ruling
    if held is None or ruling.missing:
        return ruling.refused
    return None if grounds.history.is_latest(held) else ruling.find_breach(held.plan)


def _find_unreadable(model: MistralModel, history: History, digest: str) -> Finding | None:
    """What runs is left as it is: planned again it would get the same name, and stored content can't be changed."""
    stored = next((stored for stored in history.unreadable if stored.hash == digest), None)
    return _explain_unreadable(model, stored) if stored else None


def _explain_unreadable(model: MistralModel, stored: Unreadable) -> Finding:
    name = f"{model.metadata.name}-{stored.hash}"
    return unmet("PlanUnreadable", f"ControllerRevision {name} was written by version {stored.planner_version}: "
                 f"{stored.problem}. Run that version or a later one, or change the spec to plan anew.")  # fmt: skip


def _stay(grounds: Grounds, refused: Finding) -> Choice:
    latest = grounds.history.latest
    return Choice(refused, latest, _read(grounds, latest) if latest else ())


def _stand(grounds: Grounds, held: Revision) -> Choice:
    """On the rung where the model is, or on the one whose turn it is now."""
    rungs, status = _read(grounds, held), grounds.status
    settled = bool(status.ready_replicas) or grounds.model.spec.suspend or grounds.model.spec.replicas == 0
    target = choose_rung(rungs, held.rung, partial(may_climb, grounds.payer, held.plan, rungs, settled), grounds.at)
    moved = held if target == held.rung else _move(grounds, held, target)
    if isinstance(moved, Revision):
        return Choice(_accept(moved.plan), _renumber(moved, grounds.history), _carry(rungs, moved))
    return Choice(_accept(held.plan), held, refuse_rung(rungs, target, moved, grounds.at))


def _move(grounds: Grounds, held: Revision, rung: str) -> Revision | PlanRefused:
    """The revision for another rung: one that is still there, else one that is planned now."""
    there = grounds.history.find_rung(held.inputs, rung)
    if there:
        return grounds.ruling.find_breach(there.plan) or there
    if grounds.ruling.refused:
        return grounds.ruling.refused
    digest = hash_rung(held.inputs, rung)
    unreadable = _find_unreadable(grounds.model, grounds.history, digest)
    if unreadable:
        return PlanRefused(unreadable.reason, unreadable.message)
    planned = _plan(grounds, rung)
    return planned if isinstance(planned, PlanRefused) else _pin(grounds, planned, digest, held.inputs)


def _pin(grounds: Grounds, plan: Plan, digest: str, inputs: str) -> Revision:
    number = grounds.history.next_number
    return pin(grounds.ruling.model, plan, digest=digest, inputs=inputs, number=number, version=grounds.version)


def _read(grounds: Grounds, revision: Revision) -> tuple[Rung, ...]:
    return read_rungs(grounds.model, grounds.status, revision)


def _carry(rungs: tuple[Rung, ...], moved: Revision) -> tuple[Rung, ...]:
    """What is known of the rungs, on the ladder of the revision that is moved to."""
    known = {rung.name: rung for rung in rungs}
    return tuple(known.get(name, Rung(name)) for name in moved.plan.rung_names)


def _renumber(pinned: Revision, history: History) -> Revision:
    """A spec that goes back to an earlier one, or a model that goes back to a rung, makes its revision the newest."""
    fresh = all(each.hash != pinned.hash for each in history.revisions)
    return pinned if fresh or history.is_latest(pinned) else replace(pinned, number=history.next_number)


def _accept(plan: Plan) -> Finding:
    option = plan.chosen
    hardware = f"{option.hardware} ({option.machine_type})"
    engine = f"{option.engine} {option.engine_version} with a context of {option.context_length} tokens"
    told = f"{plan.display_name} on {hardware}, {engine}; evidence: {option.tier.value}."
    return met("Planned", told + _tell_nodes(option))


def _tell_nodes(option: PlannedOption) -> str:
    """What the operator makes is told by claims; that it makes nothing is told here."""
    existing = option.provisioner is Provisioner.EXISTING
    return " It runs on nodes that are there (provisioner Existing): none are made for it." if existing else ""
