"""A cluster and a cloud in memory for the claim reconciler, with a clock that tests move, and crashes at will.

Both are stand-ins: they keep the few rules of the real ones that claims depend on.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

from tests.support.claim_cases import NAME, NOW, POOL, SETTINGS, claim_body, pool_of
from tests.support.fake_policies import FakePolicies
from tests.support.kills import Crash as Crash
from tests.support.kills import Kills as Kills

from mistral_operator.api.names import (
    API_VERSION,
    CLAIM_LABEL,
    MODEL_KIND,
    MODEL_LABEL,
    MOST_REPLICAS_ANNOTATION,
    SHAPE_LABEL,
)
from mistral_operator.capacity.claim_types import ClaimSettings
from mistral_operator.capacity.cloud import CloudPace, CloudPools
from mistral_operator.capacity.errors import AlreadyExistsError, CloudError, NotFoundError, classify
from mistral_operator.capacity.pools import NodeFacts
from mistral_operator.capacity.port import (
    ALL_MENDS,
    Bounds,
    ClusterView,
    Mend,
    OperationView,
    PoolSpec,
    PoolStatus,
    PoolView,
    SetManagement,
    SetNodeLabels,
    SetResourceLabels,
    SetTaints,
    SetUpgrades,
)
from mistral_operator.cluster.client import ListResult
from mistral_operator.cluster.errors import Conflict, NotFound
from mistral_operator.cluster.kinds import CLAIM, MODEL, NODE, REVISION, Kind
from mistral_operator.cluster.store import Key, Store
from mistral_operator.controller.claims import Check, ClaimReconciler
from mistral_operator.controller.observation import RULES
from mistral_operator.planning.types import Provisioner

Json = dict[str, Any]


@dataclass
class FakeCloud:
    """A stand-in for GKE's node pools. An operation ends after `polls` looks at it, and pools follow it."""

    kills: Kills
    clock: Callable[[], float]
    polls: int = 2
    pools: dict[str, PoolView] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    refusals: dict[str, list[CloudError]] = field(default_factory=dict)
    """Call → errors for the next such calls."""
    lost: dict[str, int] = field(default_factory=dict)
    """Call → so many next answers get lost although the call takes effect."""
    late_creates: list[float] = field(default_factory=list)
    """Seconds after which the next creates take effect; nobody hears an answer."""
    fail_creates: list[str] = field(default_factory=list)
    """Texts with which the next created pools end in ERROR."""
    _operations: dict[str, tuple[OperationView, int, Callable[[], None]]] = field(default_factory=dict)
    _in_flight: list[tuple[float, PoolSpec]] = field(default_factory=list)

    async def describe_cluster(self) -> ClusterView:
        return ClusterView("team-project", "us-central1", "serving", ("us-central1-a",), "1.36", autopilot=False)

    async def list_pools(self) -> tuple[PoolView, ...]:
        self._refuse("list")
        for due, spec in list(self._in_flight):
            if due <= self.clock():
                self._in_flight.remove((due, spec))
                if spec.name not in self.pools:
                    self._make(spec)
        for name in list(self._operations):
            self._tick(name)
        return tuple(self.pools.values())

    async def create_pool(self, spec: PoolSpec) -> OperationView:
        self._refuse("create")
        if spec.name in self.pools:
            raise AlreadyExistsError(f"Already exists: {spec.name}")
        self.kills.about_to()
        if self.late_creates:
            self._in_flight.append((self.clock() + self.late_creates.pop(0), spec))
            self.kills.did()
            raise classify("DEADLINE_EXCEEDED", "Deadline Exceeded")
        return self._make(spec)

    async def set_autoscaling(self, name: str, bounds: Bounds) -> OperationView:
        self._refuse("resize")
        self._must_exist(name)
        self.kills.about_to()
        return self._begin("resize", lambda: self._set(name, bounds=bounds))

    @property
    def mends(self) -> frozenset[type[Mend]]:
        return ALL_MENDS

    async def mend_pool(self, name: str, mend: Mend) -> OperationView:
        self._refuse("mend")
        self._must_exist(name)
        self.kills.about_to()
        match mend:
            case SetNodeLabels(labels):
                changes: dict[str, Any] = {"node_labels": labels}
            case SetTaints(taints):
                changes = {"taints": taints}
            case SetResourceLabels(labels):
                changes = {"resource_labels": labels}
            case SetManagement(upkeep) | SetUpgrades(upkeep):
                changes = {"upkeep": upkeep}
            case _:
                changes = {}
        return self._begin("mend", lambda: self._set(name, **changes))

    async def delete_pool(self, name: str, uid: str = "") -> OperationView:
        self._refuse("delete")
        self._must_exist(name)
        self.kills.about_to()
        self._set(name, status=PoolStatus.STOPPING)
        return self._begin("delete", lambda: self.pools.pop(name, None))

    async def get_operation(self, name: str) -> OperationView:
        self._refuse("get")
        if name not in self._operations:
            raise NotFoundError(f"Not found: {name}")
        return self._tick(name)

    async def close(self) -> None:
        self._operations.clear()

    def _make(self, spec: PoolSpec) -> OperationView:
        text = self.fail_creates.pop(0) if self.fail_creates else ""
        self.pools[spec.name] = pool_of(spec, PoolStatus.PROVISIONING)
        ended = PoolStatus.ERROR if text else PoolStatus.RUNNING
        return self._begin("create", lambda: self._set(spec.name, status=ended), text)

    def _begin(self, call: str, end: Callable[[], object], text: str = "") -> OperationView:
        finding = classify("", text).finding if text else None
        view = OperationView(f"operation-{len(self.calls)}", done=False, finding=finding, started_at="")
        self._operations[view.name] = (view, self.polls, lambda: (end(), None)[1])
        self.kills.did()
        if self.lost.get(call):
            self.lost[call] -= 1
            raise classify("UNAVAILABLE", "socket closed")
        return replace(view, finding=None)

    def _tick(self, name: str) -> OperationView:
        view, left, end = self._operations[name]
        if view.done:
            return view
        if left == 0:
            end()
            view = replace(view, done=True)
        self._operations[name] = (view, left - 1, end)
        return view if view.done else replace(view, finding=None)

    def _refuse(self, call: str) -> None:
        self.calls.append(call)
        if self.refusals.get(call):
            raise self.refusals[call].pop(0)

    def _must_exist(self, name: str) -> None:
        if name not in self.pools:
            raise NotFoundError(f"Not found: {name}")

    def _set(self, name: str, **changes: Any) -> None:
        if name in self.pools:
            self.pools[name] = replace(self.pools[name], **changes)


