"""An extension adds to the catalogue or replaces parts of it; a faulty one is named, and never anything else."""

import re
from collections.abc import Callable, Iterator
from copy import deepcopy
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.mounted_config_map import EXAMPLE_FILES, OWN_MODEL, OWN_PRICE, mount, swap
from tests.support.world import CLUSTER, SETTINGS, make_model

from mistral_operator.api.model import MistralModel
from mistral_operator.catalogue.extend import extend_catalogue
from mistral_operator.catalogue.load import DATA, MOST_BYTES, load_catalogue, load_extended
from mistral_operator.catalogue.parse import parse_support
from mistral_operator.catalogue.parse_accelerator import parse_accelerator
from mistral_operator.catalogue.parse_engine import parse_engine
from mistral_operator.catalogue.parse_model import parse_model
from mistral_operator.catalogue.reader import CatalogueError, Reader
from mistral_operator.planning.estimate import override_prices
from mistral_operator.planning.plan import plan_model
from mistral_operator.planning.types import Plan, PlanRefused

PAGE = Path(__file__).parents[3] / "docs" / "catalogue.md"
PRICES = {"region": "europe-west4", "date": "2026-11-01", "source": "our contract"}
ODD: tuple[Any, ...] = (
    None, True, 0, -1, 10**400, 1.5, float("nan"), "", "x", "0x0", "1e99", "NaN", "²", "1/0", "9" * 5000,
    f"{'9' * 5000}x1", f"1/{'9' * 5000}", b"x", [], {}, [None], [[]], [{}], {"a": 1}, {1: 2}, {1: 2, "a": 3},
)  # fmt: skip


def read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((DATA / name).read_text(encoding="utf-8"))
    return content


def extend(name: str, content: Any, directory: Path) -> None:
    mount(directory, {name: yaml.safe_dump(content)})
    load_extended(directory)


def answer(directory: Path, **spec: Any) -> Plan | PlanRefused:
    extended = load_extended(directory)
    model = MistralModel.model_validate(make_model(**{"model": OWN_MODEL, **spec}))
    return plan_model(model, extended.catalogue, CLUSTER, override_prices(SETTINGS, extended.prices))


def test_without_an_extension_the_catalogue_is_the_built_in_one(tmp_path: Path) -> None:
    assert load_extended(None).catalogue is load_catalogue()
    assert load_extended(tmp_path).catalogue is load_catalogue()
    assert load_extended(tmp_path / "absent").catalogue is load_catalogue()


def test_the_example_adds_a_model_a_rule_and_prices(tmp_path: Path) -> None:
    mount(tmp_path, EXAMPLE_FILES)
    plan = answer(tmp_path)
    assert isinstance(plan, Plan), plan
    assert plan.chosen.tier == "documented"
    assert plan.chosen.hourly_cost == Decimal(OWN_PRICE)
    assert plan.chosen.price_note == "from the operator's settings (us-central1, 2026-11-01, our contract with Google)"
    assert set(load_extended(tmp_path).catalogue.models) == {*load_catalogue().models, OWN_MODEL}


def test_the_pages_example_is_valid(tmp_path: Path) -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    mount(tmp_path, yaml.safe_load(block)["catalogue"]["files"])
    prices = load_extended(tmp_path).prices
    assert prices.note == "us-central1, 2026-11-01, our contract with Google"
    assert prices.machines == {"g2-standard-8": {"OnDemand": Decimal("0.61"), "Spot": Decimal("0.30")}}


def test_what_has_no_price_of_ones_own_keeps_its_unverified_list_price(tmp_path: Path) -> None:
    mount(tmp_path, EXAMPLE_FILES)
    plan = answer(tmp_path, capacity={"options": [{"machineType": "g2-standard-12"}]})
    assert isinstance(plan, Plan), plan
    assert plan.chosen.price_note.startswith("list price of us-central1 on ")
    assert plan.chosen.price_note.endswith(", unverified")


def test_an_entry_of_the_same_name_replaces_the_built_in_one(tmp_path: Path) -> None:
    extend("accelerator.l4.yaml", read("accelerators/l4.yaml") | {"node_start_s": 77}, tmp_path)
    assert load_extended(tmp_path).catalogue.accelerators["l4"].node_start_s == 77


def test_rules_of_ones_own_come_first(tmp_path: Path) -> None:
    rule = read("support.yaml")["rules"][0] | {"evidence": "our own"}
    extend("support.yaml", {"rules": [rule]}, tmp_path)
    support = load_extended(tmp_path).catalogue.support
    assert support.rules[0].evidence == "our own"
    assert support.rules[1:] == load_catalogue().support.rules
    assert support.default_tier == load_catalogue().support.default_tier


