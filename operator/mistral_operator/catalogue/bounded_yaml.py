"""YAML of others → plain data, with bounds: what is small must not become large, or take long."""

from typing import Any, Final

import yaml

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DEEPEST: Final = 32
"""Mappings and lists in one another; libyaml's loader overflows the stack somewhere above 10,000."""


def read_yaml(text: str) -> Any:
    """Read one document; raise ValueError that says what is wrong.

    Anchors are refused: a few lines of them stand for more data than there is memory.
    """
    try:
        _check_events(text)
        return yaml.load(text, _LOADER)  # noqa: S506  a safe one
    except yaml.YAMLError as error:
        raise ValueError(_word(error)) from None
    except (LookupError, AttributeError, TypeError, ArithmeticError) as error:
        # Explicit tags such as `!!bool x` make its constructors stumble.
        raise ValueError(f"a value that isn't of its tag: {error!r}") from None


def _check_events(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, _LOADER):
        if isinstance(event, yaml.AliasEvent):
            raise ValueError(f"{_place(event)}anchors are not read; write the value out")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise ValueError(f"{_place(event)}nested more than {_DEEPEST} levels deep")


def _place(event: yaml.Event) -> str:
    return f"line {event.start_mark.line + 1}: " if event.start_mark else ""


def _word(error: yaml.YAMLError) -> str:
    """One line, where the parser has several."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return str(error)
    words = ", ".join(filter(None, (error.context, error.problem)))
    return f"line {error.problem_mark.line + 1}: {words}"
