"""A plan as Markdown, for the comment on a pull request: all that the text says, and no line broken for a terminal."""

from collections.abc import Iterable

from mistral_operator.api.model import MistralModel
from mistral_operator.cli.output import Cell, escape_markdown, gib, markdown_table
from mistral_operator.cli.plan_grounds import assumptions, word_cluster
from mistral_operator.cli.plan_view import COLUMNS, NOT_CHOSEN, option_row
from mistral_operator.cli.plan_words import LADDER_RULE, divide_memory, full_name, headline, word_cache, word_ladder
from mistral_operator.cli.profile import Assumption
from mistral_operator.planning.types import Plan, PlannedOption, PlanRefused, Refusal


def markdown_plan(model: MistralModel, plan: Plan, assumption: Assumption) -> str:
    """The whole plan."""
    option = plan.chosen
    rows = [option_row(number, each) for number, each in enumerate(plan.options, 1)]
    return "\n".join([
        f"### {plan.display_name} (`{full_name(model)}`)",
        "",
        *[f"- **{name}**: {escape_markdown(value)}" for name, value in headline(model, plan, option)],
        "",
        f"Memory of each {option.accelerator}, {gib(option.memory.device_bytes)}:",
        "",
        *_tabulate_memory(option),
        "",
        f"{word_ladder(model)}:",
        "",
        *markdown_table(rows, COLUMNS),
        "",
        LADDER_RULE,
        "",
        *markdown_refusals(plan.refusals),
        *[f"- {escape_markdown(text)}" for text in assumptions(plan, assumption)],
    ])  # fmt: skip


def markdown_refused(model: MistralModel, refused: PlanRefused, assumption: Assumption) -> str:
    """The refusal."""
    return "\n".join([
        f"### Refused: `{full_name(model)}`",
        "",
        f"**{refused.reason}**: {escape_markdown(refused.message)}",
        "",
        *markdown_refusals(refused.refusals),
        word_cluster(assumption),
    ])  # fmt: skip


def _tabulate_memory(option: PlannedOption) -> list[str]:
    whole = option.memory.device_bytes
    rows: list[list[Cell | str]] = [
        [
            name,
            Cell(gib(size), right=True),
            Cell(f"{100 * size / whole:.0f} %", right=True),
            word_cache(option) if name == "KV cache" else "",
        ]
        for name, size in divide_memory(option.memory)
    ]
    return markdown_table(rows, ("part", "size", "share", ""))


def markdown_refusals(refusals: Iterable[Refusal], title: str = NOT_CHOSEN) -> list[str]:
    """Folded, for they are long; nothing where there is none."""
    lines = [f"- {r.subject}: **{r.reason}**. {escape_markdown(r.message)}" for r in refusals]
    return [f"<details><summary>{title}</summary>", "", *lines, "", "</details>", ""] if lines else []
