"""What `plan` says of one model: the same in every form, and the verdict for exactly what a spec fixes."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from mistral_operator.api.model import MistralModel
from mistral_operator.catalogue.load import load_catalogue
from mistral_operator.cli.main import main
from mistral_operator.cli.output import markdown_table
from mistral_operator.cli.plan_markdown import markdown_plan
from mistral_operator.cli.plan_view import tell_plan
from mistral_operator.cli.plan_words import word_layout, word_replicas
from mistral_operator.cli.profile import DEFAULT, Assumption
from mistral_operator.cli.settings import offline_settings
from mistral_operator.planning.plan import plan_model
from mistral_operator.planning.types import Plan

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples" / "mistral-7b.yaml"
PAGE = ROOT / "docs" / "planning.md"
COMMANDS = [line[2:] for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("$ ")]
HEAD = "apiVersion: serving.mistral-operator.dev/v1alpha1\nkind: MistralModel\nmetadata: {name: chat}\n"
ASSUMPTION = Assumption(DEFAULT, "assumed")


@pytest.fixture(autouse=True)
def _usual_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")


def call(*words: object, text: str | None = None) -> Result:
    return CliRunner().invoke(main, ["plan", *map(str, words)], input=text)


def plan_spec(spec: Mapping[str, Any]) -> Any:
    text = HEAD + yaml.safe_dump({"spec": dict(spec)})
    return json.loads(call("-f", "-", "-o", "json", text=text).output)


def plan_example() -> tuple[MistralModel, Plan]:
    model = MistralModel.model_validate(yaml.safe_load(EXAMPLE.read_text(encoding="utf-8")))
    plan = plan_model(model, load_catalogue(), DEFAULT, offline_settings())
    assert isinstance(plan, Plan), plan
    return model, plan


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_of_the_page_run(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PAGE.parents[1])
    program, *words = command.replace("build/", f"{tmp_path}/").split()
    assert program == "mistral-operator"
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    assert result.output


@pytest.mark.parametrize("form", ["text", "markdown", "json", "yaml"])
def test_every_form_tells_sources_and_what_is_not_sure(form: str) -> None:
    text = " ".join(call("-f", EXAMPLE, "-o", form).output.split())
    assert "initial-prices.json), unverified" in text
    assert "this project has run nothing on one" in text
    assert "Times, speeds and costs are estimates" in text
    assert "compiling takes about 32 s, not 1 min 44 s, where the compiled programs are in a cache" in text
    assert "the device needs 15.5 GiB before any KV cache: weights 13.5 GiB" in text
    assert "mistralai/Mistral-7B-Instruct-v0.3@c170c708c41d" in text


@pytest.mark.parametrize("form", ["text", "markdown"])
def test_people_are_told_speed_with_its_workload_doubt_and_price(form: str) -> None:
    text = " ".join(call("-f", EXAMPLE, "-o", form).output.split())
    assert "228 output tokens/s with 30 requests at once of 1,024 tokens in and 256 out" in text
    assert "within a factor of 2" in text
    assert "$1.04 a million output tokens" in text
    for part in ("weights", "activations", "overhead", "left alone", "KV cache"):
        assert part in text, part


@pytest.mark.parametrize("tell", [tell_plan, markdown_plan])
def test_a_plan_without_a_speed_says_nothing_of_it(tell: Any) -> None:
    model, plan = plan_example()
    silent = replace(plan, options=(replace(plan.chosen, throughput=None),))
    lines = tell(model, silent, ASSUMPTION)
    text = lines if isinstance(lines, str) else "\n".join(lines)
    assert "tokens/s" not in text
    assert "million" not in text
    assert word_replicas(silent.chosen, 5) == "no speed is estimated"


@pytest.mark.parametrize("tell", [tell_plan, markdown_plan])
def test_the_parts_of_the_memory_add_up_with_adapters_too(tell: Any) -> None:
    model, plan = plan_example()
    memory = replace(plan.chosen.memory, extras_bytes=2**30, kv_cache_bytes=plan.chosen.memory.kv_cache_bytes - 2**30)
    lines = tell(model, replace(plan, options=(replace(plan.chosen, memory=memory),)), ASSUMPTION)
    text = lines if isinstance(lines, str) else "\n".join(lines)
    shares = [int(line.split(" %")[0].split()[-1]) for line in text.splitlines() if " GiB" in line and " %" in line]
    assert "adapters and draft" in text
    assert len(shares) == 6
    assert sum(shares) == pytest.approx(100, abs=2)


def test_prices_of_different_sources_are_told_apart() -> None:
    model, plan = plan_example()
    options = (plan.options[0], replace(plan.options[1], price_note="a contract"), *plan.options[2:])
    text = "\n".join(tell_plan(model, replace(plan, options=options), ASSUMPTION))
    assert "Price of 2: a contract." in text
    assert "Price of 1, 3, 4, 5: list price" in text


@pytest.mark.parametrize(
    ("tensor", "pipeline", "data", "expert", "words"),
    [
        (1, 1, 1, False, "on one device"),
        (4, 1, 1, False, "tensor parallel 4"),
        (4, 2, 1, False, "tensor parallel 4, pipeline parallel 2"),
        (8, 1, 1, True, "tensor parallel 8, whole experts on each device"),
        (2, 1, 4, False, "4 copies, each tensor parallel 2"),
        (1, 1, 8, True, "8 copies, each on one device, which share the experts"),
    ],
)
def test_every_layout_has_its_words(tensor: int, pipeline: int, data: int, expert: bool, words: str) -> None:
    _, plan = plan_example()
    assert words == word_layout(
        replace(
            plan.chosen,
            tensor_parallel=tensor,
            pipeline_parallel=pipeline,
            data_parallel=data,
            expert_parallel=expert,
        )
    )


def test_markdown_is_the_same_in_every_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = call("-f", EXAMPLE, "-o", "markdown").output
    monkeypatch.setenv("COLUMNS", "40")
    assert call("-f", EXAMPLE, "-o", "markdown").output == wide


def test_markdown_loses_no_placeholder_and_no_bar() -> None:
    text = call("-f", EXAMPLE, "-o", "markdown").output
    assert "@sha256:&lt;digest>" in text
    assert "<digest>" not in text
    assert markdown_table([["a|b", "<c>"]], ("x", "y"))[2] == r"| a\|b | &lt;c> |"


@pytest.mark.parametrize("form", ["text", "markdown", "json", "yaml"])
def test_a_rate_of_requests_needs_replicas_in_every_form(form: str) -> None:
    text = " ".join(call("-f", EXAMPLE, "--requests-per-s", 5, "-o", form).output.split())
    assert "5 requests a second of 1,024 tokens in and 256 out need 6 replicas by the estimate" in text
    assert "within a factor of 2" in text


def test_the_replicas_stand_with_their_model() -> None:
    models = "---\n".join(f"{HEAD}spec: {{model: {name}}}\n" for name in ("mistral-7b-v0.3", "ministral-3-3b-2512"))
    text = call("-f", "-", "--requests-per-s", 5, text=models).output
    first, second = text.split("Ministral 3 3B")
    assert first.count("need 6 replicas") == 1
    assert second.count("need 2 replicas") == 1


MAXTEXT: Mapping[str, Any] = {
    "model": "mistral-7b-v0.1",
    "engine": {"type": "JetStreamMaxText", "image": "registry.example/maxtext:1"},
    "weights": {"cache": {"mode": "Bucket", "uri": "gs://example-models/mistral"}},
}


@pytest.mark.parametrize(
    ("spec", "engine", "option", "expected"),
    [
        ({}, {"type": "VLLM"}, {"accelerator": "l4"}, {"engine": "vllm-gpu"}),
        ({}, {"type": "VLLM"}, {"accelerator": "v6e"}, {"engine": "vllm-tpu", "accelerator": "v6e"}),
        (MAXTEXT, MAXTEXT["engine"], {"accelerator": "v5e"}, {"engine": "jetstream-maxtext"}),
        ({}, {"precision": "BF16"}, {}, {"precision": "bf16"}),
        ({}, {"precision": "FP8"}, {}, {"precision": "fp8"}),
        ({}, {"kvCachePrecision": "FP8"}, {"accelerator": "l4"}, {"kv_cache_precision": "fp8"}),
        ({}, {"contextLength": 8192}, {}, {"context_length": 8192}),
        ({}, {"maxConcurrency": 16}, {}, {"max_concurrency": 16}),
        ({}, {}, {"accelerator": "a100-80"}, {"accelerator": "a100-80"}),
        ({}, {}, {"devices": 2}, {"devices": 2}),
        ({}, {}, {"machineType": "g2-standard-96"}, {"machine_type": "g2-standard-96", "devices": 8}),
        ({}, {}, {"accelerator": "v5e", "topology": "2x4"}, {"topology": "2x4", "devices": 8}),
        ({}, {}, {"consumption": "Spot"}, {"consumption": "Spot"}),
        ({}, {}, {"zones": ["us-central1-b"]}, {"zones": ["us-central1-b"]}),
        (
            {},
            {"type": "VLLM", "precision": "FP8", "contextLength": 4096, "maxConcurrency": 24},
            {"accelerator": "h100-80", "devices": 2, "consumption": "Spot"},
            {"precision": "fp8", "context_length": 4096, "max_concurrency": 24, "name": "a3-highgpu-2g-spot"},
        ),
    ],
)
def test_the_verdict_is_for_exactly_what_is_fixed(
    spec: Mapping[str, Any], engine: Mapping[str, Any], option: Mapping[str, Any], expected: Mapping[str, Any]
) -> None:
    fixed = {"engine": engine, "capacity": {"options": [option]}}
    answer = plan_spec({"model": "mistral-7b-v0.3", "allowExperimental": True, **spec, **fixed})
    assert answer["accepted"], answer
    for chosen in answer["plan"]["options"]:
        assert {key: chosen[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("engine", "option", "words"),
    [
        ({"type": "JetStreamPyTorch"}, {}, "JetStream PyTorch does not run Mistral Small 3.2 24B; write VLLM"),
        ({"precision": "NVFP4"}, {}, "NVFP4 is not supported for Mistral Small 3.2 24B"),
        ({"precision": "FP8"}, {"accelerator": "v5e"}, "TPU v5e has no FP8; write spec.engine.precision: BF16"),
        ({"kvCachePrecision": "FP8"}, {"accelerator": "a100-80"}, "an FP8 KV cache needs compute capability 8.9"),
        ({"contextLength": 131073}, {}, "was made for at most 131072 tokens"),
        ({"contextLength": 131072}, {"machineType": "g2-standard-48"}, "131,072 tokens"),
        ({}, {"accelerator": "l4", "devices": 1}, "the device needs 48.8 GiB before any KV cache"),
        ({}, {"machineType": "g2-standard-24"}, "each device needs 26.9 GiB before any KV cache"),
        ({}, {"accelerator": "h200-141", "consumption": "OnDemand"}, "is not sold as OnDemand"),
        ({}, {"zones": ["europe-west4-a"]}, "europe-west4-a is no zone of the cluster"),
        ({}, {"accelerator": "v5e", "topology": "9x9"}, "has no 9x9; write one of"),
    ],
)
def test_the_refusal_is_of_exactly_what_is_fixed(
    engine: Mapping[str, Any], option: Mapping[str, Any], words: str
) -> None:
    fixed = {"engine": engine, "capacity": {"options": [option]}}
    answer = plan_spec({"model": "mistral-small-3.2-24b-2506", "allowExperimental": True, **fixed})
    assert not answer["accepted"]
    assert words in answer["message"]


@pytest.mark.parametrize("words", [(), ("--all", "-f", EXAMPLE), ("-f", EXAMPLE, "--hf-config", EXAMPLE)])
def test_one_thing_is_planned_at_a_time(words: tuple[object, ...]) -> None:
    result = call(*words)
    assert result.exit_code == 2
    assert "one of --file, --hf-config and --all" in result.output


@pytest.mark.parametrize(
    "words",
    [
        ("--accelerator", "l4"),
        ("--devices", 2),
        ("--consumption", "Spot"),
        ("--optimize-for", "Latency"),
        ("--allow-experimental",),
    ],
)
def test_what_is_about_all_models_is_not_passed_over(words: tuple[object, ...]) -> None:
    result = call("-f", EXAMPLE, *words)
    assert result.exit_code == 2
    assert f"{words[0]} is for --all" in result.output


def test_a_rate_is_not_passed_over_beside_variations() -> None:
    result = call("-f", EXAMPLE, "--what-if", "devices=2", "--requests-per-s", 5)
    assert result.exit_code == 2
    assert "leave out --what-if" in result.output
