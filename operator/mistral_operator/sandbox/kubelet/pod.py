"""One pod, from the moment it has a node until it is gone from the API."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from mistral_operator.sandbox.kube import STRATEGIC_PATCH, KubeError

from .containers import ContainerStatus, adopted, conditions, phase
from .context import Machinery, Object, PodContext
from .environment import ConfigError, check_volumes
from .events import timestamp
from .naming import name_pod
from .runner import ContainerRunner
from .settings import LEAST_RETRY_S

log = logging.getLogger(__name__)

FINISHED = ("Succeeded", "Failed")


class PodRunner:
    """Give it to a task: `run` returns when the pod is gone or has nothing more to do."""

    def __init__(self, machinery: Machinery, pod: Object, host_ip: str) -> None:
        self._machinery = machinery
        self._settings = machinery.settings
        self._dirty = asyncio.Event()
        self._context = PodContext(machinery, pod, self._dirty.set, host_ip=host_ip)
        self._leaving = asyncio.Event()
        self._gone = asyncio.Event()
        self._sandbox = self._initialized = self._over = False
        self._published: Object | None = None
        self._publishing = asyncio.Lock()
        spec, before = pod["spec"], pod.get("status") or {}
        self._began = before.get("startTime") or timestamp()
        self._finished_before = before.get("phase") in FINISHED
        self._init = [self._runner(c, before, "initContainerStatuses") for c in spec.get("initContainers") or []]
        self._main = [self._runner(c, before, "containerStatuses") for c in spec["containers"]]
        self.update(pod)

    def update(self, pod: Object) -> None:
        """The pod was seen again."""
        self._context.pod = pod
        if pod["metadata"].get("deletionTimestamp"):
            self._leaving.set()
        if pod["spec"].get("readinessGates"):
            self._dirty.set()

    @property
    def node(self) -> str:
        return self._context.node

    def vanish(self) -> None:
        """The pod is gone from the API, or its machine is gone: everything of it ends at once."""
        self._gone.set()

    async def run(self) -> None:
        """Live, end when told to, and leave nothing behind."""
        publisher = asyncio.create_task(self._publish_changes())
        try:
            await self._until(self._live(), self._leaving, self._gone)
            if not self._leaving.is_set() and not self._gone.is_set():
                await self._until(self._leaving.wait(), self._gone)
            if not self._gone.is_set():
                await self._until(self._leave(), self._gone)
        finally:
            publisher.cancel()
            await asyncio.gather(*(runner.destroy() for runner in (*self._init, *self._main)))
            if self._context.pod_ip:
                self._machinery.dial.release(self._context.pod_ip)
            self._machinery.events.forget(self._context.uid)

    async def _until(self, work: Coroutine[Any, Any, object], *ends: asyncio.Event) -> None:
        """Do the work until it is done, or cancel it when one of the events comes."""
        task = asyncio.create_task(work)
        waits = [asyncio.create_task(end.wait()) for end in ends]
        try:
            await asyncio.wait({task, *waits}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                await task
        finally:
            for each in (task, *waits):
                each.cancel()
            await asyncio.gather(task, *waits, return_exceptions=True)

    async def _live(self) -> None:
        if self._finished_before:
            return
        self._take_address()
        naming = asyncio.create_task(name_pod(self._machinery.kube, self._machinery.dial, self._context))
        try:
            await self._run_containers()
        finally:
            naming.cancel()
            await asyncio.gather(naming, return_exceptions=True)

    async def _run_containers(self) -> None:
        await self._mount()
        await asyncio.sleep(self._settings.real_s(self._settings.sandbox_s))
        self._sandbox = True
        sidecars: list[asyncio.Task[int]] = []
        try:
            if await self._initialize(sidecars):
                self._initialized = True
                self._dirty.set()
                await asyncio.gather(*(runner.run() for runner in self._main))
        finally:
            for sidecar in sidecars:
                sidecar.cancel()
            await asyncio.gather(*sidecars, return_exceptions=True)
        await self._stop(self._init, float(self._context.pod["spec"].get("terminationGracePeriodSeconds", 30)))
        self._over = True
        self._dirty.set()

    async def _initialize(self, sidecars: list[asyncio.Task[int]]) -> bool:
        """Init containers one after the other; sidecars go on running. False if one has failed for good."""
        for runner, container in zip(self._init, self._context.pod["spec"].get("initContainers") or [], strict=True):
            if container.get("restartPolicy") == "Always":
                sidecars.append(asyncio.create_task(runner.run()))
                await runner.started.wait()
            elif await runner.run() != 0:
                return False
        return True

    async def _leave(self) -> None:
        """preStop, SIGTERM, SIGKILL; then the object itself, if it is still the same one."""
        metadata = self._context.pod["metadata"]
        grace_s = float(metadata.get("deletionGracePeriodSeconds") or 0)
        await self._stop(self._main, grace_s)
        await self._stop(self._init, grace_s)
        self._over = True
        if not self._finished_before:
            await self._publish()
        while not await self._delete():  # noqa: ASYNC110 (the API server tells nobody that it is back)
            await asyncio.sleep(LEAST_RETRY_S)

    async def _stop(self, runners: list[ContainerRunner], grace_s: float) -> None:
        await asyncio.gather(*(runner.terminate(grace_s) for runner in runners))

    async def _delete(self) -> bool:
        """False when it is worth another try."""
        try:
            await self._machinery.kube.delete(self._context.path, grace_s=0, uid=self._context.uid)
        except KubeError as error:
            # 409: the name belongs to another pod by now.
            return error.status == 409
        return True

    async def _mount(self) -> None:
        while True:
            try:
                await check_volumes(self._machinery.kube, self._context.pod)
                return
            except ConfigError as error:
                self._context.note("Warning", "FailedMount", str(error))
                self._dirty.set()
                await asyncio.sleep(self._settings.real_s(self._settings.config_retry_s, LEAST_RETRY_S))
            except KubeError:
                await asyncio.sleep(LEAST_RETRY_S)

    def _take_address(self) -> None:
        """A pod that has an address keeps it: podIPs merges by ip, so another one would be refused."""
        dial, context = self._machinery.dial, self._context
        context.pod_ip = (context.pod.get("status") or {}).get("podIP") or dial.allocate()
        dial.adopt(context.pod_ip)
        self._dirty.set()

    def _runner(self, container: Object, before: Object, statuses: str) -> ContainerRunner:
        earlier = {status["name"]: status for status in before.get(statuses) or []}
        status: ContainerStatus = adopted(container["name"], container["image"], earlier.get(container["name"]))
        policy = container.get("restartPolicy") or self._context.restart_policy
        if statuses == "initContainerStatuses" and policy == "Always" and "restartPolicy" not in container:
            policy = "OnFailure"
        return ContainerRunner(self._context, container, status, policy)

    async def _publish_changes(self) -> None:
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            await self._publish()

    async def _publish(self) -> None:
        """Write the status until the API server has it, or the pod is gone."""
        async with self._publishing:
            while True:
                status = self._status()
                if status == self._published:
                    return
                body = {"metadata": {"uid": self._context.uid}, "status": _stamped(status, self._context.pod)}
                try:
                    await self._machinery.kube.request("PATCH", f"{self._context.path}/status", body, STRATEGIC_PATCH)
                    self._published = status
                except KubeError as error:
                    if error.status in (404, 409):
                        return
                    log.debug("status of %s/%s: %s", self._context.namespace, self._context.name, error)
                    await asyncio.sleep(LEAST_RETRY_S)

    def _status(self) -> Object:
        context = self._context
        init, main = [r.status for r in self._init], [r.status for r in self._main]
        now_phase = phase(init, main, initialized=self._initialized, over=self._over)
        own = conditions(
            main,
            sandbox=self._sandbox,
            initialized=self._initialized,
            over=self._over,
            gates=_gates(context.pod),
            succeeded=now_phase == "Succeeded",
        )
        address = {"podIP": context.pod_ip, "podIPs": [{"ip": context.pod_ip}]} if context.pod_ip else {}
        host = {"hostIP": context.host_ip, "hostIPs": [{"ip": context.host_ip}]} if context.host_ip else {}
        return {
            "observedGeneration": context.pod["metadata"].get("generation", 1),
            "phase": now_phase,
            "startTime": self._began,
            "conditions": [
                {"type": type_, "status": str(holds), "reason": reason or None, "message": message or None}
                for type_, holds, reason, message in own
            ],
            "containerStatuses": [status.manifest() for status in main],
            **({"initContainerStatuses": [status.manifest() for status in init]} if init else {}),
            **address,
            **host,
        }


def _gates(pod: Object) -> list[tuple[str, bool]]:
    held = {c["type"]: c["status"] == "True" for c in (pod.get("status") or {}).get("conditions") or []}
    gates = [gate["conditionType"] for gate in pod["spec"].get("readinessGates") or []]
    return [(gate, held.get(gate, False)) for gate in gates]


def _stamped(status: Object, pod: Object) -> Object:
    """The status with transition times: a condition that holds as before keeps its own."""
    before = {c["type"]: c for c in (pod.get("status") or {}).get("conditions") or []}
    now = timestamp()
    stamped = []
    for condition in status["conditions"]:
        earlier = before.get(condition["type"]) or {}
        same = earlier.get("status") == condition["status"] and earlier.get("lastTransitionTime")
        stamped.append(condition | {"lastTransitionTime": earlier["lastTransitionTime"] if same else now})
    return status | {"conditions": stamped}
