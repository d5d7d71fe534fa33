"""The kubelets of all nodes in one: watches the pods that have a node, and runs them."""

import asyncio
import logging
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from mistral_operator.sandbox.dial import DialMap
from mistral_operator.sandbox.kube import Kube, KubeError

from .context import Machinery
from .events import Events
from .images import Images
from .pod import FINISHED, PodRunner
from .probes import Dialler
from .settings import KubeletSettings

log = logging.getLogger(__name__)

SCHEDULED_PODS = {"fieldSelector": "spec.nodeName!="}


class Kubelet:
    """An async context manager. It needs an admin's kubeconfig: the Node authorizer shows a node only its own pods.

    Nodes and their heartbeats belong to whoever makes the Node objects.
    """

    def __init__(
        self,
        kubeconfig: Path,
        speed: float,
        dial: DialMap,
        log_directory: Path,
        settings: KubeletSettings | None = None,
    ) -> None:
        """`speed` divides all simulated times and goes before the one in `settings`."""
        self.settings = replace(settings or KubeletSettings(), speed=speed)
        self._kubeconfig = kubeconfig
        self._dial = dial
        self._log_directory = log_directory
        self._pods: dict[str, PodRunner] = {}
        self._runs: set[asyncio.Task[None]] = set()
        self._host_ips: dict[str, str] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._resources = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            kube = await stack.enter_async_context(Kube(self._kubeconfig))
            dialler = await stack.enter_async_context(Dialler(self._dial))
            events = Events(kube, enabled=self.settings.events)
            images = Images(self.settings)
            self._machinery = Machinery(kube, self._dial, dialler, images, events, self.settings, self._log_directory)
            self._tasks = [
                asyncio.create_task(work) for work in (events.run(), self._watch_pods(), self._watch_nodes())
            ]
            self._resources = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = [*self._tasks, *self._runs]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._resources.aclose()

    async def _watch_pods(self) -> None:
        async for kind, pod in self._machinery.kube.watch("/api/v1/pods", SCHEDULED_PODS):
            uid = pod["metadata"]["uid"]
            if kind == "DELETED":
                if known := self._pods.pop(uid, None):
                    known.vanish()
            elif known := self._pods.get(uid):
                known.update(pod)
            elif not _finished(pod):
                await self._run(uid, pod)

    async def _watch_nodes(self) -> None:
        async for kind, node in self._machinery.kube.watch("/api/v1/nodes"):
            if kind == "DELETED":
                self._lose_machine(node["metadata"]["name"])

    async def _run(self, uid: str, pod: dict[str, Any]) -> None:
        runner = PodRunner(self._machinery, pod, await self._host_ip(pod["spec"]["nodeName"]))
        task = asyncio.create_task(runner.run(), name=f"pod {pod['metadata']['namespace']}/{pod['metadata']['name']}")
        task.add_done_callback(_report)
        # A pod that is gone from the API may still have a process to end.
        task.add_done_callback(self._runs.discard)
        self._runs.add(task)
        self._pods[uid] = runner

    def _lose_machine(self, node: str) -> None:
        """Its processes end unheard; its pods stay in the API until somebody deletes them, as after a real loss."""
        self._machinery.images.forget_node(node)
        self._host_ips.pop(node, None)
        for runner in self._pods.values():
            if runner.node == node:
                runner.vanish()

    async def _host_ip(self, node: str) -> str:
        """The node's internal address; empty if it has none, or can't be read now."""
        if node not in self._host_ips:
            try:
                found = await self._machinery.kube.get(f"/api/v1/nodes/{node}") or {}
            except KubeError as error:
                log.debug("node %s: %s", node, error)
                return ""
            addresses = (found.get("status") or {}).get("addresses") or []
            internal = [address["address"] for address in addresses if address["type"] == "InternalIP"]
            self._host_ips[node] = internal[0] if internal else ""
        return self._host_ips[node]


def _finished(pod: dict[str, Any]) -> bool:
    """Nothing to run and nothing to delete."""
    leaving = pod["metadata"].get("deletionTimestamp")
    return not leaving and (pod.get("status") or {}).get("phase") in FINISHED


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        log.error("%s: the stand-in failed", task.get_name(), exc_info=error)
