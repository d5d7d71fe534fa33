"""Commands without a cluster take the directory that extends the operator's catalogue, and say what is wrong in it."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from tests.support.mounted_config_map import BROKEN, EXAMPLE_FILES, OWN_MODEL, OWN_PRICE, mount

from mistral_operator.cli.documents import read_models
from mistral_operator.cli.inputs import Inputs, inputs_to_dict, to_yaml
from mistral_operator.cli.main import main
from mistral_operator.cli.profile import DEFAULT
from mistral_operator.cli.render import offline_inputs

NOTE = "from the operator's settings (us-central1, 2026-11-01, our contract with Google)"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """The example, mounted."""
    mount(tmp_path / "catalogue", EXAMPLE_FILES)
    return tmp_path / "catalogue"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A file that asks for the example's model."""
    head = {"apiVersion": "serving.mistral-operator.dev/v1alpha1", "kind": "MistralModel"}
    file = tmp_path / "model.yaml"
    file.write_text(yaml.safe_dump({**head, "metadata": {"name": "support"}, "spec": {"model": OWN_MODEL}}))
    return file


def call(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


def test_plan_knows_the_model_and_its_price(directory: Path, model: Path) -> None:
    unknown = call("plan", "-f", model)
    assert unknown.exit_code == 1
    assert "UnknownModel" in unknown.output
    planned = call("plan", "-f", model, "-o", "json", "--catalogue-directory", directory)
    assert planned.exit_code == 0, planned.output
    chosen = json.loads(planned.output)["plan"]["options"][0]
    assert (chosen["hourly_cost"], chosen["price_note"]) == (OWN_PRICE, NOTE)
    assert OWN_MODEL in call("plan", "--all", "--catalogue-directory", directory).output


@pytest.mark.parametrize("form", ["text", "markdown", "yaml"])
def test_every_form_of_a_plan_says_whose_price_it_is(directory: Path, model: Path, form: str) -> None:
    planned = call("plan", "-f", model, "-o", form, "--catalogue-directory", directory)
    assert NOTE in " ".join(planned.output.split())


def test_render_knows_the_model(directory: Path, model: Path) -> None:
    assert "UnknownModel" in call("render", "-f", model).output
    rendered = call("render", "-f", model, "--with-status", "--catalogue-directory", directory)
    assert rendered.exit_code == 0, rendered.output
    assert "acme/support-7b" in rendered.output
    assert f"priceNote: {NOTE}" in rendered.output


def test_render_of_recorded_inputs_knows_the_model(directory: Path, model: Path, tmp_path: Path) -> None:
    inputs: Inputs = offline_inputs(read_models(model)[0], DEFAULT)
    file = tmp_path / "inputs.yaml"
    file.write_text(to_yaml(inputs_to_dict(inputs)))
    assert "acme/support-7b" not in call("render", "--inputs", file).output
    rendered = call("render", "--inputs", file, "--with-status", "--catalogue-directory", directory)
    assert "acme/support-7b" in rendered.output
    assert f"priceNote: {NOTE}" in rendered.output


def list_machines(*args: object) -> dict[str, dict[str, Any]]:
    rows = json.loads(call("catalogue", "accelerators", "-o", "json", *args).output)
    return {row["machine type"]: row for row in rows if row["hosts"] == 1}


def test_catalogue_lists_what_is_added_and_says_whose_prices_they_are(directory: Path) -> None:
    assert OWN_MODEL in call("catalogue", "models", "--catalogue-directory", directory).output
    listed = list_machines()
    assert all(row["prices from"].endswith(", unverified") for row in listed.values() if row["$ an hour a machine"])
    own = list_machines("--catalogue-directory", directory)
    assert own["g2-standard-8"]["$ an hour a machine"] == [f"OnDemand {OWN_PRICE}", "Spot 0.30"]
    assert own["g2-standard-8"]["prices from"] == NOTE
    assert own["g2-standard-12"] == listed["g2-standard-12"]


def test_the_table_of_accelerators_says_that_list_prices_are_unverified() -> None:
    text = " ".join(call("catalogue", "accelerators").output.split())
    assert "l4: list price of us-central1 on" in text
    assert ", unverified" in text


@pytest.mark.parametrize("command", ["plan", "render", "catalogue"])
def test_a_fault_is_told_with_file_and_field(tmp_path: Path, model: Path, command: str) -> None:
    mount(tmp_path / "catalogue", BROKEN)
    rest = ("models",) if command == "catalogue" else ("-f", model)
    answer = call(command, *rest, "--catalogue-directory", tmp_path / "catalogue")
    assert answer.exit_code == 1
    assert answer.output == f"Error: {tmp_path / 'catalogue'}: model.broken.yaml: context is missing\n"


def test_a_directory_that_is_not_there_is_told(tmp_path: Path) -> None:
    answer = call("catalogue", "models", "--catalogue-directory", tmp_path / "absent")
    assert answer.exit_code == 1
    assert f"{tmp_path / 'absent'} is no directory" in answer.output
