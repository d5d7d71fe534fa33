"""A ranking as a table with what it rests on, or as data."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from mistral_operator.cli.output import Cell, Style, escape_markdown, markdown_table, paint, table, wrap
from mistral_operator.cli.plan_grounds import ESTIMATES, word_cluster, word_notes
from mistral_operator.cli.plan_markdown import markdown_refusals
from mistral_operator.cli.plan_output import cluster_of, verdict_to_dict, write_data
from mistral_operator.cli.plan_view import tell_refusals
from mistral_operator.cli.plan_words import TIER_STYLES, money, word_cost, word_devices, word_machine
from mistral_operator.cli.profile import Assumption
from mistral_operator.cli.ranking import Ranked, RankingOptions
from mistral_operator.planning.types import Plan, PlannedOption, PlanRefused, Refusal

HEADER: Final = ("model", "hardware", "machine", "context", "sequences", "$/hour", "$/M tokens", "tokens/s", "support")
_REFUSED: Final = "Refused"


def write_ranking(form: str, ranked: Sequence[Ranked], options: RankingOptions, assumption: Assumption) -> str:
    """The ranking in one of the forms of `plan`."""
    if form in ("json", "yaml"):
        return write_data(form, [_to_document(ranked, options, assumption)])
    rows = [_row(item.model, item.answer.chosen) for item in ranked if isinstance(item.answer, Plan)]
    refusals = [
        Refusal(item.model, item.answer.reason, item.answer.message)
        for item in ranked
        if isinstance(item.answer, PlanRefused)
    ]
    notes = [*_word_grounds(ranked), word_cluster(assumption), ESTIMATES]
    if form == "markdown":
        said = [f"- {escape_markdown(note)}" for note in notes]
        return "\n".join([*markdown_table(rows, HEADER), "", *markdown_refusals(refusals, _REFUSED), *said])
    told = [paint(line, Style.QUIET) for note in notes for line in wrap(note, "")]
    return "\n".join([*table(rows, HEADER, indent=""), *tell_refusals(refusals, _REFUSED), "", *told]).lstrip("\n")


def _row(model: str, option: PlannedOption) -> list[Cell]:
    speed = option.throughput
    price = speed.dollars_per_million_tokens if speed else None
    return [
        Cell(model, Style.NAME),
        Cell(word_devices(option)),
        Cell(word_machine(option)),
        Cell(f"{option.context_length:,}", right=True),
        Cell(f"{option.max_concurrency:,}", right=True),
        Cell(word_cost(option), right=True),
        Cell("unknown" if price is None else money(price), right=True),
        Cell(f"{speed.output_tokens_per_s:,}" if speed else "unknown", right=True),
        Cell(option.tier.value, TIER_STYLES[option.tier]),
    ]


def _word_grounds(ranked: Iterable[Ranked]) -> list[str]:
    """What the speeds are stated for, whose prices these are, and which licenses were taken as accepted."""
    served = [(item.model, item.answer.chosen) for item in ranked if isinstance(item.answer, Plan)]
    licenses: dict[str, list[str]] = {}
    for item in ranked:
        if item.needs_acceptance:
            licenses.setdefault(item.license_id, []).append(item.model)
    return [
        *_word_speeds([option for _, option in served]),
        *word_notes("Price", [(option.machine_type, option.price_note) for _, option in served]),
        *[f"License {name} counts as accepted here: {', '.join(models)}." for name, models in licenses.items()],
    ]


def _word_speeds(options: Iterable[PlannedOption]) -> list[str]:
    speeds = [option.throughput for option in options if option.throughput]
    if not speeds:
        return []
    speed, doubts = speeds[0], sorted({speed.uncertainty for speed in speeds})
    sentence = (
        f"Tokens/s and $/M tokens are of output, estimated for {speed.input_tokens:,} tokens in and"
        f" {speed.output_tokens:,} out with as many requests at once as have room, within a factor of"
        f" {_word_range(doubts)}."
    )
    return [sentence]


def _word_range(doubts: Sequence[Decimal]) -> str:
    return f"{doubts[0]}" if len(doubts) == 1 else f"{doubts[0]} to {doubts[-1]}"


def _to_document(ranked: Iterable[Ranked], options: RankingOptions, assumption: Assumption) -> Mapping[str, Any]:
    models = [
        {
            "model": item.model,
            "license": item.license_id,
            "licenseNeedsAcceptance": item.needs_acceptance,
            **verdict_to_dict(item.answer),
        }
        for item in ranked
    ]
    return {**cluster_of(assumption), "optimizeFor": options.optimize_for.value, "note": ESTIMATES, "models": models}
