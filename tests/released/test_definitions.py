"""What was stored under a released definition, or written for a released chart, is accepted and means the same."""

from pathlib import Path
from typing import Any

import pytest
from tests.released.releases import ROOT, label, read, released
from tests.released.schemas import find_tightenings

DEFINITIONS = released("chart/files/crds/*.yaml")
VALUES = released("chart/values.schema.json")


def test_there_is_a_release_to_compare_with() -> None:
    assert DEFINITIONS
    assert VALUES


@pytest.mark.parametrize("file", DEFINITIONS, ids=label)
def test_a_definition_accepts_all_that_it_accepted(file: Path) -> None:
    old, new = read(file)["spec"], read(ROOT / "crds" / file.name)["spec"]
    assert {**old, "versions": []} == {**new, "versions": []}
    served = {version["name"]: version for version in new["versions"] if version["served"]}
    for version in old["versions"]:
        now = served[version["name"]]
        assert not list(find_tightenings(_schema(version), _schema(now)))
        assert version["subresources"].items() <= now["subresources"].items()


@pytest.mark.parametrize("file", VALUES, ids=label)
def test_the_chart_accepts_the_values_that_it_accepted(file: Path) -> None:
    assert not list(find_tightenings(read(file), read(ROOT / "charts" / "mistral-operator" / file.name)))


def _schema(version: dict[str, Any]) -> dict[str, Any]:
    return dict(version["schema"]["openAPIV3Schema"])
