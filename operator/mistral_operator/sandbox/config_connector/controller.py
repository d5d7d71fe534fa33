"""The controller: one worker for each ContainerNodePool, woken by changes of its object and by time.

What it keeps of the real one: finalizers, the Ready condition with its reasons and texts, Events, the project by
annotation or namespace, references that are looked for, immutable fields, deletion policies, and that a pool which is
there already is taken over by its name, whatever its state. What it leaves out: admission webhooks, leases between
installations, and writing live values into specs.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, Protocol, Self

from google.cloud import container_v1

from mistral_operator.sandbox.gke.pace import Pace
from mistral_operator.sandbox.kube import KubeError, Object, object_key

from .gke import Gke, RefusedError
from .message import UnknownFieldError, immutable_changes, mutable_changes, node_pool
from .recorder import Recorder, now

log = logging.getLogger(__name__)

CNRM = "cnrm.cloud.google.com"
API_VERSION = f"container.{CNRM}/v1beta1"
POOLS = f"/apis/{API_VERSION}/containernodepools"
DEFINITION = f"container.{CNRM}_containernodepools.yaml"
"""The file with the definition of ContainerNodePools, which is Google's and not kept here."""
FINALIZERS = (f"{CNRM}/finalizer", f"{CNRM}/deletion-defender")
RETRY_S = 60.0
"""Simulated seconds until it tries again what failed."""


class DependencyError(Exception):
    """Something that the object refers to isn't there."""


class Api(Protocol):
    """What is needed of `sandbox.kube.Kube`."""

    async def get(self, path: str) -> Object | None:
        """The object, or None where there is none."""

    async def create(self, path: str, body: Object) -> Object:
        """POST to a collection."""

    async def merge_patch(self, path: str, body: Object) -> Object:
        """RFC 7386."""

    def watch(self, path: str) -> AsyncIterator[tuple[str, Object]]:
        """ADDED, MODIFIED and DELETED with the object, for ever."""


