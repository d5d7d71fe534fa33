"""`google.container.v1.ClusterManager` over gRPC: reads requests, applies faults, keeps a log of the calls."""

import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc
from google.cloud import container_v1
from google.protobuf import empty_pb2

from .cloud import Cloud
from .errors import UNHARMED, Failure, Fate, RpcError
from .faults import Faults
from .pace import Pace, timestamp
from .scenario import Fault

SERVICE = "google.container.v1.ClusterManager"
RESOURCE = re.compile(r"projects/([^/]+)/(?:locations|zones)/([^/]+)/clusters/([^/]+)(?:/nodePools/([^/]+))?")
LOGGED = 5000

Method = Callable[[Any, Fate], Any]


@dataclass(frozen=True, slots=True)
class Call:
    """One answered call: `code` is OK or the gRPC code that the client saw."""

    at: str
    rpc: str
    target: str
    code: str
    message: str = ""


AUTOPILOT = "Autopilot node pools cannot be accessed or modified."


class ClusterManager:
    """The service. Calls that it doesn't know answer UNIMPLEMENTED."""

    def __init__(self, cloud: Cloud, faults: Faults, pace: Pace) -> None:
        self._cloud = cloud
        self._faults = faults
        self._pace = pace
        self._server: grpc.aio.Server | None = None
        self.calls: deque[Call] = deque(maxlen=LOGGED)

    async def start(self, host: str = "127.0.0.1") -> str:
        """Listen on a free port; returns `host:port`."""
        self._server = grpc.aio.server()
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, self._handlers()),))
        port = self._server.add_insecure_port(f"{host}:0")
        await self._server.start()
        return f"{host}:{port}"

    async def stop(self) -> None:
        """Refuse new calls and end the open ones."""
        if self._server:
            await self._server.stop(grace=0)

    def _handlers(self) -> dict[str, Any]:
        v1 = container_v1
        table: dict[str, tuple[Any, Method]] = {
            "GetCluster": (v1.GetClusterRequest, self._get_cluster),
            "ListClusters": (v1.ListClustersRequest, self._list_clusters),
            "ListNodePools": (v1.ListNodePoolsRequest, self._list_pools),
            "GetNodePool": (v1.GetNodePoolRequest, self._get_pool),
            "CreateNodePool": (v1.CreateNodePoolRequest, self._create_pool),
            "UpdateNodePool": (v1.UpdateNodePoolRequest, self._update_pool),
            "SetNodePoolSize": (v1.SetNodePoolSizeRequest, self._set_size),
            "SetNodePoolAutoscaling": (v1.SetNodePoolAutoscalingRequest, self._set_autoscaling),
            "SetNodePoolManagement": (v1.SetNodePoolManagementRequest, self._set_management),
            "SetMaintenancePolicy": (v1.SetMaintenancePolicyRequest, self._set_maintenance_policy),
            "DeleteNodePool": (v1.DeleteNodePoolRequest, self._delete_pool),
            "GetOperation": (v1.GetOperationRequest, self._get_operation),
            "ListOperations": (v1.ListOperationsRequest, self._list_operations),
            "CancelOperation": (v1.CancelOperationRequest, self._cancel_operation),
        }
        return {
            rpc: grpc.unary_unary_rpc_method_handler(
                self._handler(rpc, method),
                request_deserializer=request.pb().FromString,
                response_serializer=lambda message: message.SerializeToString(),
            )
            for rpc, (request, method) in table.items()
        }

    def _handler(self, rpc: str, method: Method) -> Callable[[Any, Any], Any]:
        async def handle(request: Any, context: Any) -> Any:
            try:
                answer = await self._answer(rpc, method, request)
            except RpcError as refusal:
                self._log(rpc, request, refusal.code.name, refusal.message)
                await context.abort(refusal.code, refusal.message)
            self._log(rpc, request, "OK")
            return answer

        return handle

    async def _answer(self, rpc: str, method: Method, request: Any) -> Any:
        if self._cloud.scenario.autopilot and "NodePool" in rpc:
            raise RpcError(grpc.StatusCode.INVALID_ARGUMENT, AUTOPILOT)
        fault = self._faults.hit(rpc)
        if fault and fault.latency:
            await self._pace.wait(fault.latency)
        if not fault:
            return method(request, UNHARMED)
        if fault.in_operation or not fault.code:
            return method(request, _fate(fault))
        if fault.lost_response:
            method(request, _fate(fault))
        raise _refusal(fault)

    def _log(self, rpc: str, request: Any, code: str, message: str = "") -> None:
        target = getattr(request, "name", "") or getattr(request, "parent", "")
        if rpc == "CreateNodePool":
            target += f"/nodePools/{request.node_pool.name}"
        self.calls.append(Call(timestamp(), rpc, target, code, message))

    def _target(self, request: Any, name: str) -> str:
        """The pool that a request names, after checking that it means our cluster; also from the deprecated fields."""
        if not name:
            name = f"projects/{request.project_id}/locations/{request.zone}/clusters/{request.cluster_id}"
            if getattr(request, "node_pool_id", ""):
                name += f"/nodePools/{request.node_pool_id}"
        match = RESOURCE.fullmatch(name)
        if not match:
            raise RpcError(grpc.StatusCode.INVALID_ARGUMENT, f'Invalid resource name "{name}".')
        s = self._cloud.scenario
        project, location, cluster, pool = match.groups()
        if (project, location, cluster) != (s.project, s.location, s.cluster):
            missing = f"projects/{project}/locations/{location}/clusters/{cluster}"
            raise RpcError(grpc.StatusCode.NOT_FOUND, f"Not found: {missing}.")
        return pool or ""

    def _get_cluster(self, request: Any, _: Fate) -> Any:
        self._target(request, request.name)
        return self._cloud.cluster()

    def _list_clusters(self, request: Any, _: Fate) -> Any:
        s = self._cloud.scenario
        parent = request.parent or f"projects/{request.project_id}/locations/{request.zone}"
        ours = parent in (f"projects/{s.project}/locations/{location}" for location in (s.location, "-"))
        return container_v1.ListClustersResponse.pb()(clusters=[self._cloud.cluster()] if ours else [])

    def _list_pools(self, request: Any, _: Fate) -> Any:
        self._target(request, request.parent)
        pools = [pool.message for pool in self._cloud.pools.values()]
        return container_v1.ListNodePoolsResponse.pb()(node_pools=pools)

    def _get_pool(self, request: Any, _: Fate) -> Any:
        return self._cloud.find(self._target(request, request.name)).message

    def _create_pool(self, request: Any, fate: Fate) -> Any:
        self._target(request, request.parent)
        return self._cloud.create(request.node_pool, fate)

    def _update_pool(self, request: Any, fate: Fate) -> Any:
        return self._cloud.update(request, self._target(request, request.name), fate)

    def _set_size(self, request: Any, fate: Fate) -> Any:
        return self._cloud.resize(self._target(request, request.name), request.node_count, fate)

    def _set_autoscaling(self, request: Any, fate: Fate) -> Any:
        return self._cloud.set_autoscaling(self._target(request, request.name), request.autoscaling, fate)

    def _set_management(self, request: Any, fate: Fate) -> Any:
        return self._cloud.set_management(self._target(request, request.name), request.management, fate)

    def _set_maintenance_policy(self, request: Any, fate: Fate) -> Any:
        self._target(request, request.name)
        return self._cloud.set_maintenance_policy(request.maintenance_policy, fate)

    def _delete_pool(self, request: Any, fate: Fate) -> Any:
        return self._cloud.delete(self._target(request, request.name), fate)

    def _get_operation(self, request: Any, _: Fate) -> Any:
        return self._cloud.operations.get(request.name or request.operation_id)

    def _list_operations(self, request: Any, _: Fate) -> Any:
        return container_v1.ListOperationsResponse.pb()(operations=list(self._cloud.operations))

    def _cancel_operation(self, request: Any, _: Fate) -> Any:
        self._cloud.operations.cancel(request.name or request.operation_id)
        return empty_pb2.Empty()


def _fate(fault: Fault) -> Fate:
    failure = Failure(grpc.StatusCode[fault.code], fault.message) if fault.code and fault.in_operation else None
    return Fate(failure, fault.after_work, fault.operation_latency, fault.stuck)


def _refusal(fault: Fault) -> RpcError:
    return RpcError(grpc.StatusCode[fault.code], fault.message)
