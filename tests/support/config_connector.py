"""Config Connector without a control plane: the operator's adapter, the stand-in controller, and the simulated GKE.

For a conformance suite: `async with running_config_connector(**scenario) as stack` gives `stack.pools`, which is a
`capacity.port.NodePools`, over objects in memory; `stack.gke` is the simulated GKE that they end up in, as
`tests.support.simulated_gke` has it. On a real API server the same parts come with `Sandbox(config_connector=True)`,
which needs MISTRAL_OPERATOR_CRDS.
"""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.claim_cases import a_claim
from tests.support.polling import eventually
from tests.support.simulated_gke import SPEED, Gke, running_gke

from mistral_operator.capacity.advice import ClusterPlace
from mistral_operator.capacity.objects.node_pool import ObjectPlace
from mistral_operator.capacity.pools import NodeFacts, pool_spec
from mistral_operator.capacity.port import OperationView, PoolSpec, PoolView
from mistral_operator.capacity.provisioners.config_connector import ConfigConnector
from mistral_operator.cluster.client import ListResult
from mistral_operator.cluster.errors import AlreadyExists, NotFound, Unreachable
from mistral_operator.cluster.kinds import CONTAINER_NODE_POOL, EVENT, Kind
from mistral_operator.sandbox.config_connector import ConfigConnector as Controller

Json = dict[str, Any]
NAMESPACE = "cloud"
SPEC = pool_spec(a_claim(), total_max=2, facts=NodeFacts(accelerator_memory_gib=24), cluster_uid="uid-1")
SLICE = replace(
    SPEC,
    machine_type="ct6e-standard-4t",
    gpu=None,
    bounds=None,
    locations=("us-central1-a",),
    slice_topology="4x4",
    slice_hosts=4,
)
PLACE = ObjectPlace(NAMESPACE, ClusterPlace("sandbox-project", "us-central1", "sandbox"))


def find_schemas() -> Path:
    """The folder of other projects' definitions; skips the test where there is none."""
    folder = os.environ.get("MISTRAL_OPERATOR_CRDS")
    if not folder:
        pytest.skip("MISTRAL_OPERATOR_CRDS names no folder with the definitions of Config Connector")
    return Path(folder)


def read_schema(kind: str) -> Json:
    """The schema of one of Config Connector's kinds, such as `containernodepools`; skips where there is none."""
    (file,) = find_schemas().glob(f"*.cnrm.cloud.google.com_{kind}.yaml")
    definition = yaml.safe_load(file.read_text())
    schema: Json = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


