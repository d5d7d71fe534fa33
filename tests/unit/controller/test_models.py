"""In which order a model's objects and its status are written, over a stand-in that only keeps what is applied."""

import asyncio
import gc
from collections.abc import Mapping
from itertools import count
from typing import Any, cast

from tests.support.world import CLUSTER, SETTINGS, make_model

from mistral_operator.catalogue.load import load_catalogue
from mistral_operator.cluster.client import ApiClient
from mistral_operator.cluster.kinds import MODEL, Kind
from mistral_operator.cluster.store import Key, Store
from mistral_operator.controller.events import Recorder
from mistral_operator.controller.models import ModelReconciler
from mistral_operator.controller.observation import RULES

Json = dict[str, Any]
CHAT = Key("team-a", "chat")
OBJECTS = ["ControllerRevision", "NodePoolClaim", "Service", "Deployment", "PodDisruptionBudget"]


class Api:
    """Answers each apply with the object in its next version, after others had their turn."""

    def __init__(self, *names: str) -> None:
        self.written: list[str] = []
        self.models = {name: make_model(name) for name in names or ("chat",)}
        self._versions = count(2)

    async def get(self, _kind: Kind, _name: str, _namespace: str = "") -> None:
        return None

    async def apply(self, manifest: Mapping[str, Any], **_: object) -> Json:
        await asyncio.sleep(0)
        self.written.append(manifest["kind"])
        return self._stored(manifest)

    async def apply_status(self, manifest: Mapping[str, Any]) -> Json:
        self.written.append("status")
        return self._stored({**self.models[manifest["metadata"]["name"]], "status": manifest["status"]})

    def _stored(self, body: Mapping[str, Any]) -> Json:
        return {**body, "metadata": {"uid": "uid", **body["metadata"], "resourceVersion": str(next(self._versions))}}


def reconciler(api: Api, *, others_wait: bool) -> ModelReconciler:
    store = Store(RULES)
    for model in api.models.values():
        store[MODEL].put({**model, "metadata": {**model["metadata"], "resourceVersion": "1"}})
    client = cast("ApiClient", api)
    return ModelReconciler(
        client,
        store,
        Recorder(client),
        catalogue=load_catalogue(),
        settings=SETTINGS,
        cluster=lambda: CLUSTER,
        failures=lambda _key: 0,
        others_wait=lambda: others_wait,
        on_ghost=lambda: None,
    )


async def test_objects_come_before_the_status_and_the_revision_before_all() -> None:
    api = Api()
    models = reconciler(api, others_wait=False)
    assert await models.reconcile(CHAT) is None
    assert api.written == [*OBJECTS, "status"]
    for _ in range(3):
        await models.reconcile(CHAT)
    assert api.written == [*OBJECTS, "status", "status"], "only the status, once, tells that the objects are there"


async def test_while_others_wait_their_objects_come_before_this_models_status() -> None:
    api = Api()
    models = reconciler(api, others_wait=True)
    assert await models.reconcile(CHAT) == 0, "it comes back at once, behind the others"
    assert api.written == OBJECTS
    assert await models.reconcile(CHAT) is None
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
