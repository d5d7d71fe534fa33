"""The catalogue that ships with the operator, read once from one compiled file: YAML takes a hundred times as long.

An extension is a directory with a few YAML files, such as a mounted ConfigMap.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

from mistral_operator.catalogue.extend import Extended, extend_catalogue
from mistral_operator.catalogue.parse import parse_catalogue
from mistral_operator.catalogue.reader import CatalogueError
from mistral_operator.catalogue.types import Catalogue

DATA = Path(__file__).parent / "data"
COMPILED = DATA / "compiled.json"
MOST_BYTES = 1 << 20
"""No file of an extension is larger: a ConfigMap isn't, either."""


@cache
def load_catalogue() -> Catalogue:
    """Return the built-in catalogue; raise CatalogueError when its data is wrong."""
    return parse_catalogue(_read_compiled())


def load_extended(directory: Path | None) -> Extended:
    """Return the built-in catalogue with the extension in a directory; an absent one adds nothing.

    Raises CatalogueError that names file and field.
    """
    files = read_extension(directory) if directory else {}
    return extend_catalogue(_read_compiled(), files) if files else Extended(load_catalogue())


def read_extension(directory: Path) -> dict[str, object]:
    """Return the content of every YAML file right in the directory, by its name."""
    if not directory.is_dir():
        return {}
    return {path.name: _read_file(path) for path in sorted(directory.glob("*.yaml"))}


def _read_file(path: Path) -> object:
    import yaml  # Only where there is an extension: it takes longer to load than the catalogue.

    try:
        if path.stat().st_size > MOST_BYTES:
            raise CatalogueError(f"{path.name}: it is larger than {MOST_BYTES:,} bytes")
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise CatalogueError(f"{path.name}: {' '.join(str(error).split())[:300]}") from None


def _read_compiled() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(COMPILED.read_text(encoding="utf-8"))
    return content
