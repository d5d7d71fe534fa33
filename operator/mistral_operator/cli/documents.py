"""MistralModels from files, held to the rules that the API server would hold them to."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import yaml
from pydantic import ValidationError

from mistral_operator.api.model import MistralModel
from mistral_operator.api.names import API_VERSION, MODEL_KIND
from mistral_operator.api.rules import unknown_fields, violations

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_documents(file: Path) -> list[Any]:
    """All YAML documents of a file (`-` is standard input), empty ones left out."""
    try:
        with click.open_file(str(file), encoding="utf-8") as stream:
            return [document for document in yaml.load_all(stream, LOADER) if document is not None]
    except (OSError, UnicodeDecodeError) as error:
        raise click.ClickException(f"can't read {file}: {error}") from None
    except yaml.YAMLError as error:
        raise click.ClickException(f"{file} is not YAML: {error}") from None


def read_models(file: Path) -> list[MistralModel]:
    """All MistralModels of a file; other objects in it are passed over. A model without a namespace is in `default`."""
    documents = read_documents(file)
    models = [
        document for document in documents if isinstance(document, Mapping) and document.get("kind") == MODEL_KIND
    ]
    if not models:
        raise click.ClickException(f"{file} holds no {MODEL_KIND}; one looks like this:\n\n{SMALLEST}")
    return [read_model(document, str(file)) for document in models]


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
    faults = [f"{path}: there is no such field" for path in unknown_fields(document)]
    try:
        model = MistralModel.model_validate(document)
    except ValidationError as error:
        faults += [_word(detail) for detail in error.errors(include_url=False)]
    else:
        faults += violations(model)
        if not model.metadata.name:
            faults.append("metadata.name is missing")
        if not faults:
            return in_namespace(model, model.metadata.namespace or "default")
    name = (document.get("metadata") or {}).get("name", "without a name")
    raise click.ClickException(
        f"{source}: {MODEL_KIND} {name} is refused:\n" + "\n".join(f"  {fault}" for fault in faults)
    )


def in_namespace(model: MistralModel, namespace: str) -> MistralModel:
    """The same model in that namespace."""
    return model.model_copy(update={"metadata": model.metadata.model_copy(update={"namespace": namespace})})


def _word(detail: Mapping[str, Any]) -> str:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in detail["loc"]).lstrip(".")
    return f"{path}: {detail['msg']}"
