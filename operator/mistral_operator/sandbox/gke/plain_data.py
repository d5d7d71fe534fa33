"""Plain data, as YAML and JSON give it, read strictly into dataclasses: what isn't known is refused by its place."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

T = TypeVar("T")


class ScenarioError(ValueError):
    """A scenario that can't be used; the message says where and what to write instead."""


def build(kind: type[T], document: Any, where: str) -> T:
    """A dataclass of plain fields from a mapping; lists become tuples."""
    data = mapping(document, where)
    known = [f.name for f in fields(kind)]  # type: ignore[arg-type]
    unknown = sorted(str(key) for key in data if key not in known)
    if unknown:
        raise ScenarioError(f"{where}: unknown key {unknown[0]}; known keys: {', '.join(known)}")
    try:
        made = kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in data.items()})
    except TypeError as error:
        raise ScenarioError(f"{where}: {str(error).replace('__init__()', '').split('.', 1)[-1].strip()}") from error
    for name in known:
        _check_type(getattr(made, name), kind.__annotations__[name], f"{where}.{name}")
    return made


def mapping(document: Any, where: str) -> Mapping[str, Any]:
    """The document, which has to be a mapping."""
    if not isinstance(document, Mapping):
        raise ScenarioError(f"{where}: write a mapping of keys to values, not {type(document).__name__}")
    return document


def items(document: Any, where: str) -> list[Any]:
    """The document, which has to be a list."""
    if not isinstance(document, list):
        raise ScenarioError(f"{where}: write a list, not {type(document).__name__}")
    return document


def one_of(value: str, allowed: tuple[str, ...], where: str) -> None:
    """Refuse what isn't one of the allowed words."""
    if value not in allowed:
        raise ScenarioError(f"{where}: {value!r} is not one of {', '.join(allowed)}")


def _check_type(value: Any, expected: Any, where: str) -> None:
    """Plain fields only; nested ones were built, and so checked, before."""
    if expected is bool:
        good = isinstance(value, bool)
    elif expected in (int, float):
        good = isinstance(value, (int, expected)) and not isinstance(value, bool) and value >= 0
    else:
        good = expected is not str or isinstance(value, str)
    if not good:
        raise ScenarioError(f"{where}: {value!r} is not a valid {expected.__name__}")
