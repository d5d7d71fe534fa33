"""Node pools through Config Connector: a ContainerNodePool object for each, in one namespace of the same cluster.

Config Connector makes, changes and deletes the pool that an object asks for, and writes how that went into its
condition. Where GKE gives an operation, here it is a generation of the object: done when the condition is about it.
No call of Google's is made from here.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Protocol

from mistral_operator.capacity.errors import CloudError, InvalidRequestError, NotFoundError
from mistral_operator.capacity.node_pool_condition import (
    find_update_failure,
    is_observed,
    is_stuck,
    read_status,
    since,
)
from mistral_operator.capacity.node_pool_events import find_failures, may_have_failed
from mistral_operator.capacity.node_pool_object import (
    ABANDON,
    DELETION_POLICY,
    ObjectPlace,
    autoscaling,
    find_unwritable,
    node_pool_object,
    pool_view,
)
from mistral_operator.capacity.node_pool_repairs import MENDS, mend_patch
from mistral_operator.capacity.object_errors import answers, cloud_error
from mistral_operator.capacity.port import Bounds, ClusterView, Mend, OperationView, PoolSpec, PoolStatus, PoolView
from mistral_operator.cluster.client import ListResult
from mistral_operator.cluster.errors import ApiError, NotFound
from mistral_operator.cluster.kinds import CONTAINER_NODE_POOL, EVENT, NODE, Kind
from mistral_operator.planning.nodes import POOL_LABEL

Json = dict[str, Any]

_ZONE_LABEL: Final = "topology.kubernetes.io/zone"
_AUTOPILOT_NODE: Final = "gk3-"
"""Names of Autopilot's nodes begin with it."""
_GONE: Final = re.compile(r"containernodepools\S* \"[^\"]+\" not found")
"""Of an object; what else isn't found is the kind or the namespace."""


class ConfigConnectorMissingError(InvalidRequestError):
    """The cluster has no ContainerNodePools, or not the namespace that they should be in."""

    reason = "ConfigConnectorMissing"


class ObjectClient(Protocol):
    """What is needed of `cluster.client.ApiClient`."""

    async def list(
        self, kind: Kind, namespace: str = "", *, label_selector: str = "", field_selector: str = ""
    ) -> ListResult:
        """Objects of a kind as they are now."""
        ...

    async def get(self, kind: Kind, name: str, namespace: str = "") -> Json | None:
        """The object, or None if there is none."""
        ...

    async def create(self, manifest: Mapping[str, Any]) -> Json:
        """Create an object; raises AlreadyExists."""
        ...

    async def merge_patch(self, kind: Kind, name: str, namespace: str, body: Mapping[str, Any]) -> Json:
        """JSON merge patch."""
        ...

    async def delete(self, kind: Kind, name: str, namespace: str = "", *, uid: str = "") -> bool:
        """Delete that very object; False if it wasn't there."""
        ...

    async def read(self, path: str) -> Json:
        """GET of a path that belongs to no kind."""
        ...


@dataclass(frozen=True, slots=True)
class _Work:
    """What an operation's name says: `create/NAME/UID/GENERATION`."""

    call: str
    pool: str
    uid: str
    generation: int

    @property
    def name(self) -> str:
        return f"{self.call}/{self.pool}/{self.uid}/{self.generation}"

    @classmethod
    def of(cls, call: str, body: Mapping[str, Any]) -> "_Work":
        metadata = body["metadata"]
        return cls(call, metadata["name"], metadata["uid"], int(metadata.get("generation") or 0))

    @classmethod
    def parse(cls, name: str) -> "_Work":
        call, *rest = name.split("/")
        if call not in ("create", "resize", "mend", "delete") or len(rest) != 3 or not rest[2].isdigit():
            raise InvalidRequestError(f"{name} is no operation of Config Connector's", verbatim=False)
        return cls(call, rest[0], rest[1], int(rest[2]))


