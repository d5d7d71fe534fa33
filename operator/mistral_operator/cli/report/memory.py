"""What each option keeps in a device's memory."""

from collections.abc import Sequence
from typing import Final

from mistral_operator.catalogue.units import GIB
from mistral_operator.cli.output import gib
from mistral_operator.cli.report.bars import Bar, Part, draw_bars
from mistral_operator.cli.report.labels import label_option
from mistral_operator.cli.report.markup import Html
from mistral_operator.cli.report.scale import linear
from mistral_operator.cli.report.table import Column, draw_table
from mistral_operator.planning.types import PlannedOption

_PARTS: Final = (
    ("weights", "weights", "weights_bytes"),
    ("activations", "activations", "activations_bytes"),
    ("overhead", "overhead", "overhead_bytes"),
    ("kv-cache", "KV cache", "kv_cache_bytes"),
    ("reserved", "left alone", "reserved_bytes"),
)
"""Class in the style sheet, name, field of the budget."""


def draw_memory(options: Sequence[PlannedOption]) -> Html:
    """A bar for each option, with its device's memory as the whole length."""
    bars = [
        Bar(
            option.name,
            label_option(number, option, option.hardware),
            _parts(option),
            f"{gib(option.memory.device_bytes)} each",
        )
        for number, option in enumerate(options, 1)
    ]
    axis = linear(max(option.memory.device_bytes for option in options) / GIB)
    return draw_bars(bars, axis, lambda value: f"{value:g}", "GiB")


def _parts(option: PlannedOption) -> tuple[Part, ...]:
    sizes = [(kind, name, getattr(option.memory, field)) for kind, name, field in _PARTS]
    whole = option.memory.device_bytes
    return tuple(Part(kind, name, size / GIB, f"{gib(size)}, {100 * size / whole:.0f} %") for kind, name, size in sizes)


def tabulate_memory(options: Sequence[PlannedOption]) -> Html:
    """The same in numbers, and what the KV cache of all devices holds."""
    columns = [
        Column("option"),
        *[Column(name, right=True) for _, name, _ in _PARTS],
        Column("device", right=True),
        Column("KV cache, tokens", right=True),
    ]
    rows = [
        [
            option.name,
            *[gib(getattr(option.memory, field)) for _, _, field in _PARTS],
            gib(option.memory.device_bytes),
            f"{option.kv_cache_tokens:,}",
        ]
        for option in options
    ]
    return draw_table(columns, rows, "Memory of each device in numbers")
