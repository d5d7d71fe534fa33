"""A thousand models: created at once beside the bare client, at rest, in memory, and after a restart."""

import asyncio
import statistics
from collections.abc import Sequence
from pathlib import Path

from tests.bench.bare import ACCOUNT as BARE
from tests.bench.bare import apply_fleet
from tests.bench.fleet import Fleet, create_models
from tests.bench.journal import completions
from tests.bench.process import ACCOUNT, OperatorProcess, Operators, operators_on
from tests.bench.report import pair_ratios, report, say
from tests.bench.site import SYSTEM, Site, new_namespace, open_site
from tests.support.polling import eventually

MODELS = 1000
MOST_MODELS = 5000
TENANTS = 10
LONGEST_S = 240.0
"""For making the last three thousand."""
REST_S = 70.0
"""Longer than the 60 s after which each claim is looked at again."""


async def measure_thousand_models(directory: Path) -> None:
    """All rows of the large fleet, on one control plane.

    Twice the operator makes a thousand models, each time with the bare client before it and after it: one run of either
    says little on a machine that others share.
    """
    async with open_site(directory) as site, operators_on(site) as operators:
        bare = await site.account(BARE)
        bare_s = [await _apply_bare(site, bare, 1)]
        operator = operators.start()
        await operator.expect("it leads", operator.leads)
        taken_s = [await _create(site, Fleet("team", MODELS, TENANTS))]
        await site.journal.quiet(3)
        report("memory at 1,000 models", operator.memory_mib(), "MiB", 200, "resident, after they were all created")
        bare_s.append(await _apply_bare(site, bare, 2))
        await _measure_rest(site, operator)
        await operator.stop()
        again = await _measure_restart(site, operators)
        taken_s.append(await _create(site, Fleet("second", MODELS, TENANTS)))
        bare_s.append(await _apply_bare(site, bare, 3))
        _report_ratio(taken_s, bare_s)
        await _measure_memory_of_most(site, again)
        await again.stop()


async def _apply_bare(site: Site, kubeconfig: Path, number: int) -> float:
    say(f"applying the objects of {MODELS} models by the bare client, {number} of 3")
    return await apply_fleet(site, kubeconfig, Fleet(f"bare-{number}", MODELS, TENANTS))


async def _create(site: Site, fleet: Fleet) -> float:
    """Seconds from the first request for a model to the last child."""
    for namespace in fleet.namespaces:
        await new_namespace(site.admin, namespace)
    await site.journal.quiet(1)
    say(f"creating {fleet.size} models at once")
    await create_models(site.admin, fleet.models())
    journal = site.journal

    def all_there() -> dict[tuple[str, str], float] | None:
        journal.read()
        found = completions(w for w in journal.writes if w.namespace in fleet.namespaces)
        return found if len(found) == fleet.size else None

    done = await eventually(all_there, 300, "all children exist", interval_s=0.5)
    asked = [
        w for w in journal.writes if w.resource == "mistralmodels" and w.created and w.namespace in fleet.namespaces
    ]
    return max(done.values()) - min(write.received_at for write in asked)


async def _measure_rest(site: Site, operator: OperatorProcess) -> None:
    say(f"doing nothing for {REST_S:.0f} s")
    loop = asyncio.get_running_loop()
    started, used_s = loop.time(), operator.cpu_s()
    written = len(_writes(site))
    await asyncio.sleep(REST_S)
    share = (operator.cpu_s() - used_s) / (loop.time() - started)
    note = f"{MODELS} models, {REST_S:.0f} s: with the claims' look each minute, without the resync each 10 minutes"
    report("steady state: writes besides the Lease", len(_writes(site)) - written, "writes", 0, f"{note}; audit log")
    report("steady state: processor", 100 * share, "% of a core", 2, note)


async def _measure_restart(site: Site, operators: Operators) -> OperatorProcess:
    """Answers the new operator, which runs on."""
    say("starting the operator again")
    written = len(_writes(site))
    again = operators.start()
    await again.expect("it has looked at all models", lambda: again.has_observed(MODELS))
    taken_s = again.age_s()
    await site.journal.quiet(3)
    note = f"from the start of the process, {MODELS} models converged"
    report("restart until every model is observed", taken_s, "s", 10, note)
    report("restart: writes besides the Lease", len(_writes(site)) - written, "writes", 0, "audit log")
    return again


async def _measure_memory_of_most(site: Site, operator: OperatorProcess) -> None:
    """Two thousand are there by now. On a slow machine the others would take longer than anybody waits."""
    fleet = Fleet("third", MOST_MODELS - 2 * MODELS, TENANTS)
    try:
        async with asyncio.timeout(LONGEST_S):
            await _create(site, fleet)
    except TimeoutError:
        say(f"memory at {MOST_MODELS} models is not measured: they were not made within {LONGEST_S:.0f} s")
        return
    await site.journal.quiet(3)
    note = "resident; a process that was started at the first thousand"
    report(f"memory at {MOST_MODELS:,} models", operator.memory_mib(), "MiB", 450, note)


def _writes(site: Site) -> list[object]:
    return [write for write in site.journal.by(f"{SYSTEM}:{ACCOUNT}") if write.resource != "leases"]


def _report_ratio(taken_s: Sequence[float], bare_s: Sequence[float]) -> None:
    """Each run of the operator against the runs of the bare client before and after it; the median decides."""
    ratios = pair_ratios(taken_s, bare_s)
    note = (
        f"median of {len(ratios)} pairs, {ratios[0]:.2f} to {ratios[-1]:.2f}: the operator {_seconds(taken_s)},"
        f" the bare client {_seconds(bare_s)} for the same objects on the same API server; the operator's time begins"
        " with the first request for a model; models of 0 replicas, so no pods on either side"
    )
    row = "1,000 models created until all children exist, by bare client"
    report(row, statistics.median(ratios), "ratio", 1.5, note)


def _seconds(runs: Sequence[float]) -> str:
    return ", ".join(f"{run:.1f} s" for run in runs)
