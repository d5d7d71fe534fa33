"""Node pools by way of ComputeClasses: one object for each claim, for which GKE makes and removes pools by itself.

A class is there or not: nothing about it takes time, so an operation is done when its call is. What its nodes cost and
where they are from, the nodes tell; why there are none, the cluster autoscaler's events on the pods.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol

from mistral_operator.capacity.errors import CloudError, InvalidRequestError, NotFoundError
from mistral_operator.capacity.objects.compute_class import class_object, class_view
from mistral_operator.capacity.port import Bounds, ClusterView, OperationView, PoolSpec, PoolView
from mistral_operator.capacity.provisioners.object_errors import answers, cloud_error
from mistral_operator.cluster.client import ListResult
from mistral_operator.cluster.errors import ApiError, Forbidden, NotFound, Unauthorized
from mistral_operator.cluster.kinds import COMPUTE_CLASS, Kind

Json = dict[str, Any]

_KIND: Final = {"apiVersion": COMPUTE_CLASS.api_version, "kind": COMPUTE_CLASS.kind}


class ComputeClassesMissingError(CloudError):
    """The cluster serves no ComputeClasses, or the operator may not make any. Nothing of it is GKE's answer."""

    reason = "ComputeClassesMissing"


class ClassClient(Protocol):
    """What is needed of `cluster.client.ApiClient`."""

    async def list(self, kind: Kind, namespace: str = "", *, label_selector: str = "") -> ListResult:
        """Objects of a kind as they are now."""
        ...

    async def create(self, manifest: Mapping[str, Any]) -> Json:
        """Create an object; raises AlreadyExists."""
        ...

    async def delete(self, kind: Kind, name: str, namespace: str = "", *, uid: str = "") -> bool:
        """Delete that very object; False if it wasn't there."""
        ...


class ComputeClasses:
    """Implements `capacity.port.NodePools` for one cluster, by cluster-scoped objects."""

    def __init__(self, client: ClassClient, describe: Callable[[], Awaitable[ClusterView]], *, autopilot: bool) -> None:
        """`describe` asks about the cluster itself, which has no object."""
        self._client = client
        self._describe = describe
        self._autopilot = autopilot

    async def describe_cluster(self) -> ClusterView:
        """The cluster itself."""
        return await self._describe()

    async def list_pools(self) -> tuple[PoolView, ...]:
        """All ComputeClasses of the cluster, ours and others'."""
        with answers(_cloud_error):
            found = await self._client.list(COMPUTE_CLASS)
        return tuple(class_view(body) for body in found.items)

    async def create_pool(self, spec: PoolSpec) -> OperationView:
        """Create the class, not apply it: `AlreadyExistsError` when the name is taken, by whomever."""
        with answers(_cloud_error):
            await self._client.create({**_KIND, **class_object(spec, autopilot=self._autopilot)})
        return _done("create", spec.name)

    async def set_autoscaling(self, name: str, bounds: Bounds) -> OperationView:
        """A class has no bounds; claims of this provisioner ask for none."""
        raise InvalidRequestError(f"ComputeClass {name} can't be bounded to {bounds.total_max} nodes", verbatim=False)

    async def delete_pool(self, name: str, uid: str = "") -> OperationView:
        """Delete the class; GKE removes its pools once they are empty. `NotFoundError` when it is gone."""
        with answers(_cloud_error):
            there = await self._client.delete(COMPUTE_CLASS, name, uid=uid)
        if not there:
            raise NotFoundError(f"there is no ComputeClass {name} any more, or another one", verbatim=False)
        return _done("delete", name)

    async def get_operation(self, name: str) -> OperationView:
        """Whatever was begun is done."""
        return OperationView(name, done=True, finding=None, started_at="")

    async def close(self) -> None:
        """Nothing is held: the client is its maker's."""


def _done(call: str, name: str) -> OperationView:
    return OperationView(f"{call}/{name}", done=True, finding=None, started_at="")


def _cloud_error(error: ApiError) -> CloudError:
    words = f"the API server says of ComputeClasses: {error}"
    if isinstance(error, NotFound):
        return ComputeClassesMissingError(
            f"{words}; the cluster doesn't serve cloud.google.com/v1, as every current GKE does", verbatim=False
        )
    if isinstance(error, (Forbidden, Unauthorized)):
        return ComputeClassesMissingError(
            f"{words}; give the operator the rights: `kubectl apply -f deploy/compute-class.yaml`, or ComputeClass in"
            " the chart's value `provisioners`",
            verbatim=False,
        )
    return cloud_error(error, words)
