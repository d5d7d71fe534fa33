"""Node pools through Google's own client of the Kubernetes Engine API (`google.container.v1`).

The only module of the operator that knows Google's types. Importing it takes a second, so import it where a cluster
is really talked to. Each call is tried once, with a deadline: retries are the claim reconciler's, which knows what is
worth repeating.
"""

import re
from collections.abc import Awaitable
from datetime import timedelta
from typing import Any, Final, Self
from urllib.parse import urlsplit

import google.auth.exceptions
import grpc
from google.api_core import exceptions as api_exceptions
from google.api_core.gapic_v1 import client_info
from google.cloud import container_v1
from google.cloud.container_v1.services.cluster_manager.transports import ClusterManagerGrpcAsyncIOTransport
from google.rpc import code_pb2

from mistral_operator.capacity.container_repairs import (
    IMAGE_TYPE,
    exclusion,
    maintenance_view,
    management,
    mend_request,
    taints_view,
    upgrade_settings,
    upkeep_view,
)
from mistral_operator.capacity.errors import CloudError, PermissionDeniedError, UnavailableError, classify
from mistral_operator.capacity.pools import upkeep_of
from mistral_operator.capacity.port import (
    ALL_MENDS,
    READ_DEADLINE_S,
    WRITE_DEADLINE_S,
    Accelerator,
    Bounds,
    ClusterView,
    Mend,
    OperationView,
    PoolSpec,
    PoolStatus,
    PoolView,
    takes_gvnic,
)

_RESERVATION_KEY: Final = "compute.googleapis.com/reservation-name"
_NOBODY_ANSWERED: Final = re.compile(
    r"failed to connect to all addresses|deadline exceeded$|socket closed|dns resolution failed|connection reset"
    r"|recvmsg:|stream removed|received http2 header with status",
    re.IGNORECASE,
)
"""gRPC tells that it reached nobody, or was cut off, just as it passes on a server's answer: only its words differ."""
_Consume: Final = container_v1.ReservationAffinity.Type


class ContainerApi:
    """Implements `NodePools` and `PoolRepairs` of `capacity.port` for one cluster. Make it in the loop that uses it."""

    def __init__(self, *, project: str, location: str, cluster: str, endpoint: str = "", user_agent: str = "") -> None:
        """Raises CloudError without credentials.

        `endpoint` empty is Google, with the default credentials. `http://host:port` is a plain-text channel without
        credentials, meant for the sandbox.
        """
        self._project, self._location, self._cluster = project, location, cluster
        self._parent = f"projects/{project}/locations/{location}/clusters/{cluster}"
        self._client = _connect(endpoint=endpoint, user_agent=user_agent)

    async def describe_cluster(self) -> ClusterView:
        """The cluster itself."""
        found = await _answer(self._client.get_cluster(name=self._parent, retry=None, timeout=READ_DEADLINE_S))
        return ClusterView(
            project=self._project,
            location=self._location,
            name=self._cluster,
            zones=tuple(sorted(found.locations)),
            version=found.current_master_version,
            autopilot=bool(found.autopilot.enabled),
            **maintenance_view(found),
        )

    async def list_pools(self) -> tuple[PoolView, ...]:
        """All pools of the cluster, ours and others'."""
        found = await _answer(self._client.list_node_pools(parent=self._parent, retry=None, timeout=READ_DEADLINE_S))
        return tuple(pool_view(pool) for pool in found.node_pools)

    async def create_pool(self, spec: PoolSpec) -> OperationView:
        """Start to create a pool; `AlreadyExistsError` when the name is taken, by whomever."""
        request = container_v1.CreateNodePoolRequest(parent=self._parent, node_pool=node_pool(spec))
        started = await _answer(self._client.create_node_pool(request=request, retry=None, timeout=WRITE_DEADLINE_S))
        return _operation_view(started)

    async def set_autoscaling(self, name: str, bounds: Bounds) -> OperationView:
        """Start to change a pool's bounds."""
        request = container_v1.SetNodePoolAutoscalingRequest(name=self._path(name), autoscaling=_autoscaling(bounds))
        started = await _answer(
            self._client.set_node_pool_autoscaling(request=request, retry=None, timeout=WRITE_DEADLINE_S)
        )
        return _operation_view(started)

    @property
    def mends(self) -> frozenset[type[Mend]]:
        """GKE's API has a call for everything."""
        return ALL_MENDS

    async def mend_pool(self, name: str, mend: Mend) -> OperationView:
        """Start to put one thing right."""
        call, request = mend_request(self._path(name), mend)
        started = await _answer(getattr(self._client, call)(request=request, retry=None, timeout=WRITE_DEADLINE_S))
        return _operation_view(started)

    async def delete_pool(self, name: str, uid: str = "") -> OperationView:
        """Start to delete a pool with its nodes; `NotFoundError` when it is gone. GKE knows it by its name alone."""
        started = await _answer(
            self._client.delete_node_pool(name=self._path(name), retry=None, timeout=WRITE_DEADLINE_S)
        )
        return _operation_view(started)

    async def get_operation(self, name: str) -> OperationView:
        """How an operation stands; `NotFoundError` once the cloud has forgotten it."""
        path = f"projects/{self._project}/locations/{self._location}/operations/{name}"
        return _operation_view(
            await _answer(self._client.get_operation(name=path, retry=None, timeout=READ_DEADLINE_S))
        )

    async def close(self) -> None:
        """Let go of connections."""
        await self._client.transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _path(self, pool: str) -> str:
        return f"{self._parent}/nodePools/{pool}"


