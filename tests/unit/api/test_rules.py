"""Offline, a file is refused for the same reasons as by the API server (see tests/cluster/test_crds.py)."""

from typing import Any

import pytest
from pydantic import ValidationError
from tests.support.model_cases import BROKEN_FIELDS, BROKEN_RULES, UNKNOWN_FIELDS, VALID, model, option

from mistral_operator.api.common import ApiType
from mistral_operator.api.model import MistralModel
from mistral_operator.api.rules import unknown_fields, violations

MODEL_MODULES = {
    f"mistral_operator.api.{name}"
    for name in ("model", "custom", "weights", "engine", "capacity", "scaling", "rollout", "endpoint", "pod")
}


@pytest.mark.parametrize(("raw", "words"), BROKEN_RULES.values(), ids=BROKEN_RULES)
def test_a_broken_rule_is_named(raw: dict[str, Any], words: str) -> None:
    found = list(violations(MistralModel.model_validate(raw)))
    assert any(words in message for message in found), found


@pytest.mark.parametrize("raw", VALID.values(), ids=VALID)
def test_what_is_right_breaks_no_rule(raw: dict[str, Any]) -> None:
    assert list(violations(MistralModel.model_validate(raw))) == []
    assert list(unknown_fields(raw)) == []


@pytest.mark.parametrize(("raw", "path"), BROKEN_FIELDS.values(), ids=BROKEN_FIELDS)
def test_a_malformed_field_is_named(raw: dict[str, Any], path: str) -> None:
    with pytest.raises(ValidationError) as refused:
        MistralModel.model_validate(raw)
    paths = {_path(error["loc"]) for error in refused.value.errors()}
    assert any(found.startswith(path) for found in paths), paths


@pytest.mark.parametrize(("raw", "path"), UNKNOWN_FIELDS.values(), ids=UNKNOWN_FIELDS)
def test_an_unknown_field_is_named_and_otherwise_ignored(raw: dict[str, Any], path: str) -> None:
    assert list(unknown_fields(raw)) == [path]
    assert MistralModel.model_validate(raw).spec.model == "mistral-7b-v0.3"


def test_a_live_object_has_no_unknown_fields() -> None:
    raw = model() | {"status": {"inventedLater": 1}}
    raw["metadata"] |= {"managedFields": [{"manager": "kubectl"}], "selfLink": "/x"}
    assert list(unknown_fields(raw)) == []
    assert list(violations(MistralModel.model_validate(raw))) == []


def test_every_rule_is_broken_by_some_case() -> None:
    kinds = [kind for kind in ApiType.__subclasses__() if kind.__module__ in MODEL_MODULES]
    found = [message for raw, _ in BROKEN_RULES.values() for message in violations(MistralModel.model_validate(raw))]
    rules = {rule.message for kind in kinds for rule in kind.rules}
    assert {rule for rule in rules if not any(message.endswith(rule) for message in found)} == set()


def _path(location: tuple[int | str, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")


def test_a_violation_names_its_place() -> None:
    raw = model(option(reservation="mine") | {"scaling": {"minReplicas": 0}})
    option_first, then_scaling = violations(MistralModel.model_validate(raw))
    assert option_first.startswith("spec.capacity.options[0]: reservation is used only")
    assert then_scaling.startswith("spec.scaling: scaling.minReplicas")
