"""What a model's objects should be, from its revisions and its situation."""

from collections.abc import Iterable, Sequence

from mistral_operator.api.model import MistralModel
from mistral_operator.autoscaling.registry import choose_autoscaler
from mistral_operator.core.maxima import note_most_replicas
from mistral_operator.core.spend import may_surge
from mistral_operator.engines.registry import ENGINES
from mistral_operator.manifests.conversion import build_conversion
from mistral_operator.manifests.identity import Manifest, own
from mistral_operator.manifests.network import build_service
from mistral_operator.manifests.revision import Revision, build_revision
from mistral_operator.manifests.slices import build_leader_worker_set
from mistral_operator.manifests.workload import Turnover, build_deployment, build_disruption_budget
from mistral_operator.planning.types import Consumption, PlannedOption
from mistral_operator.status.findings import is_true
from mistral_operator.status.situation import Situation


def render(
    model: MistralModel, revision: Revision, former: Sequence[Revision], situation: Situation
) -> tuple[Manifest, ...]:
    """The objects in the order in which to apply them. `former` are the earlier revisions that still have pods."""
    served = former[-1] if former and _must_wait(revision, situation) else revision
    without_groups = served.spans_hosts and not situation.cluster.leader_worker_set
    workload = None if without_groups else _render_workload(model, served, former, situation)
    job = revision.conversion if situation.wanted_replicas or not situation.converting else None
    noted = note_most_replicas(model, (revision, *former), served, situation, workload)
    return (
        *(build_revision(model, each) for each in noted),
        build_service(model),
        *((build_conversion(model, job),) if job else ()),
        *((workload,) if workload else ()),
        build_disruption_budget(model),
        *(_render_scalers(model, served.plan.chosen) if situation.accepted.holds else ()),
    )


def _must_wait(revision: Revision, situation: Situation) -> bool:
    """Whether the replicas of an earlier plan go on, because those of this one would have nothing to load, no slice to
    run on, or aren't paid for.
    """
    claims = situation.claims if revision.spans_hosts else ()
    no_slice = bool(claims) and not any(claim and is_true(claim, "Ready") for claim in claims)
    return situation.stays or situation.nothing_to_load or (no_slice and not situation.current_pods)


def _render_workload(
    model: MistralModel, revision: Revision, former: Sequence[Revision], situation: Situation
) -> Manifest:
    """What runs the replicas: none before there is something to load."""
    too_early = situation.nothing_to_load and revision.hash == situation.revision
    wanted = situation.wanted_replicas + situation.succession.extra_replicas
    option, replicas = revision.plan.chosen, 0 if too_early else wanted
    worker = revision.worker_template
    if worker is not None:
        return build_leader_worker_set(model, option, revision.pod_template, worker, replicas=replicas)
    turnover = _choose_turnover(model, revision, former, situation)
    return build_deployment(model, option, revision.pod_template, replicas=replicas, turnover=turnover)


def _choose_turnover(
    model: MistralModel, revision: Revision, former: Sequence[Revision], situation: Situation
) -> Turnover:
    """How replicas of earlier revisions are followed; a ladder is climbed down without waiting for what has no node."""
    if situation.leaving_pods and not situation.leaves_nodes:
        return Turnover.AT_ONCE
    if _shares_reservation(revision, former):
        return Turnover.ONE_LESS
    surge = may_surge(model, revision.plan.chosen, [each.plan.chosen for each in former])
    return Turnover.ONE_MORE if surge else Turnover.ONE_LESS


def _shares_reservation(revision: Revision, former: Sequence[Revision]) -> bool:
    """Whether a replica more would need a machine more of the reservation that the others are of: it may be full, and
    a roll-out that waits for that machine would wait for ever.
    """
    reserved = all(bought.consumption is Consumption.RESERVATION for bought in revision.plan.chosen.purchases)
    return reserved and all(each.claim_name == revision.claim_name for each in former)


def _render_scalers(model: MistralModel, option: PlannedOption) -> Iterable[Manifest]:
    scalers = choose_autoscaler(model).build(model, queue_metric=ENGINES[option.engine].queue_metric)
    return (own(model, **scaler) for scaler in scalers)


def render_claims(active: Revision | None, retained: Iterable[Revision]) -> tuple[Manifest, ...]:
    """Each NodePoolClaim that any of them needs, once, in the order of their names."""
    revisions = (*((active,) if active else ()), *retained)
    claims = {claim["metadata"]["name"]: claim for revision in revisions for claim in revision.claims}
    return tuple(claims[name] for name in sorted(claims))
