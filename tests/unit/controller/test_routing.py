"""Which keys come into the queues when objects change."""

from typing import Any

import pytest

from mistral_operator.api.names import (
    API_VERSION,
    APP_INSTANCE_LABEL,
    CLAIM_LABEL,
    CONVERTER_ROLE,
    DEFAULT_CLASS_ANNOTATION,
    MODEL_LABEL,
    ROLE_LABEL,
)
from mistral_operator.cluster.kinds import CLAIM, DEPLOYMENT, EVENT, JOB, MODEL, POD, REVISION, SERVING_CLASS, Kind
from mistral_operator.cluster.store import Key, Store
from mistral_operator.controller.observation import RULES, observe
from mistral_operator.controller.pool_use import PoolUses
from mistral_operator.controller.queue import KeyedQueue
from mistral_operator.controller.routing import Router
from mistral_operator.planning.types import ClusterProfile

CHAT = Key("team", "chat")
CLUSTER = ClusterProfile("GKE", "p", "l", "c", ("z",))


class World:
    """A store, its router, and what came into the queues since the last look."""

    def __init__(self) -> None:
        self.now = 0.0
        self.store = Store(RULES)
        self.pools = PoolUses(self.store)
        self.models: KeyedQueue[Key] = KeyedQueue(clock=lambda: self.now)
        self.claims: KeyedQueue[str] = KeyedQueue(clock=lambda: self.now)
        self.router = Router(self.store, self.models, self.claims)
        self.version = 0

    def put(self, kind: Kind, name: str, *, own: bool = False, **content: Any) -> None:
        self.version += 1
        metadata = {"name": name, "uid": f"uid-{name}", "generation": 1, "resourceVersion": str(self.version)}
        if kind.namespaced:
            metadata["namespace"] = "team"
        metadata.update(content.pop("metadata", {}))
        body = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, **content}
        assert self.store[kind].put(body, own=own)

    def child(
        self, kind: Kind, name: str, *, own: bool = False, labels: dict[str, str] | None = None, **more: Any
    ) -> None:
        owner = {
            "apiVersion": API_VERSION,
            "kind": "MistralModel",
            "name": "chat",
            "uid": "uid-chat",
            "controller": True,
        }
        metadata = {"labels": {MODEL_LABEL: "chat", **(labels or {})}, "ownerReferences": [owner]}
        self.put(kind, name, own=own, metadata=metadata, **more)

    def queued(self) -> tuple[set[Key], set[str]]:
        self.now += 60
        return _all(self.models), _all(self.claims)


def _all(queue: KeyedQueue[Any]) -> set[Any]:
    keys = set()
    while (taken := queue.take()) is not None:
        keys.add(taken[0])
        queue.done(taken[0])
    return keys


@pytest.fixture
def world() -> World:
    made = World()
    made.put(MODEL, "chat", spec={"model": "m"})
    made.child(REVISION, "chat-1", labels={CLAIM_LABEL: "pool"})
    made.put(CLAIM, "pool", status={"state": "Pending"})
    made.child(POD, "chat-pod", spec={}, status={})
    made.queued()
    return made


def test_a_new_spec_concerns_the_model_and_its_claim(world: World) -> None:
    world.put(MODEL, "chat", metadata={"generation": 2}, spec={"model": "other"})
    assert world.queued() == ({CHAT}, {"pool"})


def test_our_own_status_concerns_nobody(world: World) -> None:
    world.put(MODEL, "chat", own=True, spec={"model": "m"}, status={"x": 1})
    assert world.queued() == (set(), set())


def test_somebody_elses_status_is_looked_at(world: World) -> None:
    world.put(MODEL, "chat", spec={"model": "m"}, status={"x": "forged"})
    assert CHAT in world.queued()[0]


def test_our_own_write_that_carries_a_newer_spec_is_looked_at(world: World) -> None:
    """The answer to a status write may be the first that tells of a change of the spec."""
    world.put(MODEL, "chat", own=True, metadata={"generation": 2}, spec={"model": "other"}, status={"x": 1})
    assert CHAT in world.queued()[0]


