"""The catalogue that ships with the operator, read once from one compiled file: YAML takes a hundred times as long."""

import json
from functools import cache
from pathlib import Path

from mistral_operator.catalogue.parse import parse_catalogue
from mistral_operator.catalogue.types import Catalogue

DATA = Path(__file__).parent / "data"
COMPILED = DATA / "compiled.json"


@cache
def load_catalogue() -> Catalogue:
    """Return the built-in catalogue; raise CatalogueError when its data is wrong."""
    return parse_catalogue(json.loads(COMPILED.read_text(encoding="utf-8")))
