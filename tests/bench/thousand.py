"""A thousand models: created at once beside the bare client, at rest, in memory, and after a restart."""

import asyncio
import statistics
from pathlib import Path

from tests.bench.bare import ACCOUNT as BARE
from tests.bench.bare import apply_fleet
from tests.bench.fleet import Fleet, create_models
from tests.bench.journal import completions
from tests.bench.process import ACCOUNT, OperatorProcess, Operators, operators_on
from tests.bench.report import report, say
from tests.bench.site import SYSTEM, Site, new_namespace, open_site
from tests.support.polling import eventually

MODELS = 1000
TENANTS = 10
REST_S = 20.0


async def measure_thousand_models(directory: Path) -> None:
    """All rows of the large fleet, on one control plane."""
    async with open_site(directory) as site, operators_on(site) as operators:
        bare = await site.account(BARE)
        say(f"applying the objects of {MODELS} models by the bare client")
        before_s = await apply_fleet(site, bare, Fleet("before", MODELS, TENANTS))
        operator = operators.start()
        await operator.expect("it leads", operator.leads)
        taken_s = await _create(site, Fleet("team", MODELS, TENANTS))
        await site.journal.quiet(3)
        report("memory at 1,000 models", operator.memory_mib(), "MiB", 200, "resident, after they were all created")
        await _measure_rest(site, operator)
        await operator.stop()
        await _measure_restart(site, operators)
        say("the bare client once more")
        after_s = await apply_fleet(site, bare, Fleet("after", MODELS, TENANTS))
        _report_ratio(taken_s, before_s, after_s)


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
    asked = [w for w in journal.writes if w.resource == "mistralmodels" and w.created]
    return max(done.values()) - min(write.received_at for write in asked)


async def _measure_rest(site: Site, operator: OperatorProcess) -> None:
    say(f"doing nothing for {REST_S:.0f} s")
    loop = asyncio.get_running_loop()
    started, used_s = loop.time(), operator.cpu_s()
    written = len(_writes(site))
    await asyncio.sleep(REST_S)
    share = (operator.cpu_s() - used_s) / (loop.time() - started)
    note = f"{MODELS} models, {REST_S:.0f} s"
    report("steady state: writes besides the Lease", len(_writes(site)) - written, "writes", 0, f"{note}; audit log")
    report("steady state: processor", 100 * share, "% of a core", 2, note)


async def _measure_restart(site: Site, operators: Operators) -> None:
    say("starting the operator again")
    written = len(_writes(site))
    again = operators.start()
    await again.expect("it has looked at all models", lambda: again.has_observed(MODELS))
    taken_s = again.age_s()
    await site.journal.quiet(3)
    note = f"from the start of the process, {MODELS} models converged"
    report("restart until every model is observed", taken_s, "s", 10, note)
    report("restart: writes besides the Lease", len(_writes(site)) - written, "writes", 0, "audit log")
    await again.stop()


def _writes(site: Site) -> list[object]:
    return [write for write in site.journal.by(f"{SYSTEM}:{ACCOUNT}") if write.resource != "leases"]


def _report_ratio(taken_s: float, before_s: float, after_s: float) -> None:
    bare_s = statistics.mean((before_s, after_s))
    note = (
        f"{taken_s:.1f} s against {bare_s:.1f} s ({before_s:.1f} s before, {after_s:.1f} s after) of the bare client "
        "for the same objects on the same API server; the operator's time begins with the first request for a model; "
        "models of 0 replicas, so no pods on either side"
    )
    report("1,000 models created until all children exist, by bare client", taken_s / bare_s, "ratio", 1.5, note)
