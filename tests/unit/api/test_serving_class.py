"""Offline, a class is refused for the same reasons as by the API server (see tests/cluster/test_crds.py)."""

from typing import Any

import pytest
from pydantic import ValidationError
from tests.support.class_cases import BROKEN_FIELDS, BROKEN_RULES, UNKNOWN_FIELDS, VALID

from mistral_operator.api.rules import unknown_fields, violations
from mistral_operator.api.serving_class import MistralServingClass


@pytest.mark.parametrize(("raw", "words"), BROKEN_RULES.values(), ids=BROKEN_RULES)
def test_a_broken_rule_is_named(raw: dict[str, Any], words: str) -> None:
    (found,) = violations(MistralServingClass.model_validate(raw))
    assert words in found


@pytest.mark.parametrize("raw", VALID.values(), ids=VALID)
def test_what_is_right_breaks_no_rule(raw: dict[str, Any]) -> None:
    assert list(violations(MistralServingClass.model_validate(raw))) == []
    assert list(unknown_fields(raw, MistralServingClass)) == []


@pytest.mark.parametrize(("raw", "path"), BROKEN_FIELDS.values(), ids=BROKEN_FIELDS)
def test_a_malformed_field_is_named(raw: dict[str, Any], path: str) -> None:
    with pytest.raises(ValidationError) as refused:
        MistralServingClass.model_validate(raw)
    first, *_ = (error["loc"] for error in refused.value.errors())
    assert "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first).lstrip(".") == path


@pytest.mark.parametrize(("raw", "path"), UNKNOWN_FIELDS.values(), ids=UNKNOWN_FIELDS)
def test_an_unknown_field_is_named(raw: dict[str, Any], path: str) -> None:
    assert list(unknown_fields(raw, MistralServingClass)) == [path]
