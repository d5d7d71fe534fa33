"""How many replicas the spend limit pays for."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from mistral_operator.api.common import dollars
from mistral_operator.api.model import MistralModel
from mistral_operator.api.part import ModelPart
from mistral_operator.manifests.revision import Revision
from mistral_operator.planning.types import PlannedOption
from mistral_operator.status.pods import PodView

_NOTHING: Final = Decimal(0)


@dataclass(frozen=True, slots=True)
class Standing:
    """What there still is of an earlier revision."""

    revision: Revision
    replicas: int
    """Those that have nodes or slices."""

    @property
    def hourly_cost(self) -> Decimal:
        """US dollars an hour of all of them."""
        return self.revision.plan.chosen.cost_of(self.replicas) or _NOTHING


def find_standing(former: Iterable[Revision], pods: Iterable[PodView]) -> tuple[Standing, ...]:
    """What is paid for of earlier revisions: each slice, and each machine that a replica is on."""
    placed = Counter(pod.revision for pod in pods if pod.leads and pod.scheduled)
    return tuple(Standing(each, len(each.slices) if each.spans_hosts else placed[each.hash]) for each in former)


def count_wanted_replicas(model: MistralModel, revision: Revision, former: Sequence[Standing] = ()) -> int:
    """What the workload is asked for: nothing while suspended, and never more than the spend limit pays for.

    Replicas of an earlier revision that follow it in the same Deployment may each cost what the dearer of the two does.
    Those beside it, on slices or instead of slices, are paid for as long as they stand.
    """
    if model.spec.suspend:
        return 0
    affordable = count_affordable_beside(model, revision, former)
    return model.spec.replicas if affordable is None else min(model.spec.replicas, affordable)


def count_affordable_beside(model: MistralModel, revision: Revision, former: Sequence[Standing]) -> int | None:
    """How many replicas of a revision the spend limit pays for, by those rules; None without a limit or a price."""
    within = [each.revision.plan.chosen for each in former if _shares_workload(each.revision, revision)]
    beside = sum((each.hourly_cost for each in former if _stands_beside(each.revision, revision)), _NOTHING)
    return count_affordable(model, revision.plan.chosen, *within, spent_hourly=beside)


@dataclass(frozen=True, slots=True)
class Rate:
    """What replicas have to be paid for with, in US dollars an hour."""

    machine: Decimal
    """Of a machine; 0 where it isn't known."""
    replicas_per_machine: int
    beside: Decimal
    """Of what stands beside them."""

    def cost_of(self, replicas: int) -> Decimal:
        """Of so many, whole machines being paid for, with what stands beside them."""
        return self.machine * -(-replicas // self.replicas_per_machine) + self.beside if replicas else _NOTHING


def rate_replicas(revision: Revision, former: Sequence[Standing]) -> Rate:
    """By the same rules as `count_wanted_replicas`."""
    chosen = revision.plan.chosen
    within = [each.revision.plan.chosen for each in former if _shares_workload(each.revision, revision)]
    beside = sum((each.hourly_cost for each in former if _stands_beside(each.revision, revision)), _NOTHING)
    prices = [each.hourly_cost for each in within]
    machine = _find_dearest(chosen.hourly_cost, prices) if chosen.hourly_cost else _NOTHING
    return Rate(machine, min(each.replicas_per_node for each in (chosen, *within)), beside)


def _shares_workload(earlier: Revision, revision: Revision) -> bool:
    """Whether one Deployment has the replicas of both."""
    return not earlier.spans_hosts and not revision.spans_hosts


def _stands_beside(earlier: Revision, revision: Revision) -> bool:
    """Slices of the same hardware are taken over, not paid for twice."""
    if _shares_workload(earlier, revision):
        return False
    return not earlier.spans_hosts or earlier.claim_name != revision.claim_name


def _find_dearest(cost: Decimal, others: Iterable[Decimal | None]) -> Decimal:
    """The highest of the prices that are known."""
    return max((cost, *(price for price in others if price is not None)))


def count_paid_replicas(model: MistralModel, option: PlannedOption) -> int:
    """As many as the spec asks for, or as many of them as the spend limit pays for."""
    affordable = count_affordable(model, option)
    return model.spec.replicas if affordable is None else min(model.spec.replicas, affordable)


def count_affordable(
    model: MistralModel, option: PlannedOption, *others: PlannedOption, spent_hourly: Decimal = _NOTHING
) -> int | None:
    """How many replicas the spend limit pays for, after what is spent already; None without a limit or a price.

    Whole machines are paid for, whoever else is on those that are shared. Each replica may be of any of the options, so
    each counts as of the dearest, and as many share a machine as where fewest do.
    """
    limit = model.spec.capacity.max_hourly_cost if model.spec.capacity else None
    if limit is None or not option.hourly_cost:
        return None
    dearest = _find_dearest(option.hourly_cost, (each.hourly_cost for each in others))
    machines = max(0, int((dollars(limit) - find_others_cost(model) - spent_hourly) / dearest))
    return machines * min(each.replicas_per_node for each in (option, *others))


def find_others_cost(model: MistralModel) -> Decimal:
    """US dollars an hour that other parts of a spread model take of its limits."""
    return model.others_cost if isinstance(model, ModelPart) else _NOTHING


def may_surge(model: MistralModel, option: PlannedOption, beside: Sequence[PlannedOption] = ()) -> bool:
    """Whether the spend limits pay for one machine more while replicas move to this option.

    `beside` are the options of the replicas that go: as long as some of them stand, all may cost what the dearest does.
    """
    capacity, cost = model.spec.capacity, option.hourly_cost
    if capacity is None or not cost:
        return True
    taken, others = model.surge_taken if isinstance(model, ModelPart) else _NOTHING, find_others_cost(model)
    extra = None if capacity.max_surge_hourly_cost is None else dollars(capacity.max_surge_hourly_cost)
    if capacity.max_hourly_cost is None:
        return extra is None or cost + taken <= extra
    machines = -(-model.spec.replicas // min(each.replicas_per_node for each in (option, *beside)))
    worst = _find_dearest(cost, (each.hourly_cost for each in beside)) * machines + cost + taken + others
    return worst <= dollars(capacity.max_hourly_cost) + (extra or _NOTHING)
