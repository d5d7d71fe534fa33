"""MistralModels from files, held to the rules that the API server would hold them to."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click
import yaml
from pydantic import ValidationError

from mistral_operator.api.model import MistralModel
from mistral_operator.api.names import API_VERSION, MODEL_KIND
from mistral_operator.api.rules import unknown_fields, violations
from mistral_operator.cli.faults import word_fault, word_unknown
from mistral_operator.cli.output import hang

_LISTS = ("List", f"{MODEL_KIND}List")
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_documents(file: Path) -> list[Any]:
    """All YAML documents of a file (`-` is standard input), empty ones left out, and the items of a `kind: List`."""
    try:
        with click.open_file(str(file), encoding="utf-8") as stream:
            documents = [document for document in yaml.load_all(stream, LOADER) if document is not None]
    except (OSError, UnicodeDecodeError) as error:
        raise click.ClickException(f"can't read {file}: {error}") from None
    except yaml.YAMLError as error:
        raise click.ClickException(f"{file} is not YAML: {error}") from None
    return [item for document in documents for item in _flatten(document)]


def _flatten(document: Any) -> list[Any]:
    """`kubectl get -o yaml` wraps what it finds."""
    if isinstance(document, Mapping) and document.get("kind") in _LISTS and isinstance(document.get("items"), list):
        return list(document["items"])
    return [document]


def find_models(file: Path) -> list[Mapping[str, Any]]:
    """The MistralModels of a file as they are written there; other objects in it are passed over."""
    return _pick_models(read_documents(file), file)


def _pick_models(documents: Iterable[Any], file: Path) -> list[Mapping[str, Any]]:
    found = [item for item in documents if isinstance(item, Mapping) and item.get("kind") == MODEL_KIND]
    if not found:
        raise click.ClickException(f"{file} holds no {MODEL_KIND}; one looks like this:\n\n{SMALLEST}")
    return found


def read_models(file: Path) -> list[MistralModel]:
    """All MistralModels of a file. A model without a namespace is in `default`."""
    return parse_models(read_documents(file), file)


def parse_models(documents: Iterable[Any], file: Path) -> list[MistralModel]:
    """The MistralModels among the documents that were read from a file."""
    source = "standard input" if str(file) == "-" else str(file)
    return [read_model(document, source) for document in _pick_models(documents, file)]


SMALLEST = f"""\
apiVersion: {API_VERSION}
kind: {MODEL_KIND}
metadata:
  name: chat
spec:
  model: mistral-7b-v0.3
"""


def read_model(document: Mapping[str, Any], source: str) -> MistralModel:
    """Parse one object, or refuse it with everything that is wrong about it."""
    faults = [word_unknown(path) for path in unknown_fields(document)]
    try:
        model = MistralModel.model_validate(document)
    except ValidationError as error:
        faults += [word_fault(detail) for detail in error.errors(include_url=False)]
    else:
        faults += violations(model)
        if not model.metadata.name:
            faults.append("metadata.name is missing; write metadata: {name: chat}, for instance")
        if not faults:
            return in_namespace(model, model.metadata.namespace or "default")
    metadata = document.get("metadata")
    name = metadata.get("name", "without a name") if isinstance(metadata, Mapping) else "without a name"
    lines = [line for fault in faults for line in hang(fault)]
    raise click.ClickException("\n".join([f"{source}: {MODEL_KIND} {name} is refused:", *lines]))


def in_namespace(model: MistralModel, namespace: str) -> MistralModel:
    """The same model in that namespace."""
    return model.model_copy(update={"metadata": model.metadata.model_copy(update={"namespace": namespace})})
