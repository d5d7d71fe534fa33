"""What a model costs now: the machines that its pods are on, each at the price of the revision that the pod is of, and
its part of the nodes on which nothing is.
"""

from collections.abc import Iterable
from decimal import Decimal

from mistral_operator.planning.types import Plan
from mistral_operator.status.plan import describe_money
from mistral_operator.status.situation import Situation


def describe_hourly_cost(situation: Situation, plan: Plan) -> str:
    """US dollars an hour, or `unknown` where a price isn't known. Whole machines count, a conversion's too, each once
    however many of the model's replicas share it.

    A slice costs from the moment it stands, pods or not. An idle node of an ordinary pool is paid for by all users of
    its claim, each an even part.
    """
    if plan.chosen.hourly_cost is None:
        return describe_money(None)
    converter = (plan.chosen.hourly_cost,) if _converts_on_a_machine(situation) else ()
    return _add((*_prices(situation), *converter, *situation.idle_prices))


def describe_idle_cost(situation: Situation) -> str | None:
    """As much of it is for nodes on which nothing is; None where there are none."""
    return _add(situation.idle_prices) if situation.idle_prices else None


def _add(prices: Iterable[Decimal | None]) -> str:
    total = Decimal(0)
    for price in prices:
        if price is None:
            return describe_money(None)
        total += price
    return describe_money(total)


def _prices(situation: Situation) -> Iterable[Decimal | None]:
    """One for each slice, and one for each machine of its own or that it shares."""
    yield from situation.slice_prices
    placed = (pod for pod in situation.pods if pod.scheduled and pod.revision in situation.prices)
    machines = {(pod.node, pod.revision) for pod in placed}
    yield from (situation.prices[revision] for _, revision in machines)


def _converts_on_a_machine(situation: Situation) -> bool:
    converter = situation.conversion.pod if situation.conversion else None
    return converter is not None and converter.scheduled
