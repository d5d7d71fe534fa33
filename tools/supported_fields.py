"""Writes the generated part of docs/supported-fields.md, or checks it: what `core.support` refuses and advises.

Usage: python tools/supported_fields.py --write | --check
"""

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from generated import fill, write_or_check

from mistral_operator.core import support

PAGE = Path(__file__).parents[1] / "docs" / "supported-fields.md"


def render_rows() -> str:
    """The table of refused fields."""
    rows = [
        *_rows("spec.", support.NOT_YET),
    ]
    return "\n".join(["", "| Field | Instead |", "| --- | --- |", *rows, "", ""])


def _rows(prefix: str, refused: Mapping[str, str]) -> Iterable[str]:
    for entry, advice in refused.items():
        path, _, value = entry.partition("=")
        yield f"| `{prefix}{path}{f': {value}' if value else ''}` | {advice} |"


if __name__ == "__main__":
    wanted = fill(PAGE.read_text(encoding="utf-8"), "<!-- {} -->", [render_rows()])
    sys.exit(write_or_check(__doc__, {PAGE: wanted}, sys.argv[1:]))
