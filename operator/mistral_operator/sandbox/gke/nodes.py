"""Nodes in the real API server: registered, kept alive by Lease heartbeats, drained and removed with their pods.

Every call retries until it succeeds or can never succeed: machines don't care whether the API server is up.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from mistral_operator.sandbox.kube import Kube, KubeError, Object

from . import template
from .pools import Instance, Pool
from .scenario import Scenario

log = logging.getLogger(__name__)

NODES = "/api/v1/nodes"
PODS = "/api/v1/pods"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
HEARTBEAT_S = 10.0
LEASE_S = 40
RETRY_S = 0.5
EVICTION_RETRY_S = 1.0
PERMANENT = (400, 422)
SHUTDOWN_TAINT = {"key": "cloud.google.com/impending-node-termination", "value": "", "effect": "NoSchedule"}
UNREACHABLE_TAINT = {"key": "node.kubernetes.io/unreachable", "value": "", "effect": "NoSchedule"}
REMOVAL_TAINT = {"key": "ToBeDeletedByClusterAutoscaler", "value": "", "effect": "NoSchedule"}
KEPT_TAINTS = ("node.kubernetes.io/", SHUTDOWN_TAINT["key"], REMOVAL_TAINT["key"])
SYSTEM_GRACE_S = 15
"""Of a spot notice the last 15 s belong to system pods."""


class KubeNodes:
    """A NodePort over the sandbox's Kubernetes client. `run` sends the heartbeats."""

    def __init__(self, kube: Kube, scenario: Scenario) -> None:
        self._kube = kube
        self._scenario = scenario
        self._alive: set[str] = set()
        self._leases: set[str] = set()

    async def run(self) -> None:
        """Renew the Lease of every living node, for ever. In real seconds: the node controller's patience is real."""
        while True:
            for name in sorted(self._alive):
                try:
                    await self._renew(name)
                except KubeError as error:
                    log.debug("heartbeat of %s: %s", name, error)
            await asyncio.sleep(HEARTBEAT_S)

    async def join(self, pool: Pool, instance: Instance) -> None:
        """Register the node; one of that name that is there already is replaced."""
        node = template.node_manifest(self._scenario, pool, instance)
        node["status"]["conditions"] = template.conditions(
            ready=True, message="kubelet is posting ready status", now=_now()
        )
        await self._insist(lambda: self._create(node))
        self._alive.add(instance.name)
        await self._insist(lambda: self._renew(instance.name))

    async def show_devices(self, pool: Pool, instance: Instance) -> None:
        """Add GPUs or TPU chips to capacity and allocatable."""
        status = template.node_status(pool, instance, devices=True)
        body = {"status": {key: status[key] for key in ("capacity", "allocatable")}}
        await self._insist(lambda: self._patch(f"{NODES}/{instance.name}/status", body))

    async def relabel(self, pool: Pool, instance: Instance) -> None:
        """Labels and taints as the pool has them now; labels that it lost go."""
        name = instance.name
        if name not in self._alive:
            return
        wanted: dict[str, str | None] = dict(template.node_labels(pool, instance.want, name))

        async def change() -> None:
            node = await self._kube.get(f"{NODES}/{name}")
            if node is None:
                return
            there = node["metadata"].get("labels") or {}
            lost = (key for key in there if key not in wanted and key != template.MAINTENANCE_LABEL)
            labels = dict.fromkeys(lost) | wanted
            foreign = [t for t in node["spec"].get("taints") or [] if t["key"].startswith(KEPT_TAINTS)]
            body = {"metadata": {"labels": labels}, "spec": {"taints": foreign + template.node_taints(pool)}}
            await self._kube.merge_patch(f"{NODES}/{name}", body)

        await self._insist(change)

    async def announce(self, instance: Instance, at_s: float) -> None:
        """The label that says when the host is maintained."""
        labels = {template.MAINTENANCE_LABEL: str(int(at_s))}
        await self._insist(lambda: self._patch(f"{NODES}/{instance.name}", {"metadata": {"labels": labels}}))

    async def impend(self, instance: Instance) -> None:
        """The taint that says that the machine goes down."""
        await self._insist(lambda: self._taint(instance.name, SHUTDOWN_TAINT))

    async def warn(self, instance: Instance, grace_s: float) -> None:
        """The kubelet's graceful shutdown: NotReady, tainted, pods told to end."""
        name = instance.name
        self._alive.discard(name)
        status = {"conditions": template.conditions(ready=False, message="node is shutting down", now=_now())}
        await self._insist(lambda: self._taint(name, SHUTDOWN_TAINT))
        await self._insist(lambda: self._patch(f"{NODES}/{name}/status", {"status": status}))
        grace = max(1, int(grace_s) - SYSTEM_GRACE_S)

        async def end_pods() -> None:
            for pod in await self._pods(name):
                own = pod["spec"].get("terminationGracePeriodSeconds", 30)
                await self._kube.delete(_path(pod), grace_s=min(grace, own), uid=pod["metadata"]["uid"])

        await self._insist(end_pods)

    async def fail(self, instance: Instance) -> None:
        """What the node controller and the pod garbage collector make of a dead machine, without their patience."""
        name = instance.name
        self._alive.discard(name)
        status = {"conditions": template.lost_conditions(_now())}
        await self._insist(lambda: self._taint(name, UNREACHABLE_TAINT))
        await self._insist(lambda: self._patch(f"{NODES}/{name}/status", {"status": status}))
        await self._insist(lambda: self._kill_pods(name))

    async def drain(self, instance: Instance, limit_s: float) -> None:
        """Cordon, then evict until no pod is left or `limit_s` real seconds are over."""
        name = instance.name
        if name not in self._alive:
            return
        await self._insist(lambda: self._patch(f"{NODES}/{name}", {"spec": {"unschedulable": True}}))
        end = asyncio.get_running_loop().time() + limit_s
        while asyncio.get_running_loop().time() < end:
            try:
                pods = [pod for pod in await self._pods(name) if not _stays(pod)]
                if not pods:
                    return
                await asyncio.gather(
                    *(self._evict(pod) for pod in pods if not pod["metadata"].get("deletionTimestamp"))
                )
            except KubeError as error:
                log.debug("drain of %s: %s", name, error)
            await asyncio.sleep(min(EVICTION_RETRY_S, limit_s))

    async def leave(self, instance: Instance) -> None:
        """Remove node, Lease and pods; nothing else would for most of a minute."""
        name = instance.name
        self._alive.discard(name)
        self._leases.discard(name)
        await self._insist(lambda: self._kube.delete(f"{NODES}/{name}"))
        await self._insist(lambda: self._kube.delete(f"{LEASES}/{name}"))
        await self._insist(lambda: self._kill_pods(name))

    async def mark(self, instance: Instance) -> bool:
        """Put the autoscaler's taint on an empty node; False, and no taint, if a pod came first."""
        name = instance.name
        await self._insist(lambda: self._taint(name, REMOVAL_TAINT))
        occupied = True

        async def look() -> None:
            nonlocal occupied
            occupied = any(not _stays(pod) for pod in await self._pods(name))

        await self._insist(look)
        if occupied:
            await self.unmark(instance)
        return not occupied

    async def unmark(self, instance: Instance) -> None:
        """The autoscaler changed its mind."""
        await self._insist(lambda: self._untaint(instance.name, REMOVAL_TAINT["key"]))

    async def _create(self, node: Object) -> None:
        try:
            await self._kube.create(NODES, node)
        except KubeError as error:
            if error.status != 409:
                raise
            # An earlier attempt whose answer was lost, or a leftover of that name.
            await self._kube.delete(f"{NODES}/{node['metadata']['name']}")
            await self._kube.create(NODES, node)

    async def _renew(self, name: str) -> None:
        renewed = {"renewTime": _now_micro()}
        if name in self._leases:
            try:
                await self._kube.merge_patch(f"{LEASES}/{name}", {"spec": renewed})
            except KubeError as error:
                if error.status != 404:
                    raise
                self._leases.discard(name)
            return
        spec = {"holderIdentity": name, "leaseDurationSeconds": LEASE_S, **renewed}
        lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}, "spec": spec}
        await self._forgive(self._kube.create(LEASES, lease), 409)
        self._leases.add(name)

    async def _taint(self, name: str, taint: Object) -> None:
        await self._change_taints(name, lambda taints: [*(t for t in taints if t["key"] != taint["key"]), taint])

    async def _untaint(self, name: str, key: str) -> None:
        await self._change_taints(name, lambda taints: [t for t in taints if t["key"] != key])

    async def _change_taints(self, name: str, change: Callable[[list[Object]], list[Object]]) -> None:
        node = await self._kube.get(f"{NODES}/{name}")
        if node is not None:
            version = node["metadata"]["resourceVersion"]
            taints = change(node["spec"].get("taints") or [])
            await self._patch(f"{NODES}/{name}", {"metadata": {"resourceVersion": version}, "spec": {"taints": taints}})

    async def _patch(self, path: str, body: Object) -> None:
        await self._forgive(self._kube.merge_patch(path, body), 404)

    async def _pods(self, node: str) -> list[Object]:
        return await self._kube.list(PODS, {"fieldSelector": f"spec.nodeName={node}"})

    async def _kill_pods(self, node: str) -> None:
        for pod in await self._pods(node):
            await self._forgive(self._kube.delete(_path(pod), grace_s=0, uid=pod["metadata"]["uid"]), 404, 409)

    async def _evict(self, pod: Object) -> None:
        metadata = {"name": pod["metadata"]["name"], "namespace": pod["metadata"]["namespace"]}
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
        # 429: a disruption budget holds it up; the next round asks again.
        await self._forgive(self._kube.create(f"{_path(pod)}/eviction", body), 404, 409, 429)

    async def _forgive(self, call: Awaitable[Any], *statuses: int) -> None:
        try:
            await call
        except KubeError as error:
            if error.status not in statuses:
                raise

    async def _insist(self, call: Callable[[], Awaitable[Any]]) -> None:
        while True:
            try:
                await call()
                return
            except KubeError as error:
                if error.status in PERMANENT:
                    log.error("the API server will never take this from the simulated GKE: %s", error)
                    return
                log.debug("the simulated GKE tries again: %s", error)
            await asyncio.sleep(RETRY_S)


def _stays(pod: Object) -> bool:
    """Pods that a drain leaves alone: those of DaemonSets, static ones, and finished ones."""
    owners = {owner["kind"] for owner in pod["metadata"].get("ownerReferences") or []}
    return bool(owners & {"DaemonSet", "Node"}) or pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def _path(pod: Object) -> str:
    return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _now_micro() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
