"""The operator goes on through every failure of the API server, and notices what happened meanwhile.

The faults are between the operator and the API server; the tests and the simulated GKE see the real one.
"""

import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from tests.support.polling import eventually
from tests.support.running_sandbox import RunningSandbox
from tests.support.stack import Operator, Stack, make_namespace

from mistral_operator.sandbox.faults import Fault, FaultProxy
from mistral_operator.sandbox.kube import Kube
from mistral_operator.sandbox.processes import ProcessGroup

WRITES = "PATCH|POST|PUT|DELETE"
OWN_LISTS = "/(mistralmodels|nodepoolclaims)$"
MODEL = "mistral-7b-v0.3"
LARGER = "mistral-small-3.2-24b-2506"
FAULTS = {
    "403": Fault(status=403, times=30),
    "429": Fault(status=429, headers={"Retry-After": "1"}, times=30),
    "500": Fault(status=500, times=30),
    "dropped connections": Fault(drop=True, times=30),
    "lost answers": Fault(lose_answer=True, method=WRITES, times=3),
    "409": Fault(status=409, method=WRITES, times=3),
    "410": Fault(status=410, watch=True, times=15),
    "410 in a watch": Fault(watch_error=410, watch=True, times=15),
    "500 in a watch": Fault(watch_error=500, watch=True, times=15),
    "no answer": Fault(hang_s=0.5, times=20),
}


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

    async def expect_most_replicas(self, name: str, most: int) -> None:
        """Wait until the model's autoscaler has that bound: a change that needs no new node."""
        path = f"/apis/autoscaling/v2/namespaces/{self.stack.namespace}/horizontalpodautoscalers/{name}"

        async def bound() -> bool:
            return ((await self.stack.kube.get(path)) or {})["spec"]["maxReplicas"] == most

        await eventually(bound, 60, lambda: f"maxReplicas is {most}\n{self.stack.story()}")


@pytest.fixture
async def faulty(shared_sandbox: RunningSandbox, tmp_path: Path) -> AsyncIterator[Faulty]:
    async with (
        Kube(shared_sandbox.kubeconfig) as kube,
        aiohttp.ClientSession() as http,
        FaultProxy(shared_sandbox.kubeconfig, tmp_path) as proxy,
    ):
        with ProcessGroup() as processes:
            stack = Stack(shared_sandbox, kube, Operator(shared_sandbox, processes, proxy.kubeconfig), http)
            stack.namespace = f"faults-{secrets.token_hex(3)}"
            await make_namespace(kube, stack.namespace)
            yield Faulty(stack, proxy)
            proxy.heal()
            await kube.delete(f"/api/v1/namespaces/{stack.namespace}")
            await stack.expect_no_trace()
            await stack.operator.stop()


async def test_it_goes_on_through_each_failure(faulty: Faulty) -> None:
    """Each strikes all that the operator does until it has struck often enough; the process stays the same."""
    faulty.proxy.inject(Fault(status=403, times=30))
    pid = faulty.start()
    for most, (name, fault) in enumerate(FAULTS.items(), start=2):
        struck = faulty.proxy.inject(fault)
        faulty.proxy.cut_watches()
        await faulty.stack.apply("chat", model=MODEL, scaling={"maxReplicas": most})
        await faulty.expect_most_replicas("chat", most)
        await eventually(lambda struck=struck: struck.hits > 0, message=name)
        faulty.proxy.heal()
    await faulty.stack.expect_ready("chat")
    assert faulty.pid == pid


async def test_what_went_while_the_api_server_was_away_is_noticed(faulty: Faulty) -> None:
    """The watches can't be resumed: no event will ever tell of it, least of all when nothing is left to tell of."""
    pid = faulty.start()
    await faulty.stack.apply("stays", model=MODEL)
    await faulty.stack.apply("goes", model=LARGER)
    for name in ("stays", "goes"):
        await faulty.stack.expect_ready(name)
    for name, pools_left in (("goes", 1), ("stays", 0)):
        away = faulty.proxy.inject(Fault(drop=True))
        faulty.proxy.cut_watches()
        await eventually(lambda away=away: away.hits > 5)
        await faulty.stack.delete(name)
        away.remove()
        faulty.proxy.inject(Fault(watch_error=410, watch=True, times=15))

        async def let_go(pools_left: int = pools_left) -> bool:
            return len(await faulty.stack.pools()) == pools_left

        await eventually(let_go, 60, faulty.stack.story)
    assert faulty.pid == pid


async def test_a_schema_error_is_told_and_not_repeated_for_ever(faulty: Faulty) -> None:
    message = "failed to create typed patch object (bad; apps/v1, Kind=Deployment): .spec.x: field not declared"
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
    service = f"/api/v1/namespaces/{faulty.stack.namespace}/services/chat"
    deployment = f"/apis/apps/v1/namespaces/{faulty.stack.namespace}/deployments/chat"
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
    await faulty.stack.kube.delete(f"/api/v1/namespaces/{faulty.stack.namespace}")
    await faulty.stack.expect_no_trace()
    assert faulty.pid == pid


async def test_a_standby_takes_over_from_a_killed_leader_and_at_once_from_one_that_ends(faulty: Faulty) -> None:
    stack = faulty.stack
    elect = {"MISTRAL_OPERATOR_RUN_LEADER_ELECT": "1", "MISTRAL_OPERATOR_RUN_LEASE_NAMESPACE": stack.namespace}
    lease = f"/apis/coordination.k8s.io/v1/namespaces/{stack.namespace}/leases/mistral-operator"

    async def holder() -> str:
        return str(((await stack.kube.get(lease)) or {})["spec"]["holderIdentity"])

    async def another_than(before: str) -> str:
        now = await holder()
        return now if now != before else ""

    async def expect_waiting(candidates: int) -> None:
        """Both processes write to one log."""
        await eventually(lambda: stack.operator.log(500).count("Waiting for the Lease") == candidates)

    with ProcessGroup() as processes:
        standby = Operator(stack.sandbox, processes, faulty.proxy.kubeconfig)
        standby.env = elect
        faulty.start(**elect)
        first = await eventually(holder)
        standby.start()
        await expect_waiting(2)
        await stack.apply("chat", model=MODEL, scaling={"maxReplicas": 2})
        await faulty.expect_most_replicas("chat", 2)
        await stack.operator.kill()
        second = await eventually(lambda: another_than(first), message=standby.log)
        await stack.apply("chat", model=MODEL, scaling={"maxReplicas": 3})
        await faulty.expect_most_replicas("chat", 3)
        stack.operator.start()
        await expect_waiting(3)
        await standby.stop()
        await eventually(lambda: another_than(second), 5, stack.operator.log)
        await stack.apply("chat", model=MODEL, scaling={"maxReplicas": 4})
        await faulty.expect_most_replicas("chat", 4)
