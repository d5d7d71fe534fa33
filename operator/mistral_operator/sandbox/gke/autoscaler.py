"""A stand-in for GKE's cluster autoscaler: pending pods become machines or events, idle machines go.

It differs from the real one where it is simpler: it packs first-fit, takes the pool with the fewest devices a machine,
and removes only empty nodes (never evicts, so budgets don't matter to it). A multi-host TPU slice comes when as many
pods as it has hosts wait for it, whole, and goes whole.
"""

import asyncio
import logging

from mistral_operator.sandbox.kube import Kube, Object, object_key

from .auto_creation import watch_classes
from .cloud import Cloud
from .events import EventWriter
from .nodes import PODS, KubeNodes
from .pace import Pace
from .pools import Pool
from .scale_down import ScaleDown
from .scale_up import ScaleUp

log = logging.getLogger(__name__)

SHORTEST_SCAN_S = 0.05


class Autoscaler:
    """Reads pods from a watch; acts on the cloud's pools."""

    def __init__(self, cloud: Cloud, kube: Kube, nodes: KubeNodes, events: EventWriter, pace: Pace) -> None:
        self._kube = kube
        self._pods: dict[str, Object] = {}
        self._up = ScaleUp(cloud, events, pace, self._pods)
        self._down = ScaleDown(cloud, nodes, events, pace, self._pods)
        self._scan_s = max(SHORTEST_SCAN_S, cloud.scenario.delays_s.autoscaler_scan / pace.speed)

    async def watch(self) -> None:
        """Keep the pods known, for ever."""
        async for kind, pod in self._kube.watch(PODS):
            if kind == "DELETED":
                self._pods.pop(object_key(pod), None)
            else:
                self._pods[object_key(pod)] = pod

    async def watch_classes(self) -> None:
        """Keep the ComputeClasses known, for ever; only where their kind is served."""
        await watch_classes(self._kube, self._up.creation)

    async def run(self) -> None:
        """Look again and again, for ever."""
        while True:
            try:
                self._up.scan()
                self._down.scan()
            except Exception:
                log.exception("a scan of the simulated autoscaler failed")
            await asyncio.sleep(self._scan_s)

    def lost(self, pool: Pool, zone: str) -> None:
        """An instance group lost a machine that it should have: it asks for another one."""
        self._up.launch(pool, zone, ())