def _connect(*, endpoint: str, user_agent: str) -> Any:
    info = client_info.ClientInfo(user_agent=user_agent or None)
    if not endpoint:
        try:
            return container_v1.ClusterManagerAsyncClient(client_info=info)
        except google.auth.exceptions.GoogleAuthError as error:
            raise PermissionDeniedError(str(error), verbatim=False) from error
    address = urlsplit(endpoint)
    if address.scheme != "http" or not address.netloc:
        raise ValueError(f"container API endpoint {endpoint!r}: write http://HOST:PORT, or leave it out for Google's")
    # gRPC would send even loopback through a proxy named in the environment.
    channel = grpc.aio.insecure_channel(address.netloc, options=[("grpc.enable_http_proxy", 0)])
    return container_v1.ClusterManagerAsyncClient(
        transport=ClusterManagerGrpcAsyncIOTransport(channel=channel), client_info=info
    )


async def _answer(call: Awaitable[Any]) -> Any:
    """The call's answer, or a `CloudError`: in the cloud's own words, or in ours where it said nothing."""
    try:
        return await call
    except api_exceptions.GoogleAPICallError as error:
        code = error.grpc_status_code.name if error.grpc_status_code is not None else ""
        raise _refusal(code, error.message or str(error)) from error
    except google.auth.exceptions.TransportError as error:
        raise UnavailableError(str(error), verbatim=False) from error
    except google.auth.exceptions.GoogleAuthError as error:
        raise PermissionDeniedError(str(error), verbatim=False) from error
    except (grpc.aio.AioRpcError, TimeoutError, OSError) as error:
        raise UnavailableError(f"no answer from GKE: {str(error) or type(error).__name__}", verbatim=False) from error


def _refusal(code: str, text: str) -> CloudError:
    if _NOBODY_ANSWERED.match(text):
        return classify(code, f"no answer from GKE: {text}", verbatim=False)
    return classify(code, text)


def node_pool(spec: PoolSpec) -> Any:
    """The `NodePool` message for a spec. No taints of ours: GKE adds its own for GPUs."""
    upkeep = upkeep_of(spec)
    return container_v1.NodePool(
        name=spec.name,
        initial_node_count=spec.slice_hosts,
        config=_node_config(spec),
        locations=list(spec.locations),
        autoscaling=_autoscaling(spec.bounds) if spec.bounds else None,
        placement_policy=_placement(spec) if spec.slice_topology else None,
        management=management(upkeep),
        max_pods_constraint=container_v1.MaxPodsConstraint(max_pods_per_node=spec.max_pods),
        upgrade_settings=upgrade_settings(upkeep),
        maintenance_policy=exclusion(on=True) if upkeep.excluded else None,
    )


