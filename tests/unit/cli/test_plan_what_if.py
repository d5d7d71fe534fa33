"""`plan --what-if`: the plan as asked beside the same model with something else fixed."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from mistral_operator.cli.main import main

EXAMPLES = Path(__file__).parents[3] / "examples"
EXAMPLE = EXAMPLES / "mistral-7b.yaml"
AS_ASKED = "as asked"
HEAD = "apiVersion: serving.mistral-operator.dev/v1alpha1\nkind: MistralModel\nmetadata: {name: chat}\n"


@pytest.fixture(autouse=True)
def _usual_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")


def call(*words: object, text: str | None = None) -> Result:
    return CliRunner().invoke(main, ["plan", *map(str, words)], input=text)


def compare(*changes: str, spec: str = "{model: mistral-7b-v0.3}") -> dict[str, Any]:
    words = [word for change in changes for word in ("--what-if", change)]
    result = call("-f", "-", *words, "-o", "json", text=f"{HEAD}spec: {spec}")
    assert result.exit_code in (0, 1), result.output
    document = json.loads(result.output)
    assert "estimates" in document["note"]
    return {item["change"]: item for item in document["variations"]}


@pytest.mark.parametrize(
    ("change", "field", "value"),
    [
        ("engine=VLLM", "engine", "vllm-gpu"),
        ("precision=FP8", "precision", "fp8"),
        ("kvCachePrecision=FP8,accelerator=h100-80,consumption=Spot", "kv_cache_precision", "fp8"),
        ("context=4096", "context_length", 4096),
        ("concurrency=8", "max_concurrency", 8),
        ("accelerator=a100-80", "accelerator", "a100-80"),
        ("accelerator=l4,devices=4", "devices", 4),
        ("machineType=g2-standard-24", "machine_type", "g2-standard-24"),
        ("consumption=Spot", "consumption", "Spot"),
        ("consumption=FlexStart", "max_run_s", 604_800),
        ("optimizeFor=Latency", "devices", 8),
        ("model=ministral-3-3b-2512", "precision", "fp8"),
    ],
)
def test_each_choice_can_be_fixed(change: str, field: str, value: object) -> None:
    items = compare(change)
    assert items[change]["option"][field] == value
    assert list(items) == [AS_ASKED, change]


def test_a_reservation_can_be_tried_and_left() -> None:
    asked = "{model: mistral-7b-v0.3, capacity: {options: [{accelerator: l4, zones: [us-central1-a]}]}}"
    change = "consumption=Reservation,reservation=team-gpus"
    assert compare(change, spec=asked)[change]["option"]["reservation"] == "team-gpus"
    reserved = asked.replace("accelerator: l4", "accelerator: l4, consumption: Reservation, reservation: team-gpus")
    items = compare("consumption=Spot", spec=reserved)
    assert [item["option"]["reservation"] for item in items.values()] == ["team-gpus", ""]


def test_a_topology_can_be_fixed() -> None:
    change = "accelerator=v5e,topology=2x2"
    option = compare(change, spec="{model: mistral-7b-v0.3, allowExperimental: true}")[change]["option"]
    assert (option["topology"], option["devices"]) == ("2x2", 4)


PINNED = "{model: mistral-7b-v0.3, capacity: {options: [{accelerator: l4, devices: 4, consumption: Spot}]}}"


@pytest.mark.parametrize(
    ("change", "accelerator", "devices", "consumption"),
    [
        ("consumption=OnDemand", "l4", 4, "OnDemand"),
        ("devices=2", "l4", 2, "Spot"),
        ("machineType=a2-ultragpu-1g", "a100-80", 1, "Spot"),
        ("accelerator=h100-80", "h100-80", 1, "Spot"),
        ("precision=FP8", "l4", 4, "Spot"),
    ],
)
def test_what_is_not_changed_stays_as_asked(change: str, accelerator: str, devices: int, consumption: str) -> None:
    option = compare(change, spec=PINNED)[change]["option"]
    assert (option["accelerator"], option["devices"], option["consumption"]) == (accelerator, devices, consumption)


def test_limits_of_the_spec_hold_for_variations_too() -> None:
    spec = "{model: mistral-7b-v0.3, capacity: {maxHourlyCost: '1.00'}}"
    items = compare("accelerator=a100-80", spec=spec)
    assert items[AS_ASKED]["accepted"]
    assert "more than spec.capacity.maxHourlyCost" in items["accelerator=a100-80"]["message"]


@pytest.mark.parametrize("form", ["text", "json", "yaml", "markdown"])
def test_every_form_has_both_plans_and_the_refusals_arithmetic(form: str) -> None:
    result = call("-f", EXAMPLE, "--what-if", "model=mistral-small-3.2-24b-2506,machineType=g2-standard-8", "-o", form)
    text = " ".join(result.output.split())
    assert "g2-standard-8" in text
    assert "16384" in text.replace(",", "")
    assert "NothingFits" in text
    assert "the device needs 48.8 GiB before any KV cache: weights 44.7 GiB" in text
    assert "unverified" in text
    assert "are estimates" in text


def test_the_figures_stand_side_by_side() -> None:
    text = call("-f", EXAMPLE, "--what-if", "precision=FP8").output
    lines = {line[:20].strip(): line[20:].split("  ") for line in text.splitlines()}
    for figure in ("hardware", "machine", "$/hour", "output tokens/s", "to first token", "between tokens", "support"):
        assert len([cell for cell in lines[figure] if cell.strip()]) == 2, figure


@pytest.mark.parametrize("columns", ["80", "100"])
def test_columns_that_do_not_fit_stand_below_with_the_plan_as_asked_again(
    monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    changes = ["devices=2", "devices=4", "precision=FP8", "consumption=Spot"]
    text = call("-f", EXAMPLE, *[word for change in changes for word in ("--what-if", change)]).output
    assert max(len(line) for line in text.splitlines() if "/" not in line) <= int(columns)
    assert text.count(AS_ASKED) > 1
    assert all(text.count(change) == 1 for change in changes)


def test_several_models_are_several_documents() -> None:
    models = "---\n".join(f"{HEAD}spec: {{model: {name}}}\n" for name in ("mistral-7b-v0.3", "ministral-3-3b-2512"))
    as_json = json.loads(call("-f", "-", "--what-if", "devices=2", "-o", "json", text=models).output)
    as_yaml = list(yaml.safe_load_all(call("-f", "-", "--what-if", "devices=2", "-o", "yaml", text=models).output))
    assert as_json == as_yaml
    assert [len(document["variations"]) for document in as_json] == [2, 2]


def test_it_exits_with_1_only_where_the_plan_as_asked_is_refused() -> None:
    assert call("-f", EXAMPLE, "--what-if", "accelerator=t4").exit_code == 0
    refused = f"{HEAD}spec: {{model: mistral-large-3-675b-2512}}"
    assert call("-f", "-", "--what-if", "consumption=Spot", text=refused).exit_code == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("color=blue", "write some of accelerator=…"),
        ("accelerator", "write some of accelerator=…"),
        ("accelerator=", "write some of accelerator=…"),
        ("", "write some of accelerator=…"),
        ("devices=2,devices=4", "devices is there twice"),
        ("devices=-1", "write a whole number"),
        ("devices=²", "write a whole number"),
        ("context=" + "9" * 5000, "write a whole number"),
        ("precision=FP9", "spec.engine.precision"),
        ("devices=2000", "spec.capacity.options[0].devices"),
        ("topology=2x2", "topology needs the accelerator"),
        ("consumption=Reservation", "needs the reservation's name"),
        ("model=Ä", "spec.model"),
    ],
)
def test_a_change_that_says_nothing_is_an_error_with_what_to_write(change: str, message: str) -> None:
    result = call("-f", EXAMPLE, "--what-if", change)
    assert result.exit_code == 2
    assert "--what-if" in result.output
    assert message in result.output