@dataclass
class FakeCluster:
    """A stand-in for the API server: objects with versions, finalizers, and owners whose children are collected."""

    kills: Kills
    objects: dict[tuple[Kind, Key], Json] = field(default_factory=dict)
    version: int = 0
    store: Store = field(default_factory=lambda: Store(RULES))
    lists: int = 0
    writes: int = 0

    def put(self, kind: Kind, body: Json) -> Json:
        """Create or replace, and let the store see it as a watch would."""
        self.version += 1
        body = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.version)}}
        key = key_of(body)
        metadata = body["metadata"]
        if "deletionTimestamp" in metadata and not metadata.get("finalizers"):
            self.remove(kind, key)
        else:
            self.objects[kind, key] = body
            self.store[kind].put(body)
        return body

    def remove(self, kind: Kind, key: Key) -> None:
        self.version += 1
        self.objects.pop((kind, key), None)
        self.store[kind].remove(key, self.version)

    async def list(
        self, kind: Kind, namespace: str = "", *, label_selector: str = "", field_selector: str = ""
    ) -> ListResult:
        self.lists += 1
        node = field_selector.removeprefix("spec.nodeName=")
        label, _, value = label_selector.partition("=")
        found = [
            body
            for (of, key), body in self.objects.items()
            if of == kind and namespace in ("", key.namespace)
            if not label or (body["metadata"].get("labels") or {}).get(label) == value
            if not node or (body.get("spec") or {}).get("nodeName") == node
        ]
        return ListResult(tuple(found), str(self.version))

    async def merge_patch(self, kind: Kind, name: str, namespace: str, body: Mapping[str, Any]) -> Json:
        there = self._find(kind, name)
        if body["metadata"]["resourceVersion"] != there["metadata"]["resourceVersion"]:
            raise Conflict(409, "Conflict", "the object has been modified")
        return self._write(kind, {**there, "metadata": {**there["metadata"], **body["metadata"]}})

    async def apply_status(self, manifest: Mapping[str, Any]) -> Json:
        there = self._find(CLAIM, manifest["metadata"]["name"])
        return self._write(CLAIM, {**there, "status": manifest["status"]})

    async def delete(self, kind: Kind, name: str, namespace: str = "", *, uid: str = "") -> bool:
        there = self.objects.get((kind, Key(namespace, name)))
        if there is None or uid not in ("", there["metadata"]["uid"]):
            return False
        deleted = {**there["metadata"], "deletionTimestamp": "2026-11-23T12:00:00Z"}
        self._write(kind, {**there, "metadata": deleted})
        return True

    def restart_store(self) -> None:
        """What a new process lists."""
        self.store = Store(RULES)
        for (kind, _), body in self.objects.items():
            self.store[kind].put(body)

    def _find(self, kind: Kind, name: str) -> Json:
        try:
            return self.objects[kind, Key("", name)]
        except KeyError:
            raise NotFound(404, "NotFound", f"{name} not found") from None

    def _write(self, kind: Kind, body: Json) -> Json:
        self.kills.about_to()
        self.writes += 1
        written = self.put(kind, body)
        self.kills.did()
        return written


def key_of(body: Json) -> Key:
    return Key(body["metadata"].get("namespace", ""), body["metadata"]["name"])


