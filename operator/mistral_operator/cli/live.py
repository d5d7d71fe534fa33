"""`plan --live`: asks Google what stands in the way of a plan before anything is bought. Changes nothing."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click

from mistral_operator.capacity.advice import ClusterPlace, advise, cite
from mistral_operator.capacity.errors import CloudError, CloudFinding
from mistral_operator.capacity.port import ClusterView
from mistral_operator.capacity.preflight.facts import LiveFacts, Questions, describe_rungs, list_questions
from mistral_operator.capacity.preflight.judge import check_rungs
from mistral_operator.capacity.provisioners.compute_api import ComputeApi
from mistral_operator.capacity.provisioners.container_api import ContainerApi
from mistral_operator.capacity.provisioners.live_answers import ask_google
from mistral_operator.catalogue.types import Catalogue
from mistral_operator.cli.live_view import Preflight
from mistral_operator.cli.place import Endpoints, Named, find_cluster_place
from mistral_operator.cli.plan_output import Planned
from mistral_operator.cli.profile import DEFAULT, Assumption, assume_profile, read_profile
from mistral_operator.planning.types import ClusterProfile, Plan


@dataclass(frozen=True, slots=True)
class LiveCluster:
    """The cluster, and what GKE said of it."""

    place: ClusterPlace
    answer: ClusterView | CloudFinding
    endpoints: Endpoints


def assume_live(
    named: Named, file: Path | None, zones: tuple[str, ...], endpoints: Endpoints
) -> tuple[Assumption, LiveCluster]:
    """The cluster that the options, the profile or the kubeconfig name, to be planned for as it is.

    A profile or zones that somebody gave are kept. Raises ClickException where neither they nor GKE tell the zones.
    """
    profile = read_profile(file) if file else DEFAULT
    told = Named(
        named.project or profile.project,
        named.location or (profile.location if file else ""),
        named.cluster or profile.cluster,
    )
    place = find_cluster_place(told, None)
    cluster = LiveCluster(place, asyncio.run(_describe(place, endpoints.container_api)), endpoints)
    if file or zones:
        given = assume_profile(file, place.location if zones else None, zones)
        named_profile = replace(given.profile, project=place.project, cluster=place.cluster)
        return replace(given, profile=named_profile, live=True), cluster
    return _assume_described(cluster), cluster


def _assume_described(cluster: LiveCluster) -> Assumption:
    view, place = cluster.answer, cluster.place
    if isinstance(view, CloudFinding):
        raise click.ClickException(f"{_tell(view, place)} To plan without knowing the cluster, give its --zones.")
    known = ClusterProfile(
        provider="GKE",
        project=view.project,
        location=view.location,
        cluster=view.name,
        zones=view.zones,
        version=view.version,
        custom_metrics=DEFAULT.custom_metrics,
        leader_worker_set=DEFAULT.leader_worker_set,
        autopilot=view.autopilot,
        provisioners=DEFAULT.provisioners,
    )
    return Assumption(known, f"as GKE describes {view.name}", live=True)


async def _describe(place: ClusterPlace, endpoint: str) -> ClusterView | CloudFinding:
    try:
        async with ContainerApi(
            project=place.project, location=place.location, cluster=place.cluster, endpoint=endpoint
        ) as pools:
            return await pools.describe_cluster()
    except CloudError as error:
        return error.finding


def add_preflight(planned: Sequence[Planned], catalogue: Catalogue, cluster: LiveCluster) -> list[Planned]:
    """The same with what Google says of each plan; a refused model has none. Raises ClickException without a login."""
    ladders = [
        describe_rungs(item.model, item.answer, catalogue) if isinstance(item.answer, Plan) else ()
        for item in planned
    ]  # fmt: skip
    if not any(ladders):
        return list(planned)
    questions = list_questions(rung for ladder in ladders for rung in ladder)
    try:
        facts = asyncio.run(_ask(questions, cluster))
    except CloudError as error:
        raise click.ClickException(_tell(error.finding, cluster.place, "Google")) from None
    return [
        replace(item, live=Preflight(facts, ladder, check_rungs(ladder, facts))) if ladder else item
        for item, ladder in zip(planned, ladders, strict=True)
    ]


async def _ask(questions: Questions, cluster: LiveCluster) -> LiveFacts:
    async with ComputeApi(cluster.place.project, cluster.endpoints.compute_api) as compute:
        return await ask_google(questions, cluster.place, cluster.answer, compute)


def _tell(finding: CloudFinding, place: ClusterPlace, speaker: str = "GKE") -> str:
    return f"{cite(finding, speaker)} {advise(finding, place)}".strip()
