"""The cluster as GKE describes it, asked for once a minute for everybody."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from mistral_operator.capacity.errors import CloudError
from mistral_operator.capacity.port import ClusterView, NodePools

log = logging.getLogger(__name__)

_GOOD_FOR_S: Final = 60.0
"""Versions change in weeks, and who has just upgraded the control plane waits no longer than for a resync."""


class ClusterLook:
    """Remembers the last answer, and that there was none."""

    def __init__(self, pools: NodePools, clock: Callable[[], float]) -> None:
        self._pools = pools
        self._clock = clock
        self._asking = asyncio.Lock()
        self._view: ClusterView | None = None
        self._asked_at = float("-inf")

    async def recent(self) -> ClusterView | None:
        """The cluster as of the last minute; None when GKE didn't answer."""
        async with self._asking:
            if self._clock() - self._asked_at >= _GOOD_FOR_S:
                self._asked_at = self._clock()
                try:
                    self._view = await self._pools.describe_cluster()
                except CloudError as error:
                    log.info("GKE doesn't describe the cluster, so no slice is upgraded: %s", error.text)
                    self._view = None
            return self._view
