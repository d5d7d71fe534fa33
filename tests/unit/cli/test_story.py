"""The story of a model and the lines that follow it."""

from datetime import UTC, datetime
from typing import Any

import click

from mistral_operator.cli.follow import Follower
from mistral_operator.cli.observe import Belongings
from mistral_operator.cli.output import Style
from mistral_operator.cli.story import advise, condition_style, tell, word_pod

NOW = datetime(2026, 5, 4, 12, 10, 0, tzinfo=UTC)


def condition(kind: str, status: str, reason: str, message: str = "") -> dict[str, Any]:
    found = {"type": kind, "status": status, "reason": reason, "message": message}
    return {**found, "lastTransitionTime": "2026-05-04T12:00:00Z"}


def model(*conditions: dict[str, Any], **status: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "chat", "namespace": "shop", "generation": 2, "uid": "m"},
        "status": {"observedGeneration": 2, "conditions": list(conditions), **status} if conditions else {},
    }


def pod(**status: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "chat-1", "uid": "p", "creationTimestamp": "2026-05-04T12:09:00Z"},
        "spec": {"nodeName": "node-1"},
        "status": {"phase": "Running", **status},
    }


def claim() -> dict[str, Any]:
    return {
        "metadata": {"name": "g2-standard-8-od-1"},
        "spec": {"zones": ["us-central1-a"]},
        "status": {"state": "Ready", "poolName": "mm-g2", "nodes": {"current": 1, "desiredMax": 2}},
    }


def belongings(item: dict[str, Any], **parts: Any) -> Belongings:
    empty: dict[str, Any] = {"children": (), "pods": (), "pod_events": (), "model_events": (), "claims": ()}
    return Belongings(model=item, **{**empty, **parts})


def test_a_model_that_nobody_has_looked_at() -> None:
    assert "Is one running" in "\n".join(tell(belongings(model()), NOW))


def test_the_story_has_conditions_pools_pods_events_and_cost() -> None:
    event = {
        "type": "Warning", "reason": "FailedScaleUp", "message": "no stock", "lastTimestamp": "2026-05-04T12:08:00Z",
        "metadata": {},
    }  # fmt: skip
    waiting = condition("CapacityReady", "False", "StockedOut", "The cluster autoscaler says: no stock")
    ready = condition("Ready", "False", "StockedOut", "wait")
    item = model(
        ready,
        waiting,
        summary={"ready": "0/1", "hardware": "1x nvidia-l4"},
        capacity={"queue": {"position": 2, "of": 3, "for": "reservation team-gpus"}},
        cost={"hourly": "0.85", "currency": "USD", "note": "list price of us-central1, unverified"},
        timeline=[
            {"time": "2026-05-04T12:00:00Z", "reason": "Planned"},
            {"time": "2026-05-04T12:01:05Z", "reason": "NodePoolReady"},
        ],
    )
    text = "\n".join(tell(belongings(item, pods=(pod(),), claims=(claim(),), pod_events=(event,)), NOW))
    for part in (
        "StockedOut",
        "no stock",
        "mm-g2",
        "1 of at most 2",
        "2 of 3, for reservation team-gpus",
        "chat-1",
        "node-1",
        "$0.85 an hour now, unverified",
        "list price of us-central1, unverified",
        "+1 min 5 s",
        "10 min",
    ):
        assert part in text


def test_the_story_says_how_much_of_the_cost_is_for_idle_nodes() -> None:
    chosen = {"hourlyCost": "0.8536", "contextLength": 1, "maxConcurrency": 1, "engine": "e", "precision": "p"}
    costs = {"hourly": "1.2804", "idle": "0.4268", "note": "ours"}
    item = model(condition("Ready", "True", "Serving"), plan={"chosen": chosen}, cost=costs)
    told = click.unstyle("\n".join(tell(belongings(item), NOW)))
    assert "$1.28 an hour now, $0.43 of it for idle nodes ($0.85 for one replica)" in told


