"""Text for people: a few styles, aligned columns, wrapped paragraphs. Without a terminal it is plain text.

Styling is done by ANSI codes in the strings; `say` leaves them out where they don't belong (no terminal, NO_COLOR).
"""

import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import click

MAX_WIDTH = 118
INDENT = "  "


class Style(StrEnum):
    """What a piece of text is, not how it looks."""

    PLAIN = "plain"
    TITLE = "title"
    QUIET = "quiet"
    NAME = "name"
    GOOD = "good"
    WAITING = "waiting"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a table."""

    text: str
    style: Style = Style.PLAIN
    right: bool = False


def paint(text: str, style: Style) -> str:
    """Wrap `text` in the codes of `style`; nothing stays nothing."""
    if not text:
        return text
    match style:
        case Style.TITLE:
            return click.style(text, bold=True)
        case Style.QUIET:
            return click.style(text, dim=True)
        case Style.NAME:
            return click.style(text, fg="cyan")
        case Style.GOOD:
            return click.style(text, fg="green")
        case Style.WAITING:
            return click.style(text, fg="yellow")
        case Style.BAD:
            return click.style(text, fg="red")
        case Style.PLAIN:
            return text


def wants_color() -> bool | None:
    """False for NO_COLOR or a dumb terminal, True for FORCE_COLOR, None to let the terminal decide."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return None


def is_terminal() -> bool:
    """Is standard output a terminal that can rewrite a line?"""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def text_width() -> int:
    """Columns to write in."""
    return min(shutil.get_terminal_size((100, 24)).columns, MAX_WIDTH)


def say(text: str = "") -> None:
    """Print to standard output, at once."""
    click.echo(text, color=wants_color())
    sys.stdout.flush()


def complain(text: str) -> None:
    """Print to standard error."""
    click.echo(text, err=True, color=wants_color())


def wrap(text: str, indent: str = INDENT, width: int | None = None) -> list[str]:
    """Break unstyled text into lines of about `width` columns with the indent, never inside of a word.

    The text's own line breaks stay.
    """
    lines: list[str] = []
    for paragraph in text.splitlines() or [""]:
        lines += textwrap.wrap(
            paragraph,
            width or text_width(),
            initial_indent=indent,
            subsequent_indent=indent,
            break_on_hyphens=False,
            break_long_words=False,
        ) or [""]
    return lines


def hang(text: str, indent: str = INDENT) -> list[str]:
    """Like `wrap`, with the lines after the first indented further: an item of a list."""
    first, *rest = wrap(text, indent * 2)
    return [indent + first.removeprefix(indent * 2), *rest]


def table(rows: Iterable[Sequence[Cell | str]], header: Sequence[str] = (), indent: str = INDENT) -> list[str]:
    """Align cells in columns, two spaces apart; a last column may be of any length and is not padded."""
    cells = [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in rows]
    if header and cells:
        rights = [cell.right for cell in cells[0]]
        cells.insert(0, [Cell(name, Style.QUIET, right) for name, right in zip(header, rights, strict=True)])
    widths = [max(len(cell.text) for cell in column) for column in zip(*cells, strict=True)]
    return [(indent + "  ".join(_pad_row(row, widths))).rstrip() for row in cells]


def _pad_row(row: Sequence[Cell], widths: Sequence[int]) -> list[str]:
    last = len(row) - 1
    return [_pad(cell, width, last=i == last) for i, (cell, width) in enumerate(zip(row, widths, strict=True))]


def _pad(cell: Cell, width: int, *, last: bool) -> str:
    space = " " * (width - len(cell.text))
    painted = paint(cell.text, cell.style)
    if cell.right:
        return space + painted
    return painted if last else painted + space


def facts(pairs: Iterable[tuple[str, str]], indent: str = INDENT) -> list[str]:
    """Lines of `name  value`, names aligned and quiet, long values wrapped below themselves."""
    known = [(name, value) for name, value in pairs if value]
    width = max((len(name) for name, _ in known), default=0)
    lines: list[str] = []
    for name, value in known:
        hanging = indent + " " * (width + 2)
        first, *rest = wrap(value, hanging)
        lines.append(indent + paint(name.ljust(width), Style.QUIET) + "  " + first[len(hanging) :])
        lines += rest
    return lines


def bar(parts: Sequence[tuple[int, str]], width: int) -> str:
    """A bar of exactly `width` characters, each part with its own character, in proportion to its size.

    A part that isn't zero gets at least one character, so that nothing disappears.
    """
    sized = [(size, sign) for size, sign in parts if size > 0]
    total = sum(size for size, _ in sized)
    if not total:
        return " " * width
    lengths = [max(1, round(size * width / total)) for size, _ in sized]
    lengths[lengths.index(max(lengths))] += width - sum(lengths)
    return "".join(sign * length for length, (_, sign) in zip(lengths, sized, strict=True))


def seconds(value: float) -> str:
    """A duration for people: `45 s`, `6 min 20 s`, `2 h 5 min`, `3 d 4 h`."""
    whole = round(value)
    for larger, smaller, unit, subunit in ((86400, 3600, "d", "h"), (3600, 60, "h", "min"), (60, 1, "min", "s")):
        if whole >= larger:
            count, rest = divmod(whole, larger)
            return f"{count} {unit} {rest // smaller} {subunit}" if rest // smaller else f"{count} {unit}"
    return f"{whole} s"


def count(number: int, noun: str) -> str:
    """Such as `1 node` or `2 nodes`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def gib(size_bytes: int) -> str:
    """Bytes as GiB with one decimal."""
    return f"{size_bytes / 2**30:.1f} GiB"


def markdown_table(rows: Iterable[Sequence[Cell | str]], header: Sequence[str]) -> list[str]:
    """The lines of a Markdown table, with numbers on the right where the first row has them there."""
    cells = [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in rows]
    ends = [Cell("---:" if cell.right else "---") for cell in cells[0]] if cells else [Cell("---")] * len(header)
    lines = [[Cell(name) for name in header], ends, *cells]
    return ["| " + " | ".join(escape_markdown(cell.text).replace("|", "\\|") for cell in line) + " |" for line in lines]


def escape_markdown(text: str) -> str:
    """Text with nothing that Markdown would take for a tag and leave out, such as `<digest>`."""
    return text.replace("<", "&lt;")
