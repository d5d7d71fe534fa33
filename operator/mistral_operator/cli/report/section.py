"""One model's part of the report: what was chosen, three charts, the ladder, refusals, sources."""

from collections.abc import Iterable, Sequence

from mistral_operator.api.model import MistralModel
from mistral_operator.cli.output import Cell
from mistral_operator.cli.plan_grounds import assumptions, word_cluster
from mistral_operator.cli.plan_view import COLUMNS, option_row
from mistral_operator.cli.plan_words import LADDER_RULE, full_name, word_ladder
from mistral_operator.cli.profile import Assumption
from mistral_operator.cli.report.entry import Entry
from mistral_operator.cli.report.markup import Html, join, tag
from mistral_operator.cli.report.memory import draw_memory, tabulate_memory
from mistral_operator.cli.report.points import find_missing, find_points, word_lines, word_uncertainty, word_workload
from mistral_operator.cli.report.scatter import draw_scatter, tabulate_points
from mistral_operator.cli.report.startup import draw_startup, tabulate_startup
from mistral_operator.cli.report.summary import draw_summary, draw_tier
from mistral_operator.cli.report.table import Column, draw_table
from mistral_operator.planning.types import Plan, PlannedOption, PlanRefused, Refusal


def draw_section(number: int, entry: Entry, assumption: Assumption) -> Html:
    """The model's whole part; `number` makes its anchor."""
    answer = entry.answer
    parts = _draw_plan(entry, answer, assumption) if isinstance(answer, Plan) else _draw_refused(answer, assumption)
    title = answer.display_name if isinstance(answer, Plan) else entry.model.spec.model or "a model of one's own"
    badge = draw_tier(answer.chosen) if isinstance(answer, Plan) else tag("span", "refused", class_="badge bad")
    head = tag("h2", title, " ", tag("span", full_name(entry.model), class_="quiet"), id=f"name-{number}")
    top = tag("header", head, badge)
    return tag("section", top, *parts, id=f"model-{number}", class_="model", aria_labelledby=f"name-{number}")


def _draw_plan(entry: Entry, plan: Plan, assumption: Assumption) -> list[Html]:
    options = plan.options
    return [
        draw_summary(entry.model, plan),
        _draw_figure("memory", "Memory of each device, by option", draw_memory(options), tabulate_memory(options)),
        _draw_costs(entry, plan),
        _draw_figure(
            "startup", "Start-up from nothing, estimated, by option", draw_startup(options), tabulate_startup(options)
        ),
        _draw_ladder(entry.model, options),
        *_draw_refusals(plan.refusals),
        _draw_sources(plan, assumption),
    ]


def _draw_figure(kind: str, title: str, chart: Html, numbers: Html, *words: str) -> Html:
    texts = [tag("p", text) for text in words if text]
    details = tag("details", tag("summary", "The numbers"), numbers)
    return tag("figure", tag("h3", title), *texts, chart, details, class_=f"card {kind}")


def _draw_costs(entry: Entry, plan: Plan) -> Html:
    title = "Cost against latency of all that would do" if entry.feasible else "Cost against latency, by option"
    points = find_points(entry.feasible, plan.options)
    missing = find_missing(entry.feasible, plan.options)
    if not points:
        text = "No option has both a known price and an estimated speed, so there is nothing to compare."
        return tag("div", tag("h3", title), tag("p", text), class_="card costs")
    left_out = f"Not drawn, because price or speed are not known: {', '.join(missing)}." if missing else ""
    words = (f"{word_uncertainty(points)} {word_workload(points)} {word_lines(points)}", left_out)
    return _draw_figure("costs", title, draw_scatter(points), tabulate_points(points), *words)


def _draw_ladder(model: MistralModel, options: Sequence[PlannedOption]) -> Html:
    cells = [option_row(number, option) for number, option in enumerate(options, 1)]
    columns = [Column(name or "rung", cell.right) for name, cell in zip(COLUMNS, cells[0], strict=True)]
    table = draw_table(columns, [[_draw_cell(cell) for cell in row] for row in cells], word_ladder(model))
    return tag("div", tag("h3", "The ladder"), table, tag("p", LADDER_RULE), class_="card ladder")


def _draw_cell(cell: Cell) -> Html:
    return tag("span", cell.text, class_=cell.style.value)


def _draw_refused(refused: PlanRefused, assumption: Assumption) -> list[Html]:
    reason = tag("p", tag("strong", refused.reason), ": ", refused.message, class_="reason")
    return [reason, *_draw_refusals(refused.refusals), tag("p", word_cluster(assumption))]


def _draw_refusals(refusals: Sequence[Refusal]) -> list[Html]:
    if not refusals:
        return []
    rows = [(item.subject, tag("span", item.reason, class_="waiting"), item.message) for item in refusals]
    table = draw_table([Column("option"), Column("reason"), Column("arithmetic")], rows, "Refusals")
    return [tag("div", tag("h3", "Considered and not chosen"), table, class_="card refusals")]


def _draw_sources(plan: Plan, assumption: Assumption) -> Html:
    evidence = _draw_evidence(plan.options) if len(plan.options) > 1 else join(())
    items = [tag("li", text) for text in assumptions(plan, assumption)]
    return tag("div", tag("h3", "Sources and assumptions"), tag("ul", *items), evidence, class_="card sources")


def _draw_evidence(options: Iterable[PlannedOption]) -> Html:
    """Options of which the same is to be said share a row."""
    said: dict[tuple[str, ...], list[str]] = {}
    for option in options:
        words = (option.tier.value, option.evidence, option.price_note, "; ".join(option.notes))
        said.setdefault(words, []).append(option.name)
    columns = [Column("options"), Column("support"), Column("evidence"), Column("price"), Column("notes")]
    rows = [(", ".join(names), *words) for words, names in said.items()]
    table = draw_table(columns, rows, "Evidence, price and notes of each option")
    return tag("details", tag("summary", "Each option's own"), table)
