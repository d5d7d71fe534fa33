"""The API server in trouble: the operator's process goes on, and what happened meanwhile is made good.

One sandbox and one operator for the whole file; the operator sees the API server through a proxy, each test has a
tenant of its own. What is asked of the operator's process is asked of the same process all along.
"""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial

import pytest
import pytest_asyncio
from tests.support.light_stack import light_stack
from tests.support.namespaces import new_namespace
from tests.support.polling import eventually, observe_for
from tests.support.raw import create_raw
from tests.support.stack import CHILDREN, CLAIMS, MODELS, Stack

from mistral_operator.sandbox.control_plane import ControlPlane
from mistral_operator.sandbox.faults import Fault, FaultProxy
from mistral_operator.sandbox.kube import KubeError

pytestmark = [pytest.mark.cluster, pytest.mark.asyncio(loop_scope="module")]

WRITES = "PATCH|POST|PUT|DELETE"
MODEL = "mistral-7b-v0.3"
OTHER_POOL = {"options": [{"accelerator": "l4", "devices": 2}]}
QUIET_S = 3.0
NO_RESUME = Fault(watch=True, watch_error=410, times=15)
"""Watches can't go on from where they were: no event will ever tell what happened while they were cut."""

PASSING = {
    "403": Fault(status=403, times=20),
    "409": Fault(method=WRITES, status=409, times=4),
    "410 on watches": Fault(watch=True, status=410, times=12),
    "429 with Retry-After": Fault(status=429, headers={"Retry-After": "1"}, times=20),
    "500": Fault(status=500, times=20),
    "dropped connections": Fault(drop=True, times=20),
    "lost answers": Fault(method=WRITES, lose_answer=True, times=6),
    "no answer in time": Fault(watch=False, hang_s=60, times=2),
}


@dataclass(frozen=True)
class Faulty:
    """A stack, the proxy before its API server, and the control plane itself."""

    stack: Stack
    proxy: FaultProxy
    plane: ControlPlane

    @property
    def pid(self) -> int:
        process = self.stack.operator.process
        assert process is not None
        assert process.running, self.stack.story()
        return process.popen.pid

    async def hide(self) -> None:
        """Take the API server away from the operator, and wait until it has noticed."""
        away = self.proxy.inject(Fault(drop=True))
        self.proxy.cut_watches()
        await eventually(lambda: away.hits > 5, 30, self.stack.story)

    def show(self) -> None:
        """Give it back, at a version from which no watch can be resumed."""
        self.proxy.heal()
        self.proxy.inject(NO_RESUME)

    async def restart(self, *, kill: bool) -> None:
        """End the real API server and start it again; it is ready some time before it serves custom resources."""
        await self.plane.restart_api_server(kill=kill)

        async def serves_them() -> bool:
            try:
                for path in (MODELS.format(namespace=self.stack.namespace), CLAIMS):
                    await self.stack.kube.list(path)
            except KubeError:
                return False
            return True

        await eventually(serves_them, 30)

    async def is_quiet(self) -> bool:
        """Nothing is written and nothing is asked for over some seconds."""
        self.proxy.forget()
        await observe_for(QUIET_S)
        loud = [request for request in self.proxy.requests if not request.watch]
        assert loud == []
        return True


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ground(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Faulty]:
    directory = tmp_path_factory.mktemp("api-faults")
    async with (
        light_stack(directory) as (stack, plane),
        FaultProxy(stack.operator.kubeconfig, directory) as proxy,
    ):
        stack.operator.module = "tests.support.impatient_operator"
        stack.operator.kubeconfig = proxy.kubeconfig
        stack.operator.start()
        await eventually(lambda: proxy.count(watch=True) > 5, 60, lambda: f"it watches\n{stack.story()}")
        yield Faulty(stack, proxy, plane)
        await stack.operator.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def faulty(ground: Faulty) -> AsyncIterator[Faulty]:
    """The ground in a fresh namespace; the process must be the same one afterwards, and all of its pools gone."""
    pid = ground.pid
    async with new_namespace(ground.stack.kube) as name:
        ground.stack.namespace = name
        yield ground
        ground.proxy.heal()
        await ground.stack.kube.delete(MODELS.format(namespace=name))
        await ground.stack.expect_no_trace()
    assert ground.pid == pid


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
async def test_a_model_becomes_ready_all_the_same(faulty: Faulty, fault: Fault) -> None:
    struck = faulty.proxy.inject(fault)
    faulty.proxy.cut_watches()
    await faulty.stack.apply("chat", model=MODEL)
    await faulty.stack.expect_ready("chat")
    assert struck.hits > 0
    await faulty.stack.expect_one_pool_per_claim()


