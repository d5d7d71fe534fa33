"""Events are kept short and few, and only those of the pod's own namespace count."""

from typing import Any

import pytest
from tests.support.world import CLUSTER

from mistral_operator.api.names import MODEL_LABEL
from mistral_operator.cluster.kinds import DEPLOYMENT, EVENT, POD, Kind
from mistral_operator.cluster.store import Store
from mistral_operator.controller.event_bound import EventBound
from mistral_operator.controller.observation import EVENTS_PER_POD, RULES, observe
from mistral_operator.controller.pool_use import PoolUses
from mistral_operator.core.types import Observed

MODEL = {"metadata": {"name": "chat", "namespace": "team", "uid": "uid-chat"}}


class Cluster:
    """A store whose Events are bounded, and the objects that somebody puts there."""

    def __init__(self, **limits: int) -> None:
        self.store = Store(RULES)
        self.pools = PoolUses(self.store)
        self.bound = EventBound(self.store, **limits)
        self.version = 0

    def put(self, kind: Kind, name: str, namespace: str = "team", *, uid: str = "", **content: Any) -> None:
        self.version += 1
        given = content.pop("metadata", {})
        metadata = {"name": name, "namespace": namespace, "uid": uid or name, "resourceVersion": str(self.version)}
        body = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {**metadata, **given}, **content}
        assert self.store[kind].put(body)

    def put_pod(self, name: str = "pod") -> None:
        self.put(POD, name, metadata={"labels": {MODEL_LABEL: "chat"}})

    def put_event(self, name: str, pod: str = "pod", namespace: str = "team", **content: Any) -> None:
        told = {"reason": "FailedScaleUp", "lastTimestamp": f"2026-01-01T00:00:{self.version % 60:02}Z", **content}
        self.put(EVENT, name, namespace, involvedObject={"kind": "Pod", "uid": pod, "namespace": namespace}, **told)

    def observe(self) -> Observed:
        return observe(self.store, MODEL, CLUSTER, self.pools)

    @property
    def events(self) -> set[str]:
        return {key.name for key in self.store[EVENT].keys()}  # noqa: SIM118 - not a dict


@pytest.fixture
def cluster() -> Cluster:
    made = Cluster(per_pod=3, of_strangers=5, slack=4)
    made.put_pod()
    return made


def test_of_other_pods_only_the_latest_are_kept(cluster: Cluster) -> None:
    cluster.put_event("ours")
    for number in range(1000):
        cluster.put_event(f"forged-{number:03}", pod=f"nobodys-{number}")
        assert len(cluster.events) <= 1 + 5 + 4
    assert "ours" in cluster.events
    assert "forged-999" in cluster.events


def test_of_each_pod_only_the_latest_are_kept(cluster: Cluster) -> None:
    cluster.put_pod("other")
    cluster.put_event("others", pod="other")
    for number in range(1000):
        cluster.put_event(f"forged-{number:03}")
        assert len(cluster.events) <= 2 * 3 + 5 + 4
    assert {"others", "forged-999"} <= cluster.events


def test_an_event_may_come_before_its_pod(cluster: Cluster) -> None:
    cluster.put_event("early", pod="late")
    cluster.put_pod("late")
    for number in range(100):
        cluster.put_event(f"forged-{number:03}", pod="nobodys")
    assert [event["metadata"]["name"] for event in cluster.observe().pod_events] == ["early"]


def test_what_was_dropped_comes_back_only_when_it_changes(cluster: Cluster) -> None:
    cluster.put_event("old", pod="nobodys")
    old = cluster.version
    for number in range(20):
        cluster.put_event(f"forged-{number:03}", pod="nobodys")
    assert "old" not in cluster.events
    cluster.version = old - 1
    with pytest.raises(AssertionError):
        cluster.put_event("old", pod="nobodys")
    cluster.version = old + 100
    cluster.put_event("old", pod="nobodys")
    assert "old" in cluster.events


def test_an_event_is_cut_to_what_is_read(cluster: Cluster) -> None:
    long = "x" * 1_000_000
    noise = {"annotations": {"a": long}, "labels": {"l": long}}
    cluster.put_event("long", message=long, reason=long, source={"component": long}, action=long, metadata=noise)
    (event,) = cluster.observe().pod_events
    assert len(str(event)) < 2000
    assert event["message"] == "x" * 1024
    assert event["lastTimestamp"].startswith("2026")


def test_the_latest_events_are_read_whatever_their_names_are(cluster: Cluster) -> None:
    for number in range(EVENTS_PER_POD):
        cluster.put_event(f"z-{number:02}")
    cluster.put_event("a-latest")
    assert cluster.observe().pod_events[-1]["metadata"]["name"] == "a-latest"


def test_what_another_namespace_says_of_our_objects_is_not_believed(cluster: Cluster) -> None:
    cluster.put_event("forged", namespace="other-team")
    owner = {"uid": "uid-chat", "kind": "MistralModel", "controller": True}
    cluster.put(DEPLOYMENT, "forged", "other-team", metadata={"ownerReferences": [owner]})
    cluster.put(DEPLOYMENT, "chat", metadata={"ownerReferences": [owner]})
    seen = cluster.observe()
    assert seen.pod_events == ()
    assert [child["metadata"]["name"] for child in seen.children] == ["chat"]
