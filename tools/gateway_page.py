"""Writes the generated parts of docs/gateway.md, or checks them: what is refused, and the options.

Usage: python tools/gateway_page.py --write | --check
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import click
from written_page import fill_marks, write_or_check

from mistral_operator.cli.gateway import gateway
from mistral_operator.gateway import parameters
from mistral_operator.gateway.parameters import Unsupported
from mistral_operator.gateway.refusal import quote

PAGE = Path(__file__).parents[1] / "docs" / "gateway.md"


def render_parameters() -> str:
    """The table of parameters that are refused unless they ask for nothing."""
    fixed = {
        "temperature": Unsupported(("`--temperature`", 1), f"{parameters.SERVER_SIDE}; leave it away"),
        "top_p": Unsupported(("`--top-p`", 1), f"{parameters.SERVER_SIDE}; leave it away"),
    }
    rows = [
        *_rows(parameters.BOTH, "", ""),
        *_rows(parameters.CHAT, " (chat)", ""),
        *_rows(parameters.COMPLETIONS, " (completions)", ""),
        *_rows({**fixed, **parameters.SAMPLING}, "", "yes"),
    ]
    head = [
        "| Parameter | Accepted | Why, and what instead | Ignored with `--ignore-unsupported` |",
        "| --- | --- | --- | --- |",
    ]
    inert = ", ".join(f"`{name}`" for name in sorted(parameters.INERT))
    return "\n".join(["", *head, *sorted(rows), "", f"Without effect on any answer, and so accepted: {inert}.", "", ""])


def _rows(table: Mapping[str, Unsupported], where: str, ignored: str) -> Iterator[str]:
    for name, rule in table.items():
        accepted = ", ".join(_value(value) for value in rule.neutral) or "only null"
        yield f"| `{name}`{where} | {accepted} | {rule.advice} | {ignored} |"


def _value(value: object) -> str:
    if isinstance(value, str) and value.startswith("`"):
        return value
    return "`" + (quote(value) if not value or not isinstance(value, dict | list) else _json(value)) + "`"


def _json(value: object) -> str:
    return repr(value).replace("'", '"')


def render_options() -> str:
    """The table of the command's options."""
    rows = []
    with click.Context(gateway) as context:
        for option in gateway.get_params(context):
            if isinstance(option, click.Option) and option.opts[0] != "--help":
                default = "off" if option.is_flag else f"`{option.default}`"
                rows.append(f"| `{option.opts[0]}` | {'required' if option.required else default} | {option.help} |")
    return "\n".join(["", "| Option | Default | |", "| --- | --- | --- |", *rows, "", ""])


def main(arguments: list[str]) -> int:
    """The exit code."""
    wanted = fill_marks(PAGE, {"parameters": render_parameters(), "options": render_options()})
    return write_or_check({PAGE: wanted}, arguments, __doc__ or "")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
