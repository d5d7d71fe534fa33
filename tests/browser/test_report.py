"""The report in a real browser: quiet, readable at any width and in both schemes, and true to the plan."""

import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.browser import scripts
from tests.browser.chromium import Page
from tests.browser.conftest import EXAMPLES, SCRIPT, Report

from mistral_operator.api.model import MistralModel
from mistral_operator.catalogue.load import load_catalogue
from mistral_operator.cli.output import gib, seconds
from mistral_operator.cli.profile import DEFAULT
from mistral_operator.planning.survey import survey
from mistral_operator.planning.types import PlannedOption, PlanRefused, Settings

SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
GPU, TPU, REFUSED = 1, 2, 3
MEMORY = {
    "weights": "weights_bytes",
    "activations": "activations_bytes",
    "overhead": "overhead_bytes",
    "kv-cache": "kv_cache_bytes",
    "reserved": "reserved_bytes",
}
PHASES = {"node": "node_s", "image": "image_s", "load": "weights_s", "compile": "compile_s", "ready": "ready_s"}
VIEWS = [(width, scheme) for width in (400, 1400) for scheme in ("light", "dark")]


def options_of(report: Report, model: int) -> list[dict[str, Any]]:
    options: list[dict[str, Any]] = report.answers[model - 1]["plan"]["options"]
    return options


def find_feasible(example: str) -> dict[str, Any]:
    """Name → option of everything that would do, with a known price and an estimated speed."""
    document = yaml.safe_load((EXAMPLES / f"{example}.yaml").read_text(encoding="utf-8"))
    found = survey(MistralModel.model_validate(document).spec, load_catalogue(), DEFAULT, Settings("0"))
    assert not isinstance(found, PlanRefused)
    options = [item.answer for item in found if isinstance(item.answer, PlannedOption)]
    return {option.name: option for option in options if option.hourly_cost is not None and option.throughput}


async def test_it_asks_for_nothing_and_complains_of_nothing(page: Page, report: Report) -> None:
    await page.open(report.url)
    assert await page.ask("document.querySelectorAll('section.model').length") == len(report.answers)
    assert [url for url in page.requested() if not url.startswith("data:")] == [report.url]
    assert page.complaints() == []


async def test_a_page_that_asks_and_complains_is_noticed(page: Page, tmp_path: Path) -> None:
    other = tmp_path / "other.html"
    other.write_text("<img src='http://127.0.0.1:9/x.png'><script>console.warn('a'); null.b</script>")
    await page.open(other.as_uri())
    assert "http://127.0.0.1:9/x.png" in page.requested()
    assert {"warning"} <= {item.get("type") for item in page.complaints()}
    assert len(page.complaints()) >= 2


async def test_what_a_user_wrote_stays_text(page: Page, report: Report) -> None:
    await page.open(report.url)
    assert f"{SCRIPT})" in await page.ask(f"document.querySelector('#model-{REFUSED}').innerText")
    assert await page.ask("document.querySelectorAll('script, img').length") == 0
    assert await page.ask("document.title") == "Plans for 3 models"


async def test_a_script_would_not_run(page: Page, report: Report) -> None:
    await page.open(report.url)
    assert await page.ask(scripts.FORBIDDEN) == "script-src-elem"


@pytest.mark.parametrize(("width", "scheme"), VIEWS)
async def test_it_is_readable(page: Page, report: Report, width: int, scheme: str) -> None:
    await page.look(width, scheme)
    await page.open(report.url)
    _save(f"report-{width}-{scheme}.png", await page.shoot())
    for _ in ("folded", "unfolded"):
        assert await page.ask("document.documentElement.scrollWidth") <= width
        assert await page.ask(scripts.OUTSIDE) == []
        assert await page.ask(scripts.FAINT) == []
        assert await page.ask(scripts.OVERLAPPING) == []
        await page.ask(scripts.OPEN_ALL)


