"""`plan`: what a model would run on, why, and what it costs, before anything is spent."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import click

from mistral_operator.api.model import MistralModel
from mistral_operator.catalogue.load import load_catalogue
from mistral_operator.catalogue.types import Catalogue
from mistral_operator.cli.documents import read_models
from mistral_operator.cli.output import say
from mistral_operator.cli.plan_view import markdown_plan, markdown_refused, tell_plan, tell_refused
from mistral_operator.cli.profile import Assumption, assume_profile, profile_to_dict
from mistral_operator.cli.settings import offline_settings
from mistral_operator.core.support import find_unsupported
from mistral_operator.planning.plan import plan_model
from mistral_operator.planning.serialize import plan_to_dict
from mistral_operator.planning.types import Plan, PlanRefused


class Planned(NamedTuple):
    """One model with its answer."""

    model: MistralModel
    answer: Plan | PlanRefused


@click.command()
@click.option("-f", "--file", required=True, type=click.Path(path_type=Path), help="A file with MistralModels, or -.")
@click.option(
    "-o", "--output", type=click.Choice(["text", "json", "yaml", "markdown"]), default="text", show_default=True
)
@click.option("--cluster-profile", type=click.Path(path_type=Path), help="The cluster: location, zones, … as YAML.")
@click.option("--location", help="Region or zone of the cluster, such as europe-west4.")
@click.option("--zones", help="Zones of the nodes, such as a,b,c or full names.")
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write a page with charts here, too.")
@click.pass_context
def plan(
    ctx: click.Context,
    file: Path,
    output: str,
    cluster_profile: Path | None,
    location: str | None,
    zones: str | None,
    html: Path | None,
) -> None:
    """Say what a model would run on, why, and what it costs. Needs no cluster and asks nobody.

    Exits with 1 when a model is refused; the answer then says what to write instead.
    """
    assumption = assume_profile(cluster_profile, location, zones)
    catalogue = load_catalogue()
    planned = [Planned(model, answer_for(model, catalogue, assumption)) for model in read_models(file)]
    say(_WRITERS[output](planned, assumption))
    if html:
        _save_report(html, planned, assumption)
    if any(isinstance(item.answer, PlanRefused) for item in planned):
        ctx.exit(1)


def answer_for(model: MistralModel, catalogue: Catalogue, assumption: Assumption) -> Plan | PlanRefused:
    """The same answer that the operator would give to a model that it sees for the first time."""
    unsupported = find_unsupported(model)
    if unsupported:
        return PlanRefused(unsupported.reason, unsupported.message)
    return plan_model(model, catalogue, assumption.profile, offline_settings())


def _save_report(file: Path, planned: list[Planned], assumption: Assumption) -> None:
    from mistral_operator.cli.report.entry import Entry
    from mistral_operator.cli.report.page import write_report

    page = write_report([Entry(item.model, item.answer) for item in planned], assumption)
    try:
        file.write_text(page, encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"can't write the report: {error}") from None


def _write_text(planned: list[Planned], assumption: Assumption) -> str:
    stories = [
        tell_plan(item.model, item.answer, assumption)
        if isinstance(item.answer, Plan)
        else tell_refused(item.model, item.answer, assumption)
        for item in planned
    ]
    return "\n\n".join("\n".join(lines) for lines in stories)


def _write_markdown(planned: list[Planned], assumption: Assumption) -> str:
    return "\n\n".join(
        markdown_plan(item.model, item.answer, assumption)
        if isinstance(item.answer, Plan)
        else markdown_refused(item.model, item.answer, assumption)
        for item in planned
    )


def _write_json(planned: list[Planned], assumption: Assumption) -> str:
    documents = [_to_dict(item, assumption) for item in planned]
    return json.dumps(documents[0] if len(documents) == 1 else documents, indent=2, ensure_ascii=False)


def _write_yaml(planned: list[Planned], assumption: Assumption) -> str:
    from mistral_operator.cli.inputs import to_yaml

    return "---\n".join(to_yaml(_to_dict(item, assumption)) for item in planned).rstrip()


def _to_dict(item: Planned, assumption: Assumption) -> Mapping[str, Any]:
    metadata = item.model.metadata
    head = {
        "name": metadata.name,
        "namespace": metadata.namespace,
        "cluster": profile_to_dict(assumption.profile),
        "clusterSource": assumption.source,
    }
    if isinstance(item.answer, Plan):
        return {**head, "accepted": True, "plan": plan_to_dict(item.answer)}
    refusals = [{"subject": r.subject, "reason": r.reason, "message": r.message} for r in item.answer.refusals]
    return {
        **head,
        "accepted": False,
        "reason": item.answer.reason,
        "message": item.answer.message,
        "refusals": refusals,
    }


_WRITERS: Final[Mapping[str, Callable[[list[Planned], Assumption], str]]] = {
    "text": _write_text,
    "json": _write_json,
    "yaml": _write_yaml,
    "markdown": _write_markdown,
}
