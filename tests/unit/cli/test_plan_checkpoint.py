"""`plan --hf-config`: a checkpoint that the catalogue doesn't know, by its own configuration."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from mistral_operator.cli.checkpoint import MOST_BYTES
from mistral_operator.cli.main import main

CONFIG: Mapping[str, Any] = {
    "model_type": "mistral", "num_hidden_layers": 40, "hidden_size": 5120, "intermediate_size": 32768,
    "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 131072,
    "max_position_embeddings": 131072,
}  # fmt: skip
LATENT = CONFIG | {
    "q_lora_rank": 1024, "kv_lora_rank": 256, "qk_nope_head_dim": 64, "qk_rope_head_dim": 64, "v_head_dim": 128,
}  # fmt: skip
VISION = {"num_hidden_layers": 24, "hidden_size": 1024, "intermediate_size": 4096}
HEAD = "apiVersion: serving.mistral-operator.dev/v1alpha1\nkind: MistralModel\nmetadata: {name: chat}\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path, CONFIG)


def write(folder: Path, content: object) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(content))
    return path


def call(*words: object, text: str | None = None) -> Result:
    return CliRunner().invoke(main, ["plan", *map(str, words)], input=text)


def as_json(*words: object, text: str | None = None) -> Any:
    result = call(*words, "-o", "json", text=text)
    assert result.exit_code in (0, 1), result.output
    return json.loads(result.output)


def test_a_checkpoint_is_planned_like_the_model_that_it_is(file: Path) -> None:
    plan = as_json("--hf-config", file)["plan"]
    spec = f"{HEAD}spec: {{model: mistral-small-3-24b-2501, allowExperimental: true}}"
    known = as_json("-f", "-", text=spec)["plan"]
    same = ("memory", "throughput", "startup", "machine_type", "hourly_cost", "kv_cache_tokens")
    assert [plan["options"][0][key] for key in same] == [known["options"][0][key] for key in same]
    assert {option["tier"] for option in plan["options"]} == {"experimental"}


@pytest.mark.parametrize("form", ["text", "json", "yaml", "markdown"])
def test_every_form_says_what_was_not_judged(file: Path, form: str) -> None:
    text = " ".join(call("--hf-config", file, "-o", form).output.split())
    assert "neither its license nor whether an engine runs it was judged" in text
    assert "license not judged" in text
    assert "whether an engine has code for it was not judged" in text
    assert "vLLM has code" not in text
    assert "main branch" not in text


def test_what_is_only_estimated_of_it_is_said(tmp_path: Path) -> None:
    silent = {key: value for key, value in CONFIG.items() if key != "max_position_embeddings"}
    content = {"text_config": silent, "vision_config": VISION, "quantization_config": {"quant_method": "fp8"}}
    notes = " ".join(as_json("--hf-config", write(tmp_path, content))["plan"]["notes"])
    assert "the size of the image or audio encoder is estimated from its dimensions" in notes
    assert "FP8 is taken for all linear layers of the text part" in notes
    assert "names no longest context; up to 32,768 tokens are planned" in notes


def test_it_has_the_name_that_it_is_given(file: Path) -> None:
    plan = as_json("--hf-config", file, "--model-name", "acme/Mine-24B")["plan"]
    assert (plan["display_name"], plan["served_name"]) == ("acme/Mine-24B", "acme/Mine-24B")
    assert as_json("--hf-config", file)["plan"]["display_name"] == "checkpoint"


@pytest.mark.parametrize("name", ["mistral-7b-v0.3", "mistralai/Mistral-7B-Instruct-v0.3", "mistral-large-4-1t"])
def test_a_name_of_the_catalogue_lends_it_nothing(file: Path, name: str) -> None:
    plan = as_json("--hf-config", file, "--model-name", name)["plan"]
    assert plan["options"][0]["tier"] == "experimental"
    assert plan["license_id"] == "not judged"
    assert int(plan["weights_bytes"]) > 40 * 2**30


def test_what_no_model_can_do_a_checkpoint_can_not_either(tmp_path: Path) -> None:
    change = "accelerator=v6e,devices=8"
    document = as_json("--hf-config", write(tmp_path, LATENT), "--what-if", change)
    refused = next(item for item in document["variations"] if item["change"] == change)
    assert "upstream's CI skips latent attention on this chip on purpose" in refused["message"]


def test_hardware_is_fixed_by_a_variation_and_the_page_is_written(file: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    change = "accelerator=h100-80,devices=2,consumption=Spot"
    document = as_json("--hf-config", file, "--what-if", change, "--html", page)
    option = next(item for item in document["variations"] if item["change"] == change)["option"]
    assert (option["accelerator"], option["devices"], option["tier"]) == ("h100-80", 2, "experimental")
    assert "checkpoint" in page.read_text(encoding="utf-8")


def test_what_is_wrong_with_a_configuration_is_named(tmp_path: Path) -> None:
    result = call("--hf-config", write(tmp_path, CONFIG | {"hidden_size": "x"}))
    assert result.exit_code == 1
    assert "config.json: hidden_size is 'x'; expected a whole number" in result.output


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "can't read"),
        (b"\xff\xfe", "can't read"),
        (b"[" * 200_000, "can't read"),
        (b'{"dim": ' + b"9" * 5000 + b"}", "can't read"),
        (b'{"dim": NaN}', "hidden_dim is missing"),
        (b"[]", "it is no mapping of keys"),
        (b" " * (MOST_BYTES + 1), "has more than 1,048,576 bytes"),
    ],
)
def test_a_file_that_is_no_configuration_is_an_error(tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "config.json"
    file.write_bytes(content)
    result = call("--hf-config", file)
    assert result.exit_code == 1
    assert words in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize("path", ["missing.json", "."])
def test_a_file_that_is_not_there_is_an_error(tmp_path: Path, path: str) -> None:
    result = call("--hf-config", tmp_path / path)
    assert result.exit_code == 1
    assert "can't read" in result.output


def test_a_name_that_can_not_be_one_is_an_error(file: Path) -> None:
    result = call("--hf-config", file, "--model-name", "a b")
    assert result.exit_code == 2
    assert '--model-name: "a b" is malformed' in result.output
    assert call("--hf-config", file, "--model-name", "").exit_code == 2


def test_a_name_without_a_checkpoint_is_not_passed_over(file: Path) -> None:
    result = call("-f", file, "--model-name", "mine")
    assert result.exit_code == 2
    assert "--model-name is for --hf-config" in result.output
