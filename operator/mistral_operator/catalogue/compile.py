"""Compile the catalogue's YAML files to the one JSON file that is loaded.

Run `python -m mistral_operator.catalogue.compile --write` after every change below `data/`; a test fails on drift.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from mistral_operator.catalogue.load import COMPILED, DATA
from mistral_operator.catalogue.parse import parse_catalogue

USAGE = "usage: python -m mistral_operator.catalogue.compile --write | --check"


def read_sources(directory: Path = DATA) -> dict[str, object]:
    """Return the content of every YAML file below `directory`, by its path there."""
    paths = sorted(directory.rglob("*.yaml"))
    return {path.relative_to(directory).as_posix(): _read(path) for path in paths}


def compile_catalogue(directory: Path = DATA) -> str:
    """Return the compiled catalogue as text; raise CatalogueError when the data is wrong."""
    sources = read_sources(directory)
    parse_catalogue(sources)
    return json.dumps(sources, sort_keys=True, ensure_ascii=False, indent=0) + "\n"


def main(arguments: Sequence[str]) -> int:
    """Write the compiled file, or check that it is up to date. Returns the exit code."""
    if list(arguments) == ["--write"]:
        COMPILED.write_text(compile_catalogue(), encoding="utf-8")
        return 0
    if list(arguments) != ["--check"]:
        print(USAGE, file=sys.stderr)
        return 2
    if COMPILED.read_text(encoding="utf-8") != compile_catalogue():
        print(f"{COMPILED} is out of date: run python -m mistral_operator.catalogue.compile --write", file=sys.stderr)
        return 1
    return 0


def _read(path: Path) -> object:
    # The C loader is ten times as fast, and absent where PyYAML was built without libyaml.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(path.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506  both are safe loaders


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
