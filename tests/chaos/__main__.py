"""`python -m tests.chaos`: models live through faults, kills and changes drawn by a seed, and must end as they should.

Each run is one model's story: changed, scaled, deleted, made again, its machines and objects taken away. Some at once
share a sandbox, and its weather: stock-outs, quotas, failing and lost calls of the cloud, faults of the API server, and
SIGKILL for the operator. While that goes on no model may cost more than its limits, those of a class together no more
than its budget, and one that serves goes on serving unless something in its story takes that away. Afterwards
everything is healed, and within two minutes each model must be what its last spec says, or stand in line for the
budget, with one pool for each claim; at last nothing may be left, and no stranger's pool touched.
"""

import argparse
import asyncio
import secrets
import sys
import tempfile
from pathlib import Path

from tests.chaos.batch import Batch
from tests.chaos.story import CLASS, CLASS_LIMIT, draw_story, draw_weather
from tests.support.light_stack import light_stack

from mistral_operator.sandbox.faults import FaultProxy

QUICK = ("--zone-patience-s=0.5", "--stockout-cooldown-s=3", "--refused-cooldown-s=3", "--return-interval-s=3")
CLASSES = "/apis/serving.mistral-operator.dev/v1alpha1/mistralservingclasses"
SHARED_BUDGET = {
    "apiVersion": "serving.mistral-operator.dev/v1alpha1",
    "kind": "MistralServingClass",
    "metadata": {"name": CLASS},
    "spec": {"limits": {"maxTotalHourlyCost": CLASS_LIMIT}},
}
STRANGERS = [{"name": "team-a-pool", "machine_type": "g2-standard-8", "resource_labels": {"team": "a"}, "nodes": 1}]


async def play(runs: int, seed: int, at_once: int, directory: Path) -> int:
    """Play so many stories; answers the number of violations."""
    violations = 0
    async with (
        light_stack(directory, foreign_pools=STRANGERS, neighbours=["lws"]) as (ground, _),
        FaultProxy(ground.operator.kubeconfig, directory) as proxy,
    ):
        ground.operator.kubeconfig, ground.operator.args = proxy.kubeconfig, QUICK
        await ground.kube.create(CLASSES, SHARED_BUDGET)
        ground.operator.start()
        strangers = [pool for pool in (await ground.gke())["pools"] if pool["name"] == STRANGERS[0]["name"]]
        assert strangers, "the stranger's pool is there"
        for first in range(0, runs, at_once):
            numbers = range(first, min(first + at_once, runs))
            stories = [draw_story(seed, number) for number in numbers]
            found = await Batch(ground, proxy, strangers).run(stories, draw_weather(seed, first))
            violations += len(found)
            print(f"runs {numbers.start} to {numbers.stop - 1}: {len(found)} violations", flush=True)
            for words in found:
                print(f"  {words}", flush=True)
        await ground.operator.stop()
    return violations


def main() -> None:
    """Exit code 1 when something was violated."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, help="the same seed draws the same stories; a new one when left out")
    parser.add_argument("--at-once", type=int, default=10, help="stories that share a sandbox and its weather")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the logs of all processes there")
    options = parser.parse_args()
    seed = secrets.randbelow(10**6) if options.seed is None else options.seed
    print(f"seed {seed}: again with --seed {seed} --runs {options.runs} --at-once {options.at_once}", flush=True)
    with tempfile.TemporaryDirectory(prefix="mistral-chaos-") as temporary:
        violations = asyncio.run(play(options.runs, seed, options.at_once, options.keep or Path(temporary)))
    print(f"{options.runs} runs, {violations} violations", flush=True)
    sys.exit(1 if violations else 0)


main()