async def test_a_right_that_is_missing_is_told_and_taken_up_again(faulty: Faulty) -> None:
    text = 'deployments.apps "chat" is forbidden: User "operator" cannot patch resource "deployments"'
    denied = faulty.proxy.inject(Fault(path="/deployments", watch=False, status=403, message=text))
    await faulty.stack.apply("chat", model=MODEL)
    told = await faulty.stack.expect("chat", "Ready", "False", "ApplyRefused")
    assert text in told["message"]
    denied.remove()
    await faulty.stack.expect_ready("chat")
    await faulty.stack.expect("chat", "Stalled", "False")


async def test_an_api_server_that_is_killed_or_restarted_is_met_again(faulty: Faulty) -> None:
    """The real one, twice: once without a word, once as a rollout would do it."""
    await faulty.restart(kill=True)
    await faulty.stack.apply("chat", model=MODEL)
    await faulty.stack.expect_ready("chat")
    await faulty.restart(kill=False)
    await faulty.stack.delete("chat")
    await faulty.stack.expect_no_trace()


async def test_models_deleted_while_it_was_away_are_noticed(faulty: Faulty) -> None:
    """First one of two, then the last one: after that there is nothing left that an event could be about."""
    await faulty.stack.apply("stays", model=MODEL)
    await faulty.stack.apply("goes", model=MODEL, capacity=OTHER_POOL)
    for name in ("stays", "goes"):
        await faulty.stack.expect_ready(name)
    for name, left in (("goes", 1), ("stays", 0)):
        await faulty.hide()
        await faulty.stack.delete(name)
        faulty.show()
        await faulty.stack.expect_one_pool_per_claim()
        await eventually(partial(_has_pools, faulty.stack, left), 60, faulty.stack.story)


async def test_nothing_is_made_again_for_a_model_that_went_unseen(faulty: Faulty) -> None:
    """Its objects are seen to vanish while it can't be seen that the model did: they must not come back as orphans."""
    await faulty.stack.apply("chat", model=MODEL)
    await faulty.stack.expect_ready("chat")
    unseen = faulty.proxy.inject(Fault(path="/mistralmodels$", drop=True))
    faulty.proxy.cut_watches()
    await eventually(lambda: unseen.hits > 2, 30, faulty.stack.story)
    await eventually(lambda: faulty.proxy.count("GET", "/deployments$", watch=True) > 1, 30, faulty.stack.story)
    faulty.proxy.forget()
    await faulty.stack.delete("chat")
    await eventually(lambda: faulty.proxy.count("GET", "/mistralmodels/chat$") > 0, 30, faulty.stack.story)
    await observe_for(QUIET_S)
    assert faulty.proxy.count("PATCH", f"/namespaces/{faulty.stack.namespace}/") == 0


async def _has_pools(stack: Stack, number: int) -> bool:
    return len(await stack.pools()) == number


async def test_a_schema_error_that_comes_as_a_500_is_told_and_not_repeated(faulty: Faulty) -> None:
    """The words are a real API server's (test_client meets it there); the rest is as if the schema were older."""
    words = (
        "failed to create typed patch object (chat; apps/v1, Kind=Deployment): .spec.x: field not declared in schema"
    )
    refused = faulty.proxy.inject(Fault(method="PATCH", path="/deployments/chat$", status=500, message=words))
    await faulty.stack.apply("chat", model=MODEL)
    told = await faulty.stack.expect("chat", "Stalled", "True")
    assert words in told["message"]
    assert (await faulty.stack.condition("chat", "Ready"))["status"] == "False"
    # Its other objects settle, and each of their changes may bring it back once; the claim is the last of them.
    await faulty.stack.expect_one_pool_per_claim()
    await faulty.stack.expect("chat", "CapacityReady", "False", "WaitingForNodes")

    async def is_left_alone() -> bool:
        struck = refused.hits
        await observe_for(QUIET_S)  # This operator comes back to a failure each second.
        return refused.hits == struck

    await eventually(is_left_alone, 30, lambda: f"it isn't repeated: {refused.hits} times so far")
    refused.remove()
    await faulty.stack.apply("chat", model=MODEL, engine={"contextLength": 8192})
    await faulty.stack.expect_ready("chat")
    await faulty.stack.expect("chat", "Stalled", "False")


@pytest.mark.parametrize("kind", ["Deployment", "Service"])
async def test_a_strangers_object_of_that_name_is_left_alone(faulty: Faulty, kind: str) -> None:
    path, stranger = _stranger(kind, faulty.stack.namespace)
    before = await faulty.stack.kube.create(path, stranger)
    await faulty.stack.apply("chat", model=MODEL)
    told = await faulty.stack.expect("chat", "Stalled", "True", "NameTaken")
    assert f"{kind} chat is already there" in told["message"]
    assert (await faulty.stack.condition("chat", "Ready"))["reason"] == "NameTaken"
    after = await faulty.stack.kube.request("GET", f"{path}/chat")
    assert (after["spec"], after["metadata"].get("ownerReferences")) == (before["spec"], None)
    if kind == "Service":
        assert await faulty.stack.claims() == [], "no machine is bought for what nobody could reach"
        assert await faulty.stack.children("Deployment") == []
    await faulty.stack.kube.delete(f"{path}/chat")
    await faulty.stack.apply("chat", model=MODEL, engine={"contextLength": 8192})
    await faulty.stack.expect_ready("chat")


