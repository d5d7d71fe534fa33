"""A model whose checkpoint is converted first: nothing starts too early, nothing that serves is taken away for it."""

from typing import Any

import pytest
from tests.support.world import REVISION_LABEL, World, autoscaler_event, make_model

MAXTEXT: dict[str, Any] = {
    "engine": {"type": "JetStreamMaxText", "image": "registry.example/jetstream-maxtext:1"},
    "weights": {"cache": {"mode": "Bucket", "uri": "gs://models/mistral"}},
}
ON_V5E: dict[str, Any] = {
    "model": "mistral-7b-v0.1",
    "allowExperimental": True,
    "capacity": {"options": [{"accelerator": "v5e", "topology": "2x2"}]},
}


def maxtext_world() -> World:
    return World(model=make_model(**ON_V5E, **MAXTEXT))


def jobs(world: World) -> list[dict[str, Any]]:
    return [child for child in world.children.values() if child["kind"] == "Job"]


def finish(world: World, kind: str = "Complete", **told: str) -> None:
    (job,) = jobs(world)
    job["status"] = {"conditions": [{"type": kind, "status": "True", **told}]}


def container(**state: Any) -> dict[str, Any]:
    return {"containerStatuses": [{"name": "convert", "ready": False, "restartCount": 0, "state": state}]}


def fail(pod: dict[str, Any], words: str) -> None:
    ended = {"reason": "Error", "exitCode": 1, "message": words}
    pod["status"] = {"phase": "Failed", **container(terminated=ended)}


def serve(world: World) -> None:
    world.provision()
    world.start_pod()
    world.make_ready("chat-0")
    world.step()


def test_replicas_start_when_there_is_a_checkpoint() -> None:
    world = maxtext_world()
    world.step()
    assert world.deployment["spec"]["replicas"] == 0
    assert world.condition("Ready")["status"] == "False"
    world.start_converter(phase="Running", **container(running={}))
    world.step()
    assert world.condition("WeightsReady")["reason"] == "Converting"
    assert world.deployment["spec"]["replicas"] == 0
    assert (world.model["status"].get("replicas", 0), world.condition("Ready")["reason"]) == (0, "Converting")
    finish(world)
    world.step()
    assert world.deployment["spec"]["replicas"] == 1
    assert world.condition("WeightsReady")["reason"] != "Converting"


def test_what_serves_goes_on_until_the_checkpoint_of_another_engine_is_there() -> None:
    world = World(model=make_model(**ON_V5E))
    world.step()
    serve(world)
    before = world.deployment["spec"]
    assert world.condition("Ready")["status"] == "True"
    world.change(**MAXTEXT)
    world.step()
    assert world.deployment["spec"] == before
    assert world.condition("Ready")["status"] == "True"
    assert world.condition("WeightsReady")["reason"] == "WaitingForConverter"
    assert world.condition("Reconciling")["status"] == "True"
    world.change(replicas=2)
    world.step()
    assert world.deployment["spec"] == {**before, "replicas": 2}
    finish(world)
    world.step()
    assert world.deployment["spec"]["template"] != before["template"]
    assert world.deployment["spec"]["replicas"] == 2


def test_a_job_that_somebody_deletes_is_made_again_and_stops_no_replica() -> None:
    world = maxtext_world()
    world.step()
    finish(world)
    world.step()
    serve(world)
    (done,) = jobs(world)
    del world.children["Job", done["metadata"]["name"]]
    world.step()
    assert len(jobs(world)) == 1
    assert world.deployment["spec"]["replicas"] == 1


def test_a_job_that_gives_up_is_quoted_and_says_how_to_try_again() -> None:
    world = maxtext_world()
    world.step()
    finish(world, "Failed", reason="BackoffLimitExceeded", message="Job has reached the specified backoff limit")
    world.step()
    told = world.condition("WeightsReady")
    assert (told["status"], told["reason"]) == ("False", "ConversionFailed")
    (job,) = jobs(world)
    assert "Job has reached the specified backoff limit" in told["message"]
    assert f"delete job/{job['metadata']['name']}" in told["message"]
    assert world.condition("Ready")["status"] == "False"
    assert world.condition("Stalled")["status"] == "True"
    assert world.deployment["spec"]["replicas"] == 0


def test_a_suspended_model_converts_nothing() -> None:
    world = maxtext_world()
    world.change(suspend=True)
    world.step()
    assert not jobs(world)
    assert world.condition("WeightsReady")["reason"] == "NoneNeeded"
    world.change(suspend=False)
    world.step()
    assert len(jobs(world)) == 1
    world.change(suspend=True)
    world.step()
    assert not jobs(world)
    world.change(suspend=False)
    world.step()
    finish(world)
    world.change(suspend=True)
    world.step()
    assert len(jobs(world)) == 1


def test_a_job_without_a_pod_says_where_its_reason_is() -> None:
    world = maxtext_world()
    world.step()
    world.provision()
    world.step()
    told = world.condition("Ready")
    assert told["reason"] == "ConversionPending"
    assert f"describe job/{jobs(world)[0]['metadata']['name']}" in told["message"]
    assert "logs" not in told["message"]


