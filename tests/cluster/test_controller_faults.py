"""The operator goes on through every failure of the API server, and notices what happened meanwhile.

The faults are between the operator and the API server; the tests and the simulated GKE see the real one.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from tests.support.polling import eventually
from tests.support.stack import Stack, running_stack

from mistral_operator.sandbox.faults import Fault, FaultProxy

WRITES = "PATCH|POST|PUT|DELETE"
OWN_LISTS = "/(mistralmodels|nodepoolclaims)$"
MODEL = "mistral-7b-v0.3"


@dataclass
class Faulty:
    """A stack whose operator sees the API server through a proxy."""

    stack: Stack
    proxy: FaultProxy

    def start(self, **env: str) -> int:
        """Start the operator; answers its process id, by which a test sees that it was never restarted."""
        self.stack.operator.kubeconfig = self.proxy.kubeconfig
        self.stack.operator.env = env
        self.stack.operator.start()
        return self.pid

    @property
    def pid(self) -> int:
        process = self.stack.operator.process
        assert process is not None
        assert process.running, self.stack.story()
        return process.popen.pid


@pytest.fixture
async def faulty(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Faulty]:
    async with (
        running_stack(tmp_path_factory.mktemp("faults"), speed=100) as stack,
        FaultProxy(stack.sandbox.kubeconfig, tmp_path_factory.mktemp("proxy")) as proxy,
    ):
        yield Faulty(stack, proxy)
        await stack.operator.stop()


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=403, times=40),
        Fault(status=429, headers={"Retry-After": "1"}, times=40),
        Fault(status=500, times=40),
        Fault(drop=True, times=40),
        Fault(lose_answer=True, method=WRITES, times=10),
        Fault(status=409, method=WRITES, times=10),
        Fault(status=410, watch=True, times=20),
        Fault(watch_error=500, watch=True, times=20),
    ],
    ids=["403", "429", "500", "drop", "lost-answers", "409", "410", "watch-error-500"],
)
async def test_a_model_becomes_ready_through(faulty: Faulty, fault: Fault) -> None:
    """Struck at the start, and again while the model is served."""
    struck = faulty.proxy.inject(fault)
    pid = faulty.start()
    await faulty.stack.apply("chat", model=MODEL)
    await faulty.stack.expect_ready("chat")
    assert struck.hits > 0
    again = faulty.proxy.inject(fault)
    faulty.proxy.cut_watches()
    await faulty.stack.scale("chat", 2)
    await faulty.stack.expect_ready("chat", 2)
    assert again.hits > 0
    assert faulty.pid == pid


async def test_what_went_while_the_api_server_was_away_is_noticed(faulty: Faulty) -> None:
    """Of three models two vanish unseen, and the watches can't be resumed: no event will ever tell of it."""
    pid = faulty.start()
    for name in ("stays", "goes"):
        await faulty.stack.apply(name, model=MODEL)
    await faulty.stack.apply("large", model="mixtral-8x7b-v0.1", license={"accept": "apache-2.0"})
    for name in ("stays", "goes", "large"):
        await faulty.stack.expect_ready(name)
    pools = len(await faulty.stack.pools())
    away = faulty.proxy.inject(Fault(drop=True))
    faulty.proxy.cut_watches()
    await eventually(lambda: away.hits > 5)
    await faulty.stack.delete("goes")
    await faulty.stack.delete("large")
    away.remove()
    faulty.proxy.inject(Fault(watch_error=410, watch=True, times=15))

    async def fewer_pools() -> bool:
        return len(await faulty.stack.pools()) == pools - 1

    await eventually(fewer_pools, 60, faulty.stack.story)
    await faulty.stack.expect_ready("stays")
    assert faulty.pid == pid


async def test_the_last_model_is_noticed_too(faulty: Faulty) -> None:
    """After the relist there is nothing left that any event could be about."""
    faulty.start()
    await faulty.stack.apply("chat", model=MODEL)
    await faulty.stack.expect_ready("chat")
    away = faulty.proxy.inject(Fault(status=403))
    faulty.proxy.cut_watches()
    await eventually(lambda: away.hits > 5)
    await faulty.stack.delete("chat")
    away.remove()
    faulty.proxy.inject(Fault(watch_error=410, watch=True, times=15))
    await faulty.stack.expect_no_trace()


async def test_a_schema_error_is_told_and_not_repeated_for_ever(faulty: Faulty) -> None:
    message = "failed to create typed patch object (team-a/bad; apps/v1, Kind=Deployment): .spec.x: field not declared"
    refused = faulty.proxy.inject(Fault(method="PATCH", path="/deployments/bad$", status=500, message=message))
    faulty.start()
    await faulty.stack.apply("bad", model=MODEL)
    told = await faulty.stack.expect("bad", "Stalled", "True")
    assert message in told["message"]
    await faulty.stack.apply("good", model=MODEL)
    await faulty.stack.expect_ready("good")
    # Only changes of its own objects bring it back: a handful while they settle, not one after each backoff.
    assert refused.hits <= 8
    refused.remove()
    await faulty.stack.apply("bad", model=MODEL, engine={"contextLength": 8192})
    await faulty.stack.expect_ready("bad")
    await faulty.stack.expect("bad", "Stalled", "False")


async def test_at_rest_it_asks_for_nothing_and_writes_nothing(faulty: Faulty) -> None:
    """Through three resyncs the only requests are the lists of its own kinds."""
    faulty.start(MISTRAL_OPERATOR_RUN_RESYNC_S="1")
    await faulty.stack.apply("chat", model=MODEL, scaling={"maxReplicas": 2})
    await faulty.stack.expect_ready("chat")
    lists = faulty.proxy.count("GET", OWN_LISTS, watch=False)
    await eventually(lambda: faulty.proxy.count("GET", OWN_LISTS, watch=False) >= lists + 4)
    faulty.proxy.forget()
    await eventually(lambda: faulty.proxy.count("GET", OWN_LISTS, watch=False) >= 6)
    quiet = [r for r in faulty.proxy.requests if not r.watch and not r.matches("GET", OWN_LISTS + "|^/apis$", None)]
    assert quiet == []


async def test_a_deleted_child_comes_back_and_a_changed_one_is_mended(faulty: Faulty) -> None:
    faulty.start()
    await faulty.stack.apply("chat", model=MODEL)
    await faulty.stack.expect_ready("chat")
    service = "/api/v1/namespaces/team-a/services/chat"
    deployment = "/apis/apps/v1/namespaces/team-a/deployments/chat"
    await faulty.stack.kube.delete(service)
    await faulty.stack.kube.merge_patch(deployment, {"spec": {"minReadySeconds": 7, "replicas": 0}})

    async def mended() -> bool:
        there = await faulty.stack.kube.get(service)
        return there is not None and (await faulty.stack.kube.get(deployment) or {})["spec"]["replicas"] == 1

    await eventually(mended, 30, faulty.stack.story)


async def test_a_namespace_that_is_being_deleted_takes_everything_along(faulty: Faulty) -> None:
    pid = faulty.start()
    await faulty.stack.apply("chat", model=MODEL)
    await faulty.stack.expect_ready("chat")
    await faulty.stack.kube.delete("/api/v1/namespaces/team-a")
    await faulty.stack.expect_no_trace()
    assert faulty.pid == pid
