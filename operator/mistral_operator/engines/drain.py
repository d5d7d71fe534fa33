"""How long a replica may take to end, by what the node under it allows."""

from dataclasses import dataclass

from mistral_operator.planning.types import Consumption, PlannedOption

DEFAULT_DRAIN_S = 60
ENDPOINT_REMOVAL_S = 10
# A spot node leaves ordinary pods about 15 s of its 30 s notice; scale-down of any node grants at most 600 s.
SPOT_DRAIN_S = 5
SPOT_ENDPOINT_REMOVAL_S = 2
LONGEST_DRAIN_S = 600 - ENDPOINT_REMOVAL_S - 10


@dataclass(frozen=True, slots=True)
class Drain:
    """The two waits of a graceful end, in seconds."""

    endpoint_removal_s: int
    drain_s: int


def find_shortest_notice(option: PlannedOption) -> Consumption:
    """The way to buy its machines that ends a replica soonest: one template of a pod is for all of them."""
    modes = {purchase.consumption for purchase in option.purchases}
    return Consumption.SPOT if Consumption.SPOT in modes else option.consumption


def choose_drain(wanted_s: int | None, consumption: Consumption) -> Drain:
    """Cap the wanted drain time by what the kind of capacity grants."""
    wanted = DEFAULT_DRAIN_S if wanted_s is None else wanted_s
    if consumption is Consumption.SPOT:
        return Drain(SPOT_ENDPOINT_REMOVAL_S, min(wanted, SPOT_DRAIN_S))
    return Drain(ENDPOINT_REMOVAL_S, min(wanted, LONGEST_DRAIN_S))
