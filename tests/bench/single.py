"""A small fleet that runs: latency of one model, an upgrade of the operator, a leader that dies and one that leaves."""

import time
from pathlib import Path
from typing import Any

from tests.bench.fleet import create_models, model_body
from tests.bench.journal import Journal, completions
from tests.bench.process import OperatorProcess, Operators, operators_on
from tests.bench.report import percentile, report, say
from tests.bench.site import Site, new_namespace, open_site
from tests.support.polling import eventually

MODELS = 100
NAMESPACE = "team-a"
WARM_UP = 3
DEPLOYMENTS = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"


async def measure_single_models(directory: Path) -> None:
    """All rows of the small fleet, on one control plane."""
    async with open_site(directory) as site, operators_on(site) as operators:
        await new_namespace(site.admin, NAMESPACE)
        first = operators.start()
        await first.expect("it leads", first.leads)
        await _measure_creation(site)
        await first.stop()
        second = await _measure_upgrade(site, operators)
        await _measure_change_of_leader(site, operators, second)


async def _measure_creation(site: Site) -> None:
    say(f"creating {MODELS} models one after the other")
    for number in range(WARM_UP):
        await _create_and_wait(site, f"warm-up-{number}")
    taken_ms = [1000 * await _create_and_wait(site, f"model-{number}") for number in range(MODELS)]
    note = f"{MODELS} models one after the other; claim, revision, Service, Deployment, PodDisruptionBudget"
    report("model created until all its children exist, p50", percentile(taken_ms, 0.5), "ms", 150, note)
    report("model created until all its children exist, p99", percentile(taken_ms, 0.99), "ms", 500, note)


async def _create_and_wait(site: Site, name: str) -> float:
    """Seconds from the arrival of the request that creates the model to the answer for the last of its children."""
    await create_models(site.admin, [model_body(name, NAMESPACE, "mistral-7b-v0.3")])
    done_at = await _complete(site.journal, name)
    created = next(w for w in site.journal.writes if w.resource == "mistralmodels" and w.created and w.name == name)
    return done_at - created.received_at


async def _complete(journal: Journal, name: str) -> float:
    """When the model had all its children, in seconds since the epoch."""

    def done() -> float | None:
        journal.read()
        mine = [w for w in journal.writes if w.name == name or w.name.rpartition("-")[0] == name]
        return completions(mine).get((NAMESPACE, name))

    return await eventually(done, 60, f"{name} has its children", interval_s=0.02)


async def _measure_upgrade(site: Site, operators: Operators) -> OperatorProcess:
    """Answers the new operator, which runs on."""
    count = MODELS + WARM_UP
    say(f"waiting for {count} models to run")
    before_upgrade = operators.start()
    await site.start_kubelet()
    await eventually(lambda: _all_ready(site, count), 180, "all models run", interval_s=1)
    await site.journal.quiet(2)
    await before_upgrade.stop()
    before = await _templates(site)
    say("starting the operator again with another default image")
    upgraded = operators.start("--image", "vllm-gpu=example.com/vllm:new")
    await upgraded.expect("it has looked at all models", lambda: upgraded.has_observed(count))
    await site.journal.quiet(2)
    after = await _templates(site)
    changed = sum(after[name] != template for name, template in before.items())
    note = f"{count} models running on the kubelet stand-in; the upgraded operator has another default image"
    report("operator upgraded: pod templates changed", changed, "templates", 0, note)
    return upgraded


async def _all_ready(site: Site, count: int) -> bool:
    found = await site.admin.list(DEPLOYMENTS)
    return len(found) == count and all(item.get("status", {}).get("readyReplicas") for item in found)


async def _templates(site: Site) -> dict[str, Any]:
    """Generation and pod template of each Deployment."""
    found = await site.admin.list(DEPLOYMENTS)
    return {d["metadata"]["name"]: (d["metadata"]["generation"], d["spec"]["template"]) for d in found}


async def _measure_change_of_leader(site: Site, operators: Operators, leader: OperatorProcess) -> None:
    say("killing the leader")
    heir = await _stand_by(operators)
    killed_at = time.time()
    leader.kill()
    await create_models(site.admin, [model_body("orphan", NAMESPACE, "mistral-7b-v0.3")])
    note = "until a model that was created meanwhile has all its children"
    report(
        "leader killed until the new one reconciles", await _complete(site.journal, "orphan") - killed_at, "s", 15, note
    )
    say("asking the leader to leave")
    await heir.expect("it leads", heir.leads)
    await site.journal.quiet(1)
    last = await _stand_by(operators)
    asked_at = time.time()
    heir.hand_over()
    await create_models(site.admin, [model_body("ward", NAMESPACE, "mistral-7b-v0.3")])
    report(
        "leadership handed over until the new one reconciles",
        await _complete(site.journal, "ward") - asked_at,
        "s",
        3,
        note,
    )
    await last.stop()


async def _stand_by(operators: Operators) -> OperatorProcess:
    """One more operator, which has read everything and waits for the Lease."""
    process = operators.start()
    await process.expect("it has read everything", process.reads)
    return process
