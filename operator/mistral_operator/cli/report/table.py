"""Tables with headers that a screen reader names, in a frame that scrolls by itself where the window is narrow."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mistral_operator.cli.report.markup import Html, tag


@dataclass(frozen=True, slots=True)
class Column:
    """A column's name, and whether it holds numbers."""

    name: str
    right: bool = False


def draw_table(columns: Sequence[Column], rows: Iterable[Sequence[str]], caption: str) -> Html:
    """A table; the first column names its row."""
    head = tag("tr", *[tag("th", column.name, scope="col", class_=_align(column)) for column in columns])
    body = [tag("tr", *[_draw_cell(i, column, row[i]) for i, column in enumerate(columns)]) for row in rows]
    table = tag("table", tag("caption", caption), tag("thead", head), tag("tbody", *body))
    return tag("div", table, class_="scroll", role="region", tabindex=0, aria_label=caption)


def _draw_cell(index: int, column: Column, content: str) -> Html:
    if index == 0:
        return tag("th", content, scope="row", class_=_align(column))
    return tag("td", content, class_=_align(column))


def _align(column: Column) -> str:
    return "number" if column.right else "text"
