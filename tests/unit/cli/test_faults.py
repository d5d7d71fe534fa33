"""What is wrong with a file is said in this project's words, and with what to write instead."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.support.model_cases import BROKEN_FIELDS, model, option

from mistral_operator.api.model import MistralModel
from mistral_operator.api.schema import model_crd
from mistral_operator.cli.faults import find_example, word_fault, word_unknown

PYDANTICS_WORDS = re.compile(r"[Ii]nput should|[Ss]tring should|valid (string|integer|tuple|dictionary)|Field required")


def faults(raw: Any) -> list[str]:
    try:
        MistralModel.model_validate(raw)
    except ValidationError as error:
        return [word_fault(detail) for detail in error.errors(include_url=False)]
    return []


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"model": 7}, 'spec.model: must be text; write it in quotes: "7"'),
        ({"model": ["a"]}, 'spec.model: must be text, and ["a"] is a list; write mistral-small-3.2-24b-2506'),
        ({"capacity": {"maxHourlyCost": 12.5}}, 'write it in quotes: "12.5"'),
        (
            {"capacity": {"maxHourlyCost": "12 USD"}},
            'spec.capacity.maxHourlyCost: "12 USD" is malformed; write "12.50"',
        ),
        ({"replicas": "2"}, "spec.replicas: must be a whole number; write 2 without quotes"),
        ({"engine": {"contextLength": "32k"}}, 'and "32k" is none; write it in digits, without a unit'),
        ({"suspend": "yes"}, 'spec.suspend: must be true or false, and "yes" is neither'),
        ({"rollout": {"drainTimeout": "2 minutes"}}, 'spec.rollout.drainTimeout: "2 minutes" is malformed; write 10m'),
        (
            {"pod": {"resources": {"requests": {"memory": "40 GB"}}}},
            'requests.memory: "40 GB" is malformed; write 8 or',
        ),
        (option(zones=["us-central1"]), 'zones[0]: "us-central1" is malformed; write us-central1-a'),
        (option(zones="us-central1-a"), "zones: must be a list, also of a single item; write zones: [us-central1-a]"),
        (
            {"capacity": {"options": "l4"}},
            "spec.capacity.options: must be a list, also of a single item; each item has",
        ),
        (option(consumption="spot"), 'consumption: "spot" is not one of its values; write Spot'),
        ({"optimizeFor": "speed"}, "write Cost or Latency or Availability"),
        ({"license": {}}, "spec.license.accept: is missing; write accept: mrl-0.1"),
        ({"engine": "vllm"}, 'spec.engine: must hold fields, and "vllm" is text; its fields are type, version'),
        ({"pod": {"labels": ["a"]}}, 'spec.pod.labels: must hold names with values, and ["a"] is a list'),
        ({"replicas": -1}, "spec.replicas: -1 is too small; write 0 or more"),
        ({"replicas": 1001}, "spec.replicas: 1001 is too large; write 1000 or less"),
        ({"model": ""}, 'spec.model: "" is too short; write at least 1 character'),
        ({"model": "a" * 201}, "spec.model: is too long; write at most 200 characters"),
        ({"capacity": {"options": [{}] * 9}}, "spec.capacity.options: is too long; write at most 8 items"),
    ],
)
def test_a_fault_says_what_to_write(spec: dict[str, Any], words: str) -> None:
    (found,) = faults(model(spec))
    assert words in found


def test_another_kind_is_named() -> None:
    (found,) = faults(model() | {"apiVersion": "serving.mistral-operator.dev/v1"})
    assert found.endswith("is not one of its values; write serving.mistral-operator.dev/v1alpha1")


@pytest.mark.parametrize("raw", [raw for raw, _ in BROKEN_FIELDS.values()], ids=BROKEN_FIELDS)
def test_no_broken_field_is_told_in_the_parsers_words(raw: dict[str, Any]) -> None:
    assert faults(raw)
    assert not [found for found in faults(raw) if PYDANTICS_WORDS.search(found)]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(("name", "type", "x")), inner),
    max_leaves=3,
)


@given(st.dictionaries(st.sampled_from(list(MistralModel.model_fields["spec"].annotation.model_fields)), _JSON))
def test_nothing_is_told_in_the_parsers_words(spec: dict[str, Any]) -> None:
    names = {name: field.alias for name, field in MistralModel.model_fields["spec"].annotation.model_fields.items()}
    found = faults(model({names[name]: value for name, value in spec.items()}))
    assert not [words for words in found if PYDANTICS_WORDS.search(words)]


def patterns(schema: dict[str, Any], place: tuple[int | str, ...]) -> Iterator[tuple[tuple[int | str, ...], str]]:
    if "pattern" in schema:
        yield place, schema["pattern"]
    for name, below in schema.get("properties", {}).items():
        yield from patterns(below, (*place, name))
    for key, part in (("items", 0), ("additionalProperties", "x")):
        if isinstance(schema.get(key), dict):
            yield from patterns(schema[key], (*place, part))


def test_every_pattern_has_an_example_that_matches() -> None:
    spec = model_crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    found = list(patterns(spec, ("spec",)))
    assert len(found) > 40
    for place, pattern in found:
        example = find_example(place, pattern)
        assert example, f"{place} has no example in its description, nor has its pattern one"
        for part in example.split(" or "):
            assert re.match(pattern, part.split(": ")[-1].strip('"')), (place, part, pattern)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("spec.engin", "write spec.engine"),
        ("spec.modle", "write spec.model"),
        ("spec.Replicas", "write spec.replicas"),
        ("spec.capacity.accelerator", "write spec.capacity.options[].accelerator"),
        ("spec.contextlength", "write spec.engine.contextLength"),
        ("spec.context_length", "write spec.engine.contextLength"),
        ("spec.gpu", "write spec.capacity.options[].accelerator"),
        ("spec.engine.gpuCount", "write spec.capacity.options[].devices"),
        ("spec.engine.maxModelLen", "write spec.engine.contextLength"),
        ("spec.resources", "write spec.pod.resources"),
        ("spec.capacity.options[0].machinetype", "write spec.capacity.options[0].machineType"),
        ("spec.capacity.options[0].gpu", "write spec.capacity.options[].accelerator"),
        ("spec.contextLenght", "write spec.engine.contextLength"),
        ("specs", "write spec"),
        ("spec.scaling.target.cpu", "known are queuedRequests, runningRequests"),
        ("spec.engine.env.a", "spec.engine.env.a: there is no such field"),
    ],
)
def test_an_unknown_field_comes_with_the_one_that_was_meant(path: str, words: str) -> None:
    found = word_unknown(path)
    assert found.startswith(f"{path}: there is no such field")
    assert words in found
