"""The offline commands as a user calls them."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from mistral_operator.api.model import MistralModel
from mistral_operator.catalogue.load import load_catalogue
from mistral_operator.cli.catalogue import ANYWHERE, list_support
from mistral_operator.cli.main import COMMANDS, main
from mistral_operator.cli.output import seconds
from mistral_operator.cli.settings import offline_settings
from mistral_operator.planning.plan import plan_model
from mistral_operator.planning.types import Plan

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples" / "mistral-7b.yaml"

HEAD = "apiVersion: serving.mistral-operator.dev/v1alpha1\nkind: MistralModel\nmetadata: {name: chat}\n"

HEAVY = {
    "kopf", "kubernetes", "google", "grpc", "aiohttp", "asyncio",
    "mistral_operator.controller", "mistral_operator.cluster",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _usual_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may have set another one."""
    monkeypatch.setenv("COLUMNS", "100")


def call(*args: str | Path, text: str | None = None) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args], input=text)


def test_plan_tells_hardware_arithmetic_and_price() -> None:
    result = call("plan", "-f", EXAMPLE)
    assert result.exit_code == 0, result.output
    assert "1 × l4 (nvidia-l4, g2-standard-8, on demand)" in result.output
    assert "KV cache" in result.output
    assert "an hour for one replica" in result.output
    assert "assumed; give yours with --cluster-profile" in result.output
    assert "\033[" not in result.output


def test_the_phases_of_the_start_add_up_to_the_whole() -> None:
    startup = json.loads(call("plan", "-f", EXAMPLE, "-o", "json").output)["plan"]["options"][0]["startup"]
    text = " ".join(call("plan", "-f", EXAMPLE).output.split())
    phases = {name: startup[f"{name}_s"] for name in ("node", "image", "weights", "compile", "ready")}
    told = ", ".join(f"{name} {seconds(value)}" for name, value in phases.items())
    assert f"about {seconds(sum(phases.values()))}: {told}" in text


def test_plan_reads_standard_input_and_writes_json() -> None:
    result = call("plan", "-f", "-", "-o", "json", text=HEAD + "spec: {model: mistral-7b-v0.3}")
    answer = json.loads(result.output)
    assert answer["accepted"] is True
    assert answer["plan"]["options"][0]["machine_type"].startswith("g2-")
    assert answer["cluster"]["location"] == "us-central1"


@pytest.mark.parametrize("form", ["yaml", "markdown"])
def test_plan_writes_other_forms(form: str) -> None:
    result = call("plan", "-f", EXAMPLE, "-o", form)
    assert result.exit_code == 0, result.output
    assert yaml.safe_load(result.output)["accepted"] if form == "yaml" else result.output.startswith("### Mistral 7B")


def test_a_refused_plan_exits_with_1_and_shows_the_arithmetic() -> None:
    spec = "spec: {model: mistral-small-3.2-24b-2506, capacity: {options: [{machineType: g2-standard-4}]}}"
    result = call("plan", "-f", "-", text=HEAD + spec)
    assert result.exit_code == 1
    assert result.output.startswith("Refused")
    assert "WeightsExceedMemory" in result.output
    assert "GiB" in result.output


def test_replicas_that_the_options_do_not_divide_are_refused_with_what_to_write() -> None:
    spec = "spec: {model: mistral-7b, capacity: {options: [{}, {replicas: 2}]}}"
    result = call("plan", "-f", "-", "-o", "json", text=HEAD + spec)
    assert result.exit_code == 1
    answer = json.loads(result.output)
    assert answer["reason"] == "FieldConflict"
    assert "options[1].replicas: options[0] takes all the rest before it; leave it out" in answer["message"]


def test_an_unknown_model_gets_the_nearest_names() -> None:
    result = call("plan", "-f", "-", text=HEAD + "spec: {model: mistral-7b-v0.33}")
    assert result.exit_code == 1
    assert "UnknownModel" in result.output
    assert "mistral-7b-v0.3" in result.output


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ("model: mistral-7b, upgradePolicy: Auto", "spec.upgradePolicy: Auto"),
        ("customModel: {base: mistral-7b}", "spec.customModel"),
        ("model: mistral-7b, engine: {adapters: [{name: a, repository: x/y}]}", "spec.engine.adapters"),
        ("model: mistral-7b, engine: {speculative: {method: NGram}}", "spec.engine.speculative"),
        ("model: mistral-7b, weights: {gcs: {uri: 'gs://models/x'}}", "spec.weights.gcs"),
        ("model: mistral-7b, weights: {cache: {mode: Node}}", "spec.weights.cache.mode: Node"),
        ("model: mistral-7b, weights: {cache: {mode: Bucket, uri: 'gs://models/x'}}", "spec.weights.cache"),
    ],
)
def test_what_is_not_built_yet_is_refused_by_name_and_never_planned(spec: str, field: str) -> None:
    result = call("plan", "-f", "-", "-o", "json", text=HEAD + f"spec: {{{spec}}}")
    assert result.exit_code == 1
    answer = json.loads(result.output)
    assert answer["reason"] == "NotYetSupported"
    assert f"{field} is not supported yet" in answer["message"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD + "spec: {model: mistral-7b-v0.3, engin: {}}", "spec.engin: there is no such field; write spec.engine"),
        (HEAD + "spec: {model: mistral-7b-v0.3, replicas: many}", "spec.replicas: must be a whole number"),
        (HEAD.replace("{name: chat}", "chat") + "spec: {}", 'metadata: must hold fields, and "chat" is text'),
        (HEAD + "spec: [a]", 'spec: must hold fields, and ["a"] is a list'),
        (HEAD.replace("chat", "chat.v2") + "spec: {model: mistral-7b-v0.3}", "write lowercase letters, digits and -"),
        (HEAD + "spec: {}", "write exactly one of spec.model"),
        (HEAD.replace("chat", "c" * 41) + "spec: {model: mistral-7b-v0.3}", "metadata.name must be at most 40"),
        (HEAD.replace("name: chat", "") + "spec: {model: mistral-7b-v0.3}", "metadata.name is missing"),
        ("kind: Deployment", "holds no MistralModel"),
        ("a: [", "is not YAML"),
    ],
)
def test_bad_input_is_refused_with_its_path(text: str, message: str) -> None:
    for command in ("plan", "render"):
        result = call(command, "-f", "-", text=text)
        assert result.exit_code == 1
        assert message in " ".join(result.output.split())
        assert "Traceback" not in result.output


