"""A plan for people: headline, memory budget with a bar, options, refusals with their arithmetic, assumptions."""

from collections.abc import Iterable
from typing import Final

import click

from mistral_operator.api.model import MistralModel
from mistral_operator.cli.output import Cell, Style, bar, facts, gib, paint, seconds, table, text_width, wrap
from mistral_operator.cli.plan_grounds import assumptions, word_cluster
from mistral_operator.cli.plan_words import (
    LADDER_RULE,
    TIER_STYLES,
    divide_memory,
    full_name,
    headline,
    word_cache,
    word_cost,
    word_devices,
    word_ladder,
)
from mistral_operator.cli.profile import Assumption
from mistral_operator.planning.types import Plan, PlannedOption, PlanRefused, Refusal


def tell_plan(model: MistralModel, plan: Plan, assumption: Assumption) -> list[str]:
    """The whole plan as lines of text."""
    return [
        *tell_plan_in_short(model, plan),
        *tell_refusals(plan.refusals),
        "",
        *[paint(line, Style.QUIET) for text in assumptions(plan, assumption) for line in wrap(text, "")],
    ]


def tell_plan_in_short(model: MistralModel, plan: Plan) -> list[str]:
    """What was chosen, how it fits, and what else would have done."""
    option = plan.chosen
    return [
        f"{paint(plan.display_name, Style.TITLE)}  {paint(full_name(model), Style.QUIET)}",
        *facts(headline(model, plan, option)),
        "",
        paint(f"Memory of each {option.accelerator}, {gib(option.memory.device_bytes)}", Style.TITLE),
        *_tell_memory(option),
        "",
        paint(word_ladder(model), Style.TITLE),
        *_tell_options(plan.options),
        *[paint(line, Style.QUIET) for line in wrap(LADDER_RULE)],
    ]


_SIGNS: Final = {
    "weights": "█", "activations": "▓", "overhead": "▒", "adapters and draft": "▚", "left alone": "·", "KV cache": "░",
}  # fmt: skip


def _tell_memory(option: PlannedOption) -> list[str]:
    parts = divide_memory(option.memory)
    rows = [
        [
            Cell(_SIGNS[name], Style.NAME),
            Cell(name),
            Cell(gib(size), right=True),
            Cell(f"{100 * size / option.memory.device_bytes:.0f} %", right=True),
            Cell(word_cache(option) if name == "KV cache" else "", Style.QUIET),
        ]
        for name, size in parts
    ]
    drawn = bar([(size, _SIGNS[name]) for name, size in parts], min(text_width() - 4, 72))
    return ["  " + paint(drawn, Style.NAME), *table(rows)]


COLUMNS: Final = ("", "option", "hardware", "context", "sequences", "start", "$/hour", "support")
_EXPENDABLE: Final = ("start", "sequences", "support")
"""Columns that a narrow terminal does without, in this order."""


def _tell_options(options: tuple[PlannedOption, ...]) -> list[str]:
    rows = [option_row(number, option) for number, option in enumerate(options, 1)]
    names = list(COLUMNS)
    for expendable in ("", *_EXPENDABLE):
        names = [name for name in names if name != expendable or not name]
        kept = [COLUMNS.index(name) for name in names]
        lines = table([[row[column] for column in kept] for row in rows], names)
        if max(len(click.unstyle(line)) for line in lines) <= text_width():
            break
    return lines


def option_row(number: int, option: PlannedOption) -> list[Cell]:
    """A rung of the ladder, under `COLUMNS`."""
    return [
        Cell(str(number), right=True),
        Cell(option.name, Style.NAME if number == 1 else Style.PLAIN),
        Cell(word_devices(option)),
        Cell(f"{option.context_length:,}", right=True),
        Cell(str(option.max_concurrency), right=True),
        Cell(seconds(option.startup.total_s), right=True),
        Cell(word_cost(option), right=True),
        Cell(option.tier.value, TIER_STYLES[option.tier]),
    ]


NOT_CHOSEN: Final = "Considered and not chosen"


def tell_refusals(refusals: Iterable[Refusal], title: str = NOT_CHOSEN) -> list[str]:
    """Each with its reason and arithmetic, under a title; nothing where there is none."""
    lines: list[str] = []
    for refusal in refusals:
        lines.append(f"  {refusal.subject}  {paint(refusal.reason, Style.WAITING)}")
        lines += [paint(text, Style.QUIET) for text in wrap(refusal.message, "      ")]
    return ["", paint(title, Style.TITLE), *lines] if lines else []


def tell_refused(model: MistralModel, refused: PlanRefused, assumption: Assumption) -> list[str]:
    """Why a model can't be served as asked, and what to write instead."""
    return [
        f"{paint('Refused', Style.BAD)}  {paint(refused.reason, Style.TITLE)}  {paint(full_name(model), Style.QUIET)}",
        *wrap(refused.message),
        *tell_refusals(refused.refusals),
        "",
        *[paint(line, Style.QUIET) for line in wrap(word_cluster(assumption), "")],
    ]
