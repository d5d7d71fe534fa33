"""`plan` beyond one file: every model ranked, one thing changed, a checkpoint's configuration, a rate of requests."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from mistral_operator.catalogue.load import load_catalogue
from mistral_operator.cli.main import main

EXAMPLE = Path(__file__).parents[3] / "examples" / "mistral-7b.yaml"
CONFIG = {
    "num_hidden_layers": 40, "hidden_size": 5120, "intermediate_size": 32768, "num_attention_heads": 32,
    "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 131072, "max_position_embeddings": 131072,
}  # fmt: skip


PAGE = Path(__file__).parents[3] / "docs" / "planning.md"
COMMANDS = [line[2:] for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("$ ")]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_of_the_page_run(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PAGE.parents[1])
    program, *words = command.replace("build/", f"{tmp_path}/").split()
    assert program == "mistral-operator"
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    assert result.output


def call(*words: object) -> Result:
    return CliRunner().invoke(main, ["plan", *map(str, words)])


def as_json(*words: object) -> Any:
    result = call(*words, "-o", "json")
    assert result.exit_code in (0, 1), result.output
    return json.loads(result.output)


def test_all_ranks_every_model_once() -> None:
    rows = as_json("--all", "--allow-experimental")
    assert sorted(row["model"] for row in rows) == sorted(load_catalogue().models)
    accepted = [row["accepted"] for row in rows]
    assert accepted == sorted(accepted, reverse=True)
    prices = [float(row["$/h"]) for row in rows if row["accepted"] and row["$/h"]]
    assert prices == sorted(prices)


def test_all_keeps_to_the_given_hardware() -> None:
    rows = as_json("--all", "--accelerator", "l4", "--devices", 4, "--allow-experimental")
    assert {row["hardware"] for row in rows if row["accepted"]} == {"4 × l4 (nvidia-l4, g2-standard-48, on demand)"}
    assert all(row["message"] for row in rows if not row["accepted"])


def test_all_by_latency_is_another_order() -> None:
    by_cost, by_latency = (
        [row["model"] for row in as_json("--all", "--optimize-for", by)] for by in ("Cost", "Latency")
    )
    assert by_cost != by_latency
    assert sorted(by_cost) == sorted(by_latency)


@pytest.mark.parametrize("output", ["text", "json", "yaml", "markdown"])
def test_every_form_names_every_model(output: str) -> None:
    text = call("--all", "-o", output).output
    assert all(name in text for name in load_catalogue().models)
    if output == "yaml":
        assert len(yaml.safe_load(text)) == len(load_catalogue().models)


def test_what_if_puts_the_plans_beside_each_other() -> None:
    change, refused = "accelerator=h100-80,consumption=Spot", "accelerator=t4"
    rows = {row[""]: row for row in as_json("-f", EXAMPLE, "--what-if", change, "--what-if", refused)}
    assert "l4" in rows["hardware"]["as asked"]
    assert "h100-80" in rows["hardware"][change]
    assert rows["refused"][refused] == "UnsupportedAccelerator"
    text = call("-f", EXAMPLE, "--what-if", refused).output
    assert "the operator makes no machines with NVIDIA T4" in text


@pytest.mark.parametrize(
    ("change", "figure", "words"),
    [
        ("precision=FP8", "engine", "vllm-gpu fp8"),
        ("context=4096", "context", "4,096 of 32,768"),
        ("concurrency=8", "sequences at once", "8"),
        ("machineType=g2-standard-24", "hardware", "2 × l4"),
        ("accelerator=l4,devices=4", "hardware", "4 × l4"),
        ("optimizeFor=Latency", "support", "documented"),
        ("model=mixtral-8x7b", "hardware", "2 × a100-80"),
    ],
)
def test_each_choice_can_be_fixed(change: str, figure: str, words: str) -> None:
    rows = {row[""]: row for row in as_json("-f", EXAMPLE, "--what-if", change)}
    assert words in rows[figure][change]


@pytest.mark.parametrize("change", ["color=blue", "accelerator", "precision=FP9", "devices=-1"])
def test_a_change_that_says_nothing_is_an_error(change: str) -> None:
    result = call("-f", EXAMPLE, "--what-if", change)
    assert result.exit_code == 2
    assert "--what-if" in result.output


def test_a_checkpoint_is_planned_by_its_own_configuration(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(CONFIG))
    plan = as_json("--hf-config", file)["plan"]
    known = as_json("-f", _write(tmp_path, {"model": "mistral-small-3-24b-2501", "allowExperimental": True}))["plan"]
    assert plan["options"][0]["memory"] == known["options"][0]["memory"]
    assert plan["options"][0]["tier"] == "experimental"
    file.write_text(json.dumps(CONFIG | {"hidden_size": "x"}))
    result = call("--hf-config", file)
    assert result.exit_code == 1
    assert "hidden_size is x" in result.output


@pytest.mark.parametrize(
    ("engine", "option"),
    [
        (
            {"type": "VLLM", "precision": "FP8", "contextLength": 8192},
            {"accelerator": "h100-80", "consumption": "Spot"},
        ),
        ({"type": "VLLM", "precision": "BF16"}, {"accelerator": "v6e", "devices": 4}),
        ({"type": "VLLM", "kvCachePrecision": "FP8", "maxConcurrency": 16}, {"machineType": "g2-standard-24"}),
    ],
)
def test_a_plan_gives_the_verdict_for_exactly_what_is_fixed(
    tmp_path: Path, engine: dict[str, Any], option: dict[str, Any]
) -> None:
    spec = {"model": "mistral-7b-v0.3", "allowExperimental": True, "engine": engine, "capacity": {"options": [option]}}
    answer = as_json("-f", _write(tmp_path, spec))
    assert answer["accepted"], answer
    for chosen in answer["plan"]["options"]:
        assert chosen["precision"].upper() == engine.get("precision", "BF16")
        assert chosen["kv_cache_precision"].upper() == engine.get("kvCachePrecision", "BF16")
        assert chosen["context_length"] == engine.get("contextLength", chosen["context_length"])
        assert chosen["max_concurrency"] == engine.get("maxConcurrency", chosen["max_concurrency"])
        assert chosen["accelerator"] == option.get("accelerator", chosen["accelerator"])
        assert chosen["machine_type"] == option.get("machineType", chosen["machine_type"])
        assert chosen["devices"] == option.get("devices", chosen["devices"])


def test_a_rate_of_requests_needs_replicas() -> None:
    text = call("-f", EXAMPLE, "--requests-per-s", 5).output
    assert "5 requests a second of 1,024 tokens in and 256 out need 6 replicas by the estimate" in text


@pytest.mark.parametrize("words", [(), ("--all", "-f", EXAMPLE), ("-f", EXAMPLE, "--hf-config", EXAMPLE)])
def test_one_thing_is_planned_at_a_time(words: tuple[object, ...]) -> None:
    result = call(*words)
    assert result.exit_code == 2
    assert "one of --file, --hf-config and --all" in result.output


def _write(folder: Path, spec: dict[str, Any]) -> Path:
    file = folder / "model.yaml"
    head = {"apiVersion": "serving.mistral-operator.dev/v1alpha1", "kind": "MistralModel", "metadata": {"name": "chat"}}
    file.write_text(yaml.safe_dump(head | {"spec": spec}))
    return file