def test_a_built_in_model_can_be_taken_out_of_service(tmp_path: Path) -> None:
    """Rules that name it stay valid."""
    kept = ("id", "name", "family", "released", "aliases", "license", "sources", "unverified")
    model = read("models/mistral-7b-v0.3.yaml")
    entry = {name: model[name] for name in kept} | {"repositories": [], "unserved": "ours is better"}
    extend("model.mistral-7b-v0.3.yaml", entry, tmp_path)
    refused = answer(tmp_path, model="mistral-7b-v0.3")
    assert isinstance(refused, PlanRefused)
    assert "ours is better" in refused.message


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("models.x.yaml", {}, "models.x.yaml: expected model.<id>.yaml"),
        ("prices.yml", PRICES, "prices.yml: expected model.<id>.yaml"),
        ("model.Acme_7B.yaml", {}, "model.Acme_7B.yaml: expected model.<id>.yaml"),
        ("model.x.yaml", None, "model.x.yaml: expected a mapping, found None"),
        ("model.x.yaml", {"id": "y"}, "model.x.yaml: id: expected the file's name"),
        ("model.x.yaml", {"id": "x"}, "model.x.yaml: context is missing"),
        ("model.x.yaml", {1: "x"}, "model.x.yaml: expected texts as keys, in quotes, found 1"),
        ("engine.sglang.yaml", {"id": "sglang"}, "engine.sglang.yaml: the operator has no such engine; it can replace"),
        ("support.yaml", {"default": {}}, "support.yaml: expected a mapping with rules"),
        ("support.yaml", {"rules": [{}]}, "support.yaml: rules[0]: tier is missing"),
        ("prices.yaml", {"region": "r"}, "prices.yaml: date is missing"),
        ("prices.yaml", {**PRICES, "machines": {"m9-mega": {"Spot": "1"}}}, "m9-mega is not in the catalogue"),
        ("prices.yaml", {**PRICES, "machines": {"g2-standard-8": {"Spot": 1.5}}}, "Spot: expected a decimal number in"),
        ("prices.yaml", {**PRICES, "machines": {"g2-standard-8": {"spot": "1"}}}, "expected one of OnDemand, Spot"),
        ("prices.yaml", {**PRICES, "machines": {"g2-standard-8": {"Spot": "1001"}}}, "expected at most 1000 dollars"),
        ("prices.yaml", {**PRICES, "machines": {}, "currency": "EUR"}, "prices.yaml: unknown key currency"),
    ],
)
def test_faults_name_file_and_field(tmp_path: Path, name: str, content: Any, words: str) -> None:
    with pytest.raises(CatalogueError, match=re.escape(words)):
        extend(name, content, tmp_path)


def test_a_name_that_another_model_has_is_told_with_both_files(tmp_path: Path) -> None:
    text = EXAMPLE_FILES[f"model.{OWN_MODEL}.yaml"].replace("[acme-support]", "[mistral-7b-v0.3]")
    mount(tmp_path, {f"model.{OWN_MODEL}.yaml": text})
    words = f"mistral-7b-v0.3 is a model's name in model.{OWN_MODEL}.yaml already"
    with pytest.raises(CatalogueError, match=re.escape(words)):
        load_extended(tmp_path)


@pytest.mark.parametrize("text", ["a: [", "x" * (MOST_BYTES + 1), "\x00", "!!python/object/apply:os.system [ls]"])
def test_what_is_no_yaml_or_too_large_is_a_fault_of_its_file(tmp_path: Path, text: str) -> None:
    mount(tmp_path, {"prices.yaml": text})
    with pytest.raises(CatalogueError, match=r"^prices\.yaml: (?!prices)"):
        load_extended(tmp_path)


def test_a_file_that_is_not_text_is_a_fault_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "prices.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(CatalogueError, match=r"^prices\.yaml: "):
        load_extended(tmp_path)


def test_links_that_the_kubelet_has_not_removed_yet_are_no_files(tmp_path: Path) -> None:
    mount(tmp_path, EXAMPLE_FILES)
    swap(tmp_path, {"prices.yaml": EXAMPLE_FILES["prices.yaml"]})
    assert load_extended(tmp_path).catalogue.models == load_catalogue().models


@pytest.mark.parametrize(
    ("name", "parse"),
    [
        ("models/mistral-large-3-675b-2512.yaml", parse_model),
        ("models/mamba-codestral-7b-v0.1.yaml", parse_model),
        ("accelerators/v5e.yaml", parse_accelerator),
        ("engines/jetstream-maxtext.yaml", parse_engine),
        ("support.yaml", parse_support),
    ],
)
def test_whatever_is_written_in_a_file_is_at_worst_a_fault(name: str, parse: Callable[[Reader], object]) -> None:
    """All else that is raised fails the test."""
    content = read(name)
    faults: list[str] = []
    for path in walk(content):
        for value in ODD:
            try:
                parse(Reader(put(content, path, value), name))
            except CatalogueError as fault:
                faults.append(str(fault))
    assert faults
    assert [fault for fault in faults if not fault.startswith(name)] == []


def walk(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all values; of a list, only of the first item."""
    if path:
        yield path
    items = node.items() if isinstance(node, dict) else list(enumerate(node))[:1] if isinstance(node, list) else ()
    for key, value in items:
        yield from walk(value, (*path, key))


def put(content: Any, path: tuple[Any, ...], value: Any) -> Any:
    changed = deepcopy(content)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return changed


def test_the_built_in_data_is_not_touched() -> None:
    builtin = {"support.yaml": {"rules": [], "default": {"tier": "experimental", "evidence": "none"}}}
    before = deepcopy(builtin)
    rule = read("support.yaml")["rules"][0] | {"models": ["any"], "engines": ["any"], "accelerators": ["any"]}
    assert extend_catalogue(builtin, {"support.yaml": {"rules": [rule]}}).catalogue.support.rules
    assert builtin == before
