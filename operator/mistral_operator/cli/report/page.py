"""The report: one page that holds all it needs, for any number of models. Pure: same plans, same page."""

from collections.abc import Sequence
from importlib.resources import files
from typing import Final

from mistral_operator import __version__
from mistral_operator.cli.output import count
from mistral_operator.cli.plan_words import full_name, money
from mistral_operator.cli.profile import Assumption
from mistral_operator.cli.report.entry import Entry
from mistral_operator.cli.report.markup import Html, join, tag
from mistral_operator.cli.report.section import draw_section
from mistral_operator.cli.report.table import Column, draw_table
from mistral_operator.planning.types import Plan

POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""The browser itself refuses scripts and requests."""


def write_report(entries: Sequence[Entry], assumption: Assumption) -> str:
    """The page as text, to be saved in UTF-8."""
    sections = [draw_section(number, entry, assumption) for number, entry in enumerate(entries, 1)]
    contents = [_draw_contents(entries)] if len(entries) > 1 else []
    title = _word_title(entries)
    head = tag("header", tag("h1", title), tag("p", f"mistral-operator {__version__}", class_="quiet"))
    page = tag("html", _draw_head(title), tag("body", tag("main", head, *contents, *sections)), lang="en")
    return f"<!DOCTYPE html>\n{page}\n"


def _word_title(entries: Sequence[Entry]) -> str:
    if len(entries) == 1:
        return f"Plan for {full_name(entries[0].model)}"
    return f"Plans for {count(len(entries), 'model')}"


def _draw_head(title: str) -> Html:
    style = Html((files(__package__) / "style.css").read_text(encoding="utf-8"))
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("link", rel="icon", href="data:,"),
        tag("title", title),
        tag("style", style),
    )


def _draw_contents(entries: Sequence[Entry]) -> Html:
    columns = [Column("model"), Column("verdict"), Column("hardware"), Column("$/hour", right=True)]
    rows = [_draw_row(number, entry) for number, entry in enumerate(entries, 1)]
    return tag("nav", draw_table(columns, rows, "Models"), aria_label="Models", class_="card")


def _draw_row(number: int, entry: Entry) -> list[Html]:
    link = tag("a", full_name(entry.model), href=f"#model-{number}")
    answer = entry.answer
    if not isinstance(answer, Plan):
        return [join([text]) for text in (link, answer.reason, "", "")]
    option = answer.chosen
    cost = "unknown" if option.hourly_cost is None else money(option.hourly_cost)
    return [join([text]) for text in (link, option.tier.value, option.hardware, cost)]
