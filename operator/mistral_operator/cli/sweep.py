"""`sweep`: node pools that have lost their claim, and so cost money for nobody."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import click

from mistral_operator.capacity.advice import ClusterPlace, advise, cite
from mistral_operator.capacity.errors import CloudError, CloudFinding
from mistral_operator.capacity.orphans import price_node
from mistral_operator.capacity.policies import PolicyView
from mistral_operator.cli.output import say
from mistral_operator.cli.place import COMPUTE_OPTION, Endpoints, Named, find_cluster_place, place_options
from mistral_operator.cli.settings import CATALOGUE_OPTION, load_knowledge
from mistral_operator.cli.sweep_view import FORMS, Sweep, ask_to_delete, tell_orphans, tell_swept, write_sweep
from mistral_operator.cluster.client import ApiClient
from mistral_operator.cluster.errors import ApiError, Forbidden
from mistral_operator.cluster.kinds import NAMESPACE
from mistral_operator.controller.sweeper import Sweeper, Swept

_SYSTEM: Final = "kube-system"


@dataclass(frozen=True, slots=True)
class _Wish:
    deletes: bool
    with_nodes: bool
    confirmed: bool
    form: str


@click.command()
@click.option("--dry-run", is_flag=True, help="Only list them, as happens without --delete.")
@click.option("--delete", "deletes", is_flag=True, help="Delete them, after a question.")
@click.option("--with-nodes", is_flag=True, help="With --delete: also those that have nodes, where pods may run.")
@click.option("-y", "--yes", "confirmed", is_flag=True, help="With --delete: ask nothing.")
@click.option("-o", "--output", "form", type=click.Choice(FORMS), default="text", show_default=True)
@click.option("--kubeconfig", type=click.Path(path_type=Path), help="Else the usual places.")
@click.option("--location", help="Region or zone of the cluster. Else as the kubeconfig names it.")
@COMPUTE_OPTION
@place_options
@CATALOGUE_OPTION
@click.pass_context
def sweep(
    ctx: click.Context,
    /,
    dry_run: bool,
    kubeconfig: Path | None,
    container_api: str,
    compute_api: str,
    catalogue_directory: Path | None,
    project: str | None,
    location: str | None,
    cluster: str | None,
    **wished: Any,
) -> None:
    """List node pools that the operator made for a NodePoolClaim which isn't there any more; delete them if asked.

    So are the workload policies by which such pools were placed, once the pools have gone. Pools of others are never
    listed, nor one whose claim is there. Before each deletion everything is read again. One that fails doesn't keep the
    others. Exits with 1 when a pool or a policy that was to be deleted was not.
    """
    wish = _Wish(**wished)
    _check(wish, dry_run=dry_run)
    place = find_cluster_place(Named(project or "", location or "", cluster or ""), kubeconfig)
    try:
        complete = asyncio.run(
            _sweep(place, kubeconfig, Endpoints(container_api, compute_api), catalogue_directory, wish)
        )
    except CloudError as error:
        raise click.ClickException(_tell(error, place)) from None
    except ApiError as error:
        raise click.ClickException(str(error)) from None
    if not complete:
        ctx.exit(1)


def _check(wish: _Wish, *, dry_run: bool) -> None:
    if dry_run and wish.deletes:
        raise click.UsageError("--dry-run only lists, and --delete deletes; write one of them")
    if (wish.with_nodes or wish.confirmed) and not wish.deletes:
        raise click.UsageError("--with-nodes and --yes are for --delete")
    if wish.deletes and wish.form != "text" and not wish.confirmed:
        raise click.UsageError(f"nothing can be asked in {wish.form}; add --yes")


def _tell(error: CloudError, place: ClusterPlace) -> str:
    return f"{error.reason}: {cite(error.finding)} {advise(error.finding, place)}".strip()


async def _sweep(
    place: ClusterPlace, kubeconfig: Path | None, endpoints: Endpoints, catalogue_directory: Path | None, wish: _Wish
) -> bool:
    """False when something that was to be deleted was not."""
    from mistral_operator.capacity.provisioners.compute_policies import ComputePolicies
    from mistral_operator.capacity.provisioners.container_api import ContainerApi

    catalogue, settings = load_knowledge(catalogue_directory)
    client = await ApiClient.connect(kubeconfig)
    try:
        located = replace(place, uid=await _read_uid(client))
        async with (
            ContainerApi(
                project=place.project,
                location=place.location,
                cluster=place.cluster,
                endpoint=endpoints.container_api,
            ) as pools,
            ComputePolicies(place.project, place.region, endpoints.compute_api) as policies,
        ):
            sweeper = Sweeper(
                client,
                pools,
                cluster_uid=located.uid,
                price=lambda pool: price_node(pool, catalogue, settings.prices),
                policies=None if endpoints.container_api and not endpoints.compute_api else policies,
            )
            return await _work(sweeper, located, wish)
    finally:
        await client.close()


async def _read_uid(client: ApiClient) -> str:
    """Of the namespace kube-system; empty where it may not be read."""
    try:
        system = await client.get(NAMESPACE, _SYSTEM)
    except Forbidden:
        return ""
    return str(system["metadata"]["uid"]) if system else ""


async def _work(sweeper: Sweeper, place: ClusterPlace, wish: _Wish) -> bool:
    policies, unread = await _find_policies(sweeper)
    found = Sweep(place, await sweeper.find(), policies=policies, policies_unread=unread)
    going = [orphan.pool.name for orphan in found.orphans if wish.deletes and orphan.may_go(with_nodes=wish.with_nodes)]
    if wish.form == "text":
        say("\n".join(tell_orphans(found, deletes=wish.deletes)))
        if (going or (wish.deletes and policies)) and not wish.confirmed:
            ask_to_delete(going, [policy.name for policy in policies])
    found = replace(found, swept=tuple(await _delete(sweeper, going, place, wish)))
    if wish.deletes:
        found = replace(found, swept_policies=tuple(await _delete_policies(sweeper, found, wish)))
    if wish.form != "text":
        say(write_sweep(wish.form, found))
    return all(result.deleted for result in (*found.swept, *found.swept_policies))


async def _find_policies(sweeper: Sweeper) -> tuple[tuple[PolicyView, ...], CloudFinding | None]:
    """The policies, or why Compute Engine doesn't tell: an identity that may not ask has most often made none."""
    try:
        return await sweeper.find_policies(), None
    except CloudError as error:
        return (), error.finding


async def _delete_policies(sweeper: Sweeper, found: Sweep, wish: _Wish) -> list[Swept]:
    results = []
    for policy in found.policies:
        results.append(await sweeper.delete_policy(policy.name))
        if wish.form == "text":
            say("\n".join(tell_swept(results[-1], found.place)))
    return results


async def _delete(sweeper: Sweeper, names: Sequence[str], place: ClusterPlace, wish: _Wish) -> list[Swept]:
    """One after the other, as GKE has it."""
    results = []
    for name in names:
        results.append(await sweeper.delete(name, with_nodes=wish.with_nodes))
        if wish.form == "text":
            say("\n".join(tell_swept(results[-1], place)))
    return results
