"""Killed with SIGKILL before or after any of its writes, the operator ends in the same state: one pool per need."""

import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from tests.support.polling import eventually
from tests.support.stack import Stack, running_stack

from mistral_operator.sandbox.faults import Fault, FaultProxy

SEED = 20261123
KILL_POINTS = 24
CONVERGED_AFTER = 5
"""The change after which two models must be ready."""
WRITES = "PATCH|POST|PUT|DELETE"


@dataclass
class Killer:
    """Kills the operator at its n-th write, before the API server gets it or after it took effect."""

    stack: Stack
    proxy: FaultProxy
    rng: random.Random
    done: list[str] = field(default_factory=list)

    async def kill_during_next_work(self) -> None:
        """Wait for a write that is drawn by chance, kill there, and start again."""
        nth, lost = self.rng.randint(1, 8), self.rng.random() < 0.5
        self.proxy.forget()
        fault = None
        if lost:  # The write takes effect, its answer never arrives: what a kill just after sending looks like.
            fault = self.proxy.inject(Fault(method=WRITES, lose_answer=True, times=1))
        try:
            await eventually(lambda: self.proxy.count(WRITES) >= nth, 8, interval_s=0.005)
        except AssertionError:
            nth = self.proxy.count(WRITES)  # it had less to do: killed while it rests
        await self.stack.operator.kill()
        self.done.append(f"after {nth} writes{', one answer lost' if lost else ''}")
        if fault is not None:
            fault.remove()
        self.stack.operator.start()


@pytest.fixture
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with running_stack(tmp_path_factory.mktemp("crashes"), speed=100) as stack:
        yield stack


@pytest.mark.timeout(600)
async def test_random_kills_converge(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> None:
    rng = random.Random(SEED)
    async with FaultProxy(stack.operator.kubeconfig, tmp_path_factory.mktemp("proxy")) as proxy:
        stack.operator.kubeconfig = proxy.kubeconfig
        stack.operator.start()
        killer = Killer(stack, proxy, rng)
        changes = [
            lambda: stack.apply("one", model="mistral-7b-v0.3"),
            lambda: stack.apply("two", model="mistral-7b-v0.3", scaling={"maxReplicas": 2}),
            lambda: stack.scale("one", rng.randint(1, 2)),
            lambda: stack.apply("one", model="mistral-7b-v0.3", engine={"contextLength": rng.choice([4096, 8192])}),
            lambda: stack.delete("two"),
            lambda: stack.apply("three", model="mistral-small-3.2-24b-2506"),
            lambda: stack.delete("three"),
            lambda: stack.delete("one"),
        ]
        for _ in range(KILL_POINTS // len(changes)):
            for number, change in enumerate(changes):
                await change()
                await killer.kill_during_next_work()
                if number == CONVERGED_AFTER:
                    await _expect_converged(stack, {"one", "three"}, killer)
            await stack.expect_no_trace()
        assert len(killer.done) >= 20
        await stack.operator.stop()


async def _expect_converged(stack: Stack, names: set[str], killer: Killer) -> None:
    models = {name: (await stack.get(name))["spec"]["replicas"] for name in names}
    for name, replicas in models.items():
        try:
            await stack.expect_ready(name, replicas)
        except AssertionError as error:
            raise AssertionError(f"{error}\nkilled {killer.done}") from None
    await stack.expect_one_pool_per_claim()

    async def one_revision_each() -> bool:
        revisions = await stack.children("ControllerRevision")
        return all(sum(_is_of(revision, name) for revision in revisions) == 1 for name in names)

    await eventually(one_revision_each, 30, f"one revision for each model; killed {killer.done}")


def _is_of(child: dict[str, object], model: str) -> bool:
    metadata = child["metadata"]
    return isinstance(metadata, dict) and metadata["labels"].get("serving.mistral-operator.dev/model") == model
