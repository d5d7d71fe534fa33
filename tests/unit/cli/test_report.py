"""The HTML report as text: escaped, whole, self-contained; what a browser makes of it is in tests/browser."""

from collections.abc import Iterator
from dataclasses import fields, replace
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from mistral_operator.api.model import MistralModel
from mistral_operator.catalogue.load import load_catalogue
from mistral_operator.cli.main import main
from mistral_operator.cli.plan import answer_for
from mistral_operator.cli.profile import DEFAULT, Assumption
from mistral_operator.cli.report.entry import Entry
from mistral_operator.cli.report.page import POLICY, write_report
from mistral_operator.cli.settings import offline_settings
from mistral_operator.planning.types import Plan, PlannedOption, PlanRefused, Refusal

EXAMPLES = Path(__file__).parents[3] / "examples"
ASSUMPTION = Assumption(DEFAULT, "assumed")
EVIL = "<script>alert('1')</script>\"&"


class Reader(HTMLParser):
    """Reads a page; fails where elements are not closed in the order in which they are opened."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return "".join(self.texts)

    def of_class(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for _, attributes in self.elements if name in (attributes.get("class") or "").split()]


def model_of(spec: dict[str, Any]) -> MistralModel:
    head = {"apiVersion": "serving.mistral-operator.dev/v1alpha1", "kind": "MistralModel"}
    return MistralModel.model_validate({**head, "metadata": {"name": "chat", "namespace": "team-a"}, "spec": spec})


def plan_of(spec: dict[str, Any]) -> tuple[MistralModel, Plan]:
    model = model_of(spec)
    answer = answer_for(model, load_catalogue(), ASSUMPTION, offline_settings())
    assert isinstance(answer, Plan), answer
    return model, answer


SMALL, SMALL_PLAN = plan_of({"model": "mistral-small-3.2-24b-2506"})


def read(*entries: Entry) -> Reader:
    return Reader(write_report(entries, ASSUMPTION))


def texts_of(item: Plan | PlannedOption | Refusal) -> Iterator[str]:
    """Names of the fields that hold one text."""
    return (field.name for field in fields(item) if type(getattr(item, field.name)) is str)


def test_no_text_of_a_plan_becomes_markup() -> None:
    option = replace(
        SMALL_PLAN.chosen, **dict.fromkeys(texts_of(SMALL_PLAN.chosen), EVIL), notes=(EVIL,), zones=(EVIL,)
    )
    plan = replace(
        SMALL_PLAN,
        **dict.fromkeys(texts_of(SMALL_PLAN), EVIL),
        options=(option, SMALL_PLAN.options[1]),
        refusals=(Refusal(EVIL, EVIL, EVIL),),
        notes=(EVIL,),
    )
    page = Reader(write_report([Entry(SMALL, plan)], Assumption(DEFAULT, EVIL)))
    assert "script" not in {name for name, _ in page.elements}
    assert page.text.count(EVIL) > 12


def test_no_text_of_a_refusal_becomes_markup() -> None:
    page = read(Entry(SMALL, PlanRefused(EVIL, EVIL, (Refusal(EVIL, EVIL, EVIL),))))
    assert "script" not in {name for name, _ in page.elements}
    assert page.text.count(EVIL) == 5


def test_the_page_needs_nothing_but_itself() -> None:
    page = read(Entry(SMALL, SMALL_PLAN), Entry(SMALL, PlanRefused("NothingFits", "no")))
    links = [value for _, attributes in page.elements for key, value in attributes.items() if key in ("href", "src")]
    assert links == ["data:,", "#model-1", "#model-2"]
    policy = next(i for i, (_, attributes) in enumerate(page.elements) if attributes.get("content") == POLICY)
    assert policy < next(i for i, (name, _) in enumerate(page.elements) if name == "style")
    assert "url(" not in page.text
    assert "@import" not in page.text
    assert ("html", {"lang": "en"}) in page.elements


def test_the_same_plans_make_the_same_page() -> None:
    assert write_report([Entry(SMALL, SMALL_PLAN)], ASSUMPTION) == write_report([Entry(SMALL, SMALL_PLAN)], ASSUMPTION)


def test_the_anchors_are_unique_and_every_reference_finds_its_own() -> None:
    page = read(Entry(SMALL, SMALL_PLAN), Entry(SMALL, SMALL_PLAN))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids)) == 4
    named = {attributes["aria-labelledby"] for _, attributes in page.elements if "aria-labelledby" in attributes}
    assert named <= set(ids)


def test_options_beyond_the_ladder_are_drawn_without_a_number() -> None:
    _, spot = plan_of({"model": SMALL.spec.model, "capacity": {"options": [{"consumption": "Spot"}]}})
    page = read(Entry(SMALL, SMALL_PLAN, (*SMALL_PLAN.options, *spot.options)))
    assert "Cost against latency of all that would do" in page.text
    drawn = {point["data-option"] for point in page.of_class("point")}
    assert drawn == {option.name for option in (*SMALL_PLAN.options, *spot.options)}
    assert len(page.of_class("rung-number")) == len(SMALL_PLAN.options)


def test_what_has_no_price_is_named_and_not_drawn() -> None:
    first, *others = SMALL_PLAN.options
    plan = replace(SMALL_PLAN, options=(first, replace(others[0], name="free-lunch", hourly_cost=None)))
    page = read(Entry(SMALL, plan))
    assert "Not drawn, because price or speed are not known: free-lunch." in page.text
    assert "free-lunch" not in {point["data-option"] for point in page.of_class("point")}
    assert "all that would do" not in page.text


def test_a_plan_without_estimated_speeds_says_so() -> None:
    options = tuple(replace(option, throughput=None) for option in SMALL_PLAN.options)
    page = read(Entry(SMALL, replace(SMALL_PLAN, options=options)))
    assert "there is nothing to compare" in page.text
    assert page.of_class("point") == []
    assert "between tokens" not in page.text


def test_a_single_option_has_a_chart_too() -> None:
    page = read(Entry(SMALL, replace(SMALL_PLAN, options=SMALL_PLAN.options[:1])))
    assert len(page.of_class("point")) == 1
    assert "upright line" in page.text
    assert "dashed line" not in page.text
    assert page.of_class("frontier") == []


def test_the_doubt_is_the_widest_and_the_narrowest() -> None:
    first, second, *_ = SMALL_PLAN.options
    assert second.throughput is not None
    surer = replace(second, throughput=replace(second.throughput, uncertainty=Decimal("1.5")))
    assert (
        "within a factor of 1.5 to 2 either way" in read(Entry(SMALL, replace(SMALL_PLAN, options=(first, surer)))).text
    )


def test_the_costs_are_those_of_all_replicas() -> None:
    model, plan = plan_of({"model": "mistral-7b-v0.3", "replicas": 3})
    assert plan.chosen.hourly_cost is not None
    assert f"${3 * plan.chosen.hourly_cost:.2f}an hour for 3 replicas" in read(Entry(model, plan)).text


def call(*args: str | Path) -> Result:
    return CliRunner().invoke(main, ["plan", "-f", str(EXAMPLES / "mistral-7b.yaml"), *map(str, args)])


def test_plan_writes_the_page_besides_its_answer(tmp_path: Path) -> None:
    saved = tmp_path / "report.html"
    assert call("--html", saved).output == call().output
    assert Reader(saved.read_text(encoding="utf-8")).text.count("Mistral 7B v0.3") == 1


def test_a_refused_model_has_a_page_and_the_exit_code_stays(tmp_path: Path) -> None:
    result = call("--location", "mars-north1", "--zones", "a", "--html", tmp_path / "report.html")
    assert result.exit_code == 1
    assert "refused" in Reader((tmp_path / "report.html").read_text(encoding="utf-8")).text


def test_a_page_that_cant_be_written_is_an_error_that_names_it(tmp_path: Path) -> None:
    result = call("--html", tmp_path / "missing" / "report.html")
    assert result.exit_code == 1
    assert "can't write the report" in result.output
    assert "missing/report.html" in result.output


@pytest.mark.parametrize("name", sorted(path.stem for path in EXAMPLES.glob("*.yaml")))
def test_every_example_has_a_page(name: str, tmp_path: Path) -> None:
    saved = tmp_path / "report.html"
    result = CliRunner().invoke(main, ["plan", "-f", str(EXAMPLES / f"{name}.yaml"), "--html", str(saved)])
    assert result.exit_code == 0, result.output
    assert Reader(saved.read_text(encoding="utf-8")).of_class("bar")