class ConfigConnector:
    """An async context manager: inside it, ContainerNodePools of all namespaces are worked on."""

    def __init__(self, kube: Api, address: str, speed: float) -> None:
        """`address` is the simulated GKE's gRPC `host:port`; `speed` divides every simulated delay."""
        self._kube = kube
        self._recorder = Recorder(kube)
        self._address = address
        self._pace = Pace(speed)
        self._objects: dict[str, Object] = {}
        self._woken: dict[str, asyncio.Event] = {}
        self._workers: dict[str, asyncio.Task[None]] = {}
        self._made_of: dict[str, Object] = {}
        """Uid → the spec that its pool was made of, or taken over with."""
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._gke = await self._stack.enter_async_context(Gke(self._address, self._pace))
        self._watching = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = [self._watching, *self._workers.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._stack.aclose()

    async def _watch(self) -> None:
        async for kind, body in self._kube.watch(POOLS):
            key = object_key(body)
            if kind == "DELETED":
                self._objects.pop(key, None)
                if worker := self._workers.pop(key, None):
                    worker.cancel()
                continue
            before, self._objects[key] = self._objects.get(key), body
            if key not in self._workers:
                self._woken[key] = asyncio.Event()
                self._workers[key] = asyncio.create_task(self._work(key))
            if before is None or _asked(before) != _asked(body):
                self._woken[key].set()

    async def _work(self, key: str) -> None:
        """Reconcile again and again; what failed is tried again after a while."""
        while True:
            self._woken[key].clear()
            try:
                settled = await self._reconcile(self._objects[key])
            except KubeError as error:
                log.info("ContainerNodePool %s: %s", key, error)
                settled = False
            except Exception:
                log.exception("ContainerNodePool %s can't be worked on", key)
                settled = False
            try:
                await asyncio.wait_for(self._woken[key].wait(), None if settled else RETRY_S / self._pace.speed)
            except TimeoutError:
                continue

    async def _reconcile(self, body: Object) -> bool:
        """False when it has to be tried again although nothing changes."""
        metadata = body["metadata"]
        if "deletionTimestamp" in metadata:
            return await self._delete(body)
        name = body["spec"].get("resourceID") or metadata["name"]
        missing = [one for one in FINALIZERS if one not in metadata.get("finalizers", ())]
        if missing or "resourceID" not in body["spec"]:
            finalizers = [*metadata.get("finalizers", ()), *missing]
            held = {"finalizers": finalizers, "resourceVersion": metadata["resourceVersion"]}
            await self._kube.merge_patch(path_of(body), {"metadata": held, "spec": {"resourceID": name}})
            return True  # The change wakes it again.
        try:
            cluster = await self._find_cluster(body)
        except DependencyError as error:
            await self._tell(body, "DependencyNotFound", str(error))
            return False
        try:
            return await self._make(body, cluster, name)
        except RefusedError as error:
            words = f"Update call failed: error applying desired state: summary: {error}, detail: "
            await self._tell(body, "UpdateFailed", words)
            return False

    async def _make(self, body: Object, cluster: str, name: str) -> bool:
        spec, uid = body["spec"], body["metadata"]["uid"]
        pool = await self._gke.find(cluster, name)
        if pool is None:
            await self._tell(body, "Updating", "Update in progress")
            self._made_of[uid] = spec
            try:
                await self._gke.create(cluster, node_pool(name, spec))
            except UnknownFieldError as error:
                raise RefusedError(f"googleapi: Error 400: {error}, badRequest") from error
            pool = await self._gke.find(cluster, name)
        changed = immutable_changes(spec, self._made_of.setdefault(uid, spec))
        if changed:
            text = f"Update call failed: cannot make changes to immutable field(s): [{' '.join(changed)}]"
            await self._tell(body, "UpdateFailed", text, pool)
            return True
        await self._change(body, cluster, name, pool)
        await self._tell(body, "UpToDate", "The resource is up to date", pool)
        return True

    async def _change(self, body: Object, cluster: str, name: str, pool: Any) -> None:
        """What the live pool can take and doesn't have, one call after the other. Raises RefusedError."""
        wanted = container_v1.NodePool.wrap(node_pool(name, body["spec"]))
        changes = mutable_changes(body["spec"], wanted, pool)
        if _bounds(wanted.autoscaling) != _bounds(pool.autoscaling):
            changes["autoscaling"] = wanted.autoscaling
        if changes:
            await self._tell(body, "Updating", "Update in progress", pool)
        for field, value in changes.items():
            if field == "autoscaling":
                await self._gke.set_autoscaling(cluster, name, value)
            elif field == "management":
                await self._gke.set_management(cluster, name, value)
            else:
                await self._gke.update(cluster, name, **{field: value})

    async def _delete(self, body: Object) -> bool:
        metadata = body["metadata"]
        if not any(one in metadata.get("finalizers", ()) for one in FINALIZERS):
            return True
        if (metadata.get("annotations") or {}).get(f"{CNRM}/deletion-policy") != "abandon":
            await self._tell(body, "Deleting", "Deletion in progress")
            try:
                await self._gke.delete(
                    await self._find_cluster(body), body["spec"].get("resourceID") or metadata["name"]
                )
            except (RefusedError, DependencyError) as error:
                words = f"Delete call failed: error deleting resource: summary: {error}"
                await self._tell(body, "DeleteFailed", words)
                return False
        rest = [one for one in metadata["finalizers"] if one not in FINALIZERS]
        await self._kube.merge_patch(path_of(body), {"metadata": {"finalizers": rest}})
        return True

    async def _find_cluster(self, body: Object) -> str:
        """The cluster's full name. One that is named by its object must have that object. Raises DependencyError."""
        reference = body["spec"]["clusterRef"]
        if "external" in reference:
            return str(reference["external"])
        namespace, name = reference.get("namespace") or body["metadata"]["namespace"], reference["name"]
        found = await self._kube.get(f"/apis/{API_VERSION}/namespaces/{namespace}/containerclusters/{name}")
        if found is None:
            raise DependencyError(f"reference ContainerCluster {namespace}/{name} is not found")
        return f"projects/{await self._find_project(body)}/locations/{body['spec']['location']}/clusters/{name}"

    async def _find_project(self, body: Object) -> str:
        """By the object's annotation, its namespace's, or the namespace's name."""
        key = f"{CNRM}/project-id"
        own = (body["metadata"].get("annotations") or {}).get(key)
        if own:
            return str(own)
        namespace = body["metadata"]["namespace"]
        found = await self._kube.get(f"/api/v1/namespaces/{namespace}") or {"metadata": {}}
        return str((found["metadata"].get("annotations") or {}).get(key, namespace))

    async def _tell(self, body: Object, reason: str, message: str, pool: Any = None) -> None:
        """Write the Ready condition, and an Event; what is up to date already is left in peace.

        The time of the condition is that of its last change between True and False.
        """
        before = body.get("status") or {}
        known: Object = next(iter(before.get("conditions") or ()), {})
        status: Object = {"observedGeneration": body["metadata"]["generation"]}
        if pool is not None:
            status["instanceGroupUrls"] = list(pool.instance_group_urls)
            status["observedState"] = {"version": pool.version}
        ready = "True" if reason == "UpToDate" else "False"
        since = known["lastTransitionTime"] if known.get("status") == ready else now()
        condition = {"type": "Ready", "status": ready, "reason": reason, "message": message}
        status["conditions"] = [{**condition, "lastTransitionTime": since}]
        if {**before, **status} != before:
            written = await self._kube.merge_patch(f"{path_of(body)}/status", {"status": status})
            body["status"] = written["status"]
        elif reason == "UpToDate":
            return
        await self._recorder.record(body, condition)


def _asked(body: Object) -> Object:
    """What of an object makes work: all but its status, and what the API server notes with each write."""
    noted = ("resourceVersion", "managedFields")
    return {**body["metadata"], **dict.fromkeys(noted), "spec": body["spec"]}


def path_of(body: Object) -> str:
    """Where the object is."""
    metadata = body["metadata"]
    return f"/apis/{API_VERSION}/namespaces/{metadata['namespace']}/containernodepools/{metadata['name']}"


def _bounds(scaling: Any) -> tuple[int, ...]:
    of_each_zone = scaling.min_node_count, scaling.max_node_count
    return scaling.enabled, *of_each_zone, scaling.total_min_node_count, scaling.total_max_node_count
