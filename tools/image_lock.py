"""Writes the locks of the operator's image, or checks them: the part of requirements.lock that runs, and the part that
builds.

Which package is there for whose sake is read from the lock's own comments, so nothing is solved anew, and the image has
the versions that the tests had.

Usage: python tools/image_lock.py --write | --check
"""

import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

from generated import write_or_check

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docker" / "operator"
EXTRAS = ("gateway",)
"""Extras of the package that the image has, where the package has them."""
HEAD = "# Made from requirements.lock by `make lock` (tools/image_lock.py); do not edit.\n"


def read_blocks(lock: str) -> dict[str, str]:
    """Each package's lines: its version, its hashes, and for whose sake it is there. A package may have several
    versions, each for some versions of Python.
    """
    blocks: dict[str, list[str]] = {}
    for block in re.split(r"\n(?=[a-z0-9])", lock.strip()):
        blocks.setdefault(re.split(r"[=\[ ]", block)[0], []).append(block)
    return {name: "\n".join(versions) for name, versions in blocks.items()}


def read_requirers(block: str) -> set[str]:
    """For whose sake a package is there; the project itself is called `mistral-operator`."""
    _, _, comment = block.partition("# via")
    return {line.strip(" #").split(" ")[0] for line in comment.splitlines()} - {""}


def select(blocks: dict[str, str], roots: Iterable[str]) -> dict[str, str]:
    """The roots and all that they need, directly or not. Raises LookupError for a root that isn't locked."""
    chosen = {name: blocks[name] for name in roots}
    while True:
        more = {name: block for name, block in blocks.items() if read_requirers(block) & chosen.keys()}
        if more.keys() <= chosen.keys():
            return dict(sorted(chosen.items()))
        chosen |= more


def names(requirements: Iterable[str]) -> Iterator[str]:
    """Names of packages as a lock writes them."""
    for requirement in requirements:
        yield re.sub(r"[-_.]+", "-", re.split(r"[\[<>=!~; ]", requirement)[0]).lower()


def render_files() -> dict[Path, str]:
    """Both locks as they should be."""
    blocks = read_blocks((ROOT / "requirements.lock").read_text(encoding="utf-8"))
    manifest = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project = manifest["project"]
    extras = [item for extra in EXTRAS for item in project["optional-dependencies"].get(extra, ())]
    parts = {
        "run.lock": select(blocks, names([*project["dependencies"], *extras])),
        "build.lock": select(blocks, names(manifest["build-system"]["requires"])),
    }
    return {FOLDER / name: HEAD + "\n".join(part.values()) + "\n" for name, part in parts.items()}


if __name__ == "__main__":
    sys.exit(write_or_check(__doc__, render_files(), sys.argv[1:]))
