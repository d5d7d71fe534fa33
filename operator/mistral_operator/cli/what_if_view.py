"""The plan as asked beside each variation: figures in columns, or as data."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import click

from mistral_operator.api.model import MistralModel
from mistral_operator.cli.output import (
    Cell,
    Style,
    escape_markdown,
    markdown_table,
    paint,
    seconds,
    table,
    text_width,
    wrap,
)
from mistral_operator.cli.plan_grounds import ESTIMATES, word_cluster, word_notes
from mistral_operator.cli.plan_output import head_of, verdict_to_dict, write_data
from mistral_operator.cli.plan_words import full_name, money, word_cost, word_devices, word_layout, word_machine
from mistral_operator.cli.profile import Assumption
from mistral_operator.planning.types import Plan, PlannedOption, PlanRefused, ThroughputEstimate

AS_ASKED: Final = "as asked"


class Variation(NamedTuple):
    """What was changed, and the answer to it."""

    title: str
    answer: Plan | PlanRefused


class Comparison(NamedTuple):
    """One model with its variations, the plan as asked first."""

    model: MistralModel
    variations: tuple[Variation, ...]


def write_comparisons(form: str, comparisons: Sequence[Comparison], assumption: Assumption) -> str:
    """Each model's comparison in one of the forms of `plan`."""
    if form in ("json", "yaml"):
        return write_data(form, [_to_document(item, assumption) for item in comparisons])
    write = _write_markdown if form == "markdown" else _write_text
    return "\n\n".join(write(item, assumption) for item in comparisons)


def _write_text(comparison: Comparison, assumption: Assumption) -> str:
    first, *others = comparison.variations
    lines = [paint(full_name(comparison.model), Style.TITLE)]
    while others:
        count = _count_fitting(first, others)
        lines += [*_tabulate([first, *others[:count]]), ""]
        others = others[count:]
    for title, message in _explain(comparison.variations):
        lines += [f"{paint('Refused', Style.BAD)}  {title}", *wrap(message, "    "), ""]
    notes = (line for note in _word_grounds(comparison, assumption) for line in wrap(note, ""))
    return "\n".join([*lines, *(paint(line, Style.QUIET) for line in notes)])


def _count_fitting(first: Variation, others: Sequence[Variation]) -> int:
    """How many variations stand beside the first in one terminal; one at least."""
    for count in range(len(others), 1, -1):
        if max(len(click.unstyle(line)) for line in _tabulate([first, *others[:count]])) <= text_width():
            return count
    return 1


def _tabulate(variations: Sequence[Variation]) -> list[str]:
    header, rows = compare(variations)
    return table([[Cell(row[0], Style.QUIET), *row[1:]] for row in rows], header)


def _write_markdown(comparison: Comparison, assumption: Assumption) -> str:
    header, rows = compare(comparison.variations)
    lines = [f"### `{full_name(comparison.model)}`", "", *markdown_table(rows, header), ""]
    lines += [f"- Refused, {title}: {escape_markdown(message)}" for title, message in _explain(comparison.variations)]
    return "\n".join([*lines, *(f"- {escape_markdown(note)}" for note in _word_grounds(comparison, assumption))])


def compare(variations: Sequence[Variation]) -> tuple[list[str], list[list[str]]]:
    """A header, and a row for each figure with a cell for each variation; a refused one has only its reason."""
    rows = [[name, *(_word(item.answer, word) for item in variations)] for name, word in _FIGURES.items()]
    reasons = [item.answer.reason if isinstance(item.answer, PlanRefused) else "" for item in variations]
    rows.append(["refused", *reasons])
    return ["", *(item.title for item in variations)], [row for row in rows if any(row[1:])]


def _explain(variations: Sequence[Variation]) -> list[tuple[str, str]]:
    refused = [(item.title, item.answer) for item in variations if isinstance(item.answer, PlanRefused)]
    return [(title, f"{answer.reason}: {answer.message}") for title, answer in refused]


def _word_grounds(comparison: Comparison, assumption: Assumption) -> list[str]:
    chosen = [item.answer.chosen for item in comparison.variations if isinstance(item.answer, Plan)]
    prices = word_notes("Price", [(option.machine_type, option.price_note) for option in chosen])
    return [word_cluster(assumption), *prices, ESTIMATES]


def _to_document(comparison: Comparison, assumption: Assumption) -> Mapping[str, Any]:
    variations = [{"change": item.title, **verdict_to_dict(item.answer)} for item in comparison.variations]
    return {**head_of(comparison.model, assumption), "note": ESTIMATES, "variations": variations}


def _word(answer: Plan | PlanRefused, word: Callable[[PlannedOption], str]) -> str:
    return word(answer.chosen) if isinstance(answer, Plan) else ""


def _of_speed(word: Callable[[ThroughputEstimate], str]) -> Callable[[PlannedOption], str]:
    """A figure of the estimate, where there is one."""
    return lambda option: "unknown" if option.throughput is None else word(option.throughput)


def _word_token_price(speed: ThroughputEstimate) -> str:
    price = speed.dollars_per_million_tokens
    return "unknown" if price is None else money(price)


_FIGURES: Final[Mapping[str, Callable[[PlannedOption], str]]] = {
    "hardware": word_devices,
    "machine": word_machine,
    "engine": lambda option: f"{option.engine} {option.engine_version}, {option.precision}",
    "layout": word_layout,
    "context": lambda option: f"{option.context_length:,} tokens",
    "sequences at once": lambda option: f"{option.max_concurrency:,}",
    "$/hour": word_cost,
    "$/M output tokens": _of_speed(_word_token_price),
    "output tokens/s": _of_speed(lambda speed: f"{speed.output_tokens_per_s:,}"),
    "with requests": _of_speed(lambda speed: f"{speed.concurrency:,} at once"),
    "of tokens": _of_speed(lambda speed: f"{speed.input_tokens:,} in, {speed.output_tokens:,} out"),
    "to first token": _of_speed(
        lambda speed: f"{speed.time_to_first_token_ms:,} ms, alone {speed.alone_time_to_first_token_ms:,}"
    ),
    "between tokens": _of_speed(
        lambda speed: (
            f"{speed.inter_token_latency_us / 1000:,.0f} ms, alone {speed.alone_inter_token_latency_us / 1000:,.0f}"
        )
    ),
    "estimated within": _of_speed(lambda speed: f"a factor of {speed.uncertainty}"),
    "starts in": lambda option: f"about {seconds(option.startup.total_s)}",
    "support": lambda option: option.tier.value,
}
"""Figure → its words for an option."""
