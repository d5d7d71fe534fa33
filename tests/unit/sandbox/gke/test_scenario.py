"""Scenario files are read strictly, and the examples are good ones."""

from pathlib import Path
from typing import Any

import pytest

from mistral_operator.sandbox.gke.machines import machine_types
from mistral_operator.sandbox.gke.scenario import (
    ANY,
    HostError,
    Scenario,
    ScenarioError,
    Stock,
    load_scenario,
    parse_scenario,
)

EXAMPLES = sorted((Path(__file__).parents[4] / "examples" / "scenarios").glob("*.yaml"))


def test_nothing_given_is_the_default_scenario(tmp_path: Path) -> None:
    path = tmp_path / "empty.yaml"
    path.write_text("")
    assert load_scenario(path) == Scenario() == parse_scenario({})


def test_nested_parts_are_read() -> None:
    scenario = parse_scenario({"stock": [{"nodes": 0, "zone": "z"}], "delays_s": {"node_boot": 3}, "zones": ["z"]})
    assert scenario.stock == (Stock(nodes=0, zone="z"),)
    assert scenario.delays_s.node_boot == 3
    assert scenario.zones == ("z",)
    assert parse_scenario({"host_errors": [{"after": 5}]}).host_errors == (HostError(pool="*", after=5),)


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ({"projct": "x"}, "unknown key projct; known keys: project, location"),
        ({"stock": [{"node": 1}]}, r"stock\[0\]: unknown key node"),
        ({"stock": [{}]}, r"stock\[0\]: .*nodes"),
        ({"stock": [{"nodes": "many"}]}, r"stock\[0\].nodes: 'many' is not a valid int"),
        ({"stock": [{"nodes": -1}]}, r"stock\[0\].nodes: -1"),
        ({"stock": {"nodes": 1}}, "write a list"),
        ({"quota": [{"limit": 1, "mode": "flex"}]}, "'flex' is not one of on-demand, spot"),
        ({"faults": [{"code": "OOPS"}]}, "'OOPS' is not one of"),
        ({"host_errors": [{"after": "soon"}]}, r"host_errors\[0\].after: 'soon' is not a valid float"),
        ({"busy_scope": "planet"}, "'planet' is not one of node-pool, cluster"),
        ({"zones": []}, "at least one zone"),
        ([], "write a mapping"),
    ],
)
def test_mistakes_are_named(document: Any, text: str) -> None:
    with pytest.raises(ScenarioError, match=text):
        parse_scenario(document)


def test_what_is_not_yaml_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text("a: [")
    with pytest.raises(ScenarioError, match="not YAML"):
        load_scenario(path)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_can_be_loaded(path: Path) -> None:
    assert load_scenario(path).zones


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_names_machines_and_accelerators_that_exist(path: Path) -> None:
    scenario, machines = load_scenario(path), machine_types()
    assert {entry.machine_type for entry in scenario.stock} <= {ANY, *machines}
    assert {entry.accelerator for entry in scenario.quota} <= {ANY, *(m.accelerator for m in machines.values())}


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 3
