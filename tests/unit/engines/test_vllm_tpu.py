"""vLLM on TPUs: one process for a host's chips, and a Ray cluster where a slice has several hosts."""

from typing import Any

import pytest
from tests.support.world import CLUSTER, SETTINGS, make_model

from mistral_operator.api.engine import RESERVED_ENV
from mistral_operator.api.model import MistralModel
from mistral_operator.catalogue.load import load_catalogue
from mistral_operator.engines.protocol import EngineLaunch
from mistral_operator.engines.registry import ENGINES
from mistral_operator.planning.plan import plan_model
from mistral_operator.planning.types import Plan, PlannedOption, PlanRefused
from mistral_operator.sandbox.engine.flags import parse_serve

CATALOGUE = load_catalogue()


def launch(option: dict[str, Any], **spec: Any) -> tuple[PlannedOption, EngineLaunch]:
    capacity = {"options": [option]}
    model = MistralModel.model_validate(make_model(allowExperimental=True, capacity=capacity, **spec))
    plan = plan_model(model, CATALOGUE, CLUSTER, SETTINGS)
    assert isinstance(plan, Plan), plan
    return plan.chosen, ENGINES[plan.chosen.engine].launch(model.spec, plan, plan.chosen)


def test_one_host_runs_one_process_for_all_its_chips() -> None:
    option, started = launch({"accelerator": "v5e", "topology": "2x2"})
    assert (option.engine, option.tensor_parallel, option.pipeline_parallel) == ("vllm-tpu", 4, 1)
    assert started.engine.command == ("vllm", "serve")
    assert started.worker is None
    assert "TPU_MULTIHOST_BACKEND" not in started.engine.env
    assert parse_serve(["serve", *started.engine.args]).tensor_parallel_size == 4


def test_a_slice_has_a_pipeline_stage_a_host_and_a_ray_cluster() -> None:
    option, started = launch({"accelerator": "v6e", "topology": "4x4"}, model="mixtral-8x7b")
    assert (option.hosts, option.tensor_parallel, option.pipeline_parallel) == (4, 4, 4)
    assert started.worker is not None
    assert started.worker.args == ()
    assert started.worker.ready is None
    for container in (started.engine, started.worker):
        assert container.env["TPU_MULTIHOST_BACKEND"] == "ray"
        assert container.env["VLLM_XLA_CACHE_PATH"] == started.scratch["compile-cache"]
    parsed = parse_serve(["serve", *started.engine.args])
    assert (parsed.tensor_parallel_size, parsed.pipeline_parallel_size) == (4, 4)


def test_nothing_that_a_user_wrote_is_read_by_the_shell() -> None:
    word = "--seed=$(touch /tmp/x);`id`"
    _, started = launch({"accelerator": "v6e", "topology": "4x4"}, model="mixtral-8x7b", engine={"extraArgs": [word]})
    plain = launch({"accelerator": "v6e", "topology": "4x4"}, model="mixtral-8x7b")[1]
    assert started.engine.command == plain.engine.command
    assert started.engine.args[-1] == word
    assert '"$@"' in started.engine.command[2]


@pytest.mark.parametrize("topology", ["1x1", "2x2", "2x4", "4x4", "4x8"])
def test_every_variable_that_is_set_is_reserved_in_the_api(topology: str) -> None:
    _, started = launch({"accelerator": "v6e", "topology": topology})
    assert started.engine.env.keys() <= set(RESERVED_ENV)
    assert started.startup_budget_s >= 1800  # Every shape is compiled before the first answer.


def test_a_model_with_latent_attention_gets_what_it_does_not_start_without() -> None:
    def plan_on(accelerator: str) -> tuple[MistralModel, Plan | PlanRefused]:
        capacity = {"options": [{"accelerator": accelerator}]}
        model = MistralModel.model_validate(make_model(model="mistral-small-4", capacity=capacity))
        return model, plan_model(model, CATALOGUE, CLUSTER, SETTINGS)

    _, refused = plan_on("v6e")
    assert isinstance(refused, PlanRefused)
    assert "fp8" in refused.message.lower()
    model, plan = plan_on("v7x")
    assert isinstance(plan, Plan), plan
    # Each chip is two devices to the engine.
    assert plan.chosen.tensor_parallel == 2 * plan.chosen.devices
    assert plan.chosen.expert_parallel
    started = ENGINES["vllm-tpu"].launch(model.spec, plan, plan.chosen).engine
    assert started.env["NEW_MODEL_DESIGN"] == "1"
    sharding = {"sharding_strategy": {"enable_dp_attention": True}}
    assert parse_serve(["serve", *started.args]).additional_config == {"sharding": sharding}
    assert "--quantization" not in started.args


def test_a_model_that_sees_is_served_without_its_eyes() -> None:
    option, started = launch({"accelerator": "v6e", "topology": "2x4"}, model="mistral-small-3.2-24b-2506")
    assert option.engine == "vllm-tpu"
    assert {"--language-model-only", "--disable-chunked-mm-input"} <= set(started.engine.args)
