"""What a model gets of the budget that all models of its class share, and what it holds of it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final

from mistral_operator.api.model import MistralModel
from mistral_operator.api.names import REVISION_LABEL
from mistral_operator.capacity.arbitration import Account, Budget, Contender, Place, Share, find_place, share_budget
from mistral_operator.core.serving_class import Ruling, lower_cost
from mistral_operator.core.spend import (
    Rate,
    Standing,
    count_wanted_replicas,
    find_others_cost,
    may_surge,
    rate_replicas,
)
from mistral_operator.manifests.revision import Revision
from mistral_operator.status.pods import FINISHED

_NOTHING: Final = Decimal(0)
_Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Outlay:
    """What a model costs already, in US dollars an hour; what has no known price isn't counted."""

    asked: Decimal
    """The replicas that its workloads are asked for."""
    standing: Decimal
    """Those that have nodes, on their way out or not, and all slices that it has claims for."""

    def find_held(self, budget: Budget) -> Decimal:
        """What it was granted; after a restart of the operator, what its workloads are asked for."""
        return max(self.asked if budget.held is None else budget.held, self.standing)


@dataclass(frozen=True, slots=True)
class Allotment:
    """What a model gets."""

    model: MistralModel
    """With as high a limit as the class's budget pays for now."""
    replicas: int
    """What the workload is asked for."""
    account: Account
    place: Place | None = None
    """Where it stands in line when it gets less than it wants."""
    stays: bool = False
    """Whether an earlier plan goes on, because the budget doesn't pay for as many replicas of this one yet."""
    payer: MistralModel | None = None
    """With what nobody in line could use besides, for a machine more that isn't needed; None when there is no more."""
    rate: Rate | None = None
    """What replicas cost; None when nobody shares the budget."""

    def charge(self, extra_replicas: int) -> Account:
        """The account when so many replicas are started beside those that it is granted."""
        if not extra_replicas or self.rate is None:
            return self.account
        cost = self.rate.cost_of(self.replicas + extra_replicas)
        return replace(self.account, held=max(self.account.held, cost))


def find_contender(model: MistralModel) -> Contender:
    """The model as one that competes with others."""
    priority = model.spec.capacity.priority if model.spec.capacity else None
    metadata = model.metadata
    return Contender(metadata.namespace, metadata.name, priority or 0, metadata.creation_timestamp or "")


def weigh_outlay(
    revisions: Iterable[Revision],
    workloads: Iterable[_Object],
    pods: Iterable[_Object],
    claims: Iterable[_Object],
    unnamed: Decimal = _NOTHING,
) -> Outlay:
    """What is asked for and what stands of these revisions, which are all that the model has; pods of a namesake that
    had the same plan count, as they cost as much.

    `unnamed` is what slices cost that were for none of these revisions.
    """
    known = {each.hash: each for each in revisions}
    prices = {digest: each.plan.chosen.hourly_cost or _NOTHING for digest, each in known.items()}
    groups = {each.claim_name: prices[digest] for digest, each in known.items() if each.spans_hosts}
    slices = (str((claim["spec"].get("slice") or {}).get("group", "")) for claim in claims)
    whole = {digest: prices[digest] for digest, each in known.items() if not each.spans_hosts}
    machines = {(_read_running(pod), pod.get("spec", {}).get("nodeName")) for pod in pods}
    counts = [(known.get(read_template_revision(work)), int(work["spec"].get("replicas", 0))) for work in workloads]
    asked = (each.plan.chosen.cost_of(replicas) or _NOTHING for each, replicas in counts if each)
    standing = sum((groups.get(group, _NOTHING) for group in slices), _NOTHING) + sum(
        (whole.get(digest, _NOTHING) for digest, _ in machines), _NOTHING
    )
    return Outlay(sum(asked, _NOTHING), standing + unnamed)


def _read_running(pod: _Object) -> str:
    """The revision of a pod that has a node; empty for another one."""
    if not pod.get("spec", {}).get("nodeName") or pod.get("status", {}).get("phase") in FINISHED:
        return ""
    return str((pod["metadata"].get("labels") or {}).get(REVISION_LABEL, ""))