async def test_without_its_service_it_is_not_ready_although_replicas_answer(faulty: Faulty) -> None:
    await faulty.stack.apply("chat", model=MODEL)
    await faulty.stack.expect_ready("chat")
    denied = faulty.proxy.inject(
        Fault(path="/services/chat", watch=False, status=403, message="services are forbidden")
    )
    path = CHILDREN["Service"].format(namespace=faulty.stack.namespace)
    await faulty.stack.kube.delete(f"{path}/chat")
    await faulty.stack.expect("chat", "EndpointReady", "False", "ServicePending")
    await faulty.stack.expect("chat", "Ready", "False")
    assert (await faulty.stack.get("chat"))["status"]["readyReplicas"] == 1
    await faulty.stack.expect("chat", "Stalled", "True", "ApplyRefused")
    denied.remove()
    await faulty.stack.expect_ready("chat")
    await faulty.stack.expect("chat", "EndpointReady", "True", "Serving")


def _stranger(kind: str, namespace: str) -> tuple[str, dict[str, object]]:
    """A Deployment, or a Service that somebody fills with endpoints by hand: no field of it is in our way."""
    labels = {"app": "somebody-elses"}
    if kind == "Service":
        spec: dict[str, object] = {"ports": [{"name": "web", "port": 8080}]}
        return f"/api/v1/namespaces/{namespace}/services", {
            "metadata": {"name": "chat", "labels": labels},
            "spec": spec,
        }
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    return path, {"metadata": {"name": "chat", "labels": labels}, "spec": spec}


async def test_a_namespace_is_deleted_with_its_models(faulty: Faulty) -> None:
    # Without a pod: for those Kubernetes waits by the clock, before it deletes anything else.
    await faulty.stack.apply("one", model=MODEL, replicas=0)
    await faulty.stack.apply("two", model="no-such-model")
    await faulty.stack.expect("one", "Ready", "True", "ScaledToZero")
    await eventually(lambda: _has_pools(faulty.stack, 1), 30, faulty.stack.story)
    namespace = f"/api/v1/namespaces/{faulty.stack.namespace}"
    await faulty.stack.kube.delete(namespace)
    await faulty.stack.expect_no_trace()

    async def gone() -> bool:
        models = await faulty.stack.kube.list(MODELS.format(namespace=faulty.stack.namespace))
        return not models and await faulty.stack.kube.get(namespace) is None

    await eventually(gone, 60, faulty.stack.story)
    await eventually(faulty.is_quiet, 30, faulty.stack.story)


async def test_at_rest_it_writes_nothing_and_asks_for_nothing(faulty: Faulty) -> None:
    await faulty.stack.apply("one", model=MODEL)
    await faulty.stack.apply("two", model=MODEL, scaling={"maxReplicas": 2})
    await faulty.stack.apply("refused", model="no-such-model")
    await faulty.stack.expect_ready("one")
    await faulty.stack.expect_ready("two")
    await eventually(faulty.is_quiet, 30, faulty.stack.story)


async def test_what_anybody_may_write_leaves_it_at_work(faulty: Faulty) -> None:
    """A Deployment with the model's label, and a model, nested as deep as the API server takes; kopf fails at it."""
    deep = b'{"f:a":' * 9000 + b"{}" + b"}" * 9000
    fields = {"manager": "m", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": "DEEP"}
    labels = {"serving.mistral-operator.dev/model": "chat"}
    metadata = {"name": "odd", "labels": labels, "managedFields": [fields]}
    deployments, stranger = _stranger("Deployment", faulty.stack.namespace)
    model = {"apiVersion": "serving.mistral-operator.dev/v1alpha1", "kind": "MistralModel", "spec": {"model": MODEL}}
    bodies = {deployments: stranger, MODELS.format(namespace=faulty.stack.namespace): model}
    for path, body in bodies.items():
        written = json.dumps({**body, "metadata": metadata}).encode().replace(b'"DEEP"', deep)
        await create_raw(faulty.stack.sandbox.kubeconfig, path, written)
    await faulty.stack.apply("chat", model=MODEL)
    await faulty.stack.expect_ready("chat")
    for path in bodies:
        await faulty.stack.kube.delete(f"{path}/odd")
