"""`plan --all`: every model of the catalogue on given hardware, the best first."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from mistral_operator.api.model import MistralModel, OptimizeFor
from mistral_operator.catalogue.types import Catalogue
from mistral_operator.cli.plan_view import money, word_hardware
from mistral_operator.planning.order import option_key
from mistral_operator.planning.plan import plan_model
from mistral_operator.planning.types import ClusterProfile, Plan, PlanRefused, Settings

Row = dict[str, Any]
HEAD: Final = (
    "model", "hardware", "context", "at once", "$/h", "$/M tokens", "tokens/s", "support", "license",
)  # fmt: skip


def rank(
    catalogue: Catalogue, cluster: ClusterProfile, settings: Settings, common: Mapping[str, Any]
) -> list[tuple[str, Plan | PlanRefused]]:
    """Each model's answer with the parts of a spec that all have in common; options in their order, then refusals."""
    answers = [(name, _answer(name, catalogue, cluster, settings, common)) for name in catalogue.models]
    optimize_for = OptimizeFor(common.get("optimizeFor", OptimizeFor.COST))
    planned = [(name, answer) for name, answer in answers if isinstance(answer, Plan)]
    planned.sort(key=lambda item: (*option_key(optimize_for, item[1].chosen)[:-1], item[0]))
    return [*planned, *((name, answer) for name, answer in answers if isinstance(answer, PlanRefused))]


def _answer(
    name: str, catalogue: Catalogue, cluster: ClusterProfile, settings: Settings, common: Mapping[str, Any]
) -> Plan | PlanRefused:
    spec = {"model": name, "license": {"accept": catalogue.models[name].license.id}, **common}
    model = MistralModel.model_validate({"metadata": {"name": "any"}, "spec": spec})
    return plan_model(model, catalogue, cluster, settings)


def to_rows(catalogue: Catalogue, ranked: Iterable[tuple[str, Plan | PlanRefused]]) -> list[Row]:
    """As data: the chosen option's figures, or the refusal."""
    return [{**_row(answer), "model": name, "license": _license(catalogue, name)} for name, answer in ranked]


def _row(answer: Plan | PlanRefused) -> Row:
    if isinstance(answer, PlanRefused):
        return {"accepted": False, "reason": answer.reason, "message": answer.message}
    option, speed = answer.chosen, answer.chosen.throughput
    price = speed.dollars_per_million_tokens if speed else None
    return {
        "accepted": True,
        "hardware": word_hardware(option),
        "context": option.context_length,
        "at once": option.max_concurrency,
        "$/h": None if option.hourly_cost is None else money(option.hourly_cost),
        "$/M tokens": None if price is None else str(price),
        "tokens/s": speed.output_tokens_per_s if speed else None,
        "uncertainty factor": str(speed.uncertainty) if speed else None,
        "support": option.tier.value,
        "priceNote": option.price_note,
    }


def _license(catalogue: Catalogue, name: str) -> str:
    license_ = catalogue.models[name].license
    return f"{license_.id}, to be accepted" if license_.needs_acceptance else license_.id


def to_cells(rows: Iterable[Row]) -> list[list[str]]:
    """As a table's cells: a refused model has its reason where the hardware would be."""
    return [
        [_word(row.get(name)) for name in HEAD]
        if row["accepted"]
        else [row["model"], row["reason"], *[""] * (len(HEAD) - 3), row["license"]]
        for row in rows
    ]


def _word(value: object) -> str:
    if value is None:
        return "unknown"
    return f"{value:,}" if isinstance(value, int) else str(value)
