"""The slices of a model through an upgrade of the control plane: workers at once, lost answers, killed processes."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import pytest
from tests.support.claim_cases import GROUP, NOW, SETTINGS, a_slice, pool_of, slice_body, slice_spec
from tests.support.claim_world import Crash, FakeCloud, FakeCluster, Kills

from mistral_operator.api.names import API_VERSION, CLAIM_LABEL, MODEL_KIND, MODEL_LABEL, SHAPE_LABEL
from mistral_operator.capacity.cloud import CloudPace, CloudPools
from mistral_operator.capacity.pools import NodeFacts, pool_name
from mistral_operator.capacity.port import ClusterView, Mend, OperationView, PoolStatus, SetVersion, UpgradeHold
from mistral_operator.capacity.slice_upgrades import SliceUpgrades
from mistral_operator.cluster.kinds import CLAIM, MODEL, NODE, POD, REVISION
from mistral_operator.cluster.store import Key
from mistral_operator.controller.claims import ClaimReconciler
from mistral_operator.planning.types import Provisioner

OLD, NEW = "1.36.3-gke.1000000", "1.36.4-gke.1000000"
NEWER = "1.36.5-gke.1000000"
HOSTS = 4
LOADS_FOR = 3
"""Rounds that an engine takes to load once its nodes are there."""


@dataclass
class SlicesCloud(FakeCloud):
    """Node pools that can be upgraded, and a control plane that is."""

    version: str = NEW
    on_upgrade: Callable[[str, bool], None] = lambda _name, _begins: None
    upgraded: list[str] = field(default_factory=list)
    most_at_once: int = 0

    async def describe_cluster(self) -> ClusterView:
        await asyncio.sleep(0)
        zones = ("us-central1-a",)
        return ClusterView("p", "us-central1", "s", zones, self.version, autopilot=False, release_channel="REGULAR")

    async def mend_pool(self, name: str, mend: Mend) -> OperationView:
        self._refuse("mend")
        assert isinstance(mend, SetVersion), "the pools are as they should be but for their version"
        await asyncio.sleep(0)
        self.kills.about_to()
        self.upgraded.append(name)
        self._set(name, status=PoolStatus.RECONCILING)
        self.on_upgrade(name, True)
        at_once = [each for each in self.pools.values() if each.status is PoolStatus.RECONCILING]
        self.most_at_once = max(self.most_at_once, len(at_once))
        return self._begin("mend", lambda: self._end_upgrade(name, mend.version))

    def _end_upgrade(self, name: str, version: str) -> None:
        self._set(name, status=PoolStatus.RUNNING, version=version)
        self.on_upgrade(name, False)


class SlicesWorld:
    """A model on so many slices, all of which serve."""

    def __init__(self, slices: int = 3, upgrades: SliceUpgrades = SliceUpgrades.ONE_BY_ONE) -> None:
        self.kills = Kills()
        self.clock_s = 1000.0
        self.settings = replace(SETTINGS, slice_upgrades=upgrades)
        self.cloud = SlicesCloud(self.kills, lambda: self.clock_s, on_upgrade=self._note)
        self.cluster = FakeCluster(self.kills)
        self.loading: dict[str, int] = {}
        """Claim → rounds until its engine answers again."""
        self.most_silent = 0
        self.names = [f"{GROUP}-{number}" for number in range(slices)]
        owner = {"apiVersion": API_VERSION, "kind": MODEL_KIND, "name": "mix", "uid": "u", "controller": True}
        model = {"namespace": "team-a", "name": "mix", "uid": "u", "generation": 1}
        self.cluster.put(MODEL, {"apiVersion": API_VERSION, "kind": MODEL_KIND, "metadata": model, "spec": {}})
        for number, name in enumerate(self.names):
            labels = {MODEL_LABEL: "mix", CLAIM_LABEL: name}
            revision = {"namespace": "team-a", "name": name, "uid": name, "labels": labels, "ownerReferences": [owner]}
            self.cluster.put(REVISION, {"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": revision})
            self.cluster.put(CLAIM, slice_body(number))
            pool = pool_of(slice_spec(a_slice(number), UpgradeHold.EXCLUSION))
            self.cloud.pools[pool.name] = replace(pool, version=OLD)
            for host in range(HOSTS):
                self.put_host(name, host, ready=True)
        self.start()

    def put_host(self, claim: str, host: int, *, ready: bool) -> None:
        node = {"name": f"{claim}-{host}", "labels": {SHAPE_LABEL: GROUP, CLAIM_LABEL: claim}}
        self.cluster.put(NODE, {"apiVersion": "v1", "kind": "Node", "metadata": node})
        condition = {"type": "Ready", "status": "True" if ready else "False"}
        metadata = {"namespace": "team-a", "name": f"{claim}-{host}", "uid": f"{claim}-{host}"}
        spec = {"nodeName": f"{claim}-{host}"}
        status = {"conditions": [condition]}
        self.cluster.put(POD, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": status})

    def start(self) -> None:
        """A new process, which remembers nothing."""
        self.cluster.restart_store()
        pace = CloudPace(change_interval_s=0.0)
        clock = lambda: self.clock_s  # noqa: E731
        pools = CloudPools(self.cloud, pace=pace, clock=clock, now=lambda: NOW, rng=Random(7))
        self.reconciler = ClaimReconciler(
            client=self.cluster,
            store=self.cluster.store,
            clouds={Provisioner.CONTAINER_API: pools},
            settings=self.settings,
            wake=lambda _: None,
            facts=lambda _: NodeFacts(),
            now=lambda: NOW,
        )

    def _note(self, pool: str, begins: bool) -> None:
        name = pool.removeprefix("mm-")
        self.loading[name] = 10**6 if begins else LOADS_FOR
        self.put_host(name, 0, ready=False)
        self.most_silent = max(self.most_silent, len(self.loading))

    async def round(self) -> None:
        """All workers at once; then time goes on, and engines load."""
        await asyncio.gather(*(self.reconciler.reconcile(name) for name in self.names))
        self.clock_s += 61.0
        for name in list(self.loading):
            self.loading[name] -= 1
            if self.loading[name] <= 0:
                del self.loading[name]
                self.put_host(name, 0, ready=True)

    async def settle(self, version: str = NEW, rounds: int = 60) -> None:
        """Until all slices have the version and answer."""
        for _ in range(rounds):
            await self.round()
            if all(pool.version == version for pool in self.cloud.pools.values()) and not self.loading:
                return
        raise AssertionError(f"not settled: {self.versions()}, {[self.ready(name) for name in self.names]}")

    def versions(self) -> list[str]:
        return [self.cloud.pools[pool_name(name)].version for name in self.names]

    def ready(self, name: str) -> dict[str, Any]:
        status = self.cluster.objects[CLAIM, Key("", name)]["status"]
        found: dict[str, Any] = next(each for each in status["conditions"] if each["type"] == "Ready")
        return found


async def test_the_slices_of_a_model_are_upgraded_one_by_one_in_their_order() -> None:
    world = SlicesWorld()
    await world.settle()
    assert world.cloud.upgraded == [pool_name(name) for name in world.names]
    assert (world.cloud.most_at_once, world.most_silent) == (1, 1)
    await world.round()
    assert {world.ready(name)["reason"] for name in world.names} == {"PoolReady"}


async def test_the_next_one_waits_until_the_last_ones_engine_answers() -> None:
    world = SlicesWorld(slices=2)
    while not world.loading or OLD in world.versions()[:1]:
        await world.round()
    for _ in range(2):  # The second one with the next list of the pools.
        await world.round()
    waits = world.ready(world.names[1])
    assert (waits["status"], waits["reason"]) == ("True", "WaitsForSibling")
    assert f"{world.names[0]} doesn't answer yet" in waits["message"]


async def test_workers_that_decide_at_once_start_one_upgrade() -> None:
    """The second control plane's upgrade comes between their looks: for one of them the other isn't behind."""
    world = SlicesWorld(slices=2)
    world.cloud.version = OLD
    await world.round()
    first = pool_name(world.names[0])
    world.cloud.pools[first] = replace(world.cloud.pools[first], version=NEW)
    world.cloud.version = NEW
    describe = world.cloud.describe_cluster

    async def describe_next() -> ClusterView:
        found = await describe()
        world.clock_s += 61.0
        world.cloud.version = NEWER
        return found

    world.cloud.describe_cluster = describe_next  # type: ignore[method-assign]
    await asyncio.gather(world.reconciler.reconcile(world.names[1]), world.reconciler.reconcile(world.names[0]))
    assert (len(world.cloud.upgraded), world.cloud.most_at_once) == (1, 1)
    await world.settle(NEWER)
    assert (world.cloud.most_at_once, world.most_silent) == (1, 1)


async def test_an_upgrade_whose_answer_was_lost_counts_as_one() -> None:
    world = SlicesWorld()
    world.cloud.lost["mend"] = 2
    await world.settle()
    assert (world.cloud.most_at_once, world.most_silent) == (1, 1)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("effect", range(1, 16))
async def test_a_process_that_dies_at_any_effect_upgrades_no_second_slice(moment: str, effect: int) -> None:
    world = SlicesWorld()
    setattr(world.kills, moment, effect)
    with pytest.raises(Crash):
        await world.settle()
    world.kills.disarm()
    world.start()
    await world.settle()
    assert (world.cloud.most_at_once, world.most_silent) == (1, 1)


async def test_a_model_with_one_slice_keeps_it_and_says_what_to_do() -> None:
    world = SlicesWorld(slices=1)
    for _ in range(3):
        await world.round()
    assert world.versions() == [OLD]
    ready = world.ready(world.names[0])
    assert (ready["status"], ready["reason"]) == ("True", "SliceOutdated")
    assert f"--node-pool {pool_name(world.names[0])}" in ready["message"]


async def test_another_models_slices_are_no_siblings() -> None:
    world = SlicesWorld(slices=2)
    stranger = slice_body(7)
    stranger["spec"] = {**stranger["spec"], "model": "other"}
    world.cluster.put(CLAIM, {**stranger, "status": {}})
    await world.settle()
    assert len(world.cloud.upgraded) == 2


async def test_upgrades_by_people_are_left_to_them() -> None:
    world = SlicesWorld(upgrades=SliceUpgrades.MANUAL)
    for _ in range(3):
        await world.round()
    assert world.cloud.upgraded == []
    assert {world.ready(name)["reason"] for name in world.names} == {"SliceOutdated"}
