"""Pools that GKE makes by itself for ComputeClasses: one for a priority when a pod needs it, gone once it is empty.

Differs from the real one in that it makes one pool of a priority for all of its zones, looks at one class after the
other, and never moves pods to a better priority (`activeMigration`). The priorities' cool-down is as Google states it:
a machine that can't be had in any zone of a priority bars the whole of it for about five minutes.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass

from mistral_operator.sandbox.kube import Kube, KubeError, Object

from .class_pools import CLASS_LABEL, Choice, conditions, name_pool, read_choices
from .cloud import Cloud
from .errors import RpcError
from .pace import Pace
from .pools import Pool, PoolStatus

log = logging.getLogger(__name__)

CLASSES = "/apis/cloud.google.com/v1/computeclasses"
Rank = tuple[str, int]
"""A class's name, and the number of one of its priorities from 0."""


@dataclass(slots=True)
class _Made:
    """A pool of ours: for which priority, and since when nobody has needed it."""

    rank: Rank
    empty_since_s: float | None = None


class AutoCreation:
    """Which pools the classes have, and which they may get."""

    def __init__(self, cloud: Cloud, pace: Pace) -> None:
        self._cloud = cloud
        self._pace = pace
        self._choices: dict[str, tuple[Choice, ...]] = {}
        self._cool_until_s: dict[Rank, float] = {}
        self._made: dict[str, _Made] = {}
        self._count = 0

    def learn(self, compute_class: Object) -> list[Object]:
        """A class is there, or has changed; answers its conditions. Pools that it has stay as they are."""
        choices = read_choices(compute_class, self._cloud.scenario, self._cloud.fleet.warehouse.reservations)
        enabled = (compute_class["spec"].get("nodePoolAutoCreation") or {}).get("enabled")
        self._choices[compute_class["metadata"]["name"]] = choices if enabled else ()
        return conditions(compute_class, choices)

    def forget(self, name: str) -> None:
        """A class is gone; its pools go once they are empty."""
        self._choices.pop(name, None)

    def choices(self, name: str) -> Iterator[Choice]:
        """The class's priorities from which pools can be made, in order; those that cool down are left out."""
        for choice in self._choices.get(name, ()):
            if choice.flaw is None and not self.cools((name, choice.rank)):
                yield choice

    def cools(self, rank: Rank) -> bool:
        """Whether this priority is left alone after a failure."""
        return self._cool_until_s.get(rank, 0) > self._pace.now_s()

    def cooling(self, name: str) -> int:
        """So many of the class's priorities are left alone now."""
        return sum(self.cools((name, choice.rank)) for choice in self._choices.get(name, ()))

    def pools_of(self, rank: Rank) -> list[Pool]:
        """Those that were made for this priority and aren't about to go."""
        names = [name for name, made in self._made.items() if made.rank == rank]
        return [pool for name in names if (pool := self._cloud.pools.get(name)) and not pool.deleting]

    def make(self, name: str, choice: Choice) -> bool:
        """Begin to make a pool; False while GKE is too busy for it."""
        self._count += 1
        message = type(choice.pool)()
        message.CopyFrom(choice.pool)
        message.name = name_pool(name, choice.rank, self._count, message)
        try:
            self._cloud.create(message)
        except RpcError as error:
            log.info("the simulated GKE makes no pool for ComputeClass %s now: %s", name, error)
            return False
        self._made[message.name] = _Made((name, choice.rank))
        return True

    def fail(self, pool: Pool) -> bool:
        """A machine of this pool can't be had: its priority cools down. False for a pool that isn't a class's."""
        made = self._made.get(pool.name)
        if made is None:
            return False
        self._cool_until_s[made.rank] = self._pace.now_s() + self._cloud.scenario.delays_s.priority_cooldown
        return True

    def sweep(self) -> None:
        """Delete pools that have been empty for as long as an idle machine is kept."""
        now_s = self._pace.now_s()
        for name, made in list(self._made.items()):
            pool = self._cloud.pools.get(name)
            if pool is None:
                del self._made[name]
            elif pool.deleting or pool.message.status == PoolStatus.PROVISIONING or pool.instances:
                made.empty_since_s = None
            elif made.empty_since_s is None:
                made.empty_since_s = now_s
            elif now_s - made.empty_since_s >= self._cloud.scenario.delays_s.scale_down_unneeded:
                self._delete(name)

    def _delete(self, name: str) -> None:
        try:
            self._cloud.delete(name)
        except RpcError as error:
            log.debug("the empty pool %s stays a while: %s", name, error)


async def watch_classes(kube: Kube, creation: AutoCreation) -> None:
    """Keep the classes known and write their conditions, for ever."""
    async for kind, compute_class in kube.watch(CLASSES):
        if kind == "DELETED":
            creation.forget(compute_class["metadata"]["name"])
        else:
            await _tell(kube, compute_class, creation.learn(compute_class))


async def _tell(kube: Kube, compute_class: Object, found: list[Object]) -> None:
    told = (compute_class.get("status") or {}).get("conditions") or []
    if _essence(told) == _essence(found):
        return
    path = f"{CLASSES}/{compute_class['metadata']['name']}/status"
    try:
        await kube.merge_patch(path, {"status": {"conditions": found}})
    except KubeError as error:
        log.info("the conditions of a ComputeClass can't be written: %s", error)


def _essence(found: list[Object]) -> list[Object]:
    return [{key: value for key, value in one.items() if key != "lastTransitionTime"} for one in found]


def class_of(pod: Object) -> str:
    """The ComputeClass that a pod selects; "" for none."""
    return str((pod["spec"].get("nodeSelector") or {}).get(CLASS_LABEL, ""))
