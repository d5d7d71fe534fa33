"""MistralServingClasses from files, held to the rules that the API server would hold them to."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from mistral_operator.api.names import CLASS_KIND
from mistral_operator.api.rules import field_paths, unknown_fields, violations
from mistral_operator.api.serving_class import MistralServingClass
from mistral_operator.cli.documents import read_documents
from mistral_operator.cli.faults import word_fault
from mistral_operator.cli.output import hang

CLASS_OPTION = click.option(
    "--serving-class",
    "class_files",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A file with MistralServingClasses of the cluster, beside those in --file; repeatable.",
)


def read_classes(documents: Iterable[Any], source: Path, files: Iterable[Path]) -> tuple[Mapping[str, Any], ...]:
    """The classes among documents that were read from `source`, and those of more files, as they are written there.

    Raises ClickException with everything that is wrong about one, and for a file without any.
    """
    found = [_check(item, str(source)) for item in documents if _is_class(item)]
    for file in files:
        given = [_check(item, str(file)) for item in read_documents(file) if _is_class(item)]
        if not given:
            raise click.ClickException(f"{file} holds no {CLASS_KIND}")
        found += given
    names = [item["metadata"]["name"] for item in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise click.ClickException(f"{CLASS_KIND} {twice} is given twice; a cluster can have only one of that name")
    return tuple(found)


def _is_class(document: Any) -> bool:
    return isinstance(document, Mapping) and document.get("kind") == CLASS_KIND


def _check(document: Mapping[str, Any], source: str) -> Mapping[str, Any]:
    faults = [_word_unknown(path) for path in unknown_fields(document, MistralServingClass)]
    metadata = document.get("metadata")
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    try:
        faults += violations(MistralServingClass.model_validate(document))
    except ValidationError as error:
        faults += [word_fault(detail) for detail in _without_echoes(error.errors(include_url=False))]
    if not name:
        faults.append("metadata.name is missing; write metadata: {name: standard}, for instance")
    if not faults:
        return document
    lines = [line for fault in faults for line in hang(fault)]
    raise click.ClickException("\n".join([f"{source}: {CLASS_KIND} {name or 'without a name'} is refused:", *lines]))


def _without_echoes(details: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """The parser finds a list too short whose only item it has just refused."""
    places = [detail["loc"] for detail in details]
    for detail in details:
        here = detail["loc"]
        if not any(len(place) > len(here) and place[: len(here)] == here for place in places):
            yield detail


def _word_unknown(path: str) -> str:
    parent = path.rpartition(".")[0]
    known = [here for here in field_paths(MistralServingClass) if here.rpartition(".")[0] == parent]
    names = ", ".join(here.rpartition(".")[2] for here in known)
    return f"{path}: there is no such field" + (f"; known are {names}" if names else "")