def _placement(spec: PoolSpec) -> Any:
    """What makes a multi-host slice of a pool: all its nodes close together, wired in this arrangement.

    A workload policy says by itself how close: GKE refuses COMPACT beside it, or makes a pool that fails.
    """
    placement = container_v1.NodePool.PlacementPolicy
    if spec.placement_policy:
        return placement(policy_name=spec.placement_policy, tpu_topology=spec.slice_topology)
    return placement(type_=placement.Type.COMPACT, tpu_topology=spec.slice_topology)


def _node_config(spec: PoolSpec) -> Any:
    metadata_mode = container_v1.WorkloadMetadataConfig.Mode.GKE_METADATA
    return container_v1.NodeConfig(
        machine_type=spec.machine_type,
        accelerators=[_gpu_config(spec.gpu)] if spec.gpu else [],
        **_buy(spec),
        image_type=IMAGE_TYPE,
        disk_type=spec.boot_disk,
        disk_size_gb=spec.boot_disk_gb,
        labels=dict(spec.node_labels),
        resource_labels=dict(spec.resource_labels),
        oauth_scopes=["https://www.googleapis.com/auth/cloud-platform"],
        metadata={"disable-legacy-endpoints": "true"},
        workload_metadata_config=container_v1.WorkloadMetadataConfig(mode=metadata_mode),
        gcfs_config=container_v1.GcfsConfig(enabled=True),
        gvnic=container_v1.VirtualNIC(enabled=takes_gvnic(spec.machine_type)),
        secondary_boot_disks=_image_disks(spec.image_cache),
        # Secure boot stays off, as is GKE's default: it refuses kernel modules that Google hasn't signed.
        shielded_instance_config=container_v1.ShieldedInstanceConfig(
            enable_secure_boot=False, enable_integrity_monitoring=True
        ),
        # Paid with the machine in any case, and weights load faster from them than from the boot disk.
        ephemeral_storage_local_ssd_config=(
            container_v1.EphemeralStorageLocalSsdConfig(local_ssd_count=spec.local_ssds) if spec.local_ssds else None
        ),
    )


def _image_disks(disk_image: str) -> list[Any]:
    if not disk_image:
        return []
    mode = container_v1.SecondaryBootDisk.Mode.CONTAINER_IMAGE_CACHE
    return [container_v1.SecondaryBootDisk(mode=mode, disk_image=disk_image)]


def _buy(spec: PoolSpec) -> dict[str, Any]:
    """The fields of a node's configuration that say how it is bought; none for a node on demand."""
    if spec.reservation:
        affinity = container_v1.ReservationAffinity(
            consume_reservation_type=_Consume.SPECIFIC_RESERVATION, key=_RESERVATION_KEY, values=[spec.reservation]
        )
        return {"reservation_affinity": affinity}
    if spec.max_run_s:
        affinity = container_v1.ReservationAffinity(consume_reservation_type=_Consume.NO_RESERVATION)
        duration = timedelta(seconds=spec.max_run_s)
        return {"flex_start": True, "max_run_duration": duration, "reservation_affinity": affinity}
    return {"spot": spec.spot}


def _gpu_config(accelerator: Accelerator) -> Any:
    version = container_v1.GPUDriverInstallationConfig.GPUDriverVersion.DEFAULT
    return container_v1.AcceleratorConfig(
        accelerator_type=accelerator.type,
        accelerator_count=accelerator.count,
        # Before 1.30.1-gke.1156000 a pool that doesn't ask for a driver gets none.
        gpu_driver_installation_config=container_v1.GPUDriverInstallationConfig(gpu_driver_version=version),
        gpu_partition_size=accelerator.partition,
        gpu_sharing_config=_take_turns(accelerator.clients) if accelerator.clients else None,
    )


