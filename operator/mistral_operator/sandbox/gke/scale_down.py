"""The autoscaler's downward half: machines that nobody has needed for a while go, those of a slice together."""

import asyncio
from collections.abc import Mapping, Sequence

from mistral_operator.sandbox.kube import Object

from . import fit, template
from .cloud import Cloud
from .events import EventWriter
from .nodes import KubeNodes
from .pace import Pace
from .pools import Instance, InstanceState, Pool


class ScaleDown:
    """`pods`: every pod of the cluster by its key, kept up to date by the owner."""

    def __init__(
        self, cloud: Cloud, nodes: KubeNodes, events: EventWriter, pace: Pace, pods: Mapping[str, Object]
    ) -> None:
        self._cloud = cloud
        self._nodes = nodes
        self._events = events
        self._pace = pace
        self._pods = pods

    def scan(self) -> None:
        """Take down what has been idle for long enough, as far as the pools' minimum allows."""
        busy = {pod["spec"].get("nodeName") for pod in self._pods.values() if _keeps_node(pod)}
        for pool in list(self._cloud.pools.values()):
            if pool.deleting or not pool.autoscaled:
                continue
            unneeded = [i for i in pool.instances.values() if self._is_unneeded(pool, i, i.name in busy)]
            if pool.slice_hosts:
                if len(unneeded) == pool.slice_hosts and not pool.repairing:
                    self._remove(pool, unneeded)
                continue
            for instance in unneeded:
                if pool.spare(instance.zone) > 0:
                    self._remove(pool, [instance])

    def _is_unneeded(self, pool: Pool, instance: Instance, busy: bool) -> bool:
        now_s = self._pace.now_s()
        if busy or instance.marked or not _settled(pool, instance):
            instance.idle_since_s = None
            return False
        if instance.idle_since_s is None:
            instance.idle_since_s = now_s
        return now_s - instance.idle_since_s >= self._cloud.scenario.delays_s.scale_down_unneeded

    def _remove(self, pool: Pool, instances: Sequence[Instance]) -> None:
        for instance in instances:
            instance.marked = True
        self._cloud.fleet.spawn(self._take_down(pool, instances))

    async def _take_down(self, pool: Pool, instances: Sequence[Instance]) -> None:
        """All of them or, if a pod came to one of them in the meantime, none."""
        empty = await asyncio.gather(*(self._nodes.mark(instance) for instance in instances))
        if all(empty):
            for instance in instances:
                text = "marked the node as toBeDeleted/unschedulable"
                self._events.on_node(instance.name, "Normal", "ScaleDown", text)
            await asyncio.gather(*(self._cloud.fleet.remove(pool, instance) for instance in instances))
            return
        for instance, is_marked in zip(instances, empty, strict=True):
            if is_marked:
                await self._nodes.unmark(instance)
            instance.marked = False


def _settled(pool: Pool, instance: Instance) -> bool:
    """Its node has all that it will ever have."""
    return instance.usable or (instance.state is InstanceState.RUNNING and not template.shows_devices(pool))


def _keeps_node(pod: Object) -> bool:
    owners = {owner["kind"] for owner in pod["metadata"].get("ownerReferences") or []}
    return not fit.is_finished(pod) and not owners & {"DaemonSet", "Node"}
