"""How pools are used, counted as objects come and go, and who is told that idle nodes cost something else now."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.world import CLUSTER

from mistral_operator.api.names import API_VERSION, CLAIM_LABEL, MODEL_LABEL, ROLE_LABEL, SHAPE_LABEL
from mistral_operator.cluster.kinds import CLAIM, MODEL, NODE, POD, REVISION, Kind
from mistral_operator.cluster.store import Key, Store
from mistral_operator.controller.observation import RULES, observe
from mistral_operator.controller.pool_use import MOST_WOKEN, PoolUses
from mistral_operator.core.types import PoolUse

TEAM, OTHER_TEAM, POOL = "team", "strangers", "pool"
CHAT = Key(TEAM, "chat")


class Site:
    """A store whose pools are counted, and who was woken since the last look."""

    def __init__(self) -> None:
        self.store = Store(RULES)
        self.woken: set[str] = set()
        self.pools = PoolUses(self.store, lambda key, _after_s: self.woken.add(key.name))
        self.version = 0
        self.put(CLAIM, POOL, spec={"tenant": TEAM})

    def put(self, kind: Kind, name: str, namespace: str = TEAM, **content: Any) -> None:
        self.version += 1
        metadata = {"name": name, "uid": f"uid-{namespace}-{name}", "resourceVersion": str(self.version)}
        metadata |= {"namespace": namespace} if kind.namespaced else {}
        self.store[kind].put({"metadata": metadata | content.pop("metadata", {}), "spec": {}} | content)

    def remove(self, kind: Kind, name: str, namespace: str = TEAM) -> None:
        self.version += 1
        self.store[kind].remove(Key(namespace if kind.namespaced else "", name), self.version)

    def node(self, name: str, claim: str = POOL) -> None:
        self.put(NODE, name, metadata={"labels": {SHAPE_LABEL: claim}})

    def pod(self, name: str, node: str, phase: str = "Running") -> None:
        spec = {"nodeName": node} if node else {}
        self.put(POD, name, metadata={"labels": {ROLE_LABEL: "engine"}}, spec=spec, status={"phase": phase})

    def model(self, name: str, namespace: str = TEAM, **metadata: Any) -> None:
        self.put(MODEL, name, namespace, metadata=metadata)

    def revision(self, model: str, claim: str = POOL, namespace: str = TEAM) -> None:
        owner = {"apiVersion": API_VERSION, "kind": "MistralModel", "name": model, "controller": True}
        owner["uid"] = f"uid-{namespace}-{model}"
        labels = {MODEL_LABEL: model, CLAIM_LABEL: claim}
        self.put(REVISION, f"{model}-{claim}", namespace, metadata={"labels": labels, "ownerReferences": [owner]})

    def user(self, name: str) -> None:
        self.model(name)
        self.revision(name)

    def use(self, user: Key = CHAT, claim: str = POOL) -> PoolUse | None:
        return self.pools.find(claim, user)

    def told(self) -> set[str]:
        woken, self.woken = self.woken, set()
        return woken


@pytest.fixture
def site() -> Site:
    made = Site()
    made.user("chat")
    made.user("draft")
    return made


def test_a_node_is_idle_until_a_replica_of_anybody_is_on_it_and_after_the_last_one(site: Site) -> None:
    site.node("a")
    site.node("b")
    assert site.use() == PoolUse(nodes=2, occupied=0, users=2)
    site.pod("one", "b")
    site.pod("two", "b")
    site.pod("waits", "")
    assert site.use() == PoolUse(nodes=2, occupied=1, users=2)
    site.remove(POD, "one")
    assert site.use() == PoolUse(nodes=2, occupied=1, users=2)
    site.pod("two", "b", phase="Failed")
    assert site.use() == PoolUse(nodes=2, occupied=0, users=2), "what was evicted occupies nothing, though it is listed"
    site.remove(NODE, "b")
    assert site.use() == PoolUse(nodes=1, occupied=0, users=2)


def test_users_are_told_when_what_idle_nodes_cost_them_changes_and_at_no_other_time(site: Site) -> None:
    site.model("alone")
    assert site.told() == set(), "there is no node yet"
    site.node("a")
    assert site.told() == {"chat", "draft"}
    site.pod("one", "a")
    assert site.told() == {"chat", "draft"}
    site.pod("two", "a")
    site.remove(POD, "two")
    site.put(NODE, "a", metadata={"labels": {SHAPE_LABEL: POOL, "heartbeat": "1"}})
    site.put(POD, "one", metadata={"labels": {ROLE_LABEL: "engine"}}, spec={"nodeName": "a"}, status={"podIP": "x"})
    site.user("third")
    assert site.told() == set(), "no node is idle, so nobody pays less for there being one more"
    site.remove(POD, "one")
    assert site.told() == {"chat", "draft", "third"}
    site.remove(MODEL, "third")
    assert site.told() == {"chat", "draft"}, "each of the others has a larger part now"
    site.remove(NODE, "a")
    assert site.told() == {"chat", "draft"}


def test_of_many_users_none_is_woken_for_a_node() -> None:
    site = Site()
    for number in range(MOST_WOKEN):
        site.user(f"m-{number}")
    site.node("a")
    assert len(site.told()) == MOST_WOKEN
    site.user("one-more")
    site.told()
    site.node("b")
    assert site.told() == set()
    assert site.use(Key(TEAM, "m-3")) == PoolUse(nodes=2, occupied=0, users=MOST_WOKEN + 1), (
        "each learns it when it looks"
    )


def test_a_model_is_a_user_as_long_as_it_lives_and_a_revision_of_its_names_the_claim(site: Site) -> None:
    site.node("a")
    site.model("draft", deletionTimestamp="2026-11-23T12:00:00Z")
    assert site.use() == PoolUse(nodes=1, occupied=0, users=1)
    assert site.use(Key(TEAM, "draft")) is None
    site.remove(REVISION, f"chat-{POOL}")
    assert site.use() is None


def test_what_comes_in_another_order_counts_the_same() -> None:
    site = Site()
    site.pod("one", "a")
    site.revision("chat")
    site.node("a")
    site.node("b")
    assert site.use() is None
    site.model("chat")
    assert site.use() == PoolUse(nodes=2, occupied=1, users=1)


def test_revisions_of_another_namespace_make_nobody_a_user(site: Site) -> None:
    site.model("forger", OTHER_TEAM)
    site.revision("forger", namespace=OTHER_TEAM)
    site.node("a")
    assert site.use() == PoolUse(nodes=1, occupied=0, users=2)
    assert site.told() == {"chat", "draft"}


def test_a_model_sees_its_own_pools_and_their_idle_nodes(site: Site) -> None:
    site.node("a")
    site.node("b")
    site.node("elsewhere", claim="other")
    site.pod("one", "a")
    body = site.store[MODEL].get(CHAT)
    assert body is not None
    seen = observe(site.store, body, CLUSTER, site.pools)
    assert seen.pools == {POOL: PoolUse(nodes=2, occupied=1, users=2)}
    assert [node["metadata"]["name"] for node in seen.machines] == ["b"]


NODES, MODELS, CLAIMS = ("a", "b", "c"), ("chat", "draft"), (POOL, "other")
STEPS = st.one_of(
    st.tuples(st.just("node"), st.sampled_from(NODES), st.sampled_from(CLAIMS)),
    st.tuples(st.just("no node"), st.sampled_from(NODES), st.just("")),
    st.tuples(st.just("pod"), st.sampled_from(("p", "q")), st.sampled_from((*NODES, ""))),
    st.tuples(st.just("ended pod"), st.sampled_from(("p", "q")), st.sampled_from(NODES)),
    st.tuples(st.just("no pod"), st.sampled_from(("p", "q")), st.just("")),
    st.tuples(st.just("model"), st.sampled_from(MODELS), st.just("")),
    st.tuples(st.just("no model"), st.sampled_from(MODELS), st.just("")),
    st.tuples(st.just("revision"), st.sampled_from(MODELS), st.sampled_from(CLAIMS)),
    st.tuples(st.just("no revision"), st.sampled_from(MODELS), st.sampled_from(CLAIMS)),
)


def take(site: Site, step: tuple[str, str, str]) -> None:
    match step:
        case "node", name, claim:
            site.node(name, claim)
        case "no node", name, _:
            site.remove(NODE, name)
        case "pod", name, node:
            site.pod(name, node)
        case "ended pod", name, node:
            site.pod(name, node, phase="Succeeded")
        case "no pod", name, _:
            site.remove(POD, name)
        case "model", name, _:
            site.model(name)
        case "no model", name, _:
            site.remove(MODEL, name)
        case "revision", name, claim:
            site.revision(name, claim)
        case "no revision", name, claim:
            site.remove(REVISION, f"{name}-{claim}")


@given(st.lists(STEPS, max_size=40))
def test_counts_that_were_kept_are_those_of_one_who_counts_anew(steps: list[tuple[str, str, str]]) -> None:
    """Whatever happens in whatever order, a process that starts now would count the same."""
    site = Site()
    for step in steps:
        take(site, step)
    fresh = Site()
    for kind in (REVISION, POD, MODEL, NODE):
        for key in site.store[kind].keys():  # noqa: SIM118 - not a dict
            body = site.store[kind].get(key)
            assert body is not None
            fresh.store[kind].put(body)
    for claim in CLAIMS:
        assert site.pools.idle_nodes(claim) == fresh.pools.idle_nodes(claim)
        for name in MODELS:
            assert site.use(Key(TEAM, name), claim) == fresh.use(Key(TEAM, name), claim)
