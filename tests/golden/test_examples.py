"""What each example becomes. `make golden` writes the files again; review the difference."""

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.world import CLUSTER, SETTINGS, START, UID

from mistral_operator.api.claim import NodePoolClaim
from mistral_operator.api.model import MistralModel
from mistral_operator.capacity.advice import ClusterPlace
from mistral_operator.capacity.claims.node_facts import find_node_facts
from mistral_operator.capacity.objects.node_pool import ObjectPlace, node_pool_object
from mistral_operator.capacity.pools import pool_spec
from mistral_operator.capacity.provisioners.clouds import provisioner_of
from mistral_operator.catalogue.load import load_catalogue
from mistral_operator.cluster.kinds import CONTAINER_NODE_POOL
from mistral_operator.core.sync import sync
from mistral_operator.core.types import Observed
from mistral_operator.planning.types import Provisioner

ALL = replace(CLUSTER, provisioners=tuple(Provisioner))
HERE = Path(__file__).parent
EXAMPLES = sorted((HERE.parents[1] / "examples").glob("*.yaml"))


def _render(example: Path) -> dict[str, str]:
    stored = yaml.safe_load(example.read_text())
    stored["metadata"] |= {"namespace": "team-a", "uid": UID, "generation": 1}
    outcome = sync(MistralModel.model_validate(stored), Observed(cluster=ALL), load_catalogue(), SETTINGS, START)
    objects = [*outcome.manifests[:1], *outcome.claims, *outcome.manifests[1:]]
    rendered = {"manifests.yaml": _write(objects), "status.yaml": _write([outcome.status])}
    pools = [pool for claim in outcome.claims if (pool := _pool_object(claim))]
    return rendered | ({"node-pools.yaml": _write(pools)} if pools else {})


def _pool_object(body: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a claim of Config Connector's becomes in the cloud; None for the others."""
    claim = NodePoolClaim.model_validate(body)
    if provisioner_of(claim) is not Provisioner.CONFIG_CONNECTOR:
        return None
    facts = find_node_facts(load_catalogue(), {}, claim)
    spec = pool_spec(claim, total_max=2, facts=facts, cluster_uid="11111111-2222-3333-4444-555555555555")
    place = ObjectPlace("mistral-operator-system", ClusterPlace(CLUSTER.project, CLUSTER.location, CLUSTER.cluster))
    kind = {"apiVersion": CONTAINER_NODE_POOL.api_version, "kind": CONTAINER_NODE_POOL.kind}
    return kind | node_pool_object(spec, place)


def _write(objects: list[dict[str, Any]]) -> str:
    plain = json.loads(json.dumps(objects))
    return yaml.safe_dump_all(plain, sort_keys=True, width=120, allow_unicode=True)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example_is_rendered_as_reviewed(example: Path) -> None:
    folder = HERE / example.stem
    rendered = _render(example)
    if os.environ.get("MISTRAL_OPERATOR_GOLDEN") == "write":
        folder.mkdir(exist_ok=True)
        for name, text in rendered.items():
            (folder / name).write_text(text)
    assert rendered == {name: (folder / name).read_text() for name in rendered}


def test_every_golden_folder_has_its_example() -> None:
    folders = {path.name for path in HERE.iterdir() if path.is_dir() and not path.name.startswith("__")}
    assert folders == {example.stem for example in EXAMPLES}
