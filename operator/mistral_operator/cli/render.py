"""`render`: for the same inputs, what the operator applies."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from mistral_operator.api.model import MistralModel
from mistral_operator.cli.classes import CLASS_OPTION, read_classes
from mistral_operator.cli.documents import parse_models, read_documents
from mistral_operator.cli.inputs import Inputs, ordered_manifests, read_inputs, to_yaml
from mistral_operator.cli.lists import list_option
from mistral_operator.cli.output import complain, say
from mistral_operator.cli.plan_view import tell_refused
from mistral_operator.cli.profile import assume_profile
from mistral_operator.cli.settings import CATALOGUE_OPTION, offline_settings
from mistral_operator.core.types import Observed, Outcome
from mistral_operator.planning.types import ClusterProfile, PlanRefused


@click.command()
@click.option(
    "-f", "--file", type=click.Path(path_type=Path), help="A file with MistralModels, or - for standard input."
)
@click.option("--inputs", type=click.Path(path_type=Path), help="Inputs recorded by `status NAME --export-inputs`.")
@click.option("--cluster-profile", type=click.Path(path_type=Path), help="The cluster: location, zones, … as YAML.")
@click.option("--location", help="Region or zone of the cluster, such as europe-west4.")
@list_option("--zones", metavar="ZONE,…", help="Zones of the nodes, such as a,b,c or full names.")
@CLASS_OPTION
@CATALOGUE_OPTION
@click.option("--with-status", is_flag=True, help="Also print the status that the operator would write.")
def render(
    file: Path | None,
    inputs: Path | None,
    cluster_profile: Path | None,
    location: str | None,
    zones: tuple[str, ...],
    class_files: tuple[Path, ...],
    catalogue_directory: Path | None,
    with_status: bool,
) -> None:
    """Print what the operator would apply, as YAML, in an order in which it can be applied.

    With --inputs it is exactly what the operator applied, given what extends its catalogue. With --file it is for a
    model that is new, in a cluster that is assumed or described, and owner references carry a uid of zeros.
    """
    if (file is None) == (inputs is None):
        raise click.UsageError("give either --file or --inputs")
    if inputs:
        print_outcome(read_inputs(inputs).sync(catalogue_directory), with_status=with_status)
        return
    assumption = assume_profile(cluster_profile, location, zones)
    given = file or Path("-")
    documents = read_documents(given)
    classes = read_classes(documents, given, class_files)
    for model in parse_models(documents, given):
        outcome = offline_inputs(model, assumption.profile, classes).sync(catalogue_directory)
        if not outcome.manifests:
            accepted = next(c for c in outcome.status["conditions"] if c["type"] == "Accepted")
            refused = PlanRefused(accepted["reason"], accepted["message"])
            raise click.ClickException("\n".join(tell_refused(model, refused, assumption)))
        print_outcome(outcome, with_status=with_status)
    complain(f"# cluster: {assumption.profile.location}, {', '.join(assumption.profile.zones)} ({assumption.source})")


def offline_inputs(model: MistralModel, cluster: ClusterProfile, classes: tuple[Mapping[str, Any], ...] = ()) -> Inputs:
    """What the operator would be given for a model that was just created in that cluster, with these classes."""
    return Inputs(
        model=model.model_dump(by_alias=True, exclude_none=True, mode="json"),
        observed=Observed(cluster=cluster, serving_classes=classes),
        settings=offline_settings(),
        now=datetime.now(UTC),
    )


def print_outcome(outcome: Outcome, *, with_status: bool) -> None:
    """Print all manifests, and the status when asked for."""
    for manifest in ordered_manifests(outcome):
        say("---\n" + to_yaml(manifest).rstrip())
    if with_status:
        say("---\n" + to_yaml({"status": outcome.status}).rstrip())
