"""What the API server would refuse, found without one: for files that never saw a cluster."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel

from mistral_operator.api.common import ApiType, Metadata


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule of the schema that an object breaks."""

    path: str
    """Path of the part that breaks the rule, such as `spec.scaling`; empty for the whole object."""
    message: str


def violations(value: ApiType, path: str = "") -> Iterator[Violation]:
    """Name every rule that the parsed object breaks, outermost parts first."""
    for rule in value.rules:
        if not rule.holds(value):
            yield Violation(path, rule.message)
    for name, field in type(value).model_fields.items():
        yield from _violations_below(getattr(value, name), _join(path, field.alias or name))


def _violations_below(value: object, path: str) -> Iterator[Violation]:
    if isinstance(value, ApiType):
        yield from violations(value, path)
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from _violations_below(item, f"{path}[{index}]")


def unknown_fields(kind: type[BaseModel], raw: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Name the paths of `raw` that `kind` does not have; metadata and status are the API server's matter."""
    fields = {field.alias or name: field.annotation for name, field in kind.model_fields.items()}
    for key, value in raw.items():
        if key not in fields:
            yield _join(path, key)
        elif (below := _type_below(fields[key])) is not None and below is not Metadata:
            yield from _unknown_below(below, value, _join(path, key))


def _unknown_below(kind: type[BaseModel], value: object, path: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from unknown_fields(kind, value, path)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for index, item in enumerate(value):
            yield from _unknown_below(kind, item, f"{path}[{index}]")


def _type_below(annotation: object) -> type[BaseModel] | None:
    """The API type inside an annotation such as `tuple[EnvVar, ...]` or `Engine | None`, if there is one."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _type_below(part)) is not None), None)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
