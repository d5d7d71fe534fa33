"""A model whose checkpoint is converted first: nothing starts too early, nothing that serves is taken away for it."""

from typing import Any

from tests.support.world import World, make_model

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


def serve(world: World) -> None:
    world.provision()
    world.start_pod()
    world.make_ready()
    world.step()


def test_replicas_start_when_there_is_a_checkpoint() -> None:
    world = maxtext_world()
    world.step()
    assert world.deployment["spec"]["replicas"] == 0
    assert world.condition("WeightsReady")["reason"] == "Converting"
    assert world.condition("Ready")["status"] == "False"
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
    assert world.condition("WeightsReady")["reason"] == "Converting"
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
