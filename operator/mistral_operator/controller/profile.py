"""The cluster profile that models are planned for: asked once from GKE, kept up to date from the API server."""

import asyncio
import logging
from dataclasses import replace
from typing import Final

from mistral_operator.capacity.errors import CloudError
from mistral_operator.capacity.port import NodePools
from mistral_operator.cluster.capabilities import discover
from mistral_operator.cluster.client import ApiClient
from mistral_operator.cluster.errors import ApiError
from mistral_operator.planning.types import ClusterProfile, Provisioner

_RETRY_S: Final = 5.0

log = logging.getLogger(__name__)


class LiveProfile:
    """`current` is what is known now. An API server that doesn't answer changes nothing: unknown is not absent."""

    def __init__(self, profile: ClusterProfile, client: ApiClient) -> None:
        self.current = profile
        self._client = client

    async def refresh(self) -> bool:
        """Asks the API server what it serves; answers whether that has changed."""
        try:
            capabilities = await discover(self._client)
        except ApiError as error:
            log.warning("The API groups can't be discovered, keeping what is known: %s", error)
            return False
        before = self.current
        self.current = replace(
            before,
            custom_metrics=capabilities.custom_metrics,
            leader_worker_set=capabilities.leader_worker_set,
        )
        return self.current != before


def describe_other_cluster() -> ClusterProfile:
    """One that isn't of GKE: no node pools are made there, so the nodes that are there are all there is."""
    return ClusterProfile(
        provider="None", project="", location="", cluster="", zones=(), provisioners=(Provisioner.EXISTING,)
    )


async def describe_cluster(
    pools: NodePools, zones: tuple[str, ...], provisioners: tuple[Provisioner, ...]
) -> ClusterProfile:
    """Asks GKE until it answers: without the cluster's zones nothing can be planned. `zones` replace its own."""
    while True:
        try:
            view = await pools.describe_cluster()
        except CloudError as error:
            log.warning("GKE does not describe the cluster, trying again in %.0f s: %s", _RETRY_S, error)
            await asyncio.sleep(_RETRY_S)
            continue
        return ClusterProfile(
            provider="GKE",
            project=view.project,
            location=view.location,
            cluster=view.name,
            zones=zones or view.zones,
            version=view.version,
            autopilot=view.autopilot,
            provisioners=provisioners,
        )
