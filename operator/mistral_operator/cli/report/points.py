"""Options as points of cost and latency: which can be drawn, and which nothing beats in both."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from mistral_operator.cli.output import count
from mistral_operator.planning.types import PlannedOption, ThroughputEstimate


@dataclass(frozen=True, slots=True)
class Point:
    """An option with a known price and an estimated speed."""

    option: PlannedOption
    cost: Decimal
    """US dollars an hour for one replica."""
    speed: ThroughputEstimate
    rung: int
    """Its number in the ladder, from 1; 0 for what isn't in it."""

    @property
    def latency_ms(self) -> float:
        """Between two tokens of an answer to a request that is alone: under load, options hold different numbers."""
        return self.speed.alone_inter_token_latency_us / 1000


def find_points(feasible: Sequence[PlannedOption], ladder: Sequence[PlannedOption]) -> tuple[Point, ...]:
    """All that can be drawn: the ladder's options and the others that would do, each once, cheapest first."""
    numbered = [*enumerate(ladder, 1), *((0, option) for option in _find_others(feasible, ladder))]
    points = [
        Point(option, option.hourly_cost, option.throughput, rung)
        for rung, option in numbered
        if option.hourly_cost is not None and option.throughput is not None
    ]
    return tuple(sorted(points, key=lambda point: (point.cost, point.latency_ms, point.option.name)))


def find_missing(feasible: Sequence[PlannedOption], ladder: Sequence[PlannedOption]) -> tuple[str, ...]:
    """Names of the options that can't be drawn."""
    every = [*ladder, *_find_others(feasible, ladder)]
    return tuple(option.name for option in every if option.hourly_cost is None or option.throughput is None)


def _find_others(feasible: Sequence[PlannedOption], ladder: Sequence[PlannedOption]) -> list[PlannedOption]:
    """By name: a machine that is asked for by its name may get another layout than in the ladder."""
    taken = {option.name for option in ladder}
    return [option for option in feasible if option.name not in taken]


def find_frontier(points: Sequence[Point]) -> tuple[Point, ...]:
    """Those that no other option beats in both; `points` come cheapest first."""
    frontier: list[Point] = []
    for point in points:
        if not frontier or point.latency_ms < frontier[-1].latency_ms:
            frontier.append(point)
    return tuple(frontier)


def word_uncertainty(points: Sequence[Point]) -> str:
    """Such as `Estimates, expected within a factor of 2 either way.`"""
    factors = sorted({point.speed.uncertainty for point in points})
    span = f"{factors[0]:f}" if len(factors) == 1 else f"{factors[0]:f} to {factors[-1]:f}"
    return f"Estimates, not measurements: the truth is expected within a factor of {span} either way."


def word_workload(points: Sequence[Point]) -> str:
    """What each estimate takes for granted."""
    prompts = _span({point.speed.input_tokens for point in points})
    answers = _span({point.speed.output_tokens for point in points})
    loads = {point.speed.concurrency for point in points}
    requests = count(loads.pop(), "request") if len(loads) == 1 else f"{_span(loads)} requests"
    return f"Workload: {prompts} tokens in, {answers} out; under load {requests} at once in a replica."


def word_lines(points: Sequence[Point]) -> str:
    """What the chart's lines are, those that are drawn."""
    dashed = "The dashed line joins those that no other of them beats in both." if find_frontier(points)[1:] else ""
    upright = "The upright line shows how far off the first one's estimate may be."
    return " ".join(filter(None, (dashed, upright if any(point.rung == 1 for point in points) else "")))


def _span(values: set[int]) -> str:
    least, most = min(values), max(values)
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"