def read_template_revision(workload: _Object) -> str:
    """The revision that a workload's pods are made from now; empty where there is none."""
    spec = workload.get("spec", {})
    template = spec.get("template") or spec.get("leaderWorkerTemplate", {}).get("leaderTemplate") or {}
    return str(template.get("metadata", {}).get("labels", {}).get(REVISION_LABEL, ""))


def find_payer(ruling: Ruling, outlay: Outlay, budget: Budget) -> MistralModel:
    """The model with as high a limit as it could have now, for a move that it needn't make."""
    total = ruling.terms.max_total_hourly_cost
    if total is None:
        return ruling.model
    held = outlay.find_held(budget)
    share = share_budget(total, Account(find_contender(ruling.model), held, held), budget)
    return _limit(ruling.model, share.granted + share.spare)


def _limit(model: MistralModel, amount: Decimal) -> MistralModel:
    """With so much to spend; a part of a spread model has it beside the others."""
    return lower_cost(model, amount + find_others_cost(model))


def allot(
    ruling: Ruling,
    bounded: MistralModel,
    revision: Revision | None,
    former: Sequence[Standing],
    outlay: Outlay,
    budget: Budget,
) -> Allotment:
    """Grant replicas of a revision out of the class's budget; without one, all that the model's own limits pay for.

    `bounded` has those limits.
    """
    who = find_contender(bounded)
    if revision is None:
        return Allotment(bounded, 0, Account(who, outlay.standing, outlay.standing))
    need = _find_need(bounded, revision, former, outlay)
    total = ruling.terms.max_total_hourly_cost
    if total is None or not need.rate.machine:
        return Allotment(bounded, need.replicas, Account(who, need.wanted, need.wanted))
    held = min(outlay.find_held(budget), need.wanted + need.surge)
    share = share_budget(total, Account(who, held, need.wanted), budget)
    amount = max(share.granted, need.wanted + need.surge) if _pays_surge(share, need) else share.granted
    paid = _limit(bounded, amount)
    granted = count_wanted_replicas(paid, revision, former)
    if granted == need.replicas:
        # What it holds beyond that, nobody else was given: a successor that is being started is paid with it.
        payer = _limit(bounded, max(share.granted + share.spare, amount, outlay.find_held(budget)))
        account = Account(who, max(amount, outlay.standing), need.wanted)
        return Allotment(paid, granted, account, payer=payer, rate=need.rate)
    place = find_place(who, (each.who for each in budget.waiting), f"the budget of {ruling.terms.source}")
    stays = bool(former) and granted < min(need.replicas, former[-1].replicas)
    replicas = min(bounded.spec.replicas, former[-1].replicas) if stays else granted
    # What isn't enough for a move isn't held for it either: two that wait for each other's money would for ever.
    cost = _NOTHING if stays else need.rate.cost_of(granted)
    account = Account(who, max(cost, outlay.standing), need.wanted)
    return Allotment(paid, replicas, account, place, stays)


@dataclass(frozen=True, slots=True)
class _Need:
    """What a model would have if the class's budget had no end; money in US dollars an hour."""

    replicas: int
    rate: Rate
    wanted: Decimal
    surge: Decimal
    """For one replica more while those of another revision are followed."""


def _find_need(model: MistralModel, revision: Revision, former: Sequence[Standing], outlay: Outlay) -> _Need:
    replicas = count_wanted_replicas(model, revision, former)
    rate, options = rate_replicas(revision, former), [each.revision.plan.chosen for each in former]
    rolls = bool(former) and bool(replicas) and not revision.spans_hosts
    chosen = revision.plan.chosen
    surge = chosen.hourly_cost if rolls and may_surge(model, chosen, options) else None
    return _Need(replicas, rate, max(rate.cost_of(replicas), outlay.standing), surge or _NOTHING)


def _pays_surge(share: Share, need: _Need) -> bool:
    """By what nobody in line could use: a replica more is a comfort, and one at all is not."""
    return share.granted >= need.wanted and share.granted + share.spare >= need.wanted + need.surge
