"""In which order a model's objects and its status are written, over a stand-in that only keeps what is applied."""

import asyncio
import gc
from collections.abc import Mapping
from itertools import count
from typing import Any, cast

import pytest
from tests.support.world import CLUSTER, SETTINGS, make_class, make_model

from mistral_operator.cluster.client import ApiClient
from mistral_operator.cluster.errors import error_of
from mistral_operator.cluster.kinds import MODEL, SERVICE, SERVING_CLASS, Kind
from mistral_operator.cluster.store import Key, Store
from mistral_operator.controller.events import Recorder
from mistral_operator.controller.knowledge import Knowledge
from mistral_operator.controller.ledger import Ledger
from mistral_operator.controller.models import ModelReconciler
from mistral_operator.controller.observation import RULES
from mistral_operator.controller.pool_use import PoolUses

Json = dict[str, Any]
CHAT = Key("team-a", "chat")
OBJECTS = ["ControllerRevision", "Service", "NodePoolClaim", "Deployment", "PodDisruptionBudget"]
STRANGER = {"metadata": {"name": "chat", "namespace": "team-a", "uid": "x"}, "spec": {}}

DEADLINE_S = SETTINGS.ladder.deadline_s["OnDemand"]


class Api:
    """Answers each apply with the object in its next version, after others had their turn."""

    def __init__(self, *names: str) -> None:
        self.written: list[str] = []
        self.deployments: list[Mapping[str, Any]] = []
        self.statuses: list[Json] = []
        self.models = {name: make_model(name) for name in names or ("chat",)}
        self.strangers: dict[str, Json] = {}
        """Kind → the object of that name that somebody else has made."""
        self.refused: dict[str, str] = {}
        """Kind → the words in which the API server answers 500."""
        self._versions = count(2)

    async def get(self, kind: Kind, name: str, _namespace: str = "") -> Json | None:
        return self.models.get(name) if kind == MODEL else self.strangers.get(kind.kind)

    async def apply(self, manifest: Mapping[str, Any], **_: object) -> Json:
        await asyncio.sleep(0)
        if words := self.refused.get(manifest["kind"]):
            raise error_of(500, words, {})
        self.written.append(manifest["kind"])
        if manifest["kind"] == "Deployment":
            self.deployments.append(manifest)
        return self._stored(manifest)

    async def apply_status(self, manifest: Mapping[str, Any]) -> Json:
        self.written.append("status")
        self.statuses.append(manifest["status"])
        return self._stored({**self.models[manifest["metadata"]["name"]], "status": manifest["status"]})

    def _stored(self, body: Mapping[str, Any]) -> Json:
        return {**body, "metadata": {"uid": "uid", **body["metadata"], "resourceVersion": str(next(self._versions))}}


def reconciler(api: Api, *, others_wait: bool = False) -> ModelReconciler:
    store = Store(RULES)
    for model in api.models.values():
        store[MODEL].put({**model, "metadata": {**model["metadata"], "resourceVersion": "1"}})
    client = cast("ApiClient", api)
    return ModelReconciler(
        client,
        store,
        Recorder(client),
        knowledge=Knowledge(SETTINGS, None, lambda _valid: None),
        cluster=lambda: CLUSTER,
        failures=lambda _key: 0,
        others_wait=lambda: others_wait,
        on_ghost=lambda: None,
        ledger=Ledger(store, lambda _key: None),
        pools=PoolUses(store),
    )


async def test_objects_come_before_the_status_and_the_revision_before_all() -> None:
    api = Api()
    models = reconciler(api, others_wait=False)
    assert await models.reconcile(CHAT) == DEADLINE_S, "if no node comes until then, the next rung has its turn"
    assert api.written == [*OBJECTS, "status"]
    for _ in range(3):
        await models.reconcile(CHAT)
    assert api.written == [*OBJECTS, "status", "status"], "only the status, once, tells that the objects are there"


