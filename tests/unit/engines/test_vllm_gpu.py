"""The command line of vLLM: nothing that vLLM wouldn't know, and no second way to say what the plan decides."""

from math import prod

import pytest
from tests.support.world import CLUSTER, SETTINGS, make_model

from mistral_operator.api.engine import RESERVED_ENV
from mistral_operator.api.model import MistralModel
from mistral_operator.catalogue.load import load_catalogue
from mistral_operator.core.support import name_flag
from mistral_operator.engines.drain import LONGEST_DRAIN_S, choose_drain
from mistral_operator.engines.registry import ENGINES
from mistral_operator.engines.vllm_gpu import VllmGpu
from mistral_operator.planning.plan import plan_model
from mistral_operator.planning.types import Consumption, Plan
from mistral_operator.sandbox.engine.flags import flag_list, parse_serve

CATALOGUE = load_catalogue()
ENGINE = VllmGpu()


@pytest.mark.parametrize("model_id", CATALOGUE.models)
@pytest.mark.parametrize("precision", ["Auto", "FP8"])
def test_every_plan_is_a_command_line_that_vllm_takes(model_id: str, precision: str) -> None:
    license_id = CATALOGUE.models[model_id].license.id
    spec = {"model": model_id, "license": {"accept": license_id}, "allowExperimental": True}
    model = MistralModel.model_validate(make_model(**spec, engine={"precision": precision}))
    plan = plan_model(model, CATALOGUE, CLUSTER, SETTINGS)
    if not isinstance(plan, Plan):
        assert plan.reason == "NothingFits", plan
        return
    for option in plan.options:
        launch = ENGINES[option.engine].launch(model.spec, plan, option)
        parsed = parse_serve(["serve", *launch.engine.args])
        assert parsed.max_model_len == option.context_length
        split = (parsed.tensor_parallel_size, parsed.pipeline_parallel_size or 1, parsed.data_parallel_size or 1)
        assert prod(split) == option.devices
        assert launch.termination_grace_s > launch.drain_s + launch.endpoint_removal_s


def test_every_variable_that_is_set_is_reserved_in_the_api() -> None:
    model = MistralModel.model_validate(make_model())
    plan = plan_model(model, CATALOGUE, CLUSTER, SETTINGS)
    assert isinstance(plan, Plan)
    assert ENGINE.launch(model.spec, plan, plan.chosen).engine.env.keys() <= ENGINE.owned_env == set(RESERVED_ENV)


def test_every_other_name_of_an_owned_flag_is_owned() -> None:
    aliases = {name: flag.get("aliases") or () for name, flag in flag_list()["flags"].items()}
    missing = {
        alias for name, others in aliases.items() for alias in (name, *others)
        if {name, *others} & ENGINE.owned_flags and alias not in ENGINE.owned_flags
    }  # fmt: skip
    assert missing == set()


@pytest.mark.parametrize("word", ["--max_model_len=9", "--max-model-len 9", "--max-model-len", "--max_model-len.x=1"])
def test_each_way_to_write_a_flag_is_that_flag(word: str) -> None:
    assert name_flag(word) == "--max-model-len"


def test_short_flags_and_plain_words_are_told_apart() -> None:
    assert name_flag("-tp2") == "-tp"
    assert name_flag("4096") not in ENGINE.owned_flags
    assert name_flag("  ") == ""


def test_a_drain_ends_before_its_node_does() -> None:
    spot = choose_drain(3600, Consumption.SPOT)
    assert spot.drain_s + spot.endpoint_removal_s <= 15
    assert choose_drain(3600, Consumption.ON_DEMAND).drain_s == LONGEST_DRAIN_S
    assert choose_drain(0, Consumption.ON_DEMAND).drain_s == 0
