"""What earlier releases defined, shipped and rendered; each in a folder named after its version."""

from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RELEASES = sorted(folder for folder in HERE.iterdir() if folder.is_dir() and folder.name[0].isdigit())


def version_of(path: Path) -> str:
    """The version as which a path below a release's folder was released."""
    return path.relative_to(HERE).parts[0]


def read(path: Path) -> Any:
    """The one document of a YAML or JSON file."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def read_all(path: Path) -> list[dict[str, Any]]:
    """The documents of a YAML file."""
    return [document for document in yaml.safe_load_all(path.read_text(encoding="utf-8")) if document]


def released(pattern: str) -> list[Path]:
    """The files of all releases that match, so that a test has one case for each."""
    return sorted(file for release in RELEASES for file in release.glob(pattern))


def label(path: Path) -> str:
    """How a test's case is called."""
    return str(path.relative_to(HERE))
