"""How many nodes a claim's users may need at most: by their specs, and by what their revisions say of their limits."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.pool_users import PoolUsers

from mistral_operator.api.names import CLAIM_LABEL, MODEL_LABEL, MOST_REPLICAS_ANNOTATION, PART_LABEL
from mistral_operator.cluster.kinds import JOB, MODEL, REVISION
from mistral_operator.controller.claim_users import most_nodes

CLAIM = "g2-standard-12-od-1"
Json = dict[str, Any]


def owned(name: str, namespace: str = "team-a", **metadata: Any) -> Json:
    owner = {"kind": "MistralModel", "name": "chat", "uid": "uid-chat", "controller": True}
    return {"name": name, "namespace": namespace, "uid": f"uid-{name}", "ownerReferences": [owner], **metadata}


def a_revision(name: str, most: Any = None, *, part: str = "", namespace: str = "team-a") -> Json:
    labels = {MODEL_LABEL: "chat", CLAIM_LABEL: CLAIM, **({PART_LABEL: part} if part else {})}
    annotations = {} if most is None else {MOST_REPLICAS_ANNOTATION: most}
    return {"metadata": owned(name, namespace, labels=labels, annotations=annotations)}


def a_site(*revisions: Json, **spec: Any) -> PoolUsers:
    site = PoolUsers()
    site.put(MODEL, {"metadata": {"name": "chat", "namespace": "team-a", "uid": "uid-chat"}, "spec": spec})
    for revision in revisions:
        site.put(REVISION, revision)
    return site


@pytest.mark.parametrize(
    ("most", "nodes"),
    [
        (None, 6),
        ("3", 3),
        ("0", 0),
        ("6", 6),
        ("7", 6),
        ("999999999", 6),
        ("", 6),
        ("-1", 6),
        ("03", 6),
        ("3 ", 6),
        ("3.0", 6),
        ("1e3", 6),
        ("٣", 6),
        ("9" * 5000, 6),
    ],
)
def test_a_limit_lowers_what_a_spec_asks_for_and_never_raises_it(most: str | None, nodes: int) -> None:
    revision = a_revision("chat-1", most)
    site = a_site(revision, replicas=5)
    assert site.known(CLAIM) == {"chat": nodes}
    (user,), orphans = site.users.divide([revision])
    assert (user.nodes, orphans) == (nodes, ()), "a list from the API server says the same"


def test_revisions_that_follow_each_other_count_once_and_parts_add_up() -> None:
    assert a_site(a_revision("1", "2"), a_revision("2", "4"), replicas=9).known(CLAIM) == {"chat": 4}
    parts = (a_revision("1", "2"), a_revision("2", "1"), a_revision("3", "3", part="2"))
    assert a_site(*parts, replicas=9).known(CLAIM) == {"chat": 5}
    assert a_site(*parts, replicas=3).known(CLAIM) == {"chat": 4}
    assert a_site(*parts, a_revision("4", part="3"), replicas=9).known(CLAIM) == {"chat": 10}


def test_what_somebody_else_writes_raises_nothing_beyond_the_spec_and_lowers_nothing_of_ours() -> None:
    own = a_revision("chat-1", "2")
    forged = [a_revision("low", "0"), a_revision("none"), a_revision("far", "900", part="2")]
    assert a_site(own, forged[0], replicas=4).known(CLAIM) == {"chat": 2}
    assert a_site(own, *forged, replicas=4).known(CLAIM) == {"chat": 5}
    assert a_site(own, a_revision("other", "0", namespace="team-b"), replicas=4).known(CLAIM) == {"chat": 2}


def test_a_conversion_has_its_node_whatever_the_limit_is() -> None:
    site = a_site(a_revision("chat-1", "1"), replicas=3)
    site.put(JOB, {"metadata": owned("chat-convert-1")})
    assert site.known(CLAIM) == {"chat": 2}
    done = {"conditions": [{"type": "Complete", "status": "True"}]}
    site.put(JOB, {"metadata": owned("chat-convert-1"), "status": done})
    assert site.known(CLAIM) == {"chat": 1}


def test_a_change_of_the_limit_is_seen_without_a_change_of_the_model() -> None:
    site = a_site(a_revision("chat-1", "1"), replicas=3)
    assert site.known(CLAIM) == {"chat": 1}
    site.put(REVISION, a_revision("chat-1", "3"))
    assert site.known(CLAIM) == {"chat": 3}
    site.put(REVISION, a_revision("chat-1"))
    assert site.known(CLAIM) == {"chat": 4}


@pytest.mark.parametrize(
    ("spec", "nodes"),
    [
        ({}, 2),
        ({"replicas": 0}, 0),
        ({"replicas": 0, "scaling": {"maxReplicas": 4}}, 5),
        ({"replicas": 3, "suspend": True}, 0),
        ({"replicas": 3, "suspend": True, "scaling": {"maxReplicas": 4}}, 0),
        ({"replicas": 3, "rollout": {"strategy": "Recreate"}}, 3),
    ],
)
def test_a_model_that_wants_no_replica_needs_no_node(spec: Json, nodes: int) -> None:
    assert most_nodes(spec, converting=False) == nodes
    recreates = {**spec, "rollout": {"strategy": "Recreate"}}
    assert most_nodes(spec, converting=True) == most_nodes(recreates, converting=False) + 1


limits = st.lists(st.tuples(st.sampled_from(["", "2", "x"]), st.one_of(st.none(), st.text(max_size=4))), max_size=5)


@given(limits=limits, replicas=st.integers(0, 20))
def test_no_set_of_revisions_needs_more_than_the_spec_asks_for(limits: list[Any], replicas: int) -> None:
    revisions = (a_revision(f"r-{index}", most, part=part) for index, (part, most) in enumerate(limits))
    known = a_site(*revisions, replicas=replicas).known(CLAIM)
    assert all(0 <= nodes <= most_nodes({"replicas": replicas}, converting=False) for nodes in known.values())
