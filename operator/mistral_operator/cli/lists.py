"""Options that take several values: `--zones a,b`, `--zones "a, b"` and `--zones a --zones b` are the same."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., Any])


def list_option(*names: str, known: Sequence[str] = (), **attributes: Any) -> Callable[[_Command], _Command]:
    """An option whose value is a tuple of words, each of them once, in the order in which they were given.

    With `known` no other words are taken, and not none at all. `attributes` are click's.
    """

    def read(_context: click.Context, _option: click.Parameter, given: Sequence[str]) -> tuple[str, ...]:
        words = tuple(dict.fromkeys(word for each in given for part in each.split(",") if (word := part.strip())))
        unknown = [word for word in words if known and word not in known]
        if unknown or (known and given and not words):
            what = f"{', '.join(unknown)} is not known" if unknown else "nothing is named"
            raise click.BadParameter(f"{what}; write one or more of {', '.join(known)}, separated by commas")
        return words

    hint = {"metavar": f"[{'|'.join(known)}],…"} if known else {}
    return click.option(*names, multiple=True, callback=read, **{**hint, **attributes})
