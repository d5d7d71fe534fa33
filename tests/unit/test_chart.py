"""The chart's files agree with what they are made from. What helm makes of them is tests/cluster/test_chart.py's."""

import inspect
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.mounted_config_map import EXAMPLE, EXAMPLE_FILES

from mistral_operator.catalogue.extend import FOLDERS, PRICES, SUPPORT
from mistral_operator.controller import health
from mistral_operator.controller.options import RunOptions

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "mistral-operator"
FREE = {"affinity", "tolerations.items", "extraEnv.items", "global"}
"""Kubernetes' own types, which the API server checks, and what helm adds by itself."""


def test_generated_files_are_up_to_date() -> None:
    command = [sys.executable, ROOT / "tools" / "chart.py", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_chart_has_the_packages_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == version
    assert chart["version"].replace("-", ".").replace(".", "") == version.replace(".", "")


@pytest.mark.parametrize("page", ["README.md", "docs/installing.md", "docs/images.md"])
def test_pages_show_the_version_that_the_chart_asks_for(page: str) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    shown = re.findall(r"(?:\$IMAGE|REPOSITORY/mistral-operator):([\w.]+)", (ROOT / page).read_text())
    assert set(shown) == {version}


@pytest.mark.parametrize(
    ("package", "chart"),
    [("0.1.0", "0.1.0"), ("1.2.3rc4", "1.2.3-rc.4"), ("0.1.0.dev0", "0.1.0-dev.0"), ("2.0.0b1", "2.0.0-b.1")],
)
def test_versions_become_semantic_ones(package: str, chart: str) -> None:
    code = f"import chart; print(chart.semantic_version({package!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT / "tools", capture_output=True, text=True, check=True)
    assert done.stdout.strip() == chart


def test_the_chart_ships_the_definitions_as_they_are() -> None:
    ours = {file.name: file.read_text() for file in (ROOT / "crds").glob("*.yaml")}
    assert {file.name: file.read_text() for file in (CHART / "files" / "crds").iterdir()} == ours
    # The template puts its annotation where this line is.
    assert all(text.count("\nmetadata:\n") == 1 for text in ours.values())


def test_the_schema_refuses_what_it_does_not_know() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert {path for path, node in _objects(schema) if "additionalProperties" not in node} == FREE
    assert not [path for path, node in _objects(schema) if node.get("additionalProperties") is True]


def test_every_value_is_described_and_has_its_default() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    leaves = dict(_leaves(schema))
    assert all(node["description"].endswith(".") for node in leaves.values())
    for path, node in leaves.items():
        value: Any = values
        for part in path.split("."):
            value = value[part]
        assert value == node["default"], path


def test_defaults_are_the_operators_own() -> None:
    values, options = yaml.safe_load((CHART / "values.yaml").read_text()), RunOptions()
    assert values["workers"] == options.workers
    assert values["resyncSeconds"] == options.resync_s
    assert values["provisioners"] == [item.value for item in options.provisioners]
    assert values["claimIdleAfterSeconds"] == options.settings.claim_idle_after_s
    assert values["drift"] == options.drift.value
    assert values["liveChecks"] == options.live_checks
    ladder = options.settings.ladder
    assert values["ladder"] == {
        "zonePatienceSeconds": ladder.zone_patience_s,
        "stockoutCooldownSeconds": ladder.stockout_cooldown_s,
        "refusedCooldownSeconds": ladder.refused_cooldown_s,
        "returnIntervalSeconds": ladder.return_interval_s,
        "successorLeadSeconds": ladder.successor_lead_s,
        "successorMargin": ladder.successor_margin,
    }


def test_the_chart_takes_just_the_files_that_the_operator_reads() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())["properties"]["catalogue"]["properties"]
    taken = re.compile(schema["files"]["propertyNames"]["pattern"])
    names = [*(f"{kind}.acme-7b-v0.3.yaml" for kind in FOLDERS), PRICES, SUPPORT]
    assert all(taken.search(name) for name in names)
    assert not any(taken.search(name) for name in ("prices.yml", "models.x.yaml", "model..yaml", "model.A.yaml", "x"))
    assert all(taken.search(name) for name in EXAMPLE_FILES)
    assert yaml.safe_load(EXAMPLE.read_text())["metadata"]["name"] == schema["configMap"]["default"]


def test_probes_and_scrapes_ask_for_what_is_served() -> None:
    served = set(re.findall(r'add_get\("(/\w+)"', inspect.getsource(health)))
    texts = [(CHART / "templates" / name).read_text() for name in ("deployment.yaml", "monitoring.yaml")]
    asked = set(re.findall(r"path: (/\w+)", "".join(texts)))
    assert asked == served
    assert asked == {"/healthz", "/readyz", "/metrics"}


def test_the_image_runs_as_the_user_that_the_chart_asks_for() -> None:
    (user,) = re.findall(r"^USER (\d+):", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert f"runAsUser: {user}\n" in (CHART / "templates" / "deployment.yaml").read_text()


def _objects(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every part of the schema that describes an object."""
    if node.get("type") == "object":
        yield path, node
    for name, item in node.get("properties", {}).items():
        yield from _objects(item, f"{path}.{name}".lstrip("."))
    if isinstance(node.get("items"), dict):
        yield from _objects(node["items"], f"{path}.items")


def _leaves(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for name, item in node.get("properties", {}).items():
        if "properties" in item:
            yield from _leaves(item, f"{path}{name}.")
        elif "default" in item:
            yield f"{path}{name}", item
