"""The autoscaler's upward half: machines for pods that wait, or the reasons why there are none."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mistral_operator.sandbox.kube import Object

from . import fit, template
from .auto_creation import AutoCreation, class_of
from .backoff import Backoff, Group
from .class_pools import Choice
from .cloud import Cloud
from .events import EventWriter, failed_scale_up
from .fleet import Lack
from .pace import Pace
from .placement import unsupported_placement
from .pools import Instance, InstanceState, LocationPolicy, PodRef, Pool, PoolStatus, group_url

MAX_SIZE_REACHED = "max node group size reached"
IN_BACKOFF = "in backoff after failed scale-up"
NOT_READY = "not ready for scale-up"
# The real one's words for these are not known.
TOO_FEW_FOR_SLICE = "multi-host TPU slice(s) without a pending Pod for every node"
ONLY_QUEUED = "queued node group(s) that only a ProvisioningRequest scales up"

Pods = list[Object]


class ScaleUp:
    """`pods`: every pod of the cluster by its key, kept up to date by the owner."""

    def __init__(self, cloud: Cloud, events: EventWriter, pace: Pace, pods: Mapping[str, Object]) -> None:
        self._cloud = cloud
        self._events = events
        self._delays = cloud.scenario.delays_s
        self.creation = AutoCreation(cloud, pace)
        self._backoff = Backoff(self._delays, pace)
        self._pods = pods
        self._templates: dict[Group, fit.Room] = {}

    def scan(self) -> None:
        """Help the pods that the scheduler found no place for, then keep the pools' minimum."""
        self._templates.clear()
        pending = [pod for pod in self._pods.values() if _unschedulable(pod)]
        self._help(self._not_helped(pending))
        self._keep_minimum()
        self.creation.sweep()

    def launch(self, pool: Pool, zone: str, pods: Sequence[PodRef]) -> None:
        """Ask for one machine, or for all of a slice's."""
        instances = [self._cloud.fleet.place(pool, zone, pods) for _ in range(pool.slice_hosts or 1)]
        self._cloud.fleet.spawn(self._obtain(pool, instances))

    def _rooms(self) -> list[fit.Room]:
        """Every machine that is there or on its way, with what is free on it."""
        by_node: dict[str, Pods] = {}
        for pod in self._pods.values():
            if (node := pod["spec"].get("nodeName")) and not fit.is_finished(pod):
                by_node.setdefault(node, []).append(pod)
        rooms = []
        for pool in self._cloud.pools.values():
            for instance in pool.instances.values():
                if instance.stays and not pool.deleting:
                    room = _room(pool, instance.zone, instance.name)
                    for pod in by_node.get(instance.name, ()):
                        room.put(pod["metadata"]["name"], fit.pod_requests(pod))
                    rooms.append(room)
        return rooms

    def _template(self, pool: Pool, zone: str) -> fit.Room:
        """An empty machine of an instance group, made once in a scan."""
        group = (pool.name, zone)
        if group not in self._templates:
            self._templates[group] = _room(pool, zone)
        return self._templates[group]

    def _not_helped(self, pending: Pods) -> Pods:
        """Those pods for which no machine is there or on its way."""
        if not pending:
            return []
        rooms = self._rooms()
        return [pod for pod in pending if not _put_somewhere(pod, rooms)]

    def _help(self, waiting: Pods) -> None:
        while waiting:
            if name := class_of(waiting[0]):
                waiting = self._help_by_class(name, waiting)
                continue
            groups, skipped = self._groups_for(waiting, self._cloud.pools.values())
            if not groups:
                self._refuse(waiting[0], skipped)
                waiting = waiting[1:]
                continue
            pool = min({pool.name: pool for pool, _ in groups}.values(), key=lambda p: (p.machine.devices, p.name))
            waiting = self._grow(pool, waiting)

    def _help_by_class(self, name: str, waiting: Pods) -> Pods:
        """Machines of the first priority of a class that can give some, in a pool that is made where there is none;
        returns the pods that still wait.
        """
        skipped = Counter({IN_BACKOFF: self.creation.cooling(name)})
        for choice in self.creation.choices(name):
            pools = self.creation.pools_of((name, choice.rank))
            if any(pool.message.status == PoolStatus.PROVISIONING for pool in pools):
                return waiting[1:]
            groups, why = self._groups_for(waiting, pools)
            if groups:
                return self._grow(groups[0][0], waiting)
            lacking = self._misfits_new(choice, waiting)
            if not lacking:
                self.creation.make(name, choice)
                return waiting[1:]
            skipped.update(why or lacking)
        self._refuse(waiting[0], +skipped)
        return waiting[1:]

    def _misfits_new(self, choice: Choice, waiting: Pods) -> list[str]:
        """Why the first of the waiting pods wouldn't fit into a new pool for a priority."""
        pool, zone = Pool(choice.pool), choice.pool.locations[0]
        room = _room(pool, zone)
        reasons = fit.misfits(waiting[0], fit.pod_requests(waiting[0]), room)
        if not reasons and pool.slice_hosts:
            rooms = [room.copy() for _ in range(pool.slice_hosts)]
            for pod in waiting:
                _put_somewhere(pod, rooms)
            return [] if all(each.pods for each in rooms) else [TOO_FEW_FOR_SLICE]
        return reasons

    def _groups_for(self, waiting: Pods, pools: Iterable[Pool]) -> tuple[list[tuple[Pool, str]], Counter[str]]:
        """Instance groups of these pools that could take the first of the waiting pods, and why the others can't."""
        groups, skipped = [], Counter[str]()
        pod, requests = waiting[0], fit.pod_requests(waiting[0])
        for pool, zone in _groups_of(pools):
            # The real one looks in this order too: a full group says so even to pods that would never fit.
            if self._backoff.holds((pool.name, zone)):
                skipped[IN_BACKOFF] += 1
            elif pool.queued:
                skipped[ONLY_QUEUED] += 1
            elif pool.repairing:
                skipped[NOT_READY] += 1
            elif pool.room(zone) < 1:
                skipped[MAX_SIZE_REACHED] += 1
            elif reasons := fit.misfits(pod, requests, self._template(pool, zone)):
                skipped.update(reasons)
            elif not self._taken(pool, zone, waiting):
                skipped[TOO_FEW_FOR_SLICE] += 1
            else:
                groups.append((pool, zone))
        return groups, skipped

    def _taken(self, pool: Pool, zone: str, waiting: Pods) -> Pods:
        """The pods that the next machine would take, or the slice; that isn't made for fewer pods than it has hosts."""
        rooms = [self._template(pool, zone).copy() for _ in range(pool.slice_hosts or 1)]
        taken = [pod for pod in waiting if _put_somewhere(pod, rooms)]
        return taken if all(room.pods for room in rooms) else []

    def _grow(self, pool: Pool, waiting: Pods) -> Pods:
        """Add machines of one pool until no waiting pod fits or the pool is full; returns the pods that still wait."""
        before = {zone: pool.size(zone) for zone in pool.zones}
        helped: dict[str, Pods] = {}
        while waiting:
            zone = self._next_zone(pool, waiting[0])
            if zone is None:
                break
            taken = self._taken(pool, zone, waiting)
            waiting = [pod for pod in waiting if pod not in taken]
            helped.setdefault(zone, []).extend(taken)
            self.launch(pool, zone, [_ref(pod) for pod in taken])
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

    async def _obtain(self, pool: Pool, instances: Sequence[Instance]) -> None:
        lacks = await self._cloud.fleet.obtain(pool, instances, self._delays.stock_out_report)
        for lack in lacks:
            self._fail(pool, lack)
        if not lacks:
            self._backoff.succeed((pool.name, instances[0].zone))

    def _fail(self, pool: Pool, lack: Lack) -> None:
        zone = lack.instance.zone
        if not self.creation.fail(pool):
            self._backoff.fail((pool.name, zone))
        text = failed_scale_up([zone], [lack.shortage.code])
        for ref in lack.instance.wanted_by:
            pod = self._pods.get(f"{ref.namespace}/{ref.name}")
            if pod and pod["metadata"]["uid"] == ref.uid and not pod["spec"].get("nodeName"):
                self._events.on_pod(ref, "Warning", "FailedScaleUp", text)

    def _refuse(self, pod: Object, skipped: Counter[str]) -> None:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(skipped.items()))
        self._events.on_pod(_ref(pod), "Normal", "NotTriggerScaleUp", f"pod didn't trigger scale-up: {reasons}")

    def _keep_minimum(self) -> None:
        for pool, zone in _groups_of(self._cloud.pools.values()):
            bounds = pool.message.autoscaling
            if self._backoff.holds((pool.name, zone)):
                continue
            short = bounds.min_node_count - pool.size(zone)
            if bounds.total_max_node_count:
                short = bounds.total_min_node_count - pool.size()
            for _ in range(max(0, short)):
                self.launch(pool, zone, ())


