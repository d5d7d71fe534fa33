"""`plan`: what a model would run on, why, and what it costs, before anything is spent."""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import click

from mistral_operator.api.model import MistralModel
from mistral_operator.catalogue.types import Catalogue
from mistral_operator.cli.documents import read_models
from mistral_operator.cli.output import say, write_rows
from mistral_operator.cli.plan_view import markdown_plan, markdown_refused, tell_plan, tell_refused
from mistral_operator.cli.profile import Assumption, assume_profile, profile_to_dict
from mistral_operator.cli.settings import CATALOGUE_OPTION, load_knowledge
from mistral_operator.core.support import find_unsupported
from mistral_operator.planning.plan import plan_model
from mistral_operator.planning.serialize import plan_to_dict
from mistral_operator.planning.types import Plan, PlannedOption, PlanRefused, Settings


class Planned(NamedTuple):
    """One model with its answer."""

    model: MistralModel
    answer: Plan | PlanRefused


@click.command()
@click.option("-f", "--file", type=click.Path(path_type=Path), help="A file with MistralModels, or -.")
@click.option(
    "-o", "--output", type=click.Choice(["text", "json", "yaml", "markdown"]), default="text", show_default=True
)
@click.option("--cluster-profile", type=click.Path(path_type=Path), help="The cluster: location, zones, … as YAML.")
@click.option("--location", help="Region or zone of the cluster, such as europe-west4.")
@click.option("--zones", help="Zones of the nodes, such as a,b,c or full names.")
@click.option("--what-if", "changes", multiple=True, metavar="KEY=VALUE,…", help="Compare with something else fixed.")
@click.option("--requests-per-s", type=click.FloatRange(min=0, min_open=True), help="Tell the replicas for this rate.")
@click.option("--hf-config", type=click.Path(path_type=Path), help="A checkpoint's config.json or params.json.")
@click.option("--all", "ranks_all", is_flag=True, help="Rank every model of the catalogue instead of reading a file.")
@click.option("--accelerator", help="With --all: the hardware, such as l4.")
@click.option("--devices", type=click.IntRange(1), help="With --all: devices of one replica.")
@click.option("--optimize-for", type=click.Choice(["Cost", "Latency", "Availability"]), help="With --all: the order.")
@click.option("--allow-experimental", is_flag=True, help="With --all: pairs without evidence, too.")
@CATALOGUE_OPTION
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write a page with charts here, too.")
@click.pass_context
def plan(
    ctx: click.Context,
    /,
    file: Path | None,
    output: str,
    cluster_profile: Path | None,
    location: str | None,
    zones: str | None,
    changes: tuple[str, ...],
    requests_per_s: float | None,
    hf_config: Path | None,
    catalogue_directory: Path | None,
    html: Path | None,
    **ranking: Any,
) -> None:
    """Say what a model would run on, why, and what it costs. Needs no cluster and asks nobody.

    Exits with 1 when a model is refused; the answer then says what to write instead.
    """
    assumption = assume_profile(cluster_profile, location, zones)
    catalogue, settings = load_knowledge(catalogue_directory)
    if sum((file is not None, hf_config is not None, ranking["ranks_all"])) != 1:
        raise click.UsageError("say what to plan: one of --file, --hf-config and --all")
    if ranking["ranks_all"]:
        say(_tell_ranking(output, catalogue, assumption, settings, ranking))
        return
    models, catalogue = _read(file, hf_config, catalogue)
    planned = [Planned(model, answer_for(model, catalogue, assumption, settings)) for model in models]
    if changes:
        say(_tell_variations(output, planned, changes, catalogue, assumption, settings))
    else:
        say(_WRITERS[output](planned, assumption))
        if requests_per_s and output == "text":
            say(_tell_replicas(planned, requests_per_s))
    if html:
        _save_report(html, planned, catalogue, assumption, settings)
    if any(isinstance(item.answer, PlanRefused) for item in planned):
        ctx.exit(1)


def answer_for(
    model: MistralModel, catalogue: Catalogue, assumption: Assumption, settings: Settings
) -> Plan | PlanRefused:
    """The same answer that the operator would give to a model that it sees for the first time."""
    unsupported = find_unsupported(model)
    if unsupported:
        return PlanRefused(unsupported.reason, unsupported.message)
    return plan_model(model, catalogue, assumption.profile, settings)


def _read(file: Path | None, hf_config: Path | None, catalogue: Catalogue) -> tuple[Iterable[MistralModel], Catalogue]:
    """The models to plan, and the catalogue that knows them."""
    if hf_config is None:
        return read_models(file or Path("-")), catalogue
    from mistral_operator.cli.checkpoint import model_of_checkpoint

    model, catalogue = model_of_checkpoint(hf_config, catalogue)
    return [model], catalogue


def _tell_ranking(
    output: str, catalogue: Catalogue, assumption: Assumption, settings: Settings, asked: Mapping[str, Any]
) -> str:
    from mistral_operator.cli.ranking import HEAD, rank, to_cells, to_rows

    option = {key: asked[key] for key in ("accelerator", "devices") if asked[key]}
    common = {"allowExperimental": asked["allow_experimental"]}
    common |= {"optimizeFor": asked["optimize_for"]} if asked["optimize_for"] else {}
    common |= {"capacity": {"options": [option]}} if option else {}
    rows = to_rows(catalogue, rank(catalogue, assumption.profile, settings, common))
    return write_rows(output, rows, HEAD, to_cells(rows))


def _tell_variations(
    output: str,
    planned: list[Planned],
    changes: tuple[str, ...],
    catalogue: Catalogue,
    assumption: Assumption,
    settings: Settings,
) -> str:
    from mistral_operator.cli.what_if import Variation, compare, explain_refusals, vary

    parts = []
    for item in planned:
        variations = [Variation("as asked", item.answer)]
        variations += [
            Variation(change, answer_for(vary(item.model, change), catalogue, assumption, settings))
            for change in changes
        ]
        titles, cells = compare(variations)
        rows = [dict(zip(("", *titles), row, strict=True)) for row in cells]
        parts.append(write_rows(output, rows, ("", *titles), cells))
        if output in ("text", "markdown"):
            parts += [f"\n{title}: {message}" for title, message in explain_refusals(variations)]
    return "\n".join(parts)


def _tell_replicas(planned: list[Planned], requests_per_s: float) -> str:
    from mistral_operator.cli.plan_view import tell_replicas

    answers = [item.answer for item in planned if isinstance(item.answer, Plan)]
    return "\n".join(tell_replicas(answer.chosen, requests_per_s) for answer in answers)


def _save_report(
    file: Path, planned: list[Planned], catalogue: Catalogue, assumption: Assumption, settings: Settings
) -> None:
    from mistral_operator.cli.report.entry import Entry
    from mistral_operator.cli.report.page import write_report

    entries = [
        Entry(item.model, item.answer, _feasible(item.model, catalogue, assumption, settings)) for item in planned
    ]
    page = write_report(entries, assumption)
    try:
        file.write_text(page, encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"can't write the report: {error}") from None


def _feasible(
    model: MistralModel, catalogue: Catalogue, assumption: Assumption, settings: Settings
) -> tuple[PlannedOption, ...]:
    """Everything that would do where the spec doesn't say on what, not only the ladder."""
    from mistral_operator.planning.survey import survey

    found = survey(model.spec, catalogue, assumption.profile, settings)
    answers = [] if isinstance(found, PlanRefused) else [item.answer for item in found]
    return tuple(answer for answer in answers if isinstance(answer, PlannedOption))


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
