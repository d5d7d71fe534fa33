"""The repository keeps its own promises: layers, sizes, documents, dependencies."""

import ast
import operator
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from mistral_operator.cli.main import COMMANDS

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "operator" / "mistral_operator"
SOURCES = sorted([*PACKAGE.rglob("*.py"), *(ROOT / "tests").rglob("*.py"), *(ROOT / "tools").glob("*.py")])
LONGEST_FILE = 400
LONGEST_FUNCTION = 50
FORBIDDEN_PACKAGES = ("jetstream-pt",)
"""On the package index this name holds a dummy, not the engine."""


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_layers_are_kept() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_pythons_own_operator_is_not_shadowed() -> None:
    assert not (ROOT / "operator" / "__init__.py").exists()
    assert operator.add(1, 1) == 2


def test_files_and_functions_are_of_readable_size() -> None:
    long = [found for file in SOURCES for found in _find_long_parts(file)]
    assert long == []


def _find_long_parts(file: Path) -> Iterator[str]:
    text = file.read_text(encoding="utf-8")
    if text.count("\n") > LONGEST_FILE:
        yield f"{file}: {text.count(chr(10))} lines"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            size = (node.end_lineno or node.lineno) - node.lineno + 1
            if size > LONGEST_FUNCTION:
                yield f"{file}: {node.name}: {size} lines"


def test_every_module_says_what_it_is() -> None:
    silent = [f for f in PACKAGE.rglob("*.py") if not ast.get_docstring(ast.parse(f.read_text(encoding="utf-8")))]
    assert silent == []


def test_help_lists_every_target() -> None:
    makefile = read("Makefile")
    phony = set(re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[1].split())  # type: ignore[index]
    listed = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))
    assert listed == phony - {"binaries"}
    assert {"demo", "test", "bench", "lint", "golden", "crds", "sandbox", "lock", "clean", "help"} <= listed


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "docs/README.md", "docs/supported-fields.md"])
def test_documents_name_what_exists(name: str) -> None:
    text = read(name)
    targets = set(re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z-]+)", text)) <= targets
    assert set(re.findall(r"\bmistral-operator ([a-z]+)\b", text)) <= {*COMMANDS, "system"}
    folder = (ROOT / name).parent
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if not link.startswith("http")]
    assert [link for link in links if not (folder / link).exists()] == []


def test_contributing_opens_with_paths_that_exist() -> None:
    text = read("CONTRIBUTING.md")
    table = text[: text.index("## Setting up")]
    assert table.startswith("# Contributing\n\n## To add X, touch Y\n")
    paths = [path for path in re.findall(r"`([^`]+)`", table) if "/" in path]
    assert len(paths) > 20
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_readme_shows_the_two_commands_first() -> None:
    first_screen = "\n".join(read("README.md").splitlines()[:40])
    assert "make demo" in first_screen
    assert "make test" in first_screen
    assert "has not been run" in first_screen
    assert "`verified`" in first_screen


def test_every_field_that_is_refused_is_documented() -> None:
    command = [sys.executable, ROOT / "tools" / "supported_fields.py", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_decision_is_listed() -> None:
    files = {file.name for file in (ROOT / "docs" / "decisions").glob("0*.md")}
    index = read("docs/decisions/README.md")
    assert {name for name in files if f"({name})" in index} == files
    for name in files:
        assert {"## Context", "## Options", "## Choice"} <= set(read(f"docs/decisions/{name}").splitlines())


def test_lock_holds_every_dependency_with_hashes() -> None:
    project = tomllib.loads(read("pyproject.toml"))["project"]
    wanted = [
        *project["dependencies"],
        *(item for extra in project["optional-dependencies"].values() for item in extra),
    ]
    names = {re.split(r"[\[<>=]", item)[0].lower() for item in wanted} - {project["name"]}
    blocks = re.split(r"\n(?=[a-z0-9])", read("requirements.lock"))
    locked = {block.split("==")[0]: "--hash=sha256:" in block for block in blocks}
    assert names - set(locked) == set()
    assert all(locked.values())


def test_no_forbidden_package_and_no_registry_is_named() -> None:
    for name in ("pyproject.toml", "requirements.lock"):
        text = read(name).lower()
        assert not [package for package in FORBIDDEN_PACKAGES if re.search(rf"^\W*{package}\b", text, re.MULTILINE)]
        assert "://" not in text