class ConfigConnector:
    """Implements `NodePools` and `PoolRepairs` of `capacity.port` for one cluster, by the objects of one namespace."""

    def __init__(
        self,
        client: ObjectClient,
        place: ObjectPlace,
        *,
        zones: Sequence[str] = (),
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`zones` are the cluster's; those that have nodes when left out."""
        self._client = client
        self._place = place
        self._zones = tuple(zones)
        self._now = now
        self._overcome: set[str] = set()
        """Uids of objects whose pools have got nodes though their making had failed; may be lost at any time."""

    async def describe_cluster(self) -> ClusterView:
        """The cluster as its API server and its nodes show it."""
        cluster = self._place.cluster
        with _answers(self._place.namespace):
            version = await self._client.read("/version")
            nodes = (await self._client.list(NODE)).items
        zones = {(node["metadata"].get("labels") or {}).get(_ZONE_LABEL, "") for node in nodes} - {""}
        return ClusterView(
            project=cluster.project,
            location=cluster.location,
            name=cluster.cluster,
            zones=self._zones or tuple(sorted(zones)),
            version=str(version.get("gitVersion", "")).removeprefix("v"),
            autopilot=any(node["metadata"]["name"].startswith(_AUTOPILOT_NODE) for node in nodes),
        )

    async def list_pools(self) -> tuple[PoolView, ...]:
        """All pools that have an object in the namespace, ours and others'."""
        with _answers(self._place.namespace):
            found = (await self._client.list(CONTAINER_NODE_POOL, self._place.namespace)).items
            told = await self._find_failures(found)
        self._overcome &= {body["metadata"]["uid"] for body in found}
        return tuple(
            pool_view(body, age_s=self._age_s(body), failure_told=told.get(body["metadata"]["uid"], ""))
            for body in found
        )

    async def create_pool(self, spec: PoolSpec) -> OperationView:
        """Create the object; `AlreadyExistsError` when there is one of that name, whoever made it."""
        if missing := find_unwritable(spec):
            raise InvalidRequestError(
                f"a ContainerNodePool has no {missing}; write spec.capacity.provisioner: ContainerAPI", verbatim=False
            )
        kind = {"apiVersion": CONTAINER_NODE_POOL.api_version, "kind": CONTAINER_NODE_POOL.kind}
        with _answers(self._place.namespace):
            made = await self._client.create({**kind, **node_pool_object(spec, self._place)})
        return _begun(_Work.of("create", made), made["metadata"].get("creationTimestamp", ""))

    async def set_autoscaling(self, name: str, bounds: Bounds) -> OperationView:
        """Change the object's bounds."""
        patch = {"spec": {"autoscaling": autoscaling(bounds)}}
        with _answers(self._place.namespace):
            changed = await self._client.merge_patch(CONTAINER_NODE_POOL, name, self._place.namespace, patch)
        return _begun(_Work.of("resize", changed), self._now().isoformat(timespec="seconds"))

    @property
    def mends(self) -> frozenset[type[Mend]]:
        """What the object has a field for."""
        return MENDS

    async def mend_pool(self, name: str, mend: Mend) -> OperationView:
        """Put the fields of the object right that somebody changed."""
        with _answers(self._place.namespace):
            patch = {"spec": mend_patch(mend)}
            changed = await self._client.merge_patch(CONTAINER_NODE_POOL, name, self._place.namespace, patch)
        return _begun(_Work.of("mend", changed), self._now().isoformat(timespec="seconds"))

    async def delete_pool(self, name: str, uid: str = "") -> OperationView:
        """Delete the object, which stays until Config Connector has deleted the pool; `NotFoundError` when it is gone.

        An object that somebody told to abandon its pool is refused: the pool would run on, and nobody would know it.
        """
        namespace = self._place.namespace
        body = await self._get(name)
        if uid not in ("", body["metadata"]["uid"]):
            raise _not_found(name, namespace)
        if (body["metadata"].get("annotations") or {}).get(DELETION_POLICY) == ABANDON:
            raise InvalidRequestError(
                f"ContainerNodePool {name} is annotated {DELETION_POLICY}: {ABANDON}, so its node pool would go on"
                f" running after it; `kubectl annotate --overwrite containernodepool {name} -n {namespace}"
                f" {DELETION_POLICY}=delete` lets it be deleted",
                verbatim=False,
            )
        with _answers(namespace):
            there = await self._client.delete(CONTAINER_NODE_POOL, name, namespace, uid=body["metadata"]["uid"])
        if not there:
            raise _not_found(name, namespace)
        return _begun(_Work.of("delete", body), self._now().isoformat(timespec="seconds"))

    async def get_operation(self, name: str) -> OperationView:
        """How an operation stands; `NotFoundError` when its object is gone, but for a deletion, which is done then."""
        work = _Work.parse(name)
        try:
            body = await self._get(work.pool)
        except NotFoundError:
            if work.call != "delete":
                raise
            return OperationView(name, done=True, finding=None, started_at="")
        if body["metadata"]["uid"] != work.uid:
            # One of that name was made since, so that the operation's own object is gone.
            if work.call != "delete":
                raise _not_found(work.pool, self._place.namespace)
            return OperationView(name, done=True, finding=None, started_at="")
        with _answers(self._place.namespace):
            told = await self._find_failures((body,))
        return self._follow(work, body, told.get(work.uid, ""))

    async def close(self) -> None:
        """Nothing is held: the client is its maker's."""

    async def _find_failures(self, bodies: Sequence[Json]) -> dict[str, str]:
        """Why pools couldn't be made that are called up to date all the same, by the uids of their objects."""
        asked = [body for body in bodies if may_have_failed(body, age_s=self._age_s(body))]
        asked = [body for body in asked if body["metadata"]["uid"] not in self._overcome]
        if not asked:
            return {}
        about = f"involvedObject.kind={CONTAINER_NODE_POOL.kind}"
        told = find_failures(asked, (await self._client.list(EVENT, self._place.namespace, field_selector=about)).items)
        for body in asked:
            if body["metadata"]["uid"] in told and await self._has_nodes(body):
                self._overcome.add(body["metadata"]["uid"])
        return {uid: text for uid, text in told.items() if uid not in self._overcome}

    async def _has_nodes(self, body: Json) -> bool:
        """Whether the pool has got its nodes after all: a slice all of them, any other pool one."""
        selector = f"{POOL_LABEL}={body['spec'].get('resourceID') or body['metadata']['name']}"
        nodes = (await self._client.list(NODE, label_selector=selector)).items
        return len(nodes) >= max(1, int(body["spec"].get("initialNodeCount") or 0))

    def _follow(self, work: _Work, body: Json, failure_told: str) -> OperationView:
        metadata = body["metadata"]
        status, findings = read_status(body, age_s=self._age_s(body), failure_told=failure_told)
        failure = findings[0] if findings and status is PoolStatus.ERROR else None
        if is_stuck(body, age_s=self._age_s(body)):
            # No work is under way, so it must not hold up that on other pools; the pool itself tells what is wrong.
            return OperationView(work.name, done=True, finding=None, started_at=since(body))
        if work.call == "create":
            done = status not in (PoolStatus.PROVISIONING, PoolStatus.UNKNOWN)
            obstacle = None if done else next(iter(findings), None)
            return OperationView(work.name, done, failure, metadata.get("creationTimestamp", ""), obstacle)
        if work.call == "delete":
            return OperationView(work.name, failure is not None, failure, metadata.get("deletionTimestamp", ""))
        refused = find_update_failure(body)
        done = refused is not None or (is_observed(body) and status is not PoolStatus.RECONCILING)
        return OperationView(work.name, done, refused, since(body))

    async def _get(self, name: str) -> Json:
        with _answers(self._place.namespace):
            body = await self._client.get(CONTAINER_NODE_POOL, name, self._place.namespace)
        if body is None:
            raise _not_found(name, self._place.namespace)
        return body

    def _age_s(self, body: Mapping[str, Any]) -> float:
        made_at = body["metadata"].get("creationTimestamp")
        return (self._now() - datetime.fromisoformat(made_at)).total_seconds() if made_at else 0.0


def _begun(work: _Work, started_at: str) -> OperationView:
    return OperationView(work.name, done=False, finding=None, started_at=started_at)


def _not_found(name: str, namespace: str) -> NotFoundError:
    words = f"there is no ContainerNodePool {name} in namespace {namespace} any more, or another one"
    return NotFoundError(words, verbatim=False)


def _answers(namespace: str) -> AbstractContextManager[None]:
    return answers(partial(_cloud_error, namespace=namespace))


def _cloud_error(error: ApiError, namespace: str) -> CloudError:
    words = f"the API server says of ContainerNodePools in namespace {namespace}: {error}"
    if isinstance(error, NotFound):
        if _GONE.search(error.message):
            return NotFoundError(words, verbatim=False)
        return ConfigConnectorMissingError(words, verbatim=False)
    return cloud_error(error, words)
