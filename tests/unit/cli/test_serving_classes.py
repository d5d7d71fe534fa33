"""`plan` and `render` with serving classes: from the file of the models, and from others."""

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result
from tests.support.class_cases import BROKEN_FIELDS, BROKEN_RULES, UNKNOWN_FIELDS, serving_class

from mistral_operator.api.names import DEFAULT_CLASS_ANNOTATION
from mistral_operator.cli.main import main

EXAMPLES = Path(__file__).parents[3] / "examples"
MODEL = EXAMPLES / "mistral-7b.yaml"
CLASSES = EXAMPLES / "serving-classes" / "classes.yaml"


def call(*args: str | Path, text: str | None = None) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args], input=text)


def write_class(folder: Path, *, default: bool = True, **spec: object) -> Path:
    made = serving_class(**spec)
    made["metadata"]["annotations"] = {DEFAULT_CLASS_ANNOTATION: str(default).lower()}
    file = folder / f"{made['metadata']['name']}.yaml"
    file.write_text(yaml.safe_dump(made))
    return file


def test_the_plan_is_made_within_the_default_class_of_the_example() -> None:
    result = call("plan", "-f", MODEL, "--serving-class", CLASSES, "-o", "json")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.output)
    assert {option["accelerator"] for option in answer["plan"]["options"]} <= {"l4", "a100-40", "v5e"}
    assert "Note: planned within the limits of MistralServingClass standard." in answer["assumptions"]
    told = "a second disk made of projects/images-of-ours/global/images/vllm-gpu-1, the image cache of"
    assert told in call("plan", "-f", MODEL, "--serving-class", CLASSES).output.replace("\n", " ")


def test_classes_may_stand_in_the_file_of_the_models() -> None:
    text = f"{CLASSES.read_text()}\n---\n{MODEL.read_text()}"
    for form in ("plan", "render"):
        given = call(form, "-f", "-", text=text)
        assert given.exit_code == 0, given.output
    assert "MistralServingClass standard" in call("plan", "-f", "-", text=text).output
    rendered = list(yaml.safe_load_all(call("render", "-f", "-", text=text).stdout))
    (claim,) = [item for item in rendered if item["kind"] == "NodePoolClaim"]
    assert claim["spec"]["resourceLabels"] == {"cost-center": "ai-platform"}
    assert claim["spec"]["imageCache"] == "projects/images-of-ours/global/images/vllm-gpu-1"


def test_render_takes_classes_from_a_file_of_their_own(tmp_path: Path) -> None:
    file = write_class(tmp_path, limits={"zones": ["us-central1-c"]})
    rendered = list(yaml.safe_load_all(call("render", "-f", MODEL, "--serving-class", file).stdout))
    (claim,) = [item for item in rendered if item["kind"] == "NodePoolClaim"]
    assert claim["spec"]["zones"] == ["us-central1-c"]


@pytest.mark.parametrize("form", ["plan", "render"])
def test_what_a_class_does_not_allow_ends_with_its_reason(tmp_path: Path, form: str) -> None:
    file = write_class(tmp_path, allowedNamespaces=["team-*"])
    result = call(form, "-f", MODEL, "--serving-class", file)
    assert result.exit_code == 1
    assert "NamespaceNotAllowed" in result.output
    assert "is not for namespace default, only for team-*" in " ".join(result.output.split())


def test_variations_keep_to_the_class_too(tmp_path: Path) -> None:
    file = write_class(tmp_path, limits={"accelerators": ["l4"]})
    result = call("plan", "-f", MODEL, "--serving-class", file, "--what-if", "accelerator=h100-80", "-o", "json")
    assert result.exit_code == 0, result.output
    assert "AcceleratorNotAllowed" in result.output


BROKEN = BROKEN_RULES | BROKEN_FIELDS | UNKNOWN_FIELDS


@pytest.mark.parametrize(("raw", "words"), BROKEN.values(), ids=BROKEN)
def test_a_class_that_the_api_server_would_refuse_is_refused(tmp_path: Path, raw: object, words: str) -> None:
    file = tmp_path / "class.yaml"
    file.write_text(yaml.safe_dump(raw))
    result = call("plan", "-f", MODEL, "--serving-class", file)
    assert result.exit_code == 1
    assert "MistralServingClass standard is refused" in result.output
    assert words in " ".join(result.output.split())
    assert ("too short" in result.output) == (words == "spec.limits.accelerators")


def test_a_file_without_a_class_and_two_of_one_name_are_refused(tmp_path: Path) -> None:
    assert "holds no MistralServingClass" in call("plan", "-f", MODEL, "--serving-class", MODEL).output
    twice = ("--serving-class", CLASSES, "--serving-class", CLASSES)
    assert "standard is given twice" in call("plan", "-f", MODEL, *twice).output
    nameless = serving_class()
    del nameless["metadata"]["name"]
    file = tmp_path / "class.yaml"
    file.write_text(yaml.safe_dump(nameless))
    assert "metadata.name is missing" in call("plan", "-f", MODEL, "--serving-class", file).output


def test_a_class_is_not_for_a_ranking() -> None:
    result = call("plan", "--all", "--serving-class", CLASSES)
    assert result.exit_code == 2
    assert "--serving-class is about one plan" in result.output
