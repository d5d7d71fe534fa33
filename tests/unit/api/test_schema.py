import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mistral_operator.api.reference import render_reference
from mistral_operator.api.schema import MAX_CRD_BYTES, all_crds, render_crd

REPOSITORY = Path(__file__).parents[3]
CRDS = all_crds()
REMEDY = "run: python -m mistral_operator.api.schema --write"


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every node of a schema with its path."""
    yield path, schema
    for name, below in schema.get("properties", {}).items():
        yield from nodes(below, f"{path}.{name}")
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), dict):
            yield from nodes(schema[name], f"{path}.{name}")


def root(crd: dict[str, Any]) -> dict[str, Any]:
    return crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


every_crd = pytest.mark.parametrize("crd", CRDS.values(), ids=CRDS)


@pytest.mark.parametrize("name", CRDS)
def test_the_committed_crd_is_the_generated_one(name: str) -> None:
    assert (REPOSITORY / "crds" / name).read_text() == render_crd(CRDS[name]), REMEDY


def test_the_committed_reference_is_the_generated_one() -> None:
    assert (REPOSITORY / "docs/reference/api.md").read_text() == render_reference(), REMEDY


def test_no_other_crd_is_committed() -> None:
    assert {path.name for path in (REPOSITORY / "crds").iterdir()} == set(CRDS)


@every_crd
def test_plain_kubectl_apply_can_hold_the_crd(crd: dict[str, Any]) -> None:
    assert len(render_crd(crd).encode()) < MAX_CRD_BYTES


@every_crd
def test_every_field_has_a_description_that_is_a_sentence(crd: dict[str, Any]) -> None:
    for path, node in nodes(root(crd)):
        for name, field in node.get("properties", {}).items():
            if (path, name) == ("", "metadata"):
                continue
            description = field.get("description", "")
            assert description.endswith("."), f"{path}.{name}: {description!r}"


@every_crd
def test_every_text_list_and_map_has_a_bound(crd: dict[str, Any]) -> None:
    known = {".apiVersion", ".kind"}
    for path, node in nodes(root(crd)):
        kind = node.get("type")
        if kind == "string" and "enum" not in node and path not in known:
            assert "maxLength" in node, path
        if kind == "array":
            assert "maxItems" in node, path
            assert "x-kubernetes-list-type" in node, path
        if isinstance(node.get("additionalProperties"), dict):
            assert "maxProperties" in node, path


@every_crd
def test_the_schema_is_structural(crd: dict[str, Any]) -> None:
    for path, node in nodes(root(crd)):
        assert "$ref" not in node, path
        assert "title" not in node, path
        assert "anyOf" not in node or node.get("x-kubernetes-int-or-string"), path
        assert "type" in node or node.get("x-kubernetes-int-or-string"), path


@every_crd
def test_the_keys_of_list_maps_are_required(crd: dict[str, Any]) -> None:
    for path, node in nodes(root(crd)):
        for key in node.get("x-kubernetes-list-map-keys", ()):
            assert key in node["items"]["required"], path


def test_replicas_is_the_only_default_in_the_schema() -> None:
    found = {path: node["default"] for crd in CRDS.values() for path, node in nodes(root(crd)) if "default" in node}
    assert found == {".spec.replicas": 1}


def test_the_reference_has_every_field() -> None:
    page = render_reference()
    missing = [
        path
        for crd in CRDS.values()
        for path, _ in nodes(root(crd))
        if path.startswith((".spec.", ".status.")) and "`" + _shown(path) + "`" not in page
    ]
    assert missing == []


def _shown(path: str) -> str:
    """The path as the page writes it; the node of an item or value itself is shown with its parent."""
    text = path.lstrip(".")
    for inner in (".items", ".additionalProperties"):
        text = text.removesuffix(inner)
    return text.replace(".items.", "[].").replace(".additionalProperties.", "{}.")


def run_generator(directory: Path, mode: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mistral_operator.api.schema", mode]
    command += ["--directory", str(directory / "crds"), "--docs", str(directory / "docs")]
    environment = {"PYTHONPATH": str(REPOSITORY / "operator")}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_check_names_what_is_out_of_date(tmp_path: Path) -> None:
    assert run_generator(tmp_path, "--write").returncode == 0
    assert run_generator(tmp_path, "--check").returncode == 0
    stale = tmp_path / "crds" / next(iter(CRDS))
    stale.write_text("changed by hand\n")
    refused = run_generator(tmp_path, "--check")
    assert refused.returncode == 1
    assert str(stale) in refused.stderr
    assert "--write" in refused.stderr
    assert stale.read_text() == "changed by hand\n"
