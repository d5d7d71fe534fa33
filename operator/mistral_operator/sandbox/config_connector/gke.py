"""The simulated GKE by its own API, and its refusals in the words in which Config Connector passes them on."""

import asyncio
from collections.abc import Awaitable
from typing import Any, Self

import grpc
from google.api_core import exceptions
from google.cloud import container_v1
from google.cloud.container_v1.services.cluster_manager.transports import ClusterManagerGrpcAsyncIOTransport

from mistral_operator.sandbox.gke.pace import Pace

POLL_S = 5.0
"""Simulated seconds between two looks at an operation."""
REASONS = {400: "badRequest", 403: "forbidden", 404: "notFound", 409: "alreadyExists", 429: "rateLimitExceeded"}
TIMEOUT_S = 30.0


class RefusedError(Exception):
    """A call or an operation failed; the text is that of Google's REST client, or of the wait for the operation."""


class Gke:
    """An async context manager. Methods take the cluster as `projects/P/locations/L/clusters/C`."""

    def __init__(self, address: str, pace: Pace) -> None:
        """`address` is gRPC's `host:port`."""
        self._channel = grpc.aio.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)])
        self._client = container_v1.ClusterManagerAsyncClient(
            transport=ClusterManagerGrpcAsyncIOTransport(channel=self._channel)
        )
        self._pace = pace

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close()

    async def find(self, cluster: str, name: str) -> Any:
        """The pool, or None. Raises RefusedError."""
        try:
            return await _call(self._client.get_node_pool(name=f"{cluster}/nodePools/{name}", retry=None))
        except _NotFoundError:
            return None

    async def create(self, cluster: str, message: Any) -> None:
        """Return when the pool is there. Raises RefusedError."""
        started = await _call(self._client.create_node_pool(parent=cluster, node_pool=message, retry=None))
        await self._finish(cluster, started.name, "creating GKE NodePool")

    async def set_autoscaling(self, cluster: str, name: str, bounds: Any) -> None:
        """Return when the pool has the bounds. Raises RefusedError."""
        request = container_v1.SetNodePoolAutoscalingRequest(name=f"{cluster}/nodePools/{name}", autoscaling=bounds)
        started = await _call(self._client.set_node_pool_autoscaling(request=request, retry=None))
        await self._finish(cluster, started.name, "updating GKE node pool")

    async def set_management(self, cluster: str, name: str, management: Any) -> None:
        """Return when the pool is kept so. Raises RefusedError."""
        request = container_v1.SetNodePoolManagementRequest(name=f"{cluster}/nodePools/{name}", management=management)
        started = await _call(self._client.set_node_pool_management(request=request, retry=None))
        await self._finish(cluster, started.name, "updating GKE node pool")

    async def update(self, cluster: str, name: str, **changed: Any) -> None:
        """Return when the pool has the fields of an UpdateNodePool request. Raises RefusedError."""
        request = container_v1.UpdateNodePoolRequest(name=f"{cluster}/nodePools/{name}", **changed)
        started = await _call(self._client.update_node_pool(request=request, retry=None))
        await self._finish(cluster, started.name, "updating GKE node pool")

    async def delete(self, cluster: str, name: str) -> None:
        """Return when the pool is gone. Raises RefusedError."""
        try:
            started = await _call(self._client.delete_node_pool(name=f"{cluster}/nodePools/{name}", retry=None))
        except _NotFoundError:
            return
        await self._finish(cluster, started.name, "deleting GKE NodePool")

    async def _finish(self, cluster: str, operation: str, doing: str) -> None:
        path = f"{cluster.partition('/clusters/')[0]}/operations/{operation}"
        while True:
            found = await _call(self._client.get_operation(name=path, retry=None))
            if found.status == container_v1.Operation.Status.DONE:
                break
            await self._pace.wait(POLL_S)
        if found.error.message:
            raise RefusedError(f"Error waiting for {doing}: {found.error.message}")


class _NotFoundError(RefusedError):
    pass


async def _call(call: Awaitable[Any]) -> Any:
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return await call
    except exceptions.GoogleAPICallError as error:
        status = int(error.code or 503)
        kind = _NotFoundError if status == 404 else RefusedError
        reason = "failedPrecondition" if isinstance(error, exceptions.FailedPrecondition) else REASONS.get(status)
        raise kind(f"googleapi: Error {status}: {error.message}, {reason or 'backendError'}") from error
    except TimeoutError as error:
        raise RefusedError("googleapi: Error 503: no answer in time, backendError") from error
