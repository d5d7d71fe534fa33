"""Stacked bars, one a row, over a common axis. Lengths are percentages, so text keeps its size at any width."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from mistral_operator.cli.report.markup import Html, tag
from mistral_operator.cli.report.scale import Linear

ROW_HEIGHT: Final = 44
BAR_HEIGHT: Final = 20
AXIS_HEIGHT: Final = 22


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a bar."""

    kind: str
    """Its class in the style sheet, which colours it."""
    name: str
    value: float
    text: str
    """The value with its unit."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A row of the chart."""

    key: str
    label: Html
    parts: tuple[Part, ...]
    total: str


def draw_bars(bars: Sequence[Bar], axis: Linear, tick: Callable[[float], str], unit: str) -> Html:
    """The chart with its legend; `tick` words a value of the axis, `unit` says what it counts."""
    rows = [_draw_row(bar, axis) for bar in bars]
    return tag("div", _draw_legend(bars[0].parts), *rows, _draw_axis(axis, tick, unit), class_="bars")


def _draw_legend(parts: Sequence[Part]) -> Html:
    items = [tag("li", tag("span", class_=f"swatch {part.kind}"), part.name) for part in parts]
    return tag("ul", *items, class_="legend", aria_hidden="true")


def _draw_row(bar: Bar, axis: Linear) -> Html:
    ends = list(accumulate(part.value for part in bar.parts))
    grid = [
        tag("line", x1=percent(axis.share(at)), x2=percent(axis.share(at)), y1=0, y2=ROW_HEIGHT, class_="grid")
        for at in axis.ticks
    ]
    rects = [_draw_part(part, end - part.value, axis) for part, end in zip(bar.parts, ends, strict=True) if part.value]
    spoken = ", ".join(f"{part.name} {part.text}" for part in bar.parts)
    drawing = tag("svg", *grid, *rects, role="img", aria_label=spoken, width="100%", height=ROW_HEIGHT, class_="bar")
    total = tag("div", bar.total, class_="total")
    return tag("div", tag("div", bar.label, class_="label"), drawing, total, class_="row", data_option=bar.key)


def _draw_part(part: Part, start: float, axis: Linear) -> Html:
    return tag(
        "rect",
        tag("title", f"{part.name}: {part.text}"),
        x=percent(axis.share(start)),
        y=(ROW_HEIGHT - BAR_HEIGHT) // 2,
        width=percent(axis.share(part.value)),
        height=BAR_HEIGHT,
        class_=part.kind,
    )


def _draw_axis(axis: Linear, tick: Callable[[float], str], unit: str) -> Html:
    texts = [tag("text", tick(at), x=percent(axis.share(at)), y=14, class_="tick") for at in axis.ticks]
    drawing = tag("svg", *texts, aria_hidden="true", width="100%", height=AXIS_HEIGHT, class_="axis")
    return tag("div", tag("div", class_="label"), drawing, tag("div", unit, class_="total unit"), class_="row")


def percent(share: float) -> str:
    """A share of the drawing's width."""
    return f"{100 * share:.3f}%"
