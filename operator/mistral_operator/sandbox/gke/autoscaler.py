"""A stand-in for GKE's cluster autoscaler: pending pods become machines or events, idle machines go.

It differs from the real one where it is simpler: it packs first-fit, takes the pool with the fewest GPUs a machine, and
removes only empty nodes (never evicts, so budgets don't matter to it).
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from mistral_operator.sandbox.kube import Kube, Object, object_key

from . import fit, template
from .backoff import Backoff, Group
from .cloud import Cloud
from .events import EventWriter, failed_scale_up
from .nodes import PODS, KubeNodes
from .pace import Pace
from .pools import Instance, InstanceState, LocationPolicy, PodRef, Pool, group_url
from .stock import Shortage

log = logging.getLogger(__name__)

MAX_SIZE_REACHED = "max node group size reached"
IN_BACKOFF = "in backoff after failed scale-up"
SHORTEST_SCAN_S = 0.05

Pods = list[Object]


class Autoscaler:
    """Reads pods from a watch; acts on the cloud's pools."""

    def __init__(self, cloud: Cloud, kube: Kube, nodes: KubeNodes, events: EventWriter, pace: Pace) -> None:
        self._cloud = cloud
        self._kube = kube
        self._nodes = nodes
        self._events = events
        self._pace = pace
        self._delays = cloud.scenario.delays_s
        self._backoff = Backoff(self._delays, pace)
        self._pods: dict[str, Object] = {}
        self._templates: dict[Group, fit.Room] = {}

    async def watch(self) -> None:
        """Keep the pods known, for ever."""
        async for kind, pod in self._kube.watch(PODS):
            if kind == "DELETED":
                self._pods.pop(object_key(pod), None)
            else:
                self._pods[object_key(pod)] = pod

    async def run(self) -> None:
        """Look again and again, for ever."""
        while True:
            try:
                self._scan()
            except Exception:
                log.exception("a scan of the simulated autoscaler failed")
            await asyncio.sleep(max(SHORTEST_SCAN_S, self._delays.autoscaler_scan / self._pace.speed))

    def lost(self, pool: Pool, zone: str) -> None:
        """An instance group lost a machine that it should have: it asks for another one."""
        self._launch(pool, zone, ())

    def _scan(self) -> None:
        self._templates.clear()
        pending = [pod for pod in self._pods.values() if _unschedulable(pod)]
        waiting = self._not_helped(pending)
        self._scale_up(waiting)
        self._keep_minimum()
        self._scale_down()

    def _rooms(self) -> list[fit.Room]:
        """Every machine that is there or on its way, with what is free on it."""
        by_node: dict[str, Pods] = {}
        for pod in self._pods.values():
            if (node := pod["spec"].get("nodeName")) and not _finished(pod):
                by_node.setdefault(node, []).append(pod)
        rooms = []
        for pool in self._cloud.pools.values():
            for instance in pool.instances.values():
                if instance.stays and not pool.deleting:
                    room = self._room(pool, instance.zone, instance.name)
                    for pod in by_node.get(instance.name, ()):
                        room.put(pod["metadata"]["name"], fit.pod_requests(pod))
                    rooms.append(room)
        return rooms

    def _room(self, pool: Pool, zone: str, name: str = "template") -> fit.Room:
        want = pool.want(zone)
        free = fit.amounts(template.allocatable(pool, want.machine))
        if not template.has_driver(pool):
            free.pop(template.GPU, None)
        return fit.Room(template.node_labels(pool, want, name), template.node_taints(pool), free)

    def _template(self, pool: Pool, zone: str) -> fit.Room:
        """An empty machine of an instance group, made once in a scan."""
        group = (pool.name, zone)
        if group not in self._templates:
            self._templates[group] = self._room(pool, zone)
        return self._templates[group]

    def _not_helped(self, pending: Pods) -> Pods:
        """Those pods for which no machine is there or on its way."""
        if not pending:
            return []
        rooms = self._rooms()
        return [pod for pod in pending if not _put_somewhere(pod, rooms)]

    def _scale_up(self, waiting: Pods) -> None:
        while waiting:
            pod = waiting[0]
            groups, skipped = self._groups_for(pod)
            if not groups:
                self._refuse(pod, skipped)
                waiting = waiting[1:]
                continue
            pool = min({pool.name: pool for pool, _ in groups}.values(), key=lambda p: (p.machine.gpus, p.name))
            waiting = self._grow(pool, waiting)

    def _groups_for(self, pod: Object) -> tuple[list[tuple[Pool, str]], Counter[str]]:
        """Instance groups that could take the pod, and why the others can't."""
        groups, skipped = [], Counter[str]()
        requests = fit.pod_requests(pod)
        for pool, zone in self._all_groups():
            # The real one looks in this order too: a full group says so even to pods that would never fit.
            if self._backoff.holds((pool.name, zone)):
                skipped[IN_BACKOFF] += 1
            elif pool.room(zone) < 1:
                skipped[MAX_SIZE_REACHED] += 1
            elif reasons := fit.misfits(pod, requests, self._template(pool, zone)):
                skipped.update(reasons)
            else:
                groups.append((pool, zone))
        return groups, skipped

    def _all_groups(self) -> Iterable[tuple[Pool, str]]:
        for pool in self._cloud.pools.values():
            if pool.autoscaled and not pool.deleting:
                for zone in pool.zones:
                    yield pool, zone

    def _grow(self, pool: Pool, waiting: Pods) -> Pods:
        """Add machines of one pool until no waiting pod fits or the pool is full; returns the pods that still wait."""
        before = {zone: pool.size(zone) for zone in pool.zones}
        helped: dict[str, Pods] = {}
        while waiting:
            zone = self._next_zone(pool, waiting[0])
            if zone is None:
                break
            room = self._template(pool, zone).copy()
            taken = [pod for pod in waiting if _put_somewhere(pod, [room])]
            waiting = [pod for pod in waiting if pod not in taken]
            helped.setdefault(zone, []).extend(taken)
            self._launch(pool, zone, [_ref(pod) for pod in taken])
        grown = [
            f"{{{group_url(self._cloud.scenario, pool.name, z)} {before[z]}->{pool.size(z)} (max: {pool.maximum()})}}"
            for z in helped
        ]
        for pod in (pod for pods in helped.values() for pod in pods):
            self._events.on_pod(_ref(pod), "Normal", "TriggeredScaleUp", f"pod triggered scale-up: [{' '.join(grown)}]")
        return waiting

    def _next_zone(self, pool: Pool, pod: Object) -> str | None:
        """Where the pool's next machine goes: BALANCED the emptiest zone; ANY one that has stock."""
        requests = fit.pod_requests(pod)
        zones = [
            zone
            for zone in pool.zones
            if pool.room(zone) > 0
            and not self._backoff.holds((pool.name, zone))
            and not fit.misfits(pod, requests, self._template(pool, zone))
        ]
        if not zones:
            return None
        if pool.message.autoscaling.location_policy == LocationPolicy.ANY:
            return next((zone for zone in zones if self._in_stock(pool, zone)), zones[0])
        return min(zones, key=pool.size)

    def _in_stock(self, pool: Pool, zone: str) -> bool:
        ordered = sum(1 for i in pool.instances.values() if i.state is InstanceState.CREATING and i.zone == zone)
        return self._cloud.fleet.warehouse.free(pool.want(zone)) > ordered

    def _launch(self, pool: Pool, zone: str, pods: Sequence[PodRef]) -> None:
        instance = self._cloud.fleet.place(pool, zone, pods)
        self._cloud.fleet.spawn(self._obtain(pool, instance))

    async def _obtain(self, pool: Pool, instance: Instance) -> None:
        shortage = await self._cloud.fleet.obtain(pool, instance, self._delays.stock_out_report)
        if shortage is None:
            self._backoff.succeed((pool.name, instance.zone))
        else:
            self._fail(pool, instance, shortage)

    def _fail(self, pool: Pool, instance: Instance, shortage: Shortage) -> None:
        self._backoff.fail((pool.name, instance.zone))
        text = failed_scale_up([instance.zone], [shortage.code])
        for ref in instance.wanted_by:
            pod = self._pods.get(f"{ref.namespace}/{ref.name}")
            if pod and pod["metadata"]["uid"] == ref.uid and not pod["spec"].get("nodeName"):
                self._events.on_pod(ref, "Warning", "FailedScaleUp", text)

    def _refuse(self, pod: Object, skipped: Counter[str]) -> None:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(skipped.items()))
        self._events.on_pod(_ref(pod), "Normal", "NotTriggerScaleUp", f"pod didn't trigger scale-up: {reasons}")

    def _keep_minimum(self) -> None:
        for pool, zone in self._all_groups():
            bounds = pool.message.autoscaling
            if self._backoff.holds((pool.name, zone)):
                continue
            short = bounds.min_node_count - pool.size(zone)
            if bounds.total_max_node_count:
                short = bounds.total_min_node_count - pool.size()
            for _ in range(max(0, short)):
                self._launch(pool, zone, ())

    def _scale_down(self) -> None:
        busy = {pod["spec"].get("nodeName") for pod in self._pods.values() if _keeps_node(pod)}
        now_s = self._pace.now_s()
        for pool in list(self._cloud.pools.values()):
            if pool.deleting or not pool.autoscaled:
                continue
            for instance in list(pool.instances.values()):
                if instance.name in busy or instance.marked or not _settled(pool, instance):
                    instance.idle_since_s = None
                    continue
                if instance.idle_since_s is None:
                    instance.idle_since_s = now_s
                unneeded_s = now_s - instance.idle_since_s
                if unneeded_s >= self._delays.scale_down_unneeded and pool.spare(instance.zone) > 0:
                    self._remove(pool, instance)

    def _remove(self, pool: Pool, instance: Instance) -> None:
        instance.marked = True
        self._cloud.fleet.spawn(self._take_down(pool, instance))

    async def _take_down(self, pool: Pool, instance: Instance) -> None:
        if await self._nodes.mark(instance):
            self._events.on_node(instance.name, "Normal", "ScaleDown", "marked the node as toBeDeleted/unschedulable")
            await self._cloud.fleet.remove(pool, instance)
        else:
            instance.marked = False


