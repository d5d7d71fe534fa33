from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.support.model_cases import model, option

from mistral_operator.api.capacity import Consumption
from mistral_operator.api.claim import NodePoolClaim
from mistral_operator.api.common import dollars, duration_seconds, quantity_amount
from mistral_operator.api.model import MistralModel
from mistral_operator.api.rules import unknown_fields, violations

EXAMPLES = sorted((Path(__file__).parents[3] / "examples").glob("*.yaml"))


def test_the_model_alone_is_enough() -> None:
    parsed = MistralModel.model_validate(model())
    assert parsed.spec.replicas == 1
    assert parsed.spec.model_dump(by_alias=True, exclude_defaults=True) == {"model": "mistral-7b-v0.3"}


def test_names_are_snake_case_inside_and_camel_case_outside() -> None:
    parsed = MistralModel.model_validate(model(option(machineType="g2-standard-8", consumption="Spot")))
    assert parsed.spec.capacity is not None
    assert parsed.spec.capacity.options[0].machine_type == "g2-standard-8"
    assert parsed.spec.capacity.options[0].consumption is Consumption.SPOT
    assert "machineType" in parsed.model_dump(by_alias=True)["spec"]["capacity"]["options"][0]


def test_a_parsed_object_can_not_be_changed() -> None:
    parsed = MistralModel.model_validate(model())
    with pytest.raises(ValidationError, match="frozen"):
        parsed.spec.replicas = 2  # type: ignore[misc]


def test_null_is_an_absent_field_as_on_the_api_server() -> None:
    parsed = MistralModel.model_validate(model({"engine": None, "replicas": None, "suspend": None}))
    assert (parsed.spec.engine, parsed.spec.replicas, parsed.spec.suspend) == (None, 1, False)


def test_a_status_of_another_version_never_keeps_the_spec_from_being_read() -> None:
    raw = model() | {"status": {"conditions": "none", "plan": {"inventedLater": [1]}}}
    parsed = MistralModel.model_validate(raw)
    assert parsed.spec.model == "mistral-7b-v0.3"
    assert parsed.status == raw["status"]


def test_whole_numbers_are_quantities() -> None:
    parsed = MistralModel.model_validate(model({"pod": {"resources": {"requests": {"cpu": 8, "memory": "40Gi"}}}}))
    assert parsed.spec.pod is not None
    assert parsed.spec.pod.resources is not None
    assert parsed.spec.pod.resources.requests == {"cpu": "8", "memory": "40Gi"}


@given(st.integers(0, 999), st.integers(0, 999), st.integers(0, 999))
def test_durations_are_read_in_seconds(hours: int, minutes: int, seconds: int) -> None:
    text = f"{hours}h{minutes}m{seconds}s"
    parsed = MistralModel.model_validate(model({"rollout": {"drainTimeout": text}}))
    assert parsed.spec.rollout is not None
    assert parsed.spec.rollout.drain_timeout == text
    assert duration_seconds(text) == hours * 3600 + minutes * 60 + seconds


@given(st.decimals(0, 9_999_999, places=2))
def test_money_is_read_exactly(amount: Decimal) -> None:
    text = f"{amount:f}"
    parsed = MistralModel.model_validate(model({"capacity": {"maxHourlyCost": text}}))
    assert parsed.spec.capacity is not None
    assert dollars(str(parsed.spec.capacity.max_hourly_cost)) == amount


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("8", 8), ("500m", Fraction(1, 2)), ("1.5Gi", 3 * 2**29), ("2k", 2000), ("3M", 3 * 10**6), ("1Ki", 1024),
        ("4E", 4 * 10**18), ("4Ei", 4 * 2**60),
    ],
)  # fmt: skip
def test_quantities_are_read_exactly(text: str, amount: Fraction) -> None:
    assert quantity_amount(text) == amount


_JSON = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=4)
    | st.lists(st.integers() | st.none(), max_size=2)
    | st.dictionaries(
        st.sampled_from(("type", "options", "env", "minReplicas", "x")), st.integers() | st.none(), max_size=2
    )
)
_BLOCKS = (
    "engine",
    "capacity",
    "scaling",
    "rollout",
    "endpoint",
    "pod",
    "weights",
    "monitoring",
    "customModel",
    "license",
)


@given(st.dictionaries(st.sampled_from(_BLOCKS), _JSON, max_size=4))
def test_any_json_is_parsed_or_refused_as_invalid(spec: dict[str, Any]) -> None:
    """Nothing that a file may hold ends in another error than a ValidationError."""
    raw = model(spec)
    assert all(path.startswith("spec.") for path in unknown_fields(raw))
    try:
        parsed = MistralModel.model_validate(raw)
    except ValidationError:
        assert spec
    else:
        assert all(violations(parsed))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_breaks_no_rule(path: Path) -> None:
    raw = yaml.safe_load(path.read_text())
    assert list(unknown_fields(raw)) == []
    assert list(violations(MistralModel.model_validate(raw))) == []


def test_a_claim_is_read() -> None:
    claim = NodePoolClaim.model_validate(CLAIM | {"status": {"poolName": "mm-x"}})
    assert claim.spec.shape.accelerator.count == 1
    assert claim.spec.zones == ("us-central1-a",)
    assert claim.status["poolName"] == "mm-x"
    assert list(violations(claim)) == []


@pytest.mark.parametrize("field", ["shape", "consumption", "tenant"])
def test_a_claim_without_a_part_is_refused(field: str) -> None:
    spec = {name: value for name, value in CLAIM["spec"].items() if name != field}
    with pytest.raises(ValidationError, match=f"spec.{field}"):
        NodePoolClaim.model_validate(CLAIM | {"spec": spec})


CLAIM: dict[str, Any] = {
    "apiVersion": "serving.mistral-operator.dev/v1alpha1",
    "kind": "NodePoolClaim",
    "metadata": {"name": "g2-standard-8-spot-0123456789"},
    "spec": {
        "shape": {"machineType": "g2-standard-8", "accelerator": {"type": "nvidia-l4", "count": 1}},
        "consumption": "Spot",
        "zones": ["us-central1-a"],
        "tenant": "team-a",
    },
}
