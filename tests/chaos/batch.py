"""Some stories at once under the same weather; afterwards everything must be as each model's last spec says."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from copy import copy
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from tests.chaos.story import CLASS_LIMIT, WORKLOAD, Deed, Step, Story, Weather
from tests.chaos.watch import Watcher
from tests.support.namespaces import new_namespace
from tests.support.polling import eventually
from tests.support.stack import CHILDREN, CLAIMS, MODELS, Stack

from mistral_operator.sandbox.faults import Fault, FaultProxy, Injected
from mistral_operator.sandbox.kube import KubeError

Json = dict[str, Any]
NAME = "chat"
CONVERGED_S = 120
PLENTY = 1000


@dataclass(slots=True)
class Batch:
    """The stories of one batch, each in a namespace of its own."""

    ground: Stack
    proxy: FaultProxy
    strangers: Sequence[Json]
    """Somebody else's pools, as they were."""
    _injected: list[Injected] = field(default_factory=list)

    async def run(self, stories: Sequence[Story], weather: Sequence[Weather]) -> list[str]:
        """Play everything; answers what was violated, in words."""
        async with contextlib.AsyncExitStack() as namespaces:
            places = [await namespaces.enter_async_context(self._place(story)) for story in stories]
            by_place = {place.namespace: story for story, place in zip(stories, places, strict=True)}
            watcher = Watcher(self.ground.kube, by_place)
            watching = asyncio.create_task(watcher.run())
            await asyncio.gather(self._strike(weather), *map(_play, stories, places))
            await self._heal()
            ends = await asyncio.gather(*map(_check_end, stories, places))
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching
            left = await asyncio.gather(*map(_clear, stories, places))
        seen = [f"{by_place[where].tell()}: {words}" for (where, _), words in watcher.violations.items()]
        nothing = [] if watcher.samples else ["the watcher never looked"]
        if any(story.shares_budget and story.wants_machines for story in stories) and not watcher.most_shared:
            nothing.append("no model of the class ever had a machine")
        return [*seen, *filter(None, ends), *filter(None, left), *await self._check_strangers(), *nothing]

    @asynccontextmanager
    async def _place(self, story: Story) -> AsyncIterator[Stack]:
        async with new_namespace(self.ground.kube, f"chaos-{story.number}") as name:
            place = copy(self.ground)
            place.namespace = name
            yield place

    async def _strike(self, weather: Sequence[Weather]) -> None:
        began = time.monotonic()
        for each in weather:
            await asyncio.sleep(max(0.0, began + each.at_s - time.monotonic()))
            match each.kind:
                case "kill":
                    await self.ground.operator.kill()
                    self.ground.operator.start()
                case "api":
                    self._injected.append(self.proxy.inject(Fault(**each.change)))
                case path:
                    await self.ground.change_gke(path, **each.change)

    async def _heal(self) -> None:
        for fault in self._injected:
            fault.remove()
        await self.ground.heal_gke()
        await self.ground.change_gke("stock", nodes=PLENTY)
        await self.ground.change_gke("quota", limit=PLENTY)

    async def _check_strangers(self) -> list[str]:
        pools = {pool["name"]: pool["message"] for pool in (await self.ground.gke())["pools"]}
        return [
            f"strangers: pool {pool['name']} was {pool['message']} and is {pools.get(pool['name'])}"
            for pool in self.strangers
            if pools.get(pool["name"]) != pool["message"]
        ]


async def _play(story: Story, place: Stack) -> None:
    began = time.monotonic()
    await place.apply(NAME, **story.spec)
    for step in story.steps:
        await asyncio.sleep(max(0.0, began + step.at_s - time.monotonic()))
        with contextlib.suppress(KubeError):  # What is to be removed may not be there (yet), or have changed meanwhile.
            await _do(step, place)


