"""`plan --all`: every model of the catalogue once, the best first, on the hardware that was given."""

import json
from itertools import pairwise
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from mistral_operator.api.model import OptimizeFor
from mistral_operator.catalogue.load import load_catalogue
from mistral_operator.cli.main import main
from mistral_operator.planning.order import option_key
from mistral_operator.planning.serialize import option_from_dict

KNOWN = load_catalogue()
EVERY_MODEL = sorted([*KNOWN.models, *KNOWN.unserved])


@pytest.fixture(autouse=True)
def _usual_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")


def call(*words: object) -> Result:
    return CliRunner().invoke(main, ["plan", "--all", *map(str, words)])


def rank(*words: object) -> list[Any]:
    result = call(*words, "-o", "json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.output)
    assert "estimates" in document["note"]
    return list(document["models"])


@pytest.mark.parametrize("wish", [wish.value for wish in OptimizeFor])
def test_every_model_is_ranked_once_in_the_order_of_the_wish(wish: str) -> None:
    rows = rank("--allow-experimental", "--optimize-for", wish)
    assert sorted(row["model"] for row in rows) == EVERY_MODEL
    accepted = [row for row in rows if row["accepted"]]
    assert rows[: len(accepted)] == accepted
    keys = [option_key(OptimizeFor(wish), option_from_dict(row["option"]))[:-1] for row in accepted]
    assert keys == sorted(keys)
    ties = [
        (a["model"], b["model"]) for (a, b), (x, y) in zip(pairwise(accepted), pairwise(keys), strict=True) if x == y
    ]
    assert ties
    assert all(first < second for first, second in ties)


def test_another_wish_is_another_order() -> None:
    by_cost, by_latency = ([row["model"] for row in rank("--optimize-for", by)] for by in ("Cost", "Latency"))
    assert by_cost != by_latency


def test_it_keeps_to_the_given_hardware() -> None:
    rows = rank("--accelerator", "l4", "--devices", 4, "--consumption", "Spot", "--allow-experimental")
    options = [row["option"] for row in rows if row["accepted"]]
    assert options
    assert {(item["accelerator"], item["devices"], item["consumption"]) for item in options} == {("l4", 4, "Spot")}
    assert all(row["reason"] and row["message"] for row in rows if not row["accepted"])


def test_the_best_of_several_accelerators_is_taken_whatever_their_order() -> None:
    first, second = (
        rank("--accelerator", one, "--accelerator", other) for one, other in (("l4", "a100-80"), ("a100-80", "l4"))
    )
    assert [row.get("option") for row in first] == [row.get("option") for row in second]
    assert {row["option"]["accelerator"] for row in first if row["accepted"]} == {"l4", "a100-80"}
    alone = {row["model"]: row for row in rank("--accelerator", "l4")}
    cheap = next(row for row in first if row["model"] == "mistral-7b-v0.3")
    assert cheap["option"] == alone["mistral-7b-v0.3"]["option"]


def test_a_license_counts_as_accepted_and_is_told() -> None:
    row = next(row for row in rank("--accelerator", "l4") if row["model"] == "codestral-22b-v0.1")
    assert row["accepted"]
    assert row["licenseNeedsAcceptance"]
    text = " ".join(call("--accelerator", "l4").output.split())
    assert "License mistral-non-production-license counts as accepted here: codestral-22b-v0.1." in text


@pytest.mark.parametrize("form", ["text", "json", "yaml", "markdown"])
def test_every_form_names_every_model_and_says_what_is_not_sure(form: str) -> None:
    text = call("-o", form).output
    assert all(name in text for name in EVERY_MODEL)
    assert "estimate" in text
    assert "unverified" in text
    if form == "yaml":
        assert len(yaml.safe_load(text)["models"]) == len(EVERY_MODEL)


@pytest.mark.parametrize("form", ["text", "markdown"])
def test_refusals_are_told_with_their_arithmetic_below_the_table(form: str) -> None:
    text = " ".join(call("--accelerator", "l4", "-o", form).output.split())
    table, _, refused = text.partition("Refused")
    assert "mistral-large-3-675b-2512" not in table
    assert "before any KV cache: weights" in refused
    assert "makes speech" in refused


def test_the_speeds_are_stated_for_a_workload_and_with_their_doubt() -> None:
    text = " ".join(call("--accelerator", "v6e", "--accelerator", "l4", "--allow-experimental").output.split())
    assert "estimated for 1,024 tokens in and 256 out with as many requests at once as have room" in text
    assert "within a factor of 2 to 3" in text


def test_nothing_left_is_no_error() -> None:
    result = call("--accelerator", "h200-141")
    assert result.exit_code == 0
    assert result.output.startswith("Refused")
    assert "not sold as OnDemand" in result.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--accelerator", "l5"), "l5 is not in the catalogue; write l4"),
        (("--accelerator", "L 4"), "is malformed; write l4, for instance"),
        (("--accelerator", "t4"), "the operator makes no machines with NVIDIA T4"),
        (("--accelerator", "l4", "--devices", 3), "no machine has 3 × l4; write one of 1, 2, 4, 8"),
        (("--devices", 7), "no machine has 7 accelerators"),
    ],
)
def test_hardware_that_is_not_there_is_said_once(words: tuple[object, ...], message: str) -> None:
    result = call(*words)
    assert result.exit_code == 2
    assert result.output.count(message) == 1
    assert "spec.capacity" not in result.output


@pytest.mark.parametrize("words", [("--what-if", "devices=2"), ("--html", "x.html"), ("--requests-per-s", 5)])
def test_what_is_about_one_plan_is_not_passed_over(words: tuple[object, ...]) -> None:
    result = call(*words)
    assert result.exit_code == 2
    assert f"{words[0]} is about one plan" in result.output