async def test_while_others_wait_their_objects_come_before_this_models_status() -> None:
    api = Api()
    models = reconciler(api, others_wait=True)
    assert await models.reconcile(CHAT) == 0, "it comes back at once, behind the others"
    assert api.written == OBJECTS
    assert await models.reconcile(CHAT) == DEADLINE_S
    assert api.written == [*OBJECTS, "status"], "the next time there is nothing else to write, so it is told"


async def test_models_that_share_a_claim_write_it_once_and_no_lock_is_left() -> None:
    names = [f"chat-{number}" for number in range(5)]
    api = Api(*names)
    models = reconciler(api, others_wait=False)
    await asyncio.gather(*(models.reconcile(Key("team-a", name)) for name in names))
    assert api.written.count("Deployment") == 5
    assert api.written.count("NodePoolClaim") == 1
    gc.collect()  # Coroutines that have ended may still be held by a cycle.
    assert len(models._claim_locks) == 0


def told(api: Api, kind: str) -> Json:
    """One condition of the status that was written last."""
    found: Json = next(c for c in api.statuses[-1]["conditions"] if c["type"] == kind)
    return found


async def test_nothing_is_bought_for_a_model_that_nobody_could_reach() -> None:
    api = Api()
    api.strangers["Service"] = STRANGER
    assert await reconciler(api).reconcile(CHAT) == 60
    assert api.written == ["ControllerRevision", "status"]
    assert (told(api, "Ready")["status"], told(api, "Ready")["reason"]) == ("False", "NameTaken")
    assert told(api, "Stalled")["status"] == "True"
    assert told(api, "Stalled")["message"].endswith("for the model. Tried again every 60 s and after each change")


@pytest.mark.parametrize(
    ("of", "advice"),
    [
        ("serving.mistral-operator.dev/v1alpha1, Kind=NodePoolClaim", ". Apply the CustomResourceDefinitions of this"),
        ("example.com/v1, Kind=NodePoolClaim", ". Tried again every 600 s"),
    ],
)
async def test_an_object_that_an_older_definition_refuses_tells_what_to_apply(of: str, advice: str) -> None:
    api = Api()
    words = f"failed to create typed patch object (/c; {of}): .spec.slice: field not declared in schema"
    api.refused["NodePoolClaim"] = words
    assert await reconciler(api).reconcile(CHAT) == 600
    assert f"{words}{advice}" in told(api, "Stalled")["message"]


async def test_what_runs_is_scaled_down_although_its_service_was_taken_away() -> None:
    api = Api()
    models = reconciler(api)
    await models.reconcile(CHAT)
    api.strangers["Service"] = STRANGER
    models._store[SERVICE].remove(CHAT, 1000)
    scaled = {**api.models["chat"], "spec": {**api.models["chat"]["spec"], "replicas": 0}}
    models._store[MODEL].put({**scaled, "metadata": {**scaled["metadata"], "resourceVersion": "1001"}})
    api.written.clear()
    await models.reconcile(CHAT)
    assert api.written == ["Deployment", "status"]


async def test_after_a_start_nobody_is_told_of_his_place_before_all_have_been_looked_at() -> None:
    api = Api("chat", "other")
    api.models["other"]["metadata"]["uid"] = "uid-other"
    models = reconciler(api)
    limits = {"maxTotalHourlyCost": "0.90"}
    shelf = models._store[SERVING_CLASS]
    shelf.put({**make_class(limits=limits), "metadata": {**make_class()["metadata"], "resourceVersion": "1"}})
    other = Key("team-a", "other")
    for key in (CHAT, other):
        assert await models.reconcile(key) == 5.0
    assert api.written == []
    for key in (other, CHAT):
        await models.reconcile(key)
    replicas = {each["metadata"]["name"]: each["spec"]["replicas"] for each in api.deployments}
    assert replicas == {"chat": 1, "other": 0}
