"""Scenario files are read strictly, and the examples are good ones."""

from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.simulated_gke import Start

from mistral_operator.sandbox.gke.machines import machine_types
from mistral_operator.sandbox.gke.scenario import (
    ANY,
    Delays,
    Fault,
    ForeignPool,
    HostError,
    InstanceError,
    MaintenanceExclusion,
    Quota,
    Reservation,
    Scenario,
    ScenarioError,
    Stock,
    WorkloadPolicy,
    load_scenario,
    parse_scenario,
)

SCENARIOS = Path(__file__).parents[4] / "examples" / "scenarios"
EXAMPLES = sorted(SCENARIOS.glob("*.yaml"))


RESERVED = {"name": "r", "machine_type": "g2-standard-4", "zone": "us-central1-a", "count": 1}


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
        ({"release_channel": "FAST"}, "'FAST' is not one of , RAPID, REGULAR"),
        ({"zones": []}, "at least one zone"),
        ({"reservations": [{"name": "r"}]}, r"reservations\[0\]: .*machine_type"),
        ({"reservations": [RESERVED | {"status": "SOON"}]}, "'SOON' is not one of READY, CREATING"),
        ({"reservations": [RESERVED | {"in_use": 2}]}, "in_use: 2 is more than count 1"),
        ({"workload_policies": [{"name": "p", "type": "FAST"}]}, "'FAST' is not one of HIGH_THROUGHPUT"),
        (
            {"workload_policies": [{"name": "p", "accelerator_topology": "4x4", "max_topology_distance": "BLOCK"}]},
            "max_topology_distance excludes accelerator_topology",
        ),
        ({"maintenance_exclusions": [{"name": "x", "ends": 1, "scope": "ALL"}]}, "'ALL' is not one of NO_UPGRADES"),
        ({"instance_errors": [{"code": "X", "message": "y", "mode": "free"}]}, "'free' is not one of on-demand"),
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


def test_one_example_shows_every_key() -> None:
    document = yaml.safe_load((SCENARIOS / "everything.yaml").read_text())
    assert set(document) == {f.name for f in fields(Scenario)}
    parts = {
        "stock": Stock,
        "quota": Quota,
        "reservations": Reservation,
        "workload_policies": WorkloadPolicy,
        "instance_errors": InstanceError,
        "faults": Fault,
        "host_errors": HostError,
        "maintenance_exclusions": MaintenanceExclusion,
        "foreign_pools": ForeignPool,
    }
    for key, kind in parts.items():
        shown = {name for entry in document[key] for name in entry}
        assert (key, shown) == (key, {f.name for f in fields(kind)})
    assert set(document["delays_s"]) == {f.name for f in fields(Delays)}
    assert asdict(load_scenario(SCENARIOS / "everything.yaml").delays_s) == asdict(Delays())


@pytest.mark.parametrize("text", [path.read_text() for path in EXAMPLES], ids=[path.stem for path in EXAMPLES])
async def test_every_example_can_be_opened(start: Start, text: str) -> None:
    gke = await start(**yaml.safe_load(text))
    assert "default-pool" in await gke.names()


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 3
