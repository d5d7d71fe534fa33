"""JetStream: two servers without OpenAI's API, a gateway in front, and a checkpoint that is converted first."""

from typing import Any

import pytest
from tests.support.world import CLUSTER, SETTINGS, World, make_model

from mistral_operator.api.engine import RESERVED_ENV
from mistral_operator.api.model import MistralModel
from mistral_operator.autoscaling.hpa import Hpa
from mistral_operator.catalogue.load import load_catalogue
from mistral_operator.core.support import find_unsupported
from mistral_operator.engines.jetstream_pytorch import JetStreamPyTorch
from mistral_operator.engines.protocol import Conversion, EngineLaunch
from mistral_operator.engines.registry import ENGINES
from mistral_operator.manifests.pods import build_pod_template
from mistral_operator.planning.plan import plan_model
from mistral_operator.planning.types import Plan, PlannedOption, PlanRefused
from mistral_operator.sandbox.engine.jetstream_settings import read_settings

CATALOGUE = load_catalogue()
IMAGE = "registry.example/jetstream:1"
BUCKET = {"cache": {"mode": "Bucket", "uri": "gs://models/converted/"}}


def model_of(kind: str, **spec: Any) -> MistralModel:
    asked = {"type": kind, "image": IMAGE, **spec.pop("engine", {})}
    return MistralModel.model_validate(make_model(allowExperimental=True, engine=asked, **spec))


def plan(model: MistralModel) -> Plan:
    answer = plan_model(model, CATALOGUE, CLUSTER, SETTINGS)
    assert isinstance(answer, Plan), answer
    return answer


def launch(model: MistralModel) -> tuple[PlannedOption, EngineLaunch, Conversion | None]:
    made = plan(model)
    engine = ENGINES[made.chosen.engine]
    return made.chosen, engine.launch(model.spec, made, made.chosen), engine.convert(made, made.chosen)


@pytest.mark.parametrize("context", [None, 512, 3000, 4096])
def test_both_servers_take_their_command_lines(context: int | None) -> None:
    asked = {"contextLength": context} if context else {}
    for kind, weights in (("JetStreamPyTorch", {}), ("JetStreamMaxText", {"weights": BUCKET})):
        option, started, _ = launch(model_of(kind, model="mixtral-8x7b", engine=asked, **weights))
        program = ("maxtext",) if weights else ("jpt", "serve")
        read = read_settings((*program, *started.engine.args), {"STAND_IN_DEVICES": str(option.devices)})
        assert read.max_total_tokens == option.context_length
        assert read.slots == option.max_concurrency
        assert started.gateway is not None
        assert str(read.max_prefill_tokens) in started.gateway.args


def test_a_revision_that_the_engine_would_ignore_is_refused() -> None:
    source = {"weights": {"huggingFace": {"revision": "v1.0"}}}
    refused = plan_model(model_of("JetStreamPyTorch", model="mixtral-8x7b", **source), CATALOGUE, CLUSTER, SETTINGS)
    assert isinstance(refused, PlanRefused)
    assert refused.reason == "FeatureNotSupported"
    for words in ("spec.weights.huggingFace.revision", "leave revision out", "copy the files of v1.0"):
        assert words in refused.message


def test_a_plan_claims_no_revision_that_the_engine_does_not_load() -> None:
    made = plan(model_of("JetStreamPyTorch", model="mixtral-8x7b"))
    assert made.revision == ""
    (note,) = [note for note in made.notes if "weights are not pinned" in note]
    assert "huggingFace.revision" not in note


def test_the_converter_gets_the_revision_that_was_asked_for() -> None:
    for revision in ("v1.0", "0" * 40):
        weights = {**BUCKET, "huggingFace": {"revision": revision}}
        _, _, conversion = launch(model_of("JetStreamMaxText", model="mixtral-8x7b", weights=weights))
        assert conversion is not None
        words = conversion.container.args
        assert words[words.index("--revision") + 1] == revision


def test_the_way_to_vllm_leads_past_the_bucket() -> None:
    """As docs/tpus.md says: what only MaxText reads has to go with `spec.engine`."""
    tpu = {"model": "mixtral-8x7b", "allowExperimental": True, "capacity": {"options": [{"accelerator": "v6e"}]}}
    stays = find_unsupported(MistralModel.model_validate(make_model(**tpu, weights=BUCKET)))
    assert stays is not None
    assert "spec.weights.cache" in stays.message
    moved = MistralModel.model_validate(make_model(**tpu))
    assert find_unsupported(moved) is None
    assert plan(moved).chosen.engine == "vllm-tpu"
    large = MistralModel.model_validate(make_model(**{**tpu, "model": "mixtral-8x22b"}))
    assert isinstance(plan_model(large, CATALOGUE, CLUSTER, SETTINGS), PlanRefused)


def settings(words: tuple[str, ...]) -> dict[str, str]:
    return dict(word.split("=", 1) for word in words if "=" in word)