def test_a_refusal_fits_an_80_column_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = HEAD.replace("chat", "Chat") + "spec: {engine: {contextLength: 8k, foo: 1}, replicas: many}"
    result = call("plan", "-f", "-", text=text)
    assert result.exit_code == 1
    assert max(map(len, result.output.splitlines())) <= 80


def test_the_readme_shows_what_plan_prints() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = readme.split("Mistral 7B v0.3  demo/chat\n")[1].split("  …")[0]
    assert shown.rstrip() in call("plan", "-f", EXAMPLE, "--zones", "a,b,c").output
    refusal = readme.split("such as\n\n")[1].split("\n\n")[0]
    small = call("plan", "-f", ROOT / "examples" / "mistral-small-24b.yaml").output
    assert " ".join(refusal.split()) in " ".join(small.split())


@pytest.mark.parametrize("columns", ["60", "80", "100"])
@pytest.mark.parametrize("example", ["mistral-small-24b", "mixtral-8x7b", "private-weights"])
def test_a_plan_fits_its_terminal(monkeypatch: pytest.MonkeyPatch, columns: str, example: str) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    text = call("plan", "-f", ROOT / "examples" / f"{example}.yaml").output
    options = text.split("What would do")[1].split("Considered")[0].splitlines()
    assert max(map(len, options)) <= int(columns)
    assert ("start" in options[1]) == (columns == "100")
    assert "$/hour" in options[1]
    if columns != "60":
        assert max(len(line) for line in text.splitlines() if "/" not in line) <= int(columns)


@pytest.mark.parametrize("command", ["plan", "render"])
def test_a_refusal_names_the_cluster_that_was_assumed(command: str) -> None:
    zones = HEAD + "spec: {model: mistral-7b-v0.3, capacity: {options: [{zones: [europe-west4-a]}]}}"
    assumed = " ".join(call(command, "-f", "-", text=zones).output.split())
    assert "europe-west4-a is no zone of the cluster" in assumed
    assert "Cluster: GKE in us-central1 a b c f (assumed; give yours with --cluster-profile, or --location" in assumed
    given = call(command, "-f", "-", "--location", "us-east4", "--zones", "a", text=zones).output
    assert "(from the command line)" in given
    assert "assumed" not in given


def test_a_zone_is_a_location_of_its_own() -> None:
    plan = call("plan", "-f", EXAMPLE, "--location", "us-central1-a", "-o", "json")
    assert json.loads(plan.output)["plan"]["options"][0]["zones"] == ["us-central1-a"]


def test_the_table_says_what_the_operator_does_with_its_order() -> None:
    for form in ("text", "markdown"):
        text = call("plan", "-f", EXAMPLE, "-o", form).output
        assert "What would do, cheapest first" in text
        assert "moves to the next one where there is no capacity" in " ".join(text.split())
        asked = call("plan", "-f", ROOT / "examples/capacity-ladder.yaml", "-o", form).output
        assert "What would do, in the order of spec.capacity.options" in asked


@pytest.mark.parametrize(
    ("wish", "order"),
    [("Cost", "cheapest first"), ("Latency", "fastest first"), ("Availability", "likeliest to be had")],
)
def test_the_table_says_what_it_is_ordered_by(wish: str, order: str, tmp_path: Path) -> None:
    text = HEAD + f"spec: {{model: mistral-7b-v0.3, optimizeFor: {wish}}}"
    for form in ("text", "markdown"):
        assert f"What would do, {order}" in call("plan", "-f", "-", "-o", form, text=text).output
    call("plan", "-f", "-", "--html", tmp_path / "report.html", text=text)
    assert f"What would do, {order}" in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", ["List", "MistralModelList"])
