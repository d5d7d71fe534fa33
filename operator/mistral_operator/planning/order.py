"""What is better: of several layouts on one machine, and of several machines. Ties are broken by name."""

from dataclasses import dataclass
from decimal import Decimal
from math import floor, log
from typing import Final

from mistral_operator.api.model import OptimizeFor
from mistral_operator.planning.fit import Fit
from mistral_operator.planning.layout import Layout
from mistral_operator.planning.modes import rank_steadiness
from mistral_operator.planning.types import PlannedOption, ThroughputEstimate

WORTHWHILE: Final = 1.25
"""A layout beyond plain tensor parallelism has to be better by this factor: estimates are no finer."""
SAME_LATENCY: Final = 1.5
"""Latencies within this factor of each other count as the same, and the cheaper hardware is preferred."""
UNKNOWN_COST: Final = Decimal("Infinity")
Key = tuple[float | Decimal | int | str, ...]


@dataclass(frozen=True, slots=True)
class Split:
    """One layout of the model on a machine's devices, with what it can serve and how fast."""

    layout: Layout
    fitted: Fit
    throughput: ThroughputEstimate


def best_split(optimize_for: OptimizeFor, splits: list[Split]) -> Split:
    """The simplest layout with the longest context, unless another one is better by a worthwhile factor.

    Expects the simplest first, and one at least.
    """
    longest = max(split.fitted.context_length for split in splits)
    able = [split for split in splits if split.fitted.context_length == longest]
    best = max(able, key=lambda split: _merit(optimize_for, split.throughput))
    simplest = able[0]
    gain = _merit(optimize_for, best.throughput) / _merit(optimize_for, simplest.throughput)
    return best if gain >= WORTHWHILE else simplest


def _merit(optimize_for: OptimizeFor, estimate: ThroughputEstimate) -> float:
    if optimize_for is OptimizeFor.LATENCY:
        return 1 / request_ms(estimate)
    return float(estimate.output_tokens_per_s)


def request_ms(estimate: ThroughputEstimate) -> float:
    """Milliseconds from a request that is alone to its last token."""
    between_ms = estimate.alone_inter_token_latency_us / 1000
    return estimate.alone_time_to_first_token_ms + (estimate.output_tokens - 1) * between_ms


def option_key(optimize_for: OptimizeFor, option: PlannedOption) -> Key:
    """Sorts options, the best first.

    Cost: by dollars an hour. Latency: by the class of a lone request's duration, then by cost. Availability: what
    stays longest first, then where more zones may have it, then what needs fewer machines at once.
    """
    cost = UNKNOWN_COST if option.hourly_cost is None else option.hourly_cost
    if optimize_for is OptimizeFor.LATENCY:
        return (_latency_class(option), cost, option.hosts, option.name)
    if optimize_for is OptimizeFor.AVAILABILITY:
        return (
            rank_steadiness(option.consumption),
            -len(option.zones),
            option.hosts,
            option.devices,
            cost,
            option.name,
        )
    return (cost, option.hosts, option.devices, option.name)


def _latency_class(option: PlannedOption) -> float:
    if option.throughput is None:
        return float("inf")
    return floor(log(request_ms(option.throughput)) / log(SAME_LATENCY))
