"""Pools without a claim, for people and as data."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import click

from mistral_operator.capacity.advice import ClusterPlace, advise, cite
from mistral_operator.capacity.orphans import Orphan, OrphanReason
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


def tell_orphans(sweep: Sweep, *, deletes: bool) -> list[str]:
    """What was found, and what to write to have it deleted."""
    place = f"cluster {sweep.place.cluster} in {sweep.place.location} of project {sweep.place.project}"
    if not sweep.orphans:
        return [f"No node pool of {place} has lost its claim."]
    lines = [
        f"{count(len(sweep.orphans), 'node pool')} of {place} without a claim:",
        "",
        *table([_row(orphan) for orphan in sweep.orphans], _HEADER),
        "",
        *[line for orphan in sweep.orphans for line in wrap(f"{orphan.pool.name}: {orphan.message}")],
    ]
    return lines if deletes else [*lines, "", *_how_to_delete(sweep)]


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
    if any(orphan.may_go(with_nodes=False) for orphan in sweep.orphans):
        parts.append("`mistral-operator sweep --delete` deletes those that are Unused.")
    if any(orphan.may_go(with_nodes=True) and orphan.nodes for orphan in sweep.orphans):
        parts.append("--with-nodes also deletes those with nodes, and the pods that run there.")
    if not any(orphan.reason is OrphanReason.NOT_PROVEN for orphan in sweep.orphans):
        return wrap(" ".join(parts), "")
    parts.append("What isn't proven to be the operator's is never deleted; if you know better:")
    # Not wrapped: it is there to be copied.
    command = f"gcloud container node-pools delete POOL --cluster {place.cluster} --location {place.location}"
    return [*wrap(" ".join(parts), ""), f"  {command} --project {place.project}"]


def ask_to_delete(names: Sequence[str]) -> None:
    """Ends the command unless the answer is yes; where nobody can answer, it is no."""
    click.confirm(f"\nDelete {count(len(names), 'node pool')} ({', '.join(names)})?", abort=True)


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
    return write_data(form, [{"cluster": place, "orphanedPools": pools}])


def _to_document(orphan: Orphan, swept: Swept | None, place: ClusterPlace) -> dict[str, Any]:
    pool, cost = orphan.pool, orphan.hourly_cost
    result = {} if swept is None else {"deleted": swept.deleted}
    why = {} if swept is None or swept.deleted else {"keptBecause": _why_kept(swept, place)}
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
        **result,
        **why,
    }