async def _do(step: Step, place: Stack) -> None:
    match step.deed:
        case Deed.CHANGE:
            await place.apply(NAME, **step.spec)
        case Deed.CREATE:
            await place.apply(NAME, **step.spec)
            await place.scale(NAME, step.replicas)
        case Deed.SCALE:
            await place.scale(NAME, step.replicas)
        case Deed.DELETE:
            await place.delete(NAME)
        case Deed.LOSE_NODE:
            await _lose_node(place, step.what)
        case Deed.REMOVE_OBJECT:
            await _remove_object(place, step.what)


async def _lose_node(place: Stack, way: str) -> None:
    nodes = [node["name"] for pool in await place.pools() for node in pool["nodes"] if node["state"] == "RUNNING"]
    if nodes:
        await place.change_gke(way, node=nodes[0])


async def _remove_object(place: Stack, kind: str) -> None:
    if kind == "NodePoolClaim":
        for claim in await place.claims():
            await place.kube.delete(f"{CLAIMS}/{claim['metadata']['name']}")
        return
    for each in ("Deployment", "LeaderWorkerSet") if kind == WORKLOAD else (kind,):
        for child in await place.children(each):
            await place.kube.delete(f"{CHILDREN[each].format(namespace=place.namespace)}/{child['metadata']['name']}")


async def _check_end(story: Story, place: Stack) -> str:
    """What isn't as the last spec says, a while after everything was healed; empty when all is."""
    return await _complain(story, place, lambda: _expect_end(story, place))


async def _expect_end(story: Story, place: Stack) -> None:
    if not story.lives:
        await place.expect_no_trace()
        return
    if story.final_spec.get("suspend"):
        await place.expect(NAME, "Ready", "False", "Suspended", timeout_s=CONVERGED_S)
    else:
        await eventually(lambda: _is_as_wanted(story, place), CONVERGED_S, "the model is as its spec says")
    await place.expect_one_pool_per_claim()


async def _is_as_wanted(story: Story, place: Stack) -> bool:
    """Settled, with what its spec asks for, or as much of that as its limit pays for by the price in its status; one
    that shares a budget may have its place in line instead.
    """
    model = await place.get(NAME)
    status = model.get("status", {})
    conditions = {c["type"]: c for c in status.get("conditions", ())}
    if conditions.get("Ready", {}).get("observedGeneration") != model["metadata"]["generation"]:
        return False
    if story.shares_budget and status["capacity"].get("queue"):
        return True
    limit = CLASS_LIMIT if story.shares_budget else story.spec["capacity"].get("maxHourlyCost")
    cost = status["plan"]["chosen"]["hourlyCost"]
    wanted = story.final_replicas if limit is None else min(story.final_replicas, int(Decimal(limit) / Decimal(cost)))
    settled = (conditions["Ready"]["status"], conditions["Reconciling"]["status"]) == ("True", "False")
    return settled and status.get("readyReplicas", 0) == wanted


async def _clear(story: Story, place: Stack) -> str:
    async def gone() -> None:
        await place.kube.delete(MODELS.format(namespace=place.namespace))
        await place.expect_no_trace()

    return await _complain(story, place, gone)


async def _complain(story: Story, place: Stack, expect: Callable[[], Awaitable[None]]) -> str:
    try:
        await expect()
    except (AssertionError, KubeError) as error:
        first = str(error).splitlines()[0]
        return f"{story.tell()}\n    {first}\n    {await _describe(place)}"
    return ""


async def _describe(place: Stack) -> str:
    """How the model is, in its own words, and what there is of it."""
    try:
        status = (await place.get(NAME)).get("status", {})
    except KubeError as error:
        status = {"error": str(error)}
    conditions = "; ".join(f"{c['type']}={c['status']} {c['reason']}" for c in status.get("conditions", ()))
    rungs = [(rung["name"], rung["state"]) for rung in status.get("capacity", {}).get("options", ())]
    claims = [(claim["metadata"]["name"], claim.get("status", {}).get("state")) for claim in await place.claims()]
    pools = [(pool["name"], pool["status"], len(pool["nodes"])) for pool in await place.pools()]
    pods = [(pod["metadata"]["name"], pod["status"].get("phase")) for pod in await place.children("Pod")]
    return f"{conditions}; rungs {rungs}; claims {claims}; pools {pools}; pods {pods}"