def test_pytorch_loads_the_repository_itself() -> None:
    model = model_of(
        "JetStreamPyTorch", model="mixtral-8x7b", capacity={"options": [{"machineType": "ct5lp-hightpu-8t"}]}
    )
    option, started, conversion = launch(model)
    assert conversion is None
    assert (option.devices, option.context_length, option.topology) == (8, 2048, "2x4")
    args = started.engine.args
    given = dict(zip(args[::2], args[1::2], strict=False))
    assert int(given["--max_input_length"]) + int(given["--max_output_length"]) == option.context_length
    assert int(given["--override_batch_size"]) == option.max_concurrency
    assert started.engine.env.keys() <= set(RESERVED_ENV)


def test_the_gateway_knows_the_servers_limits_and_its_sampling() -> None:
    model = model_of("JetStreamPyTorch", model="mixtral-8x7b")
    option, started, _ = launch(model)
    assert started.gateway is not None
    args = started.gateway.args
    given = dict(zip(args[::2], args[1::2], strict=True))
    assert given["--engine"] == "localhost:9000"
    assert given["--tokenizer"] == "v1"
    assert int(given["--max-total-tokens"]) == option.context_length
    assert (given["--temperature"], given["--top-p"]) == ("0", "1")
    assert started.gateway.image == SETTINGS.images["gateway"]
    assert set(started.gateway.ports) == {"http"}
    assert "http" not in started.engine.ports


@pytest.mark.parametrize("slots", [1, 2, 5, 6, 8, 48])
def test_the_gateway_lets_the_queue_grow_beyond_the_autoscalers_target(slots: int) -> None:
    model = model_of(
        "JetStreamPyTorch",
        model="mixtral-8x7b",
        engine={"maxConcurrency": slots},
        replicas=1,
        scaling={"minReplicas": 1, "maxReplicas": 4},
    )
    option, started, _ = launch(model)
    assert started.gateway is not None
    given = dict(zip(started.gateway.args[::2], started.gateway.args[1::2], strict=True))
    (autoscaler,) = Hpa().build(model, queue_metric=JetStreamPyTorch.queue_metric)
    target = int(autoscaler["spec"]["metrics"][0]["pods"]["target"]["averageValue"])
    assert option.max_concurrency == slots
    # Transfer, generate backlog and prefill hold one each; twice the target doubles the replicas at once.
    waiting = int(given["--max-concurrency"]) - slots - 3
    assert waiting >= 2 * target
    # What docs/gateway.md promises; the autoscaler ignores a tenth.
    assert waiting > 1.1 * max(11, 2 * slots)


@pytest.mark.parametrize(("kind", "weights"), [("JetStreamPyTorch", {}), ("JetStreamMaxText", {"weights": BUCKET})])
def test_no_file_of_one_container_is_the_others(kind: str, weights: dict[str, Any]) -> None:
    model = model_of(kind, model="mixtral-8x7b", **weights)
    option, started, _ = launch(model)
    template = build_pod_template(model, option, started, revision="r", claim="c")
    mounts = [{mount["name"] for mount in c.get("volumeMounts", [])} for c in template["spec"]["containers"]]
    assert len(mounts) == 2
    assert not mounts[0] & mounts[1]
    assert mounts[0] | mounts[1] == {volume["name"] for volume in template["spec"]["volumes"]}


def test_maxtext_serves_what_its_job_has_converted() -> None:
    model = model_of("JetStreamMaxText", model="mistral-7b-v0.1", weights=BUCKET)
    option, started, conversion = launch(model)
    assert conversion is not None
    asked = dict(zip(conversion.container.args[::2], conversion.container.args[1::2], strict=True))
    assert asked["--destination"] == "gs://models/converted"
    assert asked["--model-name"] == "mistral-7b"
    given = settings(started.engine.args)
    assert given["load_parameters_path"] == "gs://models/converted/unscanned_ckpt/checkpoints/0/items"
    assert given["tokenizer_path"].endswith("tokenizer.mistral-v1")
    assert float(given["per_device_batch_size"]) * option.devices == option.max_concurrency
    assert int(given["max_target_length"]) == option.context_length


def test_a_checkpoint_that_is_there_needs_no_job() -> None:
    model = model_of("JetStreamMaxText", model="mixtral-8x7b", weights={"gcs": {"uri": "gs://models/mine"}})
    _, started, conversion = launch(model)
    assert conversion is None
    assert settings(started.engine.args)["load_parameters_path"] == "gs://models/mine"


def test_the_largest_mixtral_fits_a_machine_only_in_eight_bit() -> None:
    on_v6e = {"options": [{"accelerator": "v6e"}]}
    asked = model_of("JetStreamMaxText", model="mixtral-8x22b", weights=BUCKET, capacity=on_v6e)
    refused = plan_model(asked, CATALOGUE, CLUSTER, SETTINGS)
    assert isinstance(refused, PlanRefused)
    assert "machineType: ct5p-hightpu-4t" in refused.message
    mine = {"gcs": {"uri": "gs://models/quantised/items"}}
    int8 = {"precision": "INT8"}
    model = model_of("JetStreamMaxText", model="mixtral-8x22b", weights=mine, engine=int8, capacity=on_v6e)
    option, started, conversion = launch(model)
    assert (option.accelerator, option.devices) == ("v6e", 8)
    given = settings(started.engine.args)
    assert (given["quantization"], given["checkpoint_is_quantized"]) == ("int8", "True")
    assert conversion is None