def test_a_deleted_model_concerns_its_claim(world: World) -> None:
    world.store[MODEL].remove(CHAT, 99)
    assert world.queued() == ({CHAT}, {"pool"})


def test_a_conversions_pod_and_what_is_said_of_it_concern_the_model(world: World) -> None:
    labels = {ROLE_LABEL: CONVERTER_ROLE, APP_INSTANCE_LABEL: "chat"}
    world.put(POD, "convert", metadata={"labels": labels}, spec={}, status={"phase": "Pending"})
    assert world.queued() == ({CHAT}, set())
    world.put(EVENT, "said", involvedObject={"uid": "uid-convert"}, reason="FailedScaleUp", message="no quota")
    assert world.queued() == ({CHAT}, set())
    found = observe(world.store, world.store[MODEL].get(CHAT) or {}, CLUSTER, world.pools)
    assert [pod["metadata"]["name"] for pod in found.pods] == ["chat-pod", "convert"]
    assert [event["message"] for event in found.pod_events] == ["no quota"]


def test_a_conversion_concerns_the_claim_when_it_begins_and_when_it_ends(world: World) -> None:
    world.child(JOB, "chat-convert", own=True, spec={})
    assert world.queued() == (set(), {"pool"})
    world.child(JOB, "chat-convert", spec={}, status={"conditions": [{"type": "Complete", "status": "True"}]})
    assert world.queued() == ({CHAT}, {"pool"})


def test_a_child_concerns_its_model_unless_we_have_just_made_it(world: World) -> None:
    world.child(DEPLOYMENT, "chat", own=True, spec={"replicas": 1})
    assert world.queued() == (set(), set())
    world.child(DEPLOYMENT, "chat", spec={"replicas": 2})
    assert world.queued() == ({CHAT}, set()), "somebody else's change is put right"
    world.store[DEPLOYMENT].remove(CHAT, 99)
    assert world.queued() == ({CHAT}, set())


def test_of_a_deployments_status_only_failures_concern_its_model(world: World) -> None:
    """Replicas are counted by their pods, which are watched themselves."""
    world.child(DEPLOYMENT, "chat", own=True, spec={"replicas": 1})
    world.queued()
    progress = {"type": "Progressing", "status": "True", "lastUpdateTime": "2026-11-23T12:00:00Z"}
    world.child(DEPLOYMENT, "chat", spec={"replicas": 1}, status={"replicas": 1, "conditions": [progress]})
    assert world.queued() == (set(), set())
    failure = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}
    world.child(DEPLOYMENT, "chat", spec={"replicas": 1}, status={"conditions": [progress, failure]})
    assert world.queued() == ({CHAT}, set())


def test_a_claims_readiness_concerns_its_models_but_its_other_users_do_not(world: World) -> None:
    ready = {"type": "Ready", "status": "True", "reason": "PoolReady"}
    world.put(CLAIM, "pool", own=True, status={"conditions": [ready]})
    assert world.queued() == ({CHAT}, set())
    world.put(CLAIM, "pool", own=True, status={"conditions": [{**ready, "reason": "PoolResizing"}]})
    assert world.queued() == (set(), set()), "it is ready all the same"
    in_use = {"type": "InUse", "status": "True", "message": "2 models use it."}
    shared = {"conditions": [ready, in_use], "users": ["x"], "nodes": {"current": 3}, "operation": {"name": "o"}}
    world.put(CLAIM, "pool", own=True, metadata={"finalizers": ["f"]}, status=shared)
    assert world.queued() == (set(), set())
    world.put(CLAIM, "pool", own=True, metadata={"labels": {"edited": "by-hand"}}, status=shared)
    assert CHAT in world.queued()[0], "what was changed by hand is put right"
    world.store[CLAIM].remove(Key("", "pool"), 99)
    assert world.queued() == ({CHAT}, {"pool"})