@pytest.mark.parametrize("kept", [False, True])
def test_no_machine_for_the_conversion_is_told_in_the_autoscalers_words(kept: bool) -> None:
    world = World(model=make_model(**ON_V5E)) if kept else maxtext_world()
    world.step()
    if kept:
        serve(world)
        world.change(**MAXTEXT)
        world.step()
    world.provision()
    pod = world.start_converter(node="")
    world.step()
    assert world.condition("CapacityReady")["reason"] == "WaitingForNodes"
    world.events.append(autoscaler_event(pod, "FailedScaleUp", "GCE out of resources in us-central1-a"))
    world.step()
    told = world.condition("CapacityReady")
    assert (told["status"], told["reason"]) == ("False", "StockedOut")
    assert "Pod convert-0" in told["message"]
    assert "GCE out of resources" in told["message"]
    assert world.condition("WeightsReady")["reason"] == "WaitingForConverter"
    assert world.condition("Ready")["reason"] == ("Serving" if kept else "StockedOut")
    assert "StockedOut" in world.condition("Reconciling")["message"]


def test_what_the_converters_image_lacks_is_told_and_waits_for_a_person() -> None:
    world = maxtext_world()
    world.step()
    world.provision()
    world.start_converter(**container(waiting={"reason": "ImagePullBackOff", "message": "no such image"}))
    world.step()
    assert world.condition("Ready")["reason"] == "ImagePullFailed"
    assert "no such image" in world.condition("Ready")["message"]
    assert world.condition("Stalled")["reason"] == "ImagePullFailed"


def test_a_missing_token_stops_the_conversion_and_is_told() -> None:
    world = maxtext_world()
    reference = {"name": "hf", "key": "token"}
    world.change(weights={**MAXTEXT["weights"], "huggingFace": {"tokenSecretRef": reference}})
    world.step()
    world.provision()
    world.start_converter(
        **container(waiting={"reason": "CreateContainerConfigError", "message": 'secret "hf" not found'})
    )
    world.step()
    assert world.condition("Ready")["reason"] == "TokenSecretMissing"
    assert world.condition("Stalled")["status"] == "True"


def test_the_last_words_of_a_failed_try_are_told() -> None:
    world = maxtext_world()
    world.step()
    (job,) = jobs(world)
    fail(world.start_converter(), "403 Client Error: gated repo")
    job["status"] = {"failed": 1}
    world.start_converter("another", phase="Running", **container(running={}))
    world.step()
    told = world.condition("WeightsReady")
    assert told["reason"] == "Converting"
    assert "after 1 failed tries" in told["message"]
    assert "403 Client Error: gated repo" in told["message"]
    fail(world.pods["another"], "404 Client Error")
    finish(world, "Failed", reason="BackoffLimitExceeded")
    world.step()
    assert world.condition("Ready")["reason"] == "ConversionFailed"
    assert "404 Client Error" in world.condition("Ready")["message"]


def test_a_pod_that_only_looks_like_the_converters_is_not_its() -> None:
    world = maxtext_world()
    world.step()
    world.provision()
    world.start_converter(phase="Running", **container(running={}))["metadata"]["ownerReferences"] = []
    world.step()
    assert world.condition("WeightsReady")["reason"] == "ConversionPending"


@pytest.mark.parametrize(
    "change",
    [
        {"pod": {"labels": {"team": "search"}}},
        {"endpoint": {"servedName": "other"}},
        {"engine": {**MAXTEXT["engine"], "contextLength": 1024}},
    ],
    ids=["labels", "name", "context"],
)
def test_a_change_that_leaves_the_checkpoint_alone_converts_nothing_again(change: dict[str, Any]) -> None:
    world = maxtext_world()
    world.step()
    finish(world)
    world.step()
    serve(world)
    (before,) = jobs(world)
    old = world.pods["chat-0"]["metadata"]["labels"][REVISION_LABEL]
    world.change(**change)
    world.step()
    assert len(world.revisions) == 2
    assert world.condition("Accepted")["status"] == "True"
    assert [job["metadata"]["name"] for job in jobs(world)] == [before["metadata"]["name"]]
    assert world.deployment["spec"]["template"]["metadata"]["labels"][REVISION_LABEL] != old


def test_another_checkpoint_is_another_job_and_the_old_one_goes() -> None:
    world = World(model=make_model("a" * 40, **ON_V5E, **MAXTEXT))
    world.step()
    finish(world)
    (before,) = jobs(world)
    world.change(weights={"cache": {"mode": "Bucket", "uri": "gs://models/another"}})
    world.step()
    (after,) = jobs(world)
    assert after["metadata"]["name"] != before["metadata"]["name"]
    assert len(after["metadata"]["name"]) <= 63
    assert "status" not in after


def test_the_machine_that_converts_is_paid_for() -> None:
    world = maxtext_world()
    world.step()
    pod = world.start_converter(node="")
    world.step()
    assert world.model["status"]["cost"]["hourly"] == "0.00"
    pod["spec"] = {"nodeName": "node-0"}
    world.step()
    assert world.model["status"]["cost"]["hourly"] == "4.80"
    assert world.model["status"]["summary"]["hourlyCost"] == "4.80"
    pod["status"]["phase"] = "Succeeded"
    finish(world)
    world.step()
    assert world.model["status"]["cost"]["hourly"] == "0.00"
    serve(world)
    assert world.model["status"]["cost"]["hourly"] == "4.80"