def test_a_list_is_read_item_by_item(kind: str) -> None:
    items = [yaml.safe_load(HEAD + "spec: {model: mistral-7b-v0.3}"), {"kind": "Service"}]
    result = call("plan", "-f", "-", text=yaml.safe_dump({"apiVersion": "v1", "kind": kind, "items": items}))
    assert result.exit_code == 0, result.output
    assert "default/chat" in result.output


def test_render_prints_the_revision_first_then_the_claim() -> None:
    result = call("render", "-f", EXAMPLE)
    assert result.exit_code == 0, result.output
    kinds = [document["kind"] for document in yaml.safe_load_all(result.stdout) if document]
    assert kinds[:2] == ["ControllerRevision", "NodePoolClaim"]
    assert {"Deployment", "Service", "PodDisruptionBudget"} <= set(kinds)


def test_render_says_why_it_renders_nothing() -> None:
    result = call("render", "-f", "-", text=HEAD + "spec: {model: gpt-2}")
    assert result.exit_code == 1
    assert "UnknownModel" in result.output


def test_render_wants_one_kind_of_input() -> None:
    result = call("render")
    assert result.exit_code == 2
    assert "either --file or --inputs" in result.output


@pytest.mark.parametrize("what", ["models", "accelerators", "engines", "support"])
def test_catalogue_lists_the_same_in_every_form(what: str) -> None:
    rows = json.loads(call("catalogue", what, "-o", "json").output)
    assert rows
    assert yaml.safe_load(call("catalogue", what, "-o", "yaml").output) == rows
    text = call("catalogue", what).output
    assert all(str(next(iter(row.values()))) in text for row in rows)


def ask_for(row: dict[str, Any]) -> dict[str, Any]:
    """The spec of just that row of the support matrix."""
    option = {"accelerator": row["accelerator"], "devices": row["devices"]}
    machine = next(
        shape for shape in load_catalogue().accelerators[row["accelerator"]].machines
        if shape.total_devices == row["devices"]
    )  # fmt: skip
    spec = {
        "model": row["model"],
        "license": {"accept": load_catalogue().models[row["model"]].license.id},
        "allowExperimental": row["tier"] == "experimental",
        "capacity": {"options": [option | ({} if "OnDemand" in machine.consumption else {"consumption": "Spot"})]},
    }
    types = {"jetstream-maxtext": "JetStreamMaxText", "jetstream-pytorch": "JetStreamPyTorch"}
    if row["engine"] in types:
        spec |= {"engine": {"type": types[row["engine"]], "image": "registry.example/jetstream:1"}}
    if row["engine"] == "jetstream-maxtext":
        spec |= {"weights": {"cache": {"mode": "Bucket", "uri": "gs://models/converted"}}}
    return spec


def test_the_support_matrix_says_what_the_planner_says() -> None:
    known = load_catalogue()
    rows = json.loads(call("catalogue", "support", "-o", "json").output)
    assert {(row["model"], row["accelerator"]) for row in rows} == {
        (model.id, accelerator.id)
        for model in known.models.values()
        for accelerator in known.accelerators.values()
        if any(known.engines[name].kind == accelerator.kind for name in model.engines)
    }
    for row in (row for row in rows if 0 < row["devices"] <= 1024):
        model = MistralModel.model_validate(yaml.safe_load(HEAD) | {"spec": ask_for(row)})
        answer = plan_model(model, known, ANYWHERE, offline_settings())
        assert isinstance(answer, Plan) == (row["tier"] != "refused"), (row, answer)
        if isinstance(answer, Plan):
            assert (answer.chosen.tier, answer.chosen.engine) == (row["tier"], row["engine"])
    mixtral_on_l4 = next(row for row in rows if (row["model"], row["accelerator"]) == ("mixtral-8x7b", "l4"))
    assert mixtral_on_l4["devices"] == 8


def test_the_support_matrix_refuses_what_fits_nowhere_with_the_arithmetic() -> None:
    known = load_catalogue()
    l4 = known.accelerators["l4"]
    small = replace(l4, machines=tuple(shape for shape in l4.machines if shape.devices <= 4))
    rows = list_support(replace(known, accelerators={"l4": small}))
    row = next(row for row in rows if row["model"] == "mixtral-8x7b")
    assert (row["tier"], row["devices"]) == ("refused", 4)
    assert row["evidence"].startswith("4 × l4 (g2-standard-48, OnDemand), bf16: each device needs ")


def test_nothing_is_verified_before_somebody_has_run_it() -> None:
    rows = json.loads(call("catalogue", "support", "-o", "json").output)
    assert {row["tier"] for row in rows} <= {"documented", "experimental", "refused"}


def test_help_names_every_command_and_each_has_help() -> None:
    text = call("--help").output
    for name in COMMANDS:
        assert f"  {name}" in text
        assert call(name, "--help").exit_code == 0


def test_plan_loads_no_client_and_no_operator() -> None:
    program = (
        "import sys; from mistral_operator.cli.main import main\n"
        f"main(['plan', '-f', {str(EXAMPLE)!r}], standalone_mode=False)\n"
        f"print(sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stderr.strip() == "[]"
