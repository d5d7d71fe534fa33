"""Pools without a claim, for people and as data."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import click

from mistral_operator.capacity.advice import ClusterPlace, advise, cite
from mistral_operator.capacity.errors import CloudFinding
from mistral_operator.capacity.orphans import Orphan, OrphanReason
from mistral_operator.capacity.policies import PolicyView
from mistral_operator.capacity.pools import consumption_of
from mistral_operator.cli.output import Cell, Style, count, paint, table, wrap
from mistral_operator.cli.plan_output import write_data
from mistral_operator.cli.plan_words import money
from mistral_operator.controller.sweeper import Swept

FORMS: Final = ("text", "json", "yaml")
_HEADER: Final = ("pool", "machine", "zones", "nodes", "$/hour", "status", "finding")


@dataclass(frozen=True, slots=True)
class Sweep:
    """What was found in a cluster, and what became of what was to be deleted."""

    place: ClusterPlace
    orphans: tuple[Orphan, ...]
    swept: tuple[Swept, ...] = ()
    policies: tuple[PolicyView, ...] = ()
    """Workload policies without claim and pool, all of which may go."""
    policies_unread: CloudFinding | None = None
    """Why there may be others."""
    swept_policies: tuple[Swept, ...] = ()


def tell_orphans(sweep: Sweep, *, deletes: bool) -> list[str]:
    """What was found, and what to write to have it deleted."""
    place = f"cluster {sweep.place.cluster} in {sweep.place.location} of project {sweep.place.project}"
    lines = [*_tell_pools(sweep, place), *_tell_policies(sweep)]
    found = sweep.orphans or sweep.policies
    return lines if deletes or not found else [*lines, "", *_how_to_delete(sweep)]


def _tell_pools(sweep: Sweep, place: str) -> list[str]:
    if not sweep.orphans:
        return [f"No node pool of {place} has lost its claim."]
    return [
        f"{count(len(sweep.orphans), 'node pool')} of {place} without a claim:",
        "",
        *table([_row(orphan) for orphan in sweep.orphans], _HEADER),
        "",
        *[line for orphan in sweep.orphans for line in wrap(f"{orphan.pool.name}: {orphan.message}")],
    ]


def _tell_policies(sweep: Sweep) -> list[str]:
    if sweep.policies_unread is not None:
        finding = sweep.policies_unread
        told = f"{cite(finding, 'Compute Engine')} {advise(finding, sweep.place)}".strip()
        return ["", *wrap(f"Workload policies can't be listed, so none is looked for: {told}", "")]
    if not sweep.policies:
        return []
    region = f"region {sweep.place.region}"
    lines = [f"{policy.name}: topology {policy.topology}, no claim, and no node pool" for policy in sweep.policies]
    head = f"{len(sweep.policies)} workload {'policy' if len(sweep.policies) == 1 else 'policies'} of {region}"
    return ["", f"{head} without a claim:", "", *[part for line in lines for part in wrap(line)]]


def _row(orphan: Orphan) -> list[Cell | str]:
    pool, cost = orphan.pool, orphan.hourly_cost
    return [
        Cell(pool.name, Style.NAME),
        f"{pool.machine_type}, {consumption_of(pool).value}",
        ", ".join(pool.locations),
        Cell(str(orphan.nodes), right=True),
        Cell("unknown" if cost is None else money(cost), right=True),
        pool.status.value,
        Cell(orphan.reason.value, Style.WAITING),
    ]


def _how_to_delete(sweep: Sweep) -> list[str]:
    parts, place = ["Nothing was deleted."], sweep.place
    if sweep.policies or any(orphan.may_go(with_nodes=False) for orphan in sweep.orphans):
        named = "those that are Unused, and the policies" if sweep.policies else "those that are Unused"
        parts.append(f"`mistral-operator sweep --delete` deletes {named}.")
    if any(orphan.may_go(with_nodes=True) and orphan.nodes for orphan in sweep.orphans):
        parts.append("--with-nodes also deletes those with nodes, and the pods that run there.")
    if not any(orphan.reason is OrphanReason.NOT_PROVEN for orphan in sweep.orphans):
        return wrap(" ".join(parts), "")
    parts.append("What isn't proven to be the operator's is never deleted; if you know better:")
    # Not wrapped: it is there to be copied.
    command = f"gcloud container node-pools delete POOL --cluster {place.cluster} --location {place.location}"
    return [*wrap(" ".join(parts), ""), f"  {command} --project {place.project}"]


def ask_to_delete(pools: Sequence[str], policies: Sequence[str] = ()) -> None:
    """Ends the command unless the answer is yes; where nobody can answer, it is no."""
    what = [f"{count(len(pools), 'node pool')} ({', '.join(pools)})"] if pools else []
    if policies:
        what.append(
            f"{len(policies)} workload {'policy' if len(policies) == 1 else 'policies'} ({', '.join(policies)})"
        )
    click.confirm(f"\nDelete {' and '.join(what)}?", abort=True)


def tell_swept(swept: Swept, place: ClusterPlace) -> list[str]:
    """What became of one pool."""
    if swept.deleted:
        return [f"{paint('deleted', Style.GOOD)}  {swept.name}"]
    return [f"{paint('kept', Style.BAD)}     {swept.name}", *wrap(_why_kept(swept, place), "         ")]


def _why_kept(swept: Swept, place: ClusterPlace) -> str:
    if swept.finding is None:
        return swept.kept
    began = f"{swept.kept}. " if swept.kept else ""
    return f"{began}{swept.finding.reason}. {cite(swept.finding)} {advise(swept.finding, place)}".strip()


def write_sweep(form: str, sweep: Sweep) -> str:
    """The same as data."""
    results = {swept.name: swept for swept in sweep.swept}
    place = {"project": sweep.place.project, "location": sweep.place.location, "name": sweep.place.cluster}
    pools = [_to_document(orphan, results.get(orphan.pool.name), sweep.place) for orphan in sweep.orphans]
    swept = {result.name: result for result in sweep.swept_policies}
    policies = [
        {"name": policy.name, "topology": policy.topology, **_result_of(swept.get(policy.name), sweep.place)}
        for policy in sweep.policies
    ]
    unread = sweep.policies_unread
    why = {"policiesUnreadBecause": f"{unread.reason}: {unread.text}"} if unread else {}
    return write_data(form, [{"cluster": place, "orphanedPools": pools, "orphanedPolicies": policies, **why}])


def _result_of(swept: Swept | None, place: ClusterPlace) -> dict[str, Any]:
    """What became of it, where it was to be deleted."""
    if swept is None:
        return {}
    return {"deleted": swept.deleted, **({} if swept.deleted else {"keptBecause": _why_kept(swept, place)})}


def _to_document(orphan: Orphan, swept: Swept | None, place: ClusterPlace) -> dict[str, Any]:
    pool, cost = orphan.pool, orphan.hourly_cost
    return {
        "name": pool.name,
        "claim": orphan.claim,
        "machineType": pool.machine_type,
        "consumption": consumption_of(pool).value,
        "zones": list(pool.locations),
        "nodes": orphan.nodes,
        "hourlyCost": None if cost is None else str(cost),
        "status": pool.status.value,
        "reason": orphan.reason.value,
        "message": orphan.message,
        **_result_of(swept, place),
    }
