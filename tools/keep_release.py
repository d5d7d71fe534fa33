"""Keep what this version defines, ships and renders in tests/released, so that later versions are tested against it.

A folder that was kept is never written again: what was released does not change.
"""

import shutil
import sys
from pathlib import Path

from mistral_operator import __version__

ROOT = Path(__file__).parents[1]


def main() -> int:
    """The exit code."""
    folder = ROOT / "tests" / "released" / __version__
    if not __version__.replace(".", "").isdigit():
        print(f"{__version__} is no release: write its number in pyproject.toml and __init__.py first", file=sys.stderr)
        return 2
    if folder.exists():
        print(f"{folder} was kept already", file=sys.stderr)
        return 1
    shutil.copytree(ROOT / "charts" / "mistral-operator", folder / "chart")
    shutil.copytree(ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("scenarios", "security"))
    shutil.copytree(ROOT / "tests" / "golden", folder / "golden", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