def _save(name: str, image: bytes) -> None:
    """For people to look at; kept out of git."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    (SCREENSHOTS / name).write_bytes(image)


async def test_both_schemes_differ(page: Page, report: Report) -> None:
    colors = set()
    for scheme in ("light", "dark"):
        await page.look(1400, scheme)
        await page.open(report.url)
        colors.add(await page.ask("getComputedStyle(document.body).backgroundColor"))
    assert len(colors) == 2


@pytest.mark.parametrize("model", [GPU, TPU])
async def test_bars_of_memory_are_the_budget(page: Page, report: Report, model: int) -> None:
    await page.open(report.url)
    options = options_of(report, model)
    drawn = await page.ask(scripts.BARS % (model, "memory"))
    assert list(drawn) == [option["name"] for option in options]
    longest = max(int(option["memory"]["device_bytes"]) for option in options)
    for option in options:
        sizes = {kind: int(option["memory"][field]) for kind, field in MEMORY.items()}
        _expect_bar(drawn[option["name"]], {kind: size / longest for kind, size in sizes.items()})
        assert all(gib(sizes[kind]) in part["text"] for kind, part in drawn[option["name"]].items())


@pytest.mark.parametrize("model", [GPU, TPU])
async def test_bars_of_the_start_are_its_phases(page: Page, report: Report, model: int) -> None:
    await page.open(report.url)
    options = options_of(report, model)
    drawn = await page.ask(scripts.BARS % (model, "startup"))
    assert list(drawn) == [option["name"] for option in options]
    longest = max(sum(option["startup"][field] for field in PHASES.values()) for option in options)
    for option in options:
        phases = {kind: option["startup"][field] for kind, field in PHASES.items()}
        _expect_bar(drawn[option["name"]], {kind: phase / longest for kind, phase in phases.items()})
        assert all(seconds(phases[kind]) in part["text"] for kind, part in drawn[option["name"]].items())
    ticks = await page.ask(scripts.TICKS % (model, "startup"))
    assert len(ticks) > 2
    assert all(place == pytest.approx(minutes * 60 / longest, abs=0.01) for minutes, place in ticks)


def _expect_bar(drawn: dict[str, Any], shares: dict[str, float]) -> None:
    """Check that all parts that aren't empty are there, as long as they should be, one after the other."""
    assert list(drawn) == [kind for kind, share in shares.items() if share]
    start = 0.0
    for kind, part in drawn.items():
        assert part["start"] == pytest.approx(start, abs=0.002)
        assert part["width"] == pytest.approx(shares[kind], abs=0.002)
        start += shares[kind]


async def test_points_lie_where_cost_and_latency_say(page: Page, report: Report) -> None:
    await page.open(report.url)
    ladder = {option["name"]: option["throughput"] for option in options_of(report, GPU)}
    feasible = find_feasible("mistral-small-24b")
    drawn = await page.ask(scripts.POINTS % GPU)
    assert set(drawn) == set(feasible) > set(ladder)
    numbers = {name: str(number) for number, name in enumerate(ladder, 1)}
    assert {name: point["number"] for name, point in drawn.items() if "number" in point} == numbers
    costs = {name: float(option.hourly_cost) for name, option in feasible.items()}
    latencies = {name: option.throughput.alone_inter_token_latency_us / 1000 for name, option in feasible.items()}
    # A machine that was asked for by its name may have another layout.
    latencies |= {name: speed["alone_inter_token_latency_us"] / 1000 for name, speed in ladder.items()}
    ticks = await page.ask(scripts.PLOT_TICKS % GPU)
    for upright, values, axis in ((False, costs, "x"), (True, latencies, "y")):
        marked = [(value, place) for side, value, place in ticks if side == upright]
        assert len(marked) > 2
        _expect_logarithmic([*marked, *((values[name], drawn[name][axis]) for name in drawn)])
    for name, point in drawn.items():
        assert f"${costs[name]:.2f} an hour, {latencies[name]:.1f} ms" in point["text"]
    uncertainty = next(iter(ladder.values()))["uncertainty"]
    words = await page.ask(f"document.querySelector('#model-{GPU} .costs').innerText")
    assert f"within a factor of {uncertainty} either way" in words


def _expect_logarithmic(values: list[tuple[float, float]]) -> None:
    """Check that places are a line over the values' logarithms: each of them against the two farthest apart."""
    low, high = min(values), max(values)
    slope = (high[1] - low[1]) / math.log(high[0] / low[0])
    assert slope > 0
    for value, place in values:
        assert place == pytest.approx(low[1] + slope * math.log(value / low[0]), abs=0.005)


async def test_the_ladder_and_the_refusals_are_the_plan_s(page: Page, report: Report) -> None:
    await page.open(report.url)
    plan = report.answers[GPU - 1]["plan"]
    rows = await page.ask(scripts.TABLE % (GPU, "ladder"))
    assert [row[1] for row in rows] == [option["name"] for option in plan["options"]]
    for row, option in zip(rows, plan["options"], strict=True):
        assert f"{float(option['hourly_cost']):.2f}" in row
        assert f"{option['context_length']:,}" in row
        assert option["tier"] in row
    refusals = await page.ask(scripts.TABLE % (GPU, "refusals"))
    assert refusals == [[item["subject"], item["reason"], item["message"]] for item in plan["refusals"]]
