"""`plan`: what a model would run on, why, and what it costs, before anything is spent."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from mistral_operator.api.model import MistralModel, OptimizeFor
from mistral_operator.catalogue.types import Catalogue
from mistral_operator.cli.classes import CLASS_OPTION, read_classes
from mistral_operator.cli.documents import parse_models, read_documents
from mistral_operator.cli.lists import list_option
from mistral_operator.cli.output import say
from mistral_operator.cli.place import Named, place_options, take_endpoint
from mistral_operator.cli.plan_output import FORMS, Planned, write_plans
from mistral_operator.cli.profile import Assumption, assume_profile
from mistral_operator.cli.settings import CATALOGUE_OPTION, load_knowledge
from mistral_operator.core.serving_class import rule
from mistral_operator.core.support import find_unsupported
from mistral_operator.planning.modes import UNNAMED
from mistral_operator.planning.plan import plan_model
from mistral_operator.planning.types import Plan, PlannedOption, PlanRefused, Settings

if TYPE_CHECKING:
    from mistral_operator.cli.live import LiveCluster

BLOCKED: Final = 3
"""Exit code when the plan is fine and Google stands in its way."""
_RANKING: Final = {
    "accelerators": "--accelerator",
    "devices": "--devices",
    "consumption": "--consumption",
    "optimize_for": "--optimize-for",
    "allow_experimental": "--allow-experimental",
}
"""What is said of the hardware of all models at once."""


@click.command()
@click.option("-f", "--file", type=click.Path(path_type=Path), help="A file with MistralModels, or -.")
@click.option("-o", "--output", type=click.Choice(FORMS), default="text", show_default=True)
@click.option("--cluster-profile", type=click.Path(path_type=Path), help="The cluster: location, zones, … as YAML.")
@click.option("--location", help="Region or zone of the cluster, such as europe-west4.")
@list_option("--zones", metavar="ZONE,…", help="Zones of the nodes, such as a,b,c or full names.")
@click.option("--what-if", "changes", multiple=True, metavar="KEY=VALUE,…", help="Compare with something else fixed.")
@click.option("--requests-per-s", type=click.FloatRange(min=0, min_open=True), help="Tell the replicas for this rate.")
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write a page with charts here, too.")
@click.option(
    "--live", is_flag=True, help="Also ask Google whether the plan can work now: quota, zones, permissions, …"
)
@click.option(
    "--compute-api", callback=take_endpoint, default="", metavar="URL", help="With --live: a simulated Compute Engine."
)
@place_options
@click.option("--hf-config", type=click.Path(path_type=Path), help="A checkpoint's config.json or params.json.")
@click.option("--model-name", help="With --hf-config: what the checkpoint is called.  [default: checkpoint]")
@click.option("--all", "ranks_all", is_flag=True, help="Rank every model of the catalogue instead of reading a file.")
@list_option("--accelerator", "accelerators", metavar="NAME,…", help="With --all: hardware, such as l4.")
@click.option("--devices", type=click.IntRange(1, 1024), help="With --all: devices of one replica.")
@click.option(
    "--consumption",
    type=click.Choice([mode.value for mode in UNNAMED]),
    help="With --all: how the hardware is bought.",
)
@click.option(
    "--optimize-for",
    type=click.Choice([wish.value for wish in OptimizeFor]),
    help="With --all: the order.  [default: Cost]",
)
@click.option("--allow-experimental", is_flag=True, help="With --all: pairs without evidence, too.")
@CLASS_OPTION
@CATALOGUE_OPTION
@click.pass_context
def plan(
    ctx: click.Context,
    /,
    file: Path | None,
    output: str,
    cluster_profile: Path | None,
    location: str | None,
    zones: tuple[str, ...],
    hf_config: Path | None,
    ranks_all: bool,
    catalogue_directory: Path | None,
    **asked: Any,
) -> None:
    """Say what a model would run on, why, and what it costs. Needs no cluster and, but for --live, asks nobody.

    Exits with 1 when a model is refused; the answer then says what to write instead. With --live it exits with 3 when
    what Google says blocks the chosen option of a model.
    """
    if sum((file is not None, hf_config is not None, ranks_all)) != 1:
        raise click.UsageError("say what to plan: one of --file, --hf-config and --all")
    _check_asked(asked, ranks_all=ranks_all, reads_checkpoint=hf_config is not None)
    documents = read_documents(file) if file else []
    classes = read_classes(documents, file or Path("-"), asked["class_files"])
    assumption, cluster = _assume(cluster_profile, location, zones, asked)
    assumption = replace(assumption, classes=classes)
    catalogue, settings = load_knowledge(catalogue_directory)
    if ranks_all:
        say(_tell_ranking(output, catalogue, assumption, settings, asked))
        return
    if hf_config:
        planned, catalogue = _plan_checkpoint(hf_config, asked["model_name"], catalogue, assumption, settings)
    else:
        models = parse_models(documents, file or Path("-"))
        planned = [Planned(model, answer_for(model, catalogue, assumption, settings)) for model in models]
    planned = _ask_live(planned, catalogue, cluster) if cluster else planned
    if asked["changes"]:
        say(_tell_variations(output, planned, asked["changes"], catalogue, assumption, settings))
    else:
        say(write_plans(output, planned, assumption, asked["requests_per_s"]))
    if asked["html"]:
        _save_report(asked["html"], planned, catalogue, assumption, settings)
    if any(isinstance(item.answer, PlanRefused) for item in planned):
        ctx.exit(1)
    if any(item.live and item.live.verdict == "blocked" for item in planned):
        ctx.exit(BLOCKED)


def _assume(
    file: Path | None, location: str | None, zones: tuple[str, ...], asked: Mapping[str, Any]
) -> tuple[Assumption, "LiveCluster | None"]:
    """The cluster to plan for; with --live the one that there is."""
    if not asked["live"]:
        return assume_profile(file, location, zones), None
    from mistral_operator.cli.live import assume_live
    from mistral_operator.cli.place import Endpoints

    named = Named(asked["project"] or "", location or "", asked["cluster"] or "")
    return assume_live(named, file, zones, Endpoints(asked["container_api"], asked["compute_api"]))


def _ask_live(planned: Sequence[Planned], catalogue: Catalogue, cluster: "LiveCluster") -> list[Planned]:
    from mistral_operator.cli.live import add_preflight

    return add_preflight(planned, catalogue, cluster)


def answer_for(
    model: MistralModel, catalogue: Catalogue, assumption: Assumption, settings: Settings
) -> Plan | PlanRefused:
    """The same answer that the operator would give to a model that it sees for the first time."""
    unsupported = find_unsupported(model)
    if unsupported:
        return PlanRefused(unsupported.reason, unsupported.message)
    ruling = rule(model, assumption.classes)
    if ruling.refused:
        return ruling.refused
    return plan_model(ruling.model, catalogue, assumption.profile, settings, terms=ruling.terms)


def _check_asked(asked: Mapping[str, Any], *, ranks_all: bool, reads_checkpoint: bool) -> None:
    """Nothing that was asked for is passed over."""
    single = {
        "changes": "--what-if",
        "requests_per_s": "--requests-per-s",
        "html": "--html",
        "live": "--live",
        "class_files": "--serving-class",
    }
    other = next((option for key, option in (single if ranks_all else _RANKING).items() if asked[key]), None)
    if other and ranks_all:
        raise click.UsageError(f"{other} is about one plan; write --file or --hf-config instead of --all")
    if other:
        raise click.UsageError(f"{other} is for --all; write it into the file's spec, or try it with --what-if")
    if asked["model_name"] is not None and not reads_checkpoint:
        raise click.UsageError("--model-name is for --hf-config; write the model's name into the file's spec")
    place = {"project": "--project", "cluster": "--cluster", "container_api": "--container-api"}
    idle = next((name for key, name in {**place, "compute_api": "--compute-api"}.items() if asked[key]), None)
    if idle and not asked["live"]:
        raise click.UsageError(f"{idle} is for --live, which asks Google; else --location and --zones are enough")
    if asked["live"] and asked["changes"]:
        raise click.UsageError("--live is about one plan; leave out --what-if")
    if asked["changes"] and asked["requests_per_s"]:
        raise click.UsageError("--requests-per-s is about one plan; leave out --what-if")


def _plan_checkpoint(
    file: Path, name: str | None, catalogue: Catalogue, assumption: Assumption, settings: Settings
) -> tuple[list[Planned], Catalogue]:
    """The checkpoint with its answer, and the catalogue that knows it."""
    from mistral_operator.cli.checkpoint import NAME, model_of_checkpoint, note_checkpoint

    model, known = model_of_checkpoint(file, NAME if name is None else name, catalogue)
    return [Planned(model, note_checkpoint(answer_for(model, known, assumption, settings), known))], known


def _tell_ranking(
    output: str, catalogue: Catalogue, assumption: Assumption, settings: Settings, asked: Mapping[str, Any]
) -> str:
    from mistral_operator.cli.ranking import RankingOptions, rank
    from mistral_operator.cli.ranking_view import write_ranking

    options = RankingOptions(
        accelerators=asked["accelerators"],
        devices=asked["devices"],
        consumption=asked["consumption"],
        optimize_for=OptimizeFor(asked["optimize_for"] or OptimizeFor.COST),
        allow_experimental=asked["allow_experimental"],
    )
    return write_ranking(output, rank(options, catalogue, assumption, settings), options, assumption)


def _tell_variations(
    output: str,
    planned: Sequence[Planned],
    changes: Sequence[str],
    catalogue: Catalogue,
    assumption: Assumption,
    settings: Settings,
) -> str:
    from mistral_operator.cli.what_if import vary
    from mistral_operator.cli.what_if_view import AS_ASKED, Comparison, Variation, write_comparisons

    def answer(model: MistralModel, change: str) -> Variation:
        return Variation(change, answer_for(vary(model, change), catalogue, assumption, settings))

    comparisons = [
        Comparison(item.model, (Variation(AS_ASKED, item.answer), *(answer(item.model, change) for change in changes)))
        for item in planned
    ]
    return write_comparisons(output, comparisons, assumption)


def _save_report(
    file: Path, planned: Sequence[Planned], catalogue: Catalogue, assumption: Assumption, settings: Settings
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

    ruling = rule(model, assumption.classes)
    found = survey(ruling.model.spec, catalogue, assumption.profile, settings, ruling.terms)
    answers = [] if isinstance(found, PlanRefused) else [item.answer for item in found]
    return tuple(answer for answer in answers if isinstance(answer, PlannedOption))
