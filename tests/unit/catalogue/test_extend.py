"""An extension adds to the catalogue or replaces parts of it; a faulty one is named, and changes nothing."""

import os
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from tests.support.world import CLUSTER, SETTINGS, make_model

from mistral_operator.api.model import MistralModel
from mistral_operator.catalogue.load import DATA, load_catalogue, load_extended
from mistral_operator.catalogue.reader import CatalogueError
from mistral_operator.cli.main import main
from mistral_operator.controller.knowledge import Knowledge
from mistral_operator.planning.plan import plan_model
from mistral_operator.planning.types import Plan, PlanRefused

EXAMPLE = Path(__file__).parents[3] / "examples" / "catalogue" / "configmap.yaml"
FILES: dict[str, str] = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))["data"]
MODEL = "acme-support-7b"
PRICES = {"region": "europe-west4", "date": "2026-11-01", "source": "our contract"}


def write(directory: Path, files: dict[str, str]) -> None:
    """As the kubelet does: a new folder, and a link that is swapped."""
    fresh = directory / f"..{len(list(directory.glob('..*')))}"
    fresh.mkdir(parents=True)
    for name, text in files.items():
        (fresh / name).write_text(text, encoding="utf-8")
    link = directory / "..new"
    link.symlink_to(fresh.name)
    link.replace(directory / "..data")
    for old in directory.glob("*.yaml"):
        old.unlink()
    for name in files:
        os.symlink(f"..data/{name}", directory / name)


def answer(knowledge: Knowledge, **spec: Any) -> Plan | PlanRefused:
    model = MistralModel.model_validate(make_model(**{"model": MODEL, "allowExperimental": True, **spec}))
    return plan_model(model, knowledge.catalogue, CLUSTER, knowledge.settings)


def test_without_an_extension_the_catalogue_is_the_built_in_one(tmp_path: Path) -> None:
    assert load_extended(None).catalogue is load_catalogue()
    assert load_extended(tmp_path).catalogue is load_catalogue()
    assert load_extended(tmp_path / "absent").catalogue is load_catalogue()


def test_the_example_adds_a_model_a_rule_and_prices(tmp_path: Path) -> None:
    write(tmp_path, FILES)
    knowledge = Knowledge(SETTINGS, tmp_path, lambda _valid: None)
    plan = answer(knowledge, allowExperimental=False)
    assert isinstance(plan, Plan), plan
    assert plan.chosen.tier == "documented"
    assert plan.chosen.hourly_cost == Decimal("0.61")
    assert "from the operator's settings (" in plan.chosen.price_note
    assert set(knowledge.catalogue.models) == {*load_catalogue().models, MODEL}


def test_an_entry_of_the_same_name_replaces_the_built_in_one(tmp_path: Path) -> None:
    data = yaml.safe_load((DATA / "accelerators" / "l4.yaml").read_text(encoding="utf-8"))
    write(tmp_path, {"accelerator.l4.yaml": yaml.safe_dump(data | {"node_start_s": 77})})
    assert load_extended(tmp_path).catalogue.accelerators["l4"].node_start_s == 77


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("models.x.yaml", {}, "models.x.yaml: expected model.<id>.yaml"),
        ("model.x.yaml", {"id": "y"}, "models/x.yaml: id: expected the file's name"),
        ("model.x.yaml", {"id": "x"}, "models/x.yaml: context is missing"),
        ("support.yaml", {"default": {}}, "support.yaml: expected a mapping with rules"),
        ("prices.yaml", {"region": "r"}, "prices.yaml: date is missing"),
        ("prices.yaml", {**PRICES, "machines": {"m9-mega": {"Spot": "1"}}}, "m9-mega is not in the catalogue"),
        (
            "prices.yaml",
            {**PRICES, "machines": {"g2-standard-8": {"Spot": 1.5}}},
            "expected a decimal number in quotes",
        ),
    ],
)
def test_faults_name_file_and_field(tmp_path: Path, name: str, content: dict[str, Any], words: str) -> None:
    write(tmp_path, {name: yaml.safe_dump(content)})
    with pytest.raises(CatalogueError, match=re.escape(words)):
        load_extended(tmp_path)


@pytest.mark.parametrize("text", ["a: [", "x" * (1 << 20) + "x", "\x00", "!!python/object/apply:os.system [ls]"])
def test_what_is_no_yaml_is_a_fault(tmp_path: Path, text: str) -> None:
    write(tmp_path, {"prices.yaml": text})
    with pytest.raises(CatalogueError, match=r"prices\.yaml"):
        load_extended(tmp_path)


def test_a_change_is_noticed_and_a_faulty_one_changes_nothing_but_is_told(tmp_path: Path) -> None:
    told: list[bool] = []
    knowledge = Knowledge(SETTINGS, tmp_path, told.append)
    missing = answer(knowledge)
    assert isinstance(missing, PlanRefused)
    assert missing.reason == "UnknownModel"
    assert not knowledge.refresh()
    write(tmp_path, FILES)
    assert knowledge.refresh()
    assert isinstance(answer(knowledge), Plan)
    write(tmp_path, FILES | {"model.broken.yaml": "id: broken"})
    assert knowledge.refresh()
    assert isinstance(answer(knowledge), Plan)
    refused = answer(knowledge, model="mistral-huge")
    assert isinstance(refused, PlanRefused)
    assert "extension of the catalogue is not valid: models/broken.yaml" in refused.message
    write(tmp_path, {})
    assert knowledge.refresh()
    assert isinstance(answer(knowledge), PlanRefused)
    assert knowledge.settings.prices == SETTINGS.prices
    assert told == [True, True, False, True]


def test_a_fault_at_the_start_leaves_the_built_in_catalogue(tmp_path: Path) -> None:
    write(tmp_path, {"prices.yaml": "a: ["})
    told: list[bool] = []
    knowledge = Knowledge(SETTINGS, tmp_path, told.append)
    assert knowledge.catalogue.models == load_catalogue().models
    assert told == [False]
    assert isinstance(answer(knowledge, model="mistral-7b-v0.3"), Plan)


def test_the_command_line_takes_the_same_directory(tmp_path: Path) -> None:
    write(tmp_path, FILES)
    listed = CliRunner().invoke(main, ["catalogue", "models", "--catalogue-directory", str(tmp_path)])
    assert MODEL in listed.output
    ranked = CliRunner().invoke(main, ["plan", "--all", "--catalogue-directory", str(tmp_path)])
    assert MODEL in ranked.output
    write(tmp_path, {"model.broken.yaml": "id: broken"})
    broken = CliRunner().invoke(main, ["plan", "--all", "--catalogue-directory", str(tmp_path)])
    assert broken.exit_code == 1
    assert "models/broken.yaml: context is missing" in broken.output
