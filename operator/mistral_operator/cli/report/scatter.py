"""Cost against latency: every option that would do is a point. Both axes are logarithmic, so a factor is a length."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from mistral_operator.cli.plan_words import money
from mistral_operator.cli.report.bars import percent
from mistral_operator.cli.report.markup import Html, tag
from mistral_operator.cli.report.points import Point, find_frontier
from mistral_operator.cli.report.scale import Logarithmic, logarithmic
from mistral_operator.cli.report.table import Column, draw_table

HEIGHT: Final = 320
_SIDE_MARGIN: Final = 1.25
"""Factor by which the cost's axis reaches beyond the points."""


def draw_scatter(points: Sequence[Point]) -> Html:
    """The chart; `points` are not empty, and come cheapest first."""
    uncertainty = float(max(point.speed.uncertainty for point in points))
    plot = _Plot(
        logarithmic([float(point.cost) for point in points], _SIDE_MARGIN),
        logarithmic([point.latency_ms for point in points], max(uncertainty, _SIDE_MARGIN)),
    )
    # What comes later lies on top: the first rung above all.
    stacked = sorted(points, key=lambda point: -point.rung if point.rung else -len(points))
    drawing = tag(
        "svg",
        *plot.draw_grid(),
        *[plot.draw_step(before, after) for before, after in pairwise(find_frontier(points))],
        *[plot.draw_doubt(point) for point in points if point.rung == 1],
        *[plot.draw_point(point) for point in stacked],
        role="img",
        aria_label=f"Cost against latency of {len(points)} options; the numbers are in the table below",
        width="100%",
        height=HEIGHT,
        class_="plot",
    )
    above = tag("p", "milliseconds between two tokens of a request that is alone, estimated", class_="unit")
    below = tag("p", "dollars an hour for one replica", class_="unit across")
    return tag("div", _draw_legend(points), above, drawing, below, class_="scatter")


class _Plot:
    """Two axes, and what is drawn between them."""

    def __init__(self, across: Logarithmic, up: Logarithmic) -> None:
        self._across = across
        self._up = up

    def draw_grid(self) -> list[Html]:
        lines: list[Html] = []
        for value in self._across.ticks:
            x = percent(self._across.share(value))
            lines.append(tag("line", x1=x, x2=x, y1=0, y2=HEIGHT, class_="grid"))
            lines.append(tag("text", f"{value:g}", x=x, y=HEIGHT + 18, class_="tick"))
        for value in self._up.ticks:
            y = self._y(value)
            lines.append(tag("line", x1=0, x2="100%", y1=y, y2=y, class_="grid"))
            lines.append(tag("text", f"{value:g}", x=-8, y=y, class_="tick side"))
        return lines

    def draw_step(self, before: Point, after: Point) -> Html:
        """From one option that nothing beats to the next: across at the first's latency, then down."""
        left, right = self._x(before), self._x(after)
        top, bottom = self._y(before.latency_ms), self._y(after.latency_ms)
        across = tag("line", x1=left, x2=right, y1=top, y2=top)
        return tag("g", across, tag("line", x1=right, x2=right, y1=top, y2=bottom), class_="frontier")

    def draw_doubt(self, point: Point) -> Html:
        """How far off the estimate may be."""
        factor, x = float(point.speed.uncertainty), self._x(point)
        ends = {"y1": self._y(point.latency_ms / factor), "y2": self._y(point.latency_ms * factor)}
        return tag("line", x1=x, x2=x, class_="doubt", **ends)

    def draw_point(self, point: Point) -> Html:
        radius = 10 if point.rung else 5
        mark = (
            tag("rect", x=-radius, y=-radius, width=2 * radius, height=2 * radius)
            if point.option.topology
            else tag("circle", r=radius)
        )
        number = [tag("text", str(point.rung), class_="rung-number")] if point.rung else []
        kind = "chosen" if point.rung == 1 else "rung" if point.rung else "other"
        return tag(
            "svg",
            tag("title", _word_point(point)),
            mark,
            *number,
            x=self._x(point),
            y=self._y(point.latency_ms),
            class_=f"point {kind}",
            data_option=point.option.name,
        )

    def _x(self, point: Point) -> str:
        return percent(self._across.share(float(point.cost)))

    def _y(self, latency_ms: float) -> str:
        return f"{HEIGHT * (1 - self._up.share(latency_ms)):.1f}"


def _draw_legend(points: Sequence[Point]) -> Html:
    kinds = [("chosen", "taken"), ("rung", "in the ladder, by number")]
    kinds += [("other", "would do as well")] if any(not point.rung for point in points) else []
    items = [tag("li", tag("span", class_=f"swatch {kind}"), text) for kind, text in kinds]
    shapes = {bool(point.option.topology) for point in points}
    items += [tag("li", "round: GPUs, square: TPUs")] if len(shapes) > 1 else []
    return tag("ul", *items, class_="legend", aria_hidden="true")


def _word_point(point: Point) -> str:
    option = point.option
    return (
        f"{option.name}: {option.hardware}, ${money(point.cost)} an hour,"
        f" {point.latency_ms:.1f} ms between tokens, {option.tier.value}"
    )


def tabulate_points(points: Sequence[Point]) -> Html:
    """The same in numbers, and the rest of each estimate."""
    columns = [
        Column("option"),
        *[
            Column(name, right=True)
            for name in (
                "rung",
                "$/hour",
                "first token alone, ms",
                "between tokens alone, ms",
                "first token under load, ms",
                "between tokens under load, ms",
                "output tokens/s",
                "$/million output tokens",
                "within a factor of",
            )
        ],
        Column("support"),
    ]
    return draw_table(columns, [_row(point) for point in points], "Cost and speed in numbers; speeds are estimates")


def _row(point: Point) -> list[str]:
    speed = point.speed
    each = speed.dollars_per_million_tokens
    return [
        point.option.name,
        str(point.rung) if point.rung else "",
        money(point.cost),
        f"{speed.alone_time_to_first_token_ms:,}",
        f"{point.latency_ms:,.1f}",
        f"{speed.time_to_first_token_ms:,}",
        f"{speed.inter_token_latency_us / 1000:,.1f}",
        f"{speed.output_tokens_per_s:,}",
        "unknown" if each is None else money(each),
        f"{speed.uncertainty:f}",
        point.option.tier.value,
    ]
