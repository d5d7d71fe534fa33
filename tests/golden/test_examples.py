"""What each example becomes. `make golden` writes the files again; review the difference."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.world import CLUSTER, SETTINGS, START, UID

from mistral_operator.api.model import MistralModel
from mistral_operator.catalogue.load import load_catalogue
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
    return {"manifests.yaml": _write(objects), "status.yaml": _write([outcome.status])}


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
