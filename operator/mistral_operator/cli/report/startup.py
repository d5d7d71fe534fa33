"""How each option comes up, phase after phase."""

from collections.abc import Sequence
from typing import Final

from mistral_operator.cli.output import seconds
from mistral_operator.cli.report.bars import Bar, Part, draw_bars
from mistral_operator.cli.report.labels import label_option
from mistral_operator.cli.report.markup import Html
from mistral_operator.cli.report.scale import linear
from mistral_operator.cli.report.table import Column, draw_table
from mistral_operator.planning.types import PlannedOption

_MINUTE: Final = 60
_PHASES: Final = (
    ("node", "node", "node_s"),
    ("image", "image", "image_s"),
    ("load", "weights", "weights_s"),
    ("compile", "compile", "compile_s"),
    ("ready", "ready", "ready_s"),
)
"""Class in the style sheet, name, field of the estimate; in the order in which they happen."""


def draw_startup(options: Sequence[PlannedOption]) -> Html:
    """A bar for each option, from nothing to ready."""
    bars = [
        Bar(
            option.name,
            label_option(number, option, option.hardware),
            tuple(
                Part(kind, name, getattr(option.startup, field) / _MINUTE, seconds(getattr(option.startup, field)))
                for kind, name, field in _PHASES
            ),
            seconds(option.startup.total_s),
        )
        for number, option in enumerate(options, 1)
    ]
    axis = linear(max(_MINUTE, *(option.startup.total_s for option in options)) / _MINUTE)
    return draw_bars(bars, axis, lambda value: f"{value:g}", "minutes")


def tabulate_startup(options: Sequence[PlannedOption]) -> Html:
    """The same in numbers, and what a compile cache leaves of compiling."""
    columns = [
        Column("option"),
        *[Column(name, right=True) for _, name, _ in _PHASES],
        Column("in all", right=True),
        Column("compile from a cache", right=True),
    ]
    rows = [
        [
            option.name,
            *[seconds(getattr(option.startup, field)) for _, _, field in _PHASES],
            seconds(option.startup.total_s),
            seconds(option.startup.cached_compile_s) if option.startup.cached_compile_s else "not estimated",
        ]
        for option in options
    ]
    return draw_table(columns, rows, "Start-up in numbers")
