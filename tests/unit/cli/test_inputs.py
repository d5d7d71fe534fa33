"""Recorded inputs give the same manifests as the inputs they were recorded from."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import click
import pytest
import yaml
from tests.support.node_cases import a_group, a_node, nvidia_labels
from tests.support.world import make_class

from mistral_operator.cli.documents import read_models
from mistral_operator.cli.inputs import (
    Inputs,
    inputs_from_dict,
    inputs_to_dict,
    ordered_manifests,
    read_inputs,
    to_yaml,
)
from mistral_operator.cli.profile import DEFAULT
from mistral_operator.cli.status import discover_profile
from mistral_operator.cluster.client import ApiClient, ListResult
from mistral_operator.cluster.kinds import Kind
from mistral_operator.core.types import Observed, PoolUse
from mistral_operator.planning.types import Settings

EXAMPLES = sorted((Path(__file__).parents[3] / "examples").glob("m*.yaml"))


def make_inputs(file: Path) -> Inputs:
    model = read_models(file)[0].model_dump(by_alias=True, exclude_none=True, mode="json")
    images = {"vllm-gpu": "example/vllm:1", "gateway": "example/operator:9.9"}
    settings = Settings("9.9", images, {"g2-standard-8": {"OnDemand": Decimal("0.10")}}, "our contract", 30)
    pods = ({"kind": "Pod", "metadata": {"name": "p", "uid": "1"}},)
    classes = (make_class(limits={"accelerators": ["l4"]}),)
    pools = {"a-claim": PoolUse(nodes=3, occupied=1, users=2)}
    observed = Observed(cluster=DEFAULT, pods=pods, nodes={"n": "a-claim"}, pools=pools, serving_classes=classes)
    return Inputs(model=model, observed=observed, settings=settings, now=datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC))


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_inputs_survive_yaml(file: Path) -> None:
    inputs = make_inputs(file)
    assert inputs_from_dict(yaml.safe_load(to_yaml(inputs_to_dict(inputs)))) == inputs


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_recorded_inputs_render_the_same(example: Path, tmp_path: Path) -> None:
    inputs = make_inputs(example)
    inputs = Inputs(inputs.model, Observed(cluster=DEFAULT), inputs.settings, inputs.now)
    file = tmp_path / "inputs.yaml"
    file.write_text(to_yaml(inputs_to_dict(inputs)))
    assert ordered_manifests(read_inputs(file).sync()) == ordered_manifests(inputs.sync())
    assert ordered_manifests(inputs.sync())[0]["kind"] == "ControllerRevision"


@pytest.mark.parametrize("text", ["", "kind: Other", "kind: SyncInputs", "a: ["])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "inputs.yaml"
    file.write_text(text)
    with pytest.raises(click.ClickException, match="--export-inputs"):
        read_inputs(file)


class Cluster:
    """Stands in for an API server that has these nodes, and no groups beside its own."""

    def __init__(self, *nodes: dict[str, Any]) -> None:
        self._nodes = nodes

    async def list(self, kind: Kind, namespace: str = "", *, label_selector: str = "") -> ListResult:
        assert kind.plural == "nodes"
        return ListResult(self._nodes, "1")

    async def read(self, path: str) -> dict[str, Any]:
        return {"groups": []}


@pytest.mark.parametrize(
    ("nodes", "provider"),
    [((), "GKE"), ((a_node(),), "GKE"), ((a_node("a", nvidia_labels()), a_node("b", nvidia_labels())), "None")],
)
async def test_a_cluster_is_known_by_its_nodes(nodes: Sequence[dict[str, Any]], provider: str) -> None:
    profile = await discover_profile(cast("ApiClient", Cluster(*nodes)))
    assert profile.provider == provider
    assert profile.nodes == tuple({a_group(node["metadata"]["labels"]) for node in nodes})