def _put_somewhere(pod: Object, rooms: Iterable[fit.Room]) -> bool:
    requests = fit.pod_requests(pod)
    for room in rooms:
        if not fit.misfits(pod, requests, room):
            room.put(pod["metadata"]["name"], requests)
            return True
    return False


def _settled(pool: Pool, instance: Instance) -> bool:
    """Its node has all that it will ever have."""
    return instance.usable or (instance.state is InstanceState.RUNNING and not template.has_driver(pool))


def _unschedulable(pod: Object) -> bool:
    if pod["spec"].get("nodeName") or pod["metadata"].get("deletionTimestamp") or _finished(pod):
        return False
    conditions: list[dict[str, Any]] = pod.get("status", {}).get("conditions") or []
    return any(
        c["type"] == "PodScheduled" and c["status"] == "False" and c.get("reason") == "Unschedulable"
        for c in conditions
    )


def _finished(pod: Object) -> bool:
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def _keeps_node(pod: Object) -> bool:
    owners = {owner["kind"] for owner in pod["metadata"].get("ownerReferences") or []}
    return not _finished(pod) and not owners & {"DaemonSet", "Node"}


def _ref(pod: Object) -> PodRef:
    metadata = pod["metadata"]
    return PodRef(metadata["namespace"], metadata["name"], metadata["uid"])
