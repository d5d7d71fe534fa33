"""The comparison finds what would refuse a stored object, and nothing else."""

from typing import Any

import pytest
from tests.released.schemas import find_tightenings

TEXT = {"type": "string"}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ({"properties": {"a": TEXT}}, {"properties": {}}, "a: is gone"),
        ({"properties": {"a": TEXT}}, {"properties": {"a": {"type": "integer"}}}, "a: type string became integer"),
        ({"properties": {"a": {}}}, {"properties": {"a": {}}, "required": ["a"]}, ": a is required"),
        ({"enum": ["a", "b"]}, {"enum": ["a"]}, ": b is no longer one of the values"),
        (TEXT, {**TEXT, "enum": ["a"]}, ": only ['a'] are accepted"),
        (TEXT, {**TEXT, "maxLength": 3}, ": maxLength became 3"),
        ({"maximum": 4}, {"maximum": 3}, ": maximum became 3"),
        ({"minimum": 1}, {"minimum": 2}, ": minimum became 2"),
        (TEXT, {**TEXT, "pattern": "a"}, ": pattern None became a"),
        ({"default": 1}, {"default": 2}, ": default 1 became 2"),
        ({"default": 1}, {}, ": default 1 became None"),
        ({"nullable": True}, {}, ": nullable is gone"),
        ({}, {"x-kubernetes-validations": [{"rule": "self.a"}]}, ": a new rule, self.a"),
        (
            {"properties": {"a": TEXT}},
            {"properties": {"a": TEXT}, "x-kubernetes-validations": [{"rule": "!has(self.a) || self.b"}]},
            ": a new rule, !has(self.a) || self.b",
        ),
        (
            {},
            {"x-kubernetes-validations": [{"rule": "!has(self.a) || self.b ? self.c : self.d"}]},
            ": a new rule, !has(self.a) || self.b ? self.c : self.d",
        ),
        ({"items": TEXT}, {"items": {**TEXT, "minLength": 1}}, "[items]: minLength became 1"),
        ({"additionalProperties": True}, {"additionalProperties": False}, "[additionalProperties]: True became False"),
        ({}, {"additionalProperties": False}, "[additionalProperties]: None became False"),
        (
            {"additionalProperties": TEXT},
            {"additionalProperties": False},
            f"[additionalProperties]: {TEXT} became False",
        ),
        (
            {"properties": {"a": {"items": {"properties": {"b": {"maxItems": 2}}}}}},
            {"properties": {"a": {"items": {"properties": {"b": {"maxItems": 1}}}}}},
            "a[items].b: maxItems became 1",
        ),
    ],
)
def test_what_is_asked_for_in_addition_is_found(old: dict[str, Any], new: dict[str, Any], said: str) -> None:
    assert list(find_tightenings(old, new)) == [said]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"properties": {"a": TEXT}}, {"properties": {"a": TEXT, "b": TEXT}}),
        ({"enum": ["a"]}, {"enum": ["a", "b"]}),
        ({"enum": ["a"]}, {}),
        ({"maximum": 3, "minimum": 2, "pattern": "a"}, {"maximum": 4, "minimum": 1}),
        ({"required": ["a"], "properties": {"a": {}}}, {"properties": {"a": {}}}),
        ({"x-kubernetes-validations": [{"rule": "self.a"}]}, {}),
        ({"x-kubernetes-validations": [{"rule": "a"}]}, {"x-kubernetes-validations": [{"rule": "a", "message": "b"}]}),
        ({"additionalProperties": False}, {"additionalProperties": True}),
        ({"description": "a"}, {"description": "b"}),
        (
            {"properties": {"a": TEXT}},
            {
                "properties": {"a": TEXT, "b": TEXT},
                "x-kubernetes-validations": [{"rule": "!has(self.b) || has(self.a)"}],
            },
        ),
    ],
)
def test_what_accepts_more_is_left_alone(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert not list(find_tightenings(old, new))
