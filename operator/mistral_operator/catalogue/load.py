"""The catalogue that ships with the operator, read once from one compiled file: YAML takes a hundred times as long.

An extension is a directory with a few YAML files, such as a mounted ConfigMap.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any, Final

from mistral_operator.catalogue.extend import Extended, extend_catalogue
from mistral_operator.catalogue.parse import parse_catalogue
from mistral_operator.catalogue.reader import CatalogueError
from mistral_operator.catalogue.types import Catalogue

DATA = Path(__file__).parent / "data"
COMPILED = DATA / "compiled.json"
MOST_BYTES = 1 << 20
"""No file of an extension is larger: a ConfigMap isn't, either."""
_MOST_CHARACTERS: Final = 300
"""Of what YAML's parser has to say."""


@cache
def load_catalogue() -> Catalogue:
    """Return the built-in catalogue; raise CatalogueError when its data is wrong."""
    return parse_catalogue(_read_compiled())


def load_extended(directory: Path | None) -> Extended:
    """Return the built-in catalogue with the extension in a directory; an absent one adds nothing.

    Raises CatalogueError that names file and field.
    """
    files = _read_extension(directory) if directory else {}
    return extend_catalogue(_read_compiled(), files) if files else Extended(load_catalogue())


def list_extension(directory: Path) -> list[Path]:
    """The files of an extension, in order; none where there is no such directory. Raises OSError.

    The kubelet swaps a mounted ConfigMap's link `..data`, so the files behind it are all of one moment.
    """
    link = directory / "..data"
    folder = link.resolve() if link.is_dir() else directory
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if not path.name.startswith(".") and not path.is_dir())


def _read_extension(directory: Path) -> dict[str, object]:
    try:
        files = list_extension(directory)
    except OSError as error:
        raise CatalogueError(str(error)) from None
    return {path.name: _read_file(path) for path in files}


def _read_file(path: Path) -> object:
    # Only where there is an extension: it takes longer to load than the catalogue.
    from mistral_operator.catalogue.bounded_yaml import read_yaml

    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"it is larger than {MOST_BYTES:,} bytes")
        return read_yaml(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CatalogueError(f"{path.name}: {' '.join(str(error).split())[:_MOST_CHARACTERS]}") from None


def _read_compiled() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(COMPILED.read_text(encoding="utf-8"))
    return content
