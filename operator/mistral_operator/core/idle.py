"""What a model pays for nodes of its pools on which nothing is, until the cluster autoscaler removes them. Pure."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from mistral_operator.core.revisions import History
from mistral_operator.core.types import Observed, PoolUse
from mistral_operator.planning.types import Provisioner


def price_idle_nodes(observed: Observed, history: History) -> Iterator[Decimal | None]:
    """US dollars an hour for each claim that has idle nodes: the model's even part of them, at the price of the newest
    revision that needs the claim. None where that isn't known.
    """
    prices = {each.claim_name: each.plan.chosen.hourly_cost for each in history.revisions}
    for claim in observed.claims:
        name = claim["metadata"]["name"]
        use = observed.pools.get(name)
        if use is None or not _is_paid_by_node(claim["spec"]) or not use.idle or not use.users:
            continue
        if name in prices or history.unreadable:
            yield _divide(prices.get(name), use)


def _is_paid_by_node(spec: Mapping[str, Any]) -> bool:
    """A slice is paid for as a whole, and nodes that were there before are not ours to pay for."""
    return not spec.get("slice") and spec.get("provisioner") != Provisioner.EXISTING


def _divide(price: Decimal | None, use: PoolUse) -> Decimal | None:
    return None if price is None else price * use.idle / use.users