def test_a_claim_on_nodes_that_are_there_has_neither_pool_nor_bounds() -> None:
    found = {
        "metadata": {"name": "l4-x1-ex-1"},
        "spec": {"provisioner": "Existing", "nodes": {"selector": {}}},
        "status": {"state": "Ready", "nodes": {"current": 2}},
    }
    text = click.unstyle("\n".join(tell(belongings(model(condition("Ready", "True", "Ready")), claims=(found,)), NOW)))
    assert "2 that were there and would do" in text
    assert "pool " not in text[text.index("l4-x1-ex-1") :]


def test_the_ladder_tells_where_the_model_is_and_when_a_better_rung_has_its_turn() -> None:
    left = {"name": "l4-spot", "state": "Exhausted", "reason": "StockedOut", "retryAfter": "2026-05-04T12:20:00Z"}
    here = {"name": "a100-ondemand", "state": "Active", "reason": "NodesReady"}
    item = model(condition("Ready", "True", "Serving"), capacity={"options": [left, here]})
    told = [click.unstyle(line) for line in tell(belongings(item), NOW)]
    first, second = told[told.index("Ladder") + 1 :][:2]
    assert first.split() == ["1", "l4-spot", "Exhausted", "StockedOut", "again", "after", "2026-05-04T12:20:00Z"]
    assert second.split() == ["2", "a100-ondemand", "Active", "NodesReady"]
    only = model(condition("Ready", "True", "Serving"), capacity={"options": [here]})
    assert "Ladder" not in map(click.unstyle, tell(belongings(only), NOW))


def test_an_older_status_is_called_so() -> None:
    item = model(condition("Ready", "True", "Serving"))
    item["status"]["observedGeneration"] = 1
    assert "about generation 1; the spec is at 2" in "\n".join(tell(belongings(item), NOW))


def test_troubles_are_good_when_they_are_false() -> None:
    assert condition_style(condition("Stalled", "False", "NotStalled")) is Style.PLAIN
    assert condition_style(condition("Stalled", "True", "AccessRefused")) is Style.BAD
    assert condition_style(condition("Ready", "True", "Serving")) is Style.GOOD


def test_advice_is_what_to_do_next() -> None:
    stalled = model(
        condition("Stalled", "True", "TokenSecretMissing", "Make the Secret."), condition("Ready", "False", "x")
    )
    assert advise(stalled).text == "This waits for you. Make the Secret."
    scaled = advise(model(condition("Ready", "True", "ScaledToZero")))
    assert scaled.commands == ("kubectl -n shop scale mistralmodel/chat --replicas=1",)
    serving = model(condition("Ready", "True", "Serving"), endpoint={"url": "u", "servedName": "mistral"})
    assert '"model": "mistral"' in advise(serving).commands[1]
    waiting = advise(model(condition("Ready", "False", "ScalingUp", "Nodes are being added.")))
    assert waiting.text == "Wait: Nodes are being added."


def test_pods_in_kubectls_words() -> None:
    assert (
        word_pod(pod(containerStatuses=[{"state": {"waiting": {"reason": "ImagePullBackOff"}}}])) == "ImagePullBackOff"
    )
    assert word_pod(pod(containerStatuses=[{"ready": True, "state": {"running": {}}}])) == "Ready"
    assert word_pod(pod(phase="Pending")) == "Pending"
    gone = pod()
    gone["metadata"]["deletionTimestamp"] = "2026-05-04T12:09:00Z"
    assert word_pod(gone) == "Terminating"


def test_only_changes_are_told_and_each_once() -> None:
    follower = Follower()
    first = belongings(model(condition("Accepted", "True", "Planned", "Mistral 7B")), claims=(claim(),))
    assert [change.topic for change in follower.look(first)] == ["node pool", "model"]
    assert follower.look(first) == []
    second = belongings(
        model(condition("Accepted", "True", "Planned", "other words")), claims=(claim(),), pods=(pod(),)
    )
    assert [change.text for change in follower.look(second)] == ["chat-1: Running on node-1"]
