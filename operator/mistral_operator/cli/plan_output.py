"""Answers of the planner in the form that was asked for: text, Markdown, JSON or YAML."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from mistral_operator.api.model import MistralModel
from mistral_operator.cli.output import wrap
from mistral_operator.cli.plan_grounds import assumptions
from mistral_operator.cli.plan_markdown import markdown_plan, markdown_refused
from mistral_operator.cli.plan_view import tell_plan, tell_refused
from mistral_operator.cli.plan_words import word_replicas
from mistral_operator.cli.profile import Assumption, profile_to_dict
from mistral_operator.planning.serialize import option_to_dict, plan_to_dict
from mistral_operator.planning.speed import count_replicas
from mistral_operator.planning.types import Plan, PlannedOption, PlanRefused

if TYPE_CHECKING:
    from mistral_operator.cli.live_view import Preflight

FORMS: Final = ("text", "json", "yaml", "markdown")
Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Planned:
    """One model with its answer."""

    model: MistralModel
    answer: Plan | PlanRefused
    live: "Preflight | None" = None
    """What Google says of the plan, where it was asked."""


def write_plans(form: str, planned: Sequence[Planned], assumption: Assumption, rate: float | None = None) -> str:
    """All answers; with a rate of requests a second also the replicas that it needs."""
    if form == "text":
        return "\n\n".join(_write_text(item, assumption, rate) for item in planned)
    if form == "markdown":
        return "\n\n".join(_write_markdown(item, assumption, rate) for item in planned)
    return write_data(form, [_to_document(item, assumption, rate) for item in planned])


def write_data(form: str, documents: Sequence[Document]) -> str:
    """As `json`, a list where there are several, or as `yaml`, where each is a document of its own."""
    if form == "json":
        return json.dumps(documents[0] if len(documents) == 1 else list(documents), indent=2, ensure_ascii=False)
    from mistral_operator.cli.inputs import to_yaml

    return "---\n".join(to_yaml(document) for document in documents).rstrip()


def head_of(model: MistralModel, assumption: Assumption) -> dict[str, Any]:
    """What a document begins with: the model, and the cluster that was planned for."""
    return {
        "name": model.metadata.name,
        "namespace": model.metadata.namespace,
        **cluster_of(assumption),
    }


def cluster_of(assumption: Assumption) -> dict[str, Any]:
    """The cluster that was planned for, and who says so."""
    return {"cluster": profile_to_dict(assumption.profile), "clusterSource": assumption.source}


def verdict_to_dict(answer: Plan | PlanRefused) -> dict[str, Any]:
    """The chosen option, or the refusal with its arithmetic."""
    if isinstance(answer, Plan):
        return {"accepted": True, "option": option_to_dict(answer.chosen)}
    return refused_to_dict(answer)


def refused_to_dict(refused: PlanRefused) -> dict[str, Any]:
    """The refusal with all that was considered."""
    refusals = [{"subject": r.subject, "reason": r.reason, "message": r.message} for r in refused.refusals]
    return {"accepted": False, "reason": refused.reason, "message": refused.message, "refusals": refusals}


def _write_text(item: Planned, assumption: Assumption, rate: float | None) -> str:
    if isinstance(item.answer, PlanRefused):
        return "\n".join(tell_refused(item.model, item.answer, assumption))
    replicas = ["", *wrap(word_replicas(item.answer.chosen, rate), "")] if rate else []
    return "\n".join([*tell_plan(item.model, item.answer, assumption), *replicas, *_tell_live(item)])


def _tell_live(item: Planned) -> list[str]:
    if item.live is None:
        return []
    from mistral_operator.cli.live_view import tell_preflight

    return ["", *tell_preflight(item.live)]


def _write_markdown(item: Planned, assumption: Assumption, rate: float | None) -> str:
    if isinstance(item.answer, PlanRefused):
        return markdown_refused(item.model, item.answer, assumption)
    replicas = ["", word_replicas(item.answer.chosen, rate)] if rate else []
    return "\n".join([markdown_plan(item.model, item.answer, assumption), *replicas, *_mark_live(item)])


def _mark_live(item: Planned) -> list[str]:
    if item.live is None:
        return []
    from mistral_operator.cli.live_view import markdown_preflight

    return ["", *markdown_preflight(item.live)]


def _to_document(item: Planned, assumption: Assumption, rate: float | None) -> Document:
    head = head_of(item.model, assumption)
    if isinstance(item.answer, PlanRefused):
        return {**head, **refused_to_dict(item.answer)}
    said = {"assumptions": assumptions(item.answer, assumption)}
    replicas = {"replicas": _count_for(item.answer.chosen, rate)} if rate else {}
    return {**head, "accepted": True, "plan": plan_to_dict(item.answer), **said, **replicas, **_live_to_dict(item)}


def _live_to_dict(item: Planned) -> dict[str, Any]:
    if item.live is None:
        return {}
    from mistral_operator.cli.live_view import preflight_to_dict

    return {"live": preflight_to_dict(item.live)}


def _count_for(option: PlannedOption, rate: float) -> dict[str, Any]:
    """The replicas that a rate needs, and how sure that is; None where no speed is estimated."""
    speed = option.throughput
    count = None if speed is None else count_replicas(speed, Decimal(str(rate)))
    cost = None if count is None else option.cost_of(count)
    told = None if cost is None else str(cost)
    return {"requestsPerSecond": rate, "count": count, "hourlyCost": told, "estimate": word_replicas(option, rate)}
