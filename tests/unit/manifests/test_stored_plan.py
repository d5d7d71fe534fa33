"""A plan that the operator could have written is never called broken, whatever fields plans get."""

from typing import Any, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.world import CLUSTER, SETTINGS, make_model

from mistral_operator.api.model import MistralModel
from mistral_operator.catalogue.load import load_catalogue
from mistral_operator.manifests.stored_plan import find_flaw, fits
from mistral_operator.planning.plan import plan_model
from mistral_operator.planning.serialize import plan_from_dict, plan_to_dict
from mistral_operator.planning.types import MemoryBudget, Plan, PlannedOption, Refusal, StartupEstimate

KINDS = (Plan, PlannedOption, MemoryBudget, StartupEstimate, Refusal)
FIELDS = [(kind, name) for kind in KINDS for name in get_type_hints(kind)]
CATALOGUE = load_catalogue()


@pytest.mark.parametrize(("kind", "name"), FIELDS, ids=[f"{kind.__name__}.{name}" for kind, name in FIELDS])
@settings(max_examples=8)
@given(st.data())
def test_every_value_of_a_fields_type_fits(kind: type, name: str, data: st.DataObject) -> None:
    hint = get_type_hints(kind)[name]
    assert fits(data.draw(st.integers(0, 2**50) if hint is int else st.from_type(hint)), hint)


@pytest.mark.parametrize("value", [None, 1.5, -1, True, "1", [], {}, ("a", 1), {"a": 1}, [("a", "b")]])
@pytest.mark.parametrize(("kind", "name"), [(Plan, "weights_bytes"), (Plan, "notes"), (Plan, "engine_env")])
def test_a_value_of_another_type_does_not(kind: type, name: str, value: Any) -> None:
    if (name, value) != ("engine_env", {}):
        assert not fits(value, get_type_hints(kind)[name])


@pytest.mark.parametrize("name", CATALOGUE.models)
def test_the_plan_of_each_model_is_as_it_should_be(name: str) -> None:
    model = CATALOGUE.models[name]
    spot = {"options": [{"consumption": "Spot"}]}
    spec = {"model": name, "license": {"accept": model.license.id}, "allowExperimental": True, "capacity": spot}
    plan = plan_model(MistralModel.model_validate(make_model(**spec)), CATALOGUE, CLUSTER, SETTINGS)
    assert isinstance(plan, Plan)
    assert find_flaw(plan_from_dict(plan_to_dict(plan))) == ""