@dataclass
class Objects:
    """An API server in memory, for objects of few kinds: as the operator's client sees it."""

    by_path: dict[str, Json] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    history: list[tuple[str, Json]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    lost_creates: int = 0
    """So many next creates take effect without an answer."""
    _numbers: Any = field(default_factory=lambda: itertools.count(1))

    def put(self, path: str, body: Json) -> Json:
        """Store an object; one that is deleted and that nothing holds any more goes."""
        before = self.by_path.get(path)
        metadata = {**body["metadata"], "resourceVersion": str(next(self._numbers))}
        same = before is not None and before.get("spec") == body.get("spec")
        metadata["generation"] = before["metadata"]["generation"] + (not same) if before else 1
        body = {**body, "metadata": metadata}
        if "deletionTimestamp" in metadata and not metadata.get("finalizers"):
            self.by_path.pop(path, None)
            self._publish("DELETED", body)
            return body
        self.by_path[path] = body
        self._publish("MODIFIED" if before else "ADDED", body)
        return body

    def make(self, path: str, body: Mapping[str, Any]) -> Json:
        """Store a new object."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return self.put(path, {**body, "metadata": {**body["metadata"], "uid": f"uid-{next(self._numbers)}",
                                                    "creationTimestamp": now}})  # fmt: skip

    def mark_deleted(self, path: str) -> None:
        """What DELETE does to an object that finalizers hold; the others go at once."""
        there = self.by_path[path]
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self.put(path, {**there, "metadata": {"deletionTimestamp": now, **there["metadata"]}})

    def pool(self, name: str) -> Json:
        """One ContainerNodePool."""
        return self.by_path[CONTAINER_NODE_POOL.path(namespace=NAMESPACE, name=name)]

    async def list(
        self, kind: Kind, namespace: str = "", *, label_selector: str = "", field_selector: str = ""
    ) -> ListResult:
        self.requests.append(f"list {kind.plural}")
        prefix = kind.path(namespace=namespace) + "/"
        found = [body for path, body in self.by_path.items() if path.startswith(prefix)]
        wanted = [pair.split("=") for pair in field_selector.split(",") if pair]
        found = [b for b in found if all(_value(b, name) == value for name, value in wanted)]
        labels = dict(pair.split("=") for pair in label_selector.split(",") if pair)
        found = [b for b in found if labels.items() <= (b["metadata"].get("labels") or {}).items()]
        return ListResult(tuple(found), "1")

    async def get(self, kind: Kind, name: str, namespace: str = "") -> Json | None:
        self.requests.append(f"get {kind.plural}")
        return self.by_path.get(kind.path(namespace=namespace, name=name))

    async def create(self, manifest: Mapping[str, Any]) -> Json:
        self.requests.append(f"create {manifest['kind']}")
        metadata = manifest["metadata"]
        path = CONTAINER_NODE_POOL.path(namespace=metadata["namespace"], name=metadata["name"])
        if path in self.by_path:
            raise AlreadyExists(409, "AlreadyExists", f'containernodepools "{metadata["name"]}" already exists')
        made = self.make(path, manifest)
        if self.lost_creates:
            self.lost_creates -= 1
            raise Unreachable(0, "Timeout", "no answer from the API server in time")
        return made

    async def merge_patch(self, kind: Kind, name: str, namespace: str, body: Mapping[str, Any]) -> Json:
        self.requests.append(f"patch {kind.plural}")
        path = kind.path(namespace=namespace, name=name)
        if path not in self.by_path:
            raise NotFound(404, "NotFound", f'{kind.plural}.{kind.group} "{name}" not found')
        return self.put(path, merge(self.by_path[path], body))

    async def delete(self, kind: Kind, name: str, namespace: str = "", *, uid: str = "") -> bool:
        self.requests.append(f"delete {kind.plural}")
        path = kind.path(namespace=namespace, name=name)
        there = self.by_path.get(path)
        if there is None or uid not in ("", there["metadata"]["uid"]):
            return False
        self.mark_deleted(path)
        return True

    async def read(self, path: str) -> Json:
        assert path == "/version"
        return {"gitVersion": "v1.36.3-gke.100"}

    def _publish(self, kind: str, body: Json) -> None:
        self.history.append((kind, body))
        self.changed.set()


class Paths:
    """The same objects as the stand-in's client sees them: by paths."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    async def get(self, path: str) -> Json | None:
        return self._objects.by_path.get(path)

    async def create(self, path: str, body: Json) -> Json:
        return self._objects.make(f"{path}/{body['metadata']['name']}", body)

    async def merge_patch(self, path: str, body: Json) -> Json:
        path = path.removesuffix("/status")
        return self._objects.put(path, merge(self._objects.by_path[path], body))

    async def watch(self, path: str) -> AsyncIterator[tuple[str, Json]]:
        seen = 0
        while True:
            for kind, body in self._objects.history[seen:]:
                if body.get("kind") == CONTAINER_NODE_POOL.kind:
                    yield kind, body
                seen += 1
            self._objects.changed.clear()
            if seen == len(self._objects.history):
                await self._objects.changed.wait()


def merge(before: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, Mapping):
        return patch
    old = before if isinstance(before, Mapping) else {}
    merged = {**old, **{key: merge(old.get(key), value) for key, value in patch.items() if value is not None}}
    return {key: value for key, value in merged.items() if not (key in patch and patch[key] is None)}


def _value(body: Any, name: str) -> str:
    for part in name.split("."):
        body = (body or {}).get(part)
    return str(body)


@dataclass
class Stack:
    """The adapter, the objects, and the GKE behind them."""

    pools: ConfigConnector
    objects: Objects
    gke: Gke

    async def find(self, name: str) -> PoolView | None:
        """The pool as the adapter sees it."""
        return next((pool for pool in await self.pools.list_pools() if pool.name == name), None)

    async def ended(self, operation: OperationView) -> OperationView:
        """The operation once it is done."""

        async def done() -> OperationView | None:
            view = await self.pools.get_operation(operation.name)
            return view if view.done else None

        return await eventually(done, message=f"{operation.name} is done")

    async def make(self, spec: PoolSpec) -> PoolView:
        """The pool of that spec once it is there."""
        operation = await self.ended(await self.pools.create_pool(spec))
        assert operation.finding is None
        pool = await self.find(spec.name)
        assert pool is not None
        return pool

    def events(self) -> list[Json]:
        """What the stand-in has told as Events."""
        prefix = EVENT.path(namespace=NAMESPACE)
        return [body for path, body in self.objects.by_path.items() if path.startswith(prefix)]


@asynccontextmanager
async def running_config_connector(speed: float = SPEED, **scenario: Any) -> AsyncIterator[Stack]:
    """Serve ContainerNodePools in memory while the block runs, into a simulated GKE of that scenario."""
    objects = Objects()
    async with running_gke(speed, **scenario) as gke, Controller(Paths(objects), gke.api.address, speed):
        yield Stack(ConfigConnector(objects, PLACE), objects, gke)
