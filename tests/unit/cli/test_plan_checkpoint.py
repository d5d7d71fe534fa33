"""`plan --hf-config`: a checkpoint that the catalogue doesn't know, by its own configuration."""

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from mistral_operator.cli.main import main

CONFIG = {
    "num_hidden_layers": 40, "hidden_size": 5120, "intermediate_size": 32768, "num_attention_heads": 32,
    "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 131072, "max_position_embeddings": 131072,
}  # fmt: skip
HEAD = "apiVersion: serving.mistral-operator.dev/v1alpha1\nkind: MistralModel\nmetadata: {name: chat}\n"


def call(*words: object, text: str | None = None) -> Result:
    return CliRunner().invoke(main, ["plan", *map(str, words)], input=text)


def as_json(*words: object, text: str | None = None) -> Any:
    result = call(*words, "-o", "json", text=text)
    assert result.exit_code in (0, 1), result.output
    return json.loads(result.output)


def test_a_checkpoint_is_planned_by_its_own_configuration(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(CONFIG))
    plan = as_json("--hf-config", file)["plan"]
    spec = f"{HEAD}spec: {{model: mistral-small-3-24b-2501, allowExperimental: true}}"
    known = as_json("-f", "-", text=spec)["plan"]
    assert plan["options"][0]["memory"] == known["options"][0]["memory"]
    assert plan["options"][0]["tier"] == "experimental"


def test_what_is_wrong_with_a_configuration_is_named(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(CONFIG | {"hidden_size": "x"}))
    result = call("--hf-config", file)
    assert result.exit_code == 1
    assert "hidden_size is x" in result.output
