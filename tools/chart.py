"""Writes the parts of charts/mistral-operator that are made from something else, or checks them.

The definitions come from crds/, both versions from pyproject.toml, values.yaml and the README's table from
values.schema.json.

Usage: python tools/chart.py --write | --check
"""

import json
import re
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from generated import fill, write_or_check

ROOT = Path(__file__).parents[1]
CHART = ROOT / "charts" / "mistral-operator"
WIDTH = 120

Json = dict[str, Any]


def semantic_version(version: str) -> str:
    """A version of a Python package as SemVer: `0.2.0rc1` is `0.2.0-rc.1`, `0.2.0.dev3` is `0.2.0-dev.3`.

    Raises ValueError for one that has no such form (epochs, post-releases, local versions).
    """
    parts = re.fullmatch(r"(\d+\.\d+\.\d+)(?:\.?(a|b|rc|dev)(\d+))?", version)
    if not parts:
        raise ValueError(f"{version} has no form as SemVer; write it like 1.2.3, 1.2.3rc1 or 1.2.3.dev0")
    release, stage, number = parts.groups()
    return f"{release}-{stage}.{number}" if stage else str(release)


def render_chart_file() -> str:
    """Chart.yaml with the package's version."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    text = (CHART / "Chart.yaml").read_text(encoding="utf-8")
    text = re.sub(r"(?m)^version: .*$", f"version: {semantic_version(version)}", text)
    return re.sub(r"(?m)^appVersion: .*$", f'appVersion: "{version}"', text)


def render_values(schema: Json, indent: int = 0) -> Iterator[str]:
    """The lines of values.yaml: each value with its description above it."""
    for name, item in schema["properties"].items():
        if "default" not in item and "properties" not in item:
            continue
        margin = " " * indent
        yield from textwrap.wrap(
            item["description"], WIDTH, initial_indent=f"{margin}# ", subsequent_indent=f"{margin}# "
        )
        if "properties" in item:
            yield f"{margin}{name}:"
            yield from render_values(item, indent + 2)
        else:
            yield f"{margin}{name}: {json.dumps(item['default'])}"


def render_table(schema: Json) -> str:
    """The README's table of values."""
    return "\n".join(["", "| Value | Default | What it is |", "| --- | --- | --- |", *_rows(schema), "", ""])


def _rows(schema: Json, prefix: str = "") -> Iterator[str]:
    for name, item in schema["properties"].items():
        if "properties" in item:
            yield from _rows(item, f"{prefix}{name}.")
        elif "default" in item:
            yield f"| `{prefix}{name}` | `{json.dumps(item['default'])}` | {item['description']} |"


def render_files() -> dict[Path, str]:
    """Every generated file of the chart, as it should be."""
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    readme = CHART / "README.md"
    head = "# Made from values.schema.json by `make crds`; do not edit.\n"
    return {
        CHART / "Chart.yaml": render_chart_file(),
        CHART / "values.yaml": head + "".join(f"{line}\n" for line in render_values(schema)),
        readme: fill(readme.read_text(encoding="utf-8"), "<!-- {} -->", [render_table(schema)]),
        **{
            CHART / "files" / "crds" / crd.name: crd.read_text(encoding="utf-8")
            for crd in (ROOT / "crds").glob("*.yaml")
        },
    }


if __name__ == "__main__":
    sys.exit(write_or_check(__doc__, render_files(), sys.argv[1:]))