def _groups_of(pools: Iterable[Pool]) -> Iterable[tuple[Pool, str]]:
    for pool in pools:
        if pool.autoscaled and not pool.deleting and not unsupported_placement(pool.machine, pool.message):
            for zone in pool.zones:
                yield pool, zone


def _room(pool: Pool, zone: str, name: str = "template") -> fit.Room:
    want = pool.want(zone)
    free = fit.amounts(template.allocatable(pool, want.machine))
    if not template.shows_devices(pool):
        free.pop(template.GPU, None)
    return fit.Room(template.node_labels(pool, want, name), template.node_taints(pool), free)


def _put_somewhere(pod: Object, rooms: Iterable[fit.Room]) -> bool:
    requests = fit.pod_requests(pod)
    for room in rooms:
        if not fit.misfits(pod, requests, room):
            room.put(pod["metadata"]["name"], requests)
            return True
    return False


def _unschedulable(pod: Object) -> bool:
    if pod["spec"].get("nodeName") or pod["metadata"].get("deletionTimestamp") or fit.is_finished(pod):
        return False
    conditions: list[dict[str, Any]] = pod.get("status", {}).get("conditions") or []
    return any(
        c["type"] == "PodScheduled" and c["status"] == "False" and c.get("reason") == "Unschedulable"
        for c in conditions
    )


def _ref(pod: Object) -> PodRef:
    metadata = pod["metadata"]
    return PodRef(metadata["namespace"], metadata["name"], metadata["uid"])