@pytest.mark.parametrize(
    ("spec", "reason", "words"),
    [
        ({"model": "mixtral-8x7b", "engine": {"type": "JetStreamPyTorch"}}, "ImageRequired", "docker build -f docker/"),
        (
            {"model": "mistral-7b-v0.1", "engine": {"type": "JetStreamMaxText", "image": IMAGE}},
            "CheckpointRequired",
            "weights.cache: {mode: Bucket",
        ),
        (
            {
                "model": "mistral-7b-v0.1",
                "engine": {"type": "JetStreamMaxText", "image": IMAGE},
                "weights": {"cache": {"mode": "Bucket", "uri": "gs://models"}},
            },
            "CheckpointRequired",
            "write gs://models/FOLDER",
        ),
        (
            {
                "model": "mixtral-8x22b",
                "engine": {"type": "JetStreamMaxText", "image": IMAGE, "precision": "INT8"},
                "weights": BUCKET,
            },
            "CheckpointRequired",
            "write spec.weights.gcs.uri",
        ),
        (
            {"model": "mistral-7b-v0.3", "engine": {"type": "JetStreamMaxText", "image": IMAGE}},
            "UnsupportedEngine",
            "write VLLM",
        ),
        (
            {
                "model": "mixtral-8x7b",
                "engine": {"type": "JetStreamPyTorch", "image": IMAGE, "contextLength": 8192, "maxConcurrency": 32},
                "capacity": {"options": [{"machineType": "ct5lp-hightpu-8t"}]},
            },
            "NothingFits",
            "spec.engine.maxConcurrency: 13 or less",
        ),
    ],
)
def test_refused_with_what_to_write(spec: dict[str, Any], reason: str, words: str) -> None:
    model = MistralModel.model_validate(make_model(allowExperimental=True, **spec))
    refused = plan_model(model, CATALOGUE, CLUSTER, SETTINGS)
    assert isinstance(refused, PlanRefused), refused
    assert refused.reason == reason
    assert words in refused.message


def test_an_operator_that_was_told_no_gateway_says_how_to_tell_it() -> None:
    model = model_of("JetStreamPyTorch", model="mixtral-8x7b")
    refused = plan_model(model, CATALOGUE, CLUSTER, type(SETTINGS)(operator_version="0.1.0"))
    assert isinstance(refused, PlanRefused)
    assert (refused.reason, "--image gateway=" in refused.message) == ("ImageRequired", True)


def test_jetstream_is_never_chosen_unasked() -> None:
    model = MistralModel.model_validate(make_model(model="mixtral-8x7b", allowExperimental=True))
    assert {option.engine for option in plan(model).options} <= {"vllm-gpu", "vllm-tpu"}


def converting() -> World:
    spec = {"model": "mistral-7b-v0.1", "engine": {"type": "JetStreamMaxText", "image": IMAGE}, "weights": BUCKET}
    world = World(model=make_model(allowExperimental=True, **spec))
    world.step()
    world.provision()
    return world


def the_job(world: World) -> dict[str, Any]:
    return next(child for child in world.children.values() if child["kind"] == "Job")


def test_no_replica_starts_before_the_checkpoint_is_there() -> None:
    world = converting()
    world.start_converter(containerStatuses=[{"name": "convert", "state": {"running": {}}}])
    world.step()
    assert world.deployment["spec"]["replicas"] == 0
    ready = world.condition("Ready")
    assert (ready["status"], ready["reason"]) == ("False", "Converting")
    assert "logs job/chat-convert-" in ready["message"]
    assert world.condition("Reconciling")["status"] == "True"
    the_job(world)["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}
    world.step()
    assert world.deployment["spec"]["replicas"] == 1
    assert the_job(world)


def test_a_conversion_that_failed_stalls_with_what_to_do() -> None:
    world = converting()
    failed = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "Job has reached it"}
    the_job(world)["status"] = {"failed": 3, "conditions": [failed]}
    world.step()
    assert world.condition("Stalled")["reason"] == "ConversionFailed"
    assert "BackoffLimitExceeded" in world.condition("WeightsReady")["message"]
    assert "delete job/" in world.condition("WeightsReady")["message"]


def test_another_spec_is_another_checkpoint() -> None:
    world = converting()
    first = the_job(world)["metadata"]["name"]
    world.change(weights={"cache": {"mode": "Bucket", "uri": "gs://models/elsewhere"}})
    world.step()
    world.step()
    jobs = [name for kind, name in world.children if kind == "Job"]
    assert len(jobs) == 1
    assert jobs != [first]
