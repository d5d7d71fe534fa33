"""How many replicas the spend limit pays for."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Final

from mistral_operator.api.common import dollars
from mistral_operator.api.model import MistralModel
from mistral_operator.manifests.revision import Revision
from mistral_operator.planning.types import Plan, PlannedOption

_NOTHING: Final = Decimal(0)


def count_wanted_replicas(model: MistralModel, plan: Plan) -> int:
    """What the workload is asked for: nothing while suspended, and never more than the spend limit pays for."""
    if model.spec.suspend:
        return 0
    affordable = count_affordable(model, plan.chosen.hourly_cost)
    return model.spec.replicas if affordable is None else min(model.spec.replicas, affordable)


def count_affordable(
    model: MistralModel, replica_hourly_cost: Decimal | None, spent_hourly: Decimal = _NOTHING
) -> int | None:
    """How many replicas the spend limit pays for, after what is spent already; None without a limit or a price."""
    limit = model.spec.capacity.max_hourly_cost if model.spec.capacity else None
    if limit is None or not replica_hourly_cost:
        return None
    return max(0, int((dollars(limit) - spent_hourly) / replica_hourly_cost))


def count_wanted_slices(model: MistralModel, revision: Revision, former: Iterable[Revision]) -> int:
    """How many slices to ask for.

    Each costs from that moment on: those of other hardware, which go away, count until they have.
    """
    others = (each for each in former if each.spans_hosts and each.claim_name != revision.claim_name)
    spent = sum(((each.plan.chosen.hourly_cost or _NOTHING) * len(each.slices) for each in others), _NOTHING)
    affordable = count_affordable(model, revision.plan.chosen.hourly_cost, spent)
    wanted = count_wanted_replicas(model, revision.plan)
    return wanted if affordable is None else min(wanted, affordable)


def may_surge(model: MistralModel, option: PlannedOption, beside: Iterable[Decimal | None] = ()) -> bool:
    """Whether the spend limits pay for one machine more while replicas move to this option.

    `beside` are the prices of the replicas that go: as long as some of them stand, all may cost what the dearest does.
    """
    capacity, cost = model.spec.capacity, option.hourly_cost
    if capacity is None or not cost:
        return True
    extra = None if capacity.max_surge_hourly_cost is None else dollars(capacity.max_surge_hourly_cost)
    if capacity.max_hourly_cost is None:
        return extra is None or cost <= extra
    dearest = max((cost, *(price for price in beside if price is not None)))
    return dearest * model.spec.replicas + cost <= dollars(capacity.max_hourly_cost) + (extra or _NOTHING)