def test_an_autoscaler_event_concerns_the_pods_model(world: World) -> None:
    event = {"involvedObject": {"kind": "Pod", "name": "chat-pod", "uid": "uid-chat-pod"}, "reason": "FailedScaleUp"}
    world.put(EVENT, "e", **event)
    assert world.queued() == ({CHAT}, set())
    world.put(EVENT, "other", **{**event, "involvedObject": {"kind": "Pod", "name": "x", "uid": "somebody-elses"}})
    assert world.queued() == (set(), set())


def test_a_class_concerns_the_models_that_name_it_and_no_others(world: World) -> None:
    world.put(MODEL, "large", spec={"model": "m", "servingClassName": "large"})
    world.queued()
    world.put(SERVING_CLASS, "large", spec={})
    assert world.queued() == ({Key("team", "large")}, set())
    world.put(SERVING_CLASS, "other", spec={})
    assert world.queued() == (set(), set())
    world.store[SERVING_CLASS].remove(Key("", "large"), 99)
    assert world.queued() == ({Key("team", "large")}, set())


def test_a_default_class_concerns_the_models_that_name_none_as_long_as_it_is_one(world: World) -> None:
    world.put(MODEL, "large", spec={"model": "m", "servingClassName": "large"})
    world.queued()
    marked = {"annotations": {DEFAULT_CLASS_ANNOTATION: "true"}}
    world.put(SERVING_CLASS, "standard", metadata=marked, spec={})
    assert world.queued() == ({CHAT}, set())
    seen = observe(world.store, world.store[MODEL].get(CHAT) or {}, CLUSTER, world.pools)
    assert [item["metadata"]["name"] for item in seen.serving_classes] == ["standard"]
    world.put(SERVING_CLASS, "standard", metadata={"annotations": {DEFAULT_CLASS_ANNOTATION: "false"}}, spec={})
    assert world.queued() == ({CHAT}, set()), "they have no class any more"
    world.put(SERVING_CLASS, "standard", metadata={"annotations": {DEFAULT_CLASS_ANNOTATION: "no"}}, spec={})
    assert world.queued() == (set(), set())


def test_a_resync_concerns_everything(world: World) -> None:
    world.router.look_at_everything()
    assert world.queued() == ({CHAT}, {"pool"})


def test_observe_gathers_what_belongs_to_the_model(world: World) -> None:
    world.put(EVENT, "late", involvedObject={"uid": "uid-chat-pod"}, lastTimestamp="2026-01-01T00:00:02Z")
    world.put(EVENT, "early", involvedObject={"uid": "uid-chat-pod"}, lastTimestamp="2026-01-01T00:00:01Z")
    world.put(DEPLOYMENT, "chat", metadata={"labels": {MODEL_LABEL: "chat"}})  # Not owned: a stranger's.
    model = world.store[MODEL].get(CHAT)
    assert model is not None
    seen = observe(world.store, model, CLUSTER, world.pools)
    assert [child["metadata"]["name"] for child in seen.children] == ["chat-1"]
    assert [pod["metadata"]["name"] for pod in seen.pods] == ["chat-pod"]
    assert [event["metadata"]["name"] for event in seen.pod_events] == ["early", "late"]
    assert [claim["metadata"]["name"] for claim in seen.claims] == ["pool"]


def test_a_slice_that_no_revision_needs_any_more_is_seen_and_its_model_told_when_it_goes(world: World) -> None:
    spec = {"tenant": "team", "model": "chat", "slice": {"group": "g", "number": 1}}
    world.put(CLAIM, "g-1", spec=spec)
    seen = observe(world.store, world.store[MODEL].get(CHAT) or {}, CLUSTER, world.pools)
    assert [claim["metadata"]["name"] for claim in seen.claims] == ["g-1", "pool"]
    world.queued()
    world.version += 1
    world.store[CLAIM].remove(Key("", "g-1"), world.version)
    assert world.queued()[0] == {CHAT}