def _take_turns(clients: int) -> Any:
    strategy = container_v1.GPUSharingConfig.GPUSharingStrategy.TIME_SHARING
    return container_v1.GPUSharingConfig(max_shared_clients_per_gpu=clients, gpu_sharing_strategy=strategy)


def _autoscaling(bounds: Bounds) -> Any:
    return container_v1.NodePoolAutoscaling(
        enabled=True,
        total_min_node_count=bounds.total_min,
        total_max_node_count=bounds.total_max,
        location_policy=container_v1.NodePoolAutoscaling.LocationPolicy.ANY,
    )


def pool_view(pool: Any) -> PoolView:
    """A `NodePool` message as the claims look at it."""
    scaling, affinity = pool.autoscaling, pool.config.reservation_affinity
    specific = affinity.consume_reservation_type == _Consume.SPECIFIC_RESERVATION
    by_totals = scaling.enabled and scaling.total_max_node_count
    return PoolView(
        name=pool.name,
        status=_pool_status(pool.status),
        machine_type=pool.config.machine_type,
        accelerators=tuple(_accelerator(found) for found in pool.config.accelerators),
        spot=pool.config.spot,
        locations=tuple(sorted(pool.locations)),
        node_labels=dict(pool.config.labels),
        resource_labels=dict(pool.config.resource_labels),
        bounds=Bounds(scaling.total_min_node_count, scaling.total_max_node_count) if by_totals else None,
        findings=tuple(_condition_error(condition).finding for condition in pool.conditions),
        slice_topology=pool.placement_policy.tpu_topology,
        reservation=", ".join(affinity.values) if specific else "",
        flex_start=bool(pool.config.flex_start),
        max_run_s=int(pool.config.max_run_duration.total_seconds()),
        placement_policy=pool.placement_policy.policy_name.rpartition("/")[2],
        image_cache=", ".join(_disk_image(disk) for disk in pool.config.secondary_boot_disks),
        taints=taints_view(pool),
        upkeep=upkeep_view(pool),
        autoscaled=scaling.enabled,
        version=pool.version,
    )


def _accelerator(found: Any) -> Accelerator:
    return Accelerator(
        type=found.accelerator_type,
        count=found.accelerator_count,
        partition=found.gpu_partition_size,
        clients=int(found.gpu_sharing_config.max_shared_clients_per_gpu),
    )


def _disk_image(disk: Any) -> str:
    """Compute Engine also writes resources as addresses, with a host before the project."""
    _, project, path = disk.disk_image.partition("projects/")
    return f"{project}{path}" if project else str(disk.disk_image)


def _pool_status(value: Any) -> PoolStatus:
    """Our member for Google's."""
    name = _name_of(value)
    return next((member for member in PoolStatus if member.value == name), PoolStatus.UNKNOWN)


def _name_of(value: Any) -> str:
    """An enum value's name; empty for one newer than the client, which arrives as a bare integer."""
    return str(getattr(value, "name", ""))


def _code_name(code: int) -> str:
    """The name of a canonical code; empty for one newer than the client."""
    return str(code_pb2.Code.Name(code)) if code in code_pb2.Code.values() else ""


def _condition_error(condition: Any) -> CloudError:
    """A condition's legacy code tells a stock-out from a quota, its canonical code only "exhausted"."""
    legacy = _name_of(condition.code)
    known = legacy in ("", "UNKNOWN") or legacy in condition.message
    text = condition.message if known else f"[{legacy}] {condition.message}"
    return classify(_code_name(condition.canonical_code) if condition.canonical_code else "", text)


def _operation_view(operation: Any) -> OperationView:
    """A DONE operation may carry an error, and that is how many failures come."""
    error = operation.error
    failed = bool(error.code or error.message)
    return OperationView(
        name=operation.name,
        done=operation.status == container_v1.Operation.Status.DONE,
        finding=classify(_code_name(error.code), error.message).finding if failed else None,
        started_at=operation.start_time,
    )
