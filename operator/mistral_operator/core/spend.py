"""How many replicas the spend limit pays for."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from mistral_operator.api.common import dollars
from mistral_operator.api.model import MistralModel
from mistral_operator.api.part import ModelPart
from mistral_operator.manifests.revision import Revision
from mistral_operator.planning.types import PlannedOption

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
        return (self.revision.plan.chosen.hourly_cost or _NOTHING) * self.replicas


def count_wanted_replicas(model: MistralModel, revision: Revision, former: Sequence[Standing] = ()) -> int:
    """What the workload is asked for: nothing while suspended, and never more than the spend limit pays for.

    Replicas of an earlier revision that follow it in the same Deployment may each cost what the dearer of the two does.
    Those beside it, on slices or instead of slices, are paid for as long as they stand.
    """
    if model.spec.suspend:
        return 0
    price, beside = price_replicas(revision, former)
    return count_paid_replicas(model, price, beside)


def price_replicas(revision: Revision, former: Sequence[Standing]) -> tuple[Decimal, Decimal]:
    """US dollars an hour that each replica has to be paid for with, 0 where that isn't known, and those of what stands
    beside them.
    """
    cost = revision.plan.chosen.hourly_cost
    within = [each.revision.plan.chosen.hourly_cost for each in former if _shares_workload(each.revision, revision)]
    beside = sum((each.hourly_cost for each in former if _stands_beside(each.revision, revision)), _NOTHING)
    return (_find_dearest(cost, within) if cost else _NOTHING), beside


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


def count_paid_replicas(
    model: MistralModel, replica_hourly_cost: Decimal | None, spent_hourly: Decimal = _NOTHING
) -> int:
    """As many as the spec asks for, or as many of them as the spend limit pays for."""
    affordable = count_affordable(model, replica_hourly_cost, spent_hourly)
    return model.spec.replicas if affordable is None else min(model.spec.replicas, affordable)


def count_affordable(
    model: MistralModel, replica_hourly_cost: Decimal | None, spent_hourly: Decimal = _NOTHING
) -> int | None:
    """How many replicas the spend limit pays for, after what is spent already; None without a limit or a price."""
    limit = model.spec.capacity.max_hourly_cost if model.spec.capacity else None
    if limit is None or not replica_hourly_cost:
        return None
    return max(0, int((dollars(limit) - find_others_cost(model) - spent_hourly) / replica_hourly_cost))


def find_others_cost(model: MistralModel) -> Decimal:
    """US dollars an hour that other parts of a spread model take of its limits."""
    return model.others_cost if isinstance(model, ModelPart) else _NOTHING


def may_surge(model: MistralModel, option: PlannedOption, beside: Iterable[Decimal | None] = ()) -> bool:
    """Whether the spend limits pay for one machine more while replicas move to this option.

    `beside` are the prices of the replicas that go: as long as some of them stand, all may cost what the dearest does.
    """
    capacity, cost = model.spec.capacity, option.hourly_cost
    if capacity is None or not cost:
        return True
    taken, others = model.surge_taken if isinstance(model, ModelPart) else _NOTHING, find_others_cost(model)
    extra = None if capacity.max_surge_hourly_cost is None else dollars(capacity.max_surge_hourly_cost)
    if capacity.max_hourly_cost is None:
        return extra is None or cost + taken <= extra
    worst = _find_dearest(cost, beside) * model.spec.replicas + cost + taken + others
    return worst <= dollars(capacity.max_hourly_cost) + (extra or _NOTHING)
