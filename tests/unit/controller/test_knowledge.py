"""What the operator knows follows the directory; a faulty extension changes nothing, and is told to all who miss it."""

import logging
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.support.mounted_config_map import BROKEN, EXAMPLE_FILES, OWN_MODEL, OWN_PRICE, mount
from tests.support.world import CLUSTER, SETTINGS, make_model

from mistral_operator.api.model import MistralModel
from mistral_operator.catalogue.extend import Extended
from mistral_operator.catalogue.load import load_catalogue, load_extended
from mistral_operator.catalogue.reader import CatalogueError
from mistral_operator.controller import knowledge as module
from mistral_operator.controller.knowledge import Knowledge
from mistral_operator.controller.metrics import Metrics
from mistral_operator.planning.plan import plan_model
from mistral_operator.planning.types import Plan, PlanRefused

FAULT = (
    "The extension of the catalogue is not valid; what was known before stays: prices.yaml: line 2: while parsing"
    " a flow node, did not find expected node content"
)


def know(directory: Path | None, told: list[bool] | None = None) -> Knowledge:
    return Knowledge(SETTINGS, directory, [].append if told is None else told.append)


def answer(known: Knowledge, model: str = OWN_MODEL, **spec: Any) -> Plan | PlanRefused:
    body = make_model(model=model, **spec)
    return plan_model(MistralModel.model_validate(body), known.catalogue, CLUSTER, known.settings)


def test_a_change_is_noticed_once(tmp_path: Path) -> None:
    told: list[bool] = []
    known = know(tmp_path, told)
    missing = answer(known)
    assert isinstance(missing, PlanRefused)
    assert missing.reason == "UnknownModel"
    assert not known.refresh()
    mount(tmp_path, EXAMPLE_FILES)
    assert known.refresh()
    assert not known.refresh()
    plan = answer(known)
    assert isinstance(plan, Plan)
    assert plan.chosen.hourly_cost == Decimal(OWN_PRICE)
    mount(tmp_path, {})
    assert known.refresh()
    assert isinstance(answer(known), PlanRefused)
    assert known.settings == SETTINGS
    assert told == [True, True, True]


def test_a_fault_changes_nothing_and_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    told: list[bool] = []
    mount(tmp_path, EXAMPLE_FILES)
    known = know(tmp_path, told)
    before = answer(known)
    mount(tmp_path, EXAMPLE_FILES | {"prices.yaml": "a: ["})
    with caplog.at_level(logging.ERROR):
        assert known.refresh()
        assert not known.refresh()
    assert [record.message for record in caplog.records] == [FAULT]
    assert answer(known) == before
    assert told == [True, False]
    mount(tmp_path, EXAMPLE_FILES)
    assert known.refresh()
    assert not known.catalogue.fault
    assert told == [True, False, True]


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"model": "mistral-huge"}, "UnknownModel"),
        ({"model": "mistral-7b-v0.3", "capacity": {"options": [{"accelerator": "b9000"}]}}, "UnknownAccelerator"),
        ({"model": "mistral-7b-v0.3", "capacity": {"options": [{"machineType": "a9-x"}]}}, "UnknownMachineType"),
    ],
)
def test_who_misses_something_is_told_of_the_fault(tmp_path: Path, spec: dict[str, Any], reason: str) -> None:
    mount(tmp_path, BROKEN)
    refused = answer(know(tmp_path), **spec)
    assert isinstance(refused, PlanRefused)
    assert refused.reason == reason
    words = "The operator's extension of the catalogue is not valid: model.broken.yaml: context is missing"
    assert refused.message.endswith(words)
    mount(tmp_path, {})
    refused = answer(know(tmp_path), **spec)
    assert isinstance(refused, PlanRefused)
    assert "extension" not in refused.message


def test_a_fault_at_the_start_leaves_the_built_in_catalogue(tmp_path: Path) -> None:
    mount(tmp_path, BROKEN)
    told: list[bool] = []
    known = know(tmp_path, told)
    assert known.catalogue.models == load_catalogue().models
    assert told == [False]
    assert isinstance(answer(known, "mistral-7b-v0.3"), Plan)


def test_a_fault_fits_a_condition(tmp_path: Path) -> None:
    mount(tmp_path, {"model.broken.yaml": "".join(f"{'key' * 100}{index}: 1\n" for index in range(100))})
    assert 0 < len(know(tmp_path).catalogue.fault) <= 500


def test_files_that_are_swapped_while_they_are_read_are_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_half(directory: Path) -> Extended:
        mount(directory, EXAMPLE_FILES)
        raise CatalogueError("model.broken.yaml: No such file or directory")

    told: list[bool] = []
    known = know(tmp_path, told)
    mount(tmp_path, BROKEN)
    monkeypatch.setattr(module, "load_extended", read_half)
    assert not known.refresh()
    monkeypatch.setattr(module, "load_extended", load_extended)
    assert known.refresh()
    assert isinstance(answer(known), Plan)
    assert told == [True, True]


def test_a_directory_that_can_not_be_read_is_a_fault_until_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[bool] = []
    mount(tmp_path, EXAMPLE_FILES)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "iterdir", _refuse)
        known = know(tmp_path, told)
        assert known.catalogue.fault == "[Errno 13] no"
        assert not known.refresh()
    assert known.refresh()
    assert isinstance(answer(known), Plan)
    assert told == [False, True]


def _refuse(_: Path) -> None:
    raise PermissionError(13, "no")


async def test_it_is_read_aside_just_the_same(tmp_path: Path) -> None:
    known = know(tmp_path)
    mount(tmp_path, EXAMPLE_FILES)
    assert await known.refresh_aside()
    assert not await known.refresh_aside()
    assert isinstance(answer(known), Plan)


@pytest.mark.parametrize(("files", "value"), [(EXAMPLE_FILES, "1.0"), (BROKEN, "0.0"), ({}, "1.0")])
def test_a_metric_shows_whether_the_extension_is_valid(tmp_path: Path, files: dict[str, str], value: str) -> None:
    mount(tmp_path, files)
    metrics = Metrics()
    Knowledge(SETTINGS, tmp_path, metrics.tell_catalogue)
    assert f"\nmistral_operator_catalogue_valid {value}\n" in metrics.render().decode()
