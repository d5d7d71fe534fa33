"""Every model on every machine with every engine: a plan or a refusal with its reason, never a gap."""

from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.world import CLUSTER, SETTINGS, make_model

from mistral_operator.api.engine import Engine, EngineType
from mistral_operator.api.model import MistralModel
from mistral_operator.api.pod import PodResources
from mistral_operator.catalogue.load import load_catalogue
from mistral_operator.catalogue.model import Model
from mistral_operator.engines.registry import ENGINES
from mistral_operator.planning.candidate import Candidate, Task, list_candidates
from mistral_operator.planning.plan import plan_model
from mistral_operator.planning.runtimes import ENGINE_IDS, Runtimes, resolve_runtimes
from mistral_operator.planning.types import ClusterProfile, Consumption, Plan, PlannedOption, PlanRefused, Refusal
from mistral_operator.planning.weigh import weigh
from mistral_operator.planning.weights import resolve_weights
from mistral_operator.planning.wishes import Wish
from mistral_operator.sandbox.engine.flags import parse_serve

CATALOGUE = load_catalogue()
ANYWHERE = ClusterProfile(provider="GKE", project="", location="", cluster="", zones=(), leader_worker_set=True)
TYPES = {EngineType.VLLM: {}, EngineType.JETSTREAM_MAXTEXT: {"weights": {"gcs": {"uri": "gs://bucket/folder"}}}}
MODELS = sorted(CATALOGUE.models)


def ask(model_id: str, **spec: Any) -> MistralModel:
    license_id = CATALOGUE.models[model_id].license.id
    spec = {"model": model_id, "license": {"accept": license_id}, "allowExperimental": True, **spec}
    return MistralModel.model_validate(make_model(**spec))


def tasks(model: Model) -> Iterator[Task]:
    """One for each engine that runs the model."""
    for kind in EngineType:
        spec = ask(model.id, engine={"type": kind, "image": "registry.example/engine:1"}, **TYPES.get(kind, {})).spec
        weights = resolve_weights(model, "", spec)
        assert not isinstance(weights, PlanRefused)
        runtimes = resolve_runtimes(model, weights, spec.engine or Engine(), CATALOGUE, SETTINGS.images)
        if isinstance(runtimes, Runtimes):
            yield Task(model, runtimes.usable, True, None, PodResources(), CATALOGUE, ANYWHERE, SETTINGS)


@pytest.mark.parametrize("model_id", MODELS)
def test_every_machine_is_an_option_or_refused_with_a_reason(model_id: str) -> None:
    """Also: the parts of each budget add up to the device, and what is planned is never more than what fits."""
    weighed = 0
    for task in tasks(CATALOGUE.models[model_id]):
        for consumption in Consumption:
            for candidate in list_candidates(task, Wish(consumption=consumption)):
                check(candidate, weigh(task, candidate))
                weighed += 1
    assert weighed >= sum(len(item.machines) for item in CATALOGUE.accelerators.values() if item.kind == "gpu")


def check(candidate: Candidate, answer: PlannedOption | Refusal) -> None:
    if isinstance(answer, Refusal):
        assert answer.reason[0].isupper()
        assert " " not in answer.reason
        assert len(answer.message) > 20, answer
        return
    memory = answer.memory
    parts = (
        memory.reserved_bytes
        + memory.weights_bytes
        + memory.activations_bytes
        + memory.overhead_bytes
        + memory.extras_bytes
        + memory.kv_cache_bytes
    )
    assert parts == memory.device_bytes == candidate.accelerator.core_bytes
    devices = answer.devices * candidate.accelerator.cores
    assert answer.tensor_parallel * answer.pipeline_parallel * answer.data_parallel == devices
    assert answer.context_length <= answer.max_context_length
    assert answer.throughput is not None
    assert 1 <= answer.throughput.concurrency <= answer.max_concurrency
    assert answer.throughput.alone_inter_token_latency_us <= answer.throughput.inter_token_latency_us


@pytest.mark.parametrize("accelerator", sorted(CATALOGUE.accelerators))
@pytest.mark.parametrize("kind", [kind for kind in EngineType if kind is not EngineType.AUTO])
def test_every_engine_on_every_accelerator_answers_what_to_write(accelerator: str, kind: EngineType) -> None:
    """The user's own way: hardware and engine are pinned, and the answer is a plan or says what to write instead."""
    for model_id in MODELS:
        spec = {"engine": {"type": kind}, "capacity": {"options": [{"accelerator": accelerator}]}}
        answer = plan_model(ask(model_id, **spec, **TYPES.get(kind, {})), CATALOGUE, CLUSTER, SETTINGS)
        if isinstance(answer, PlanRefused):
            assert answer.reason, model_id
            assert any(word in answer.message for word in ("write", "Nothing in the catalogue")), answer.message
        else:
            assert {option.accelerator for option in answer.options} == {accelerator}


@pytest.mark.parametrize("model_id", MODELS)
def test_every_flag_of_a_plan_is_one_of_the_engine(model_id: str) -> None:
    """The list of flags is vLLM's own; an unknown one, or a value that it doesn't take, fails the parsing."""
    for accelerator in sorted(CATALOGUE.accelerators):
        model = ask(model_id, engine={"type": "VLLM"}, capacity={"options": [{"accelerator": accelerator}]})
        plan = plan_model(model, CATALOGUE, CLUSTER, SETTINGS)
        if isinstance(plan, Plan):
            args = ENGINES[plan.chosen.engine].launch(model.spec, plan, plan.chosen).engine.args
            parsed = parse_serve(["serve", *args])
            assert parsed.max_num_seqs * plan.chosen.data_parallel == plan.chosen.max_concurrency


def test_the_engine_types_stand_for_all_engines() -> None:
    assert {name for names in ENGINE_IDS.values() for name in names} == set(CATALOGUE.engines)
