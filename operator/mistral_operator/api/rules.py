"""What the API server would refuse beyond types and patterns, found without one: for files that never saw a cluster."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

from pydantic.fields import FieldInfo

from mistral_operator.api.common import ApiType, Metadata
from mistral_operator.api.model import MistralModel


def violations(value: ApiType, path: str = "") -> Iterator[str]:
    """Name every rule that a parsed object breaks, as `path: message`, outer parts first."""
    for rule in value.rules:
        if not rule.holds(value):
            yield f"{path}: {rule.message}" if path else rule.message
    for name, field in type(value).model_fields.items():
        yield from _violations_below(getattr(value, name), _join(path, field.alias or name))


def _violations_below(value: object, path: str) -> Iterator[str]:
    if isinstance(value, ApiType):
        yield from violations(value, path)
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from _violations_below(item, f"{path}[{index}]")


def unknown_fields(raw: Mapping[str, Any], kind: type[ApiType] = MistralModel, path: str = "") -> Iterator[str]:
    """Name the paths of `raw` that `kind` does not have; metadata and status are left to the API server."""
    fields = {field.alias or name: field.annotation for name, field in kind.model_fields.items()}
    for key, value in raw.items():
        if key not in fields:
            yield _join(path, key)
        elif (below := _type_below(fields[key])) is not None and below is not Metadata:
            yield from _unknown_below(below, value, _join(path, key))


def _unknown_below(kind: type[ApiType], value: object, path: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from unknown_fields(value, kind, path)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for index, item in enumerate(value):
            yield from _unknown_below(kind, item, f"{path}[{index}]")


def _type_below(annotation: object) -> type[ApiType] | None:
    """The API type inside an annotation such as `tuple[EnvVar, ...]` or `Engine | None`, if there is one."""
    if isinstance(annotation, type) and issubclass(annotation, ApiType):
        return annotation
    return next((found for part in get_args(annotation) if (found := _type_below(part)) is not None), None)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def find_field(location: Sequence[int | str], kind: type[ApiType] = MistralModel) -> FieldInfo | None:
    """The field at a place in an object, or the one that holds it where the place is an item or a map's value."""
    found: FieldInfo | None = None
    below: type[ApiType] | None = kind
    for part in location:
        if isinstance(part, str) and below is not None:
            found = next((f for name, f in below.model_fields.items() if part == (f.alias or name)), found)
            below = _type_below(found.annotation) if found else None
    return found


def field_paths(kind: type[ApiType] = MistralModel, path: str = "") -> Iterator[str]:
    """The path of every field, outer ones first; `[]` stands for an item of a list."""
    for name, field in kind.model_fields.items():
        here = _join(path, field.alias or name)
        yield here
        below = _type_below(field.annotation)
        if below is not None:
            is_list = str(field.annotation).startswith("tuple[")
            yield from field_paths(below, f"{here}[]" if is_list else here)