@dataclass
class World:
    """One claim's world: `settle` runs the reconciler, and time, until nothing changes any more."""

    kills: Kills = field(default_factory=Kills)
    settings: ClaimSettings = SETTINGS
    pace: CloudPace = field(default_factory=lambda: CloudPace(change_interval_s=0.0))
    clock_s: float = 1000.0
    provisioners: tuple[Provisioner, ...] = (Provisioner.CONTAINER_API,)
    told: list[Json] = field(default_factory=list)
    """What was found to be changed by somebody else, as it is counted."""
    checks: Mapping[Provisioner, Check] = field(default_factory=dict)
    """What is looked at before a pool is created, from the next `start` on."""

    def __post_init__(self) -> None:
        self.cloud = FakeCloud(self.kills, lambda: self.clock_s)
        self.policies = FakePolicies(self.kills, placing=self._placing)
        self.cluster = FakeCluster(self.kills)
        self.start()

    def start(self) -> None:
        """A new process, which remembers nothing."""
        self.cluster.restart_store()
        self.cloud_pools = CloudPools(
            self.cloud, policies=self.policies, pace=self.pace, clock=lambda: self.clock_s, now=self.now, rng=Random(7)
        )
        self.clouds = dict.fromkeys(self.provisioners, self.cloud_pools)
        self.reconciler = ClaimReconciler(
            client=self.cluster,
            store=self.cluster.store,
            clouds=self.clouds,
            settings=self.settings,
            wake=lambda _name: None,
            facts=lambda _: NodeFacts(),
            checks=self.checks,
            on_drift=lambda _claim, note: self.told.append(dict(note)),
            now=self.now,
        )

    def _placing(self) -> set[str]:
        return {pool.placement_policy for pool in self.cloud.pools.values()}

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.clock_s - 1000.0)

    def add_model(
        self,
        name: str = "chat",
        *,
        uid: str = "",
        claim: str = NAME,
        namespace: str = "team",
        most: str = "",
        **spec: Any,
    ) -> None:
        """A model, its revision, and then its claim, as the model reconciler applies them; `most` is what the revision
        says of a spend limit.
        """
        uid = uid or f"uid-{name}"
        metadata = {"namespace": namespace, "name": name, "uid": uid, "generation": 1}
        self.cluster.put(MODEL, {"apiVersion": API_VERSION, "kind": MODEL_KIND, "metadata": metadata, "spec": spec})
        self.add_revision(name, uid=uid, claim=claim, namespace=namespace, most=most)
        self.apply_claim(claim)

    def add_revision(
        self, model: str, *, uid: str, claim: str = NAME, name: str = "", namespace: str = "team", most: str = ""
    ) -> None:
        owner = {"apiVersion": API_VERSION, "kind": MODEL_KIND, "name": model, "uid": uid, "controller": True}
        metadata = {
            "namespace": namespace,
            "name": name or f"{model}-1",
            "uid": f"uid-{name or model}-1",
            "labels": {MODEL_LABEL: model, CLAIM_LABEL: claim},
            "annotations": {MOST_REPLICAS_ANNOTATION: most} if most else {},
            "ownerReferences": [owner],
        }
        self.cluster.put(REVISION, {"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": metadata})

    def apply_claim(self, name: str = NAME) -> None:
        if (CLAIM, Key("", name)) not in self.cluster.objects:
            self.cluster.put(CLAIM, claim_body(name, finalizers=[]))

    def delete_model(self, name: str = "chat") -> None:
        """With its revisions, as the garbage collector does."""
        self.cluster.remove(MODEL, Key("team", name))
        for kind, key in list(self.cluster.objects):
            if kind == REVISION and key.name.startswith(f"{name}-"):
                self.cluster.remove(REVISION, key)

    def add_node(self, name: str = "node-1", claim: str = NAME) -> None:
        self.cluster.put(
            NODE, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {SHAPE_LABEL: claim}}}
        )

    @property
    def claim(self) -> Json | None:
        return self.cluster.objects.get((CLAIM, Key("", NAME)))

    @property
    def state(self) -> str:
        return str(((self.claim or {}).get("status") or {}).get("state", ""))

    def condition(self, kind: str = "Ready") -> Json:
        assert self.claim is not None
        found: Json = next(c for c in self.claim["status"]["conditions"] if c["type"] == kind)
        return found

    @property
    def pool(self) -> PoolView | None:
        return self.cloud.pools.get(POOL)

    async def step(self) -> float | None:
        """One reconcile."""
        return await self.reconciler.reconcile(NAME)

    async def settle(self, *, for_s: float = 0.0, steps: int = 60) -> None:
        """Reconcile as the queue would, until nothing changes before the resync and `for_s` seconds have passed."""
        until = self.clock_s + for_s
        for _ in range(steps):
            version = self.cluster.version
            wait_s = await self.step()
            if self.cluster.version == version and wait_s is None:
                return
            if self.cluster.version == version and wait_s >= self.settings.resync_s and self.clock_s >= until:
                return
            self.clock_s += wait_s if wait_s is not None else 1.0
        raise AssertionError(f"not settled after {steps} steps: {self.claim}, {self.cloud.calls[-20:]}")
