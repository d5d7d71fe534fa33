"""The control API that tests use, the autoscaler's backoff and the words of its events."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import aiohttp
import pytest
from tests.support.polling import eventually
from tests.support.simulated_gke import Gke, fixed_pool, slice_pool

from mistral_operator.sandbox.gke.backoff import Backoff
from mistral_operator.sandbox.gke.control import ControlApi
from mistral_operator.sandbox.gke.events import failed_scale_up
from mistral_operator.sandbox.gke.pace import Pace
from mistral_operator.sandbox.gke.scenario import Delays


@pytest.fixture
async def http(gke: Gke) -> AsyncIterator[aiohttp.ClientSession]:
    control = ControlApi(gke.api)
    async with aiohttp.ClientSession(await control.start()) as session:
        yield session
    await control.stop()


async def test_the_state_tells_pools_operations_calls_and_stock(gke: Gke, http: aiohttp.ClientSession) -> None:
    await gke.done(await gke.create(**fixed_pool(1)))
    async with http.get("/state") as response:
        state = await response.json()
    (pool,) = (pool for pool in state["pools"] if pool["name"] == "mm-pool")
    assert (pool["status"], pool["machine_type"], len(pool["nodes"])) == ("RUNNING", "g2-standard-12", 1)
    assert [o["operation_type"] for o in state["operations"]] == ["CREATE_NODE_POOL"]
    assert state["calls"][0]["rpc"] == "CreateNodePool"
    assert {"zone": "us-central1-a", "machine_type": "g2-standard-12", "mode": "on-demand", "nodes": 1} in state["used"]


async def test_faults_stock_and_quota_change_at_run_time(gke: Gke, http: aiohttp.ClientSession) -> None:
    async with http.post("/quota", json={"limit": 0}) as response:
        assert response.status == 200
    operation = await gke.done(await gke.create(**fixed_pool(1)))
    assert "GCE_QUOTA_EXCEEDED" in operation.error.message
    async with http.post("/faults", json={"rpc": "GetCluster", "code": "NOPE"}) as response:
        assert response.status == 400
        assert "'NOPE' is not one of" in await response.text()
    async with http.delete("/faults") as response:
        assert response.status == 200


async def test_a_deleted_machine_is_replaced_and_an_unknown_one_not_found(
    gke: Gke, http: aiohttp.ClientSession
) -> None:
    await gke.done(await gke.create(**fixed_pool(1)))
    (name,) = gke.api.cloud.pools["mm-pool"].instances
    async with http.post("/delete-node", json={"node": name}) as response:
        assert response.status == 200
    async with http.post("/reclaim", json={"node": "nobody"}) as response:
        assert response.status == 404
    there = gke.nodes.there
    await eventually(lambda: name not in there and sum("-mm-pool-" in n for n in there) == 1, message="another one")


@pytest.mark.parametrize("path", ["/delete-node", "/reclaim", "/host-error"])
async def test_a_pool_loses_its_first_machine(gke: Gke, http: aiohttp.ClientSession, path: str) -> None:
    async with http.post(path, json={"pool": "mm-pool"}) as response:
        assert response.status == 404
    await gke.done(await gke.create(**slice_pool("2x4", hosts=2)))
    first = next(iter(gke.api.cloud.pools["mm-pool"].instances))
    async with http.post(path, json={"pool": "mm-pool"}) as response:
        assert (response.status, await response.json()) == (200, {"node": first})
    await eventually(lambda: first not in gke.nodes.there, message="it is gone")

    async def repaired() -> bool:
        async with http.get("/state") as response:
            (pool,) = (pool for pool in (await response.json())["pools"] if pool["name"] == "mm-pool")
        ready = [node["devices_ready"] for node in pool["nodes"]]
        return (pool["topology"], pool["repairing"], ready) == ("2x4", False, [True, True])

    await eventually(repaired, message="two other hosts")


@pytest.mark.parametrize(
    ("path", "body", "status", "text"),
    [
        ("/explode", {}, 404, "no action explode; there are stock, quota"),
        ("/stock", [], 400, "write a mapping"),
        ("/stock", {"nodes": "many"}, 400, "'many' is not a valid int"),
        ("/resize-pool", {"pool": "nobodys", "nodes": 1}, 409, "NOT_FOUND: Not found: "),
        ("/maintain", {"node": "nobody"}, 404, "no node like"),
    ],
)
async def test_what_cannot_be_done_is_said(
    http: aiohttp.ClientSession, path: str, body: object, status: int, text: str
) -> None:
    async with http.post(path, json=body) as response:
        assert response.status == status
        assert text in await response.text()


async def test_what_is_no_json_is_said(http: aiohttp.ClientSession) -> None:
    async with http.post("/stock", data="nodes") as response:
        assert response.status == 400


async def test_reservations_policies_and_errors_come_and_go(gke: Gke, http: aiohttp.ClientSession) -> None:
    reservation = {"name": "mine", "machine_type": "g2-standard-12", "zone": "us-central1-a", "count": 2}
    error = {"code": "IP_SPACE_EXHAUSTED", "message": "none left"}
    for path, body in (("reservations", reservation), ("workload-policies", {"name": "x"}), ("instance-errors", error)):
        async with http.post(f"/{path}", json=body) as response:
            assert response.status == 200
    operation = await gke.done(await gke.create(**fixed_pool(1)))
    assert "[IP_SPACE_EXHAUSTED]" in operation.error.message
    async with http.get("/state") as response:
        state = await response.json()
    assert [(r["name"], r["count"], r["in_use"]) for r in state["reservations"]] == [("mine", 2, 0)]
    assert [(p["name"], p["region"]) for p in state["workload_policies"]] == [("x", "us-central1")]
    for path in ("/reservations/mine", "/workload-policies/x", "/instance-errors"):
        async with http.delete(path) as response:
            assert response.status == 200
    async with http.delete("/workload-policies/x") as response:
        assert (response.status, "was not found" in await response.text()) == (409, True)
    assert (gke.api.inventory.reservations(), gke.api.policies.all()) == ((), [])
    assert (await gke.done(await gke.create(**fixed_pool(1, name="mm-other")))).error.message == ""


@dataclass(frozen=True)
class Stopwatch(Pace):
    """A clock that tests set."""

    hand: list[float] = field(default_factory=lambda: [0.0])

    def now_s(self) -> float:
        return self.hand[0]


def test_the_backoff_doubles_up_to_its_limit_and_forgets_on_success() -> None:
    clock = Stopwatch(hand=[1000.0])
    backoff = Backoff(Delays(backoff=300, longest_backoff=1000), clock)
    group = ("pool", "zone")
    held = []
    for _ in range(4):
        backoff.fail(group)
        backoff.fail(group)
        began = clock.hand[0]
        while backoff.holds(group):
            clock.hand[0] += 50
        held.append(clock.hand[0] - began)
    assert held == [300, 600, 1000, 1000]
    backoff.fail(group)
    backoff.succeed(group)
    assert not backoff.holds(group)
    backoff.fail(group)
    clock.hand[0] += 301
    assert not backoff.holds(group)


def test_a_failed_scale_up_names_zones_and_causes_once() -> None:
    text = failed_scale_up(["z1", "z1", "z2"], ["GCE_STOCKOUT", "GCE_STOCKOUT", "GCE_QUOTA_EXCEEDED"])
    assert text == (
        "Node scale up in zones z1, z2 associated with this pod failed: GCE out of resources, GCE quota exceeded. "
        "Pod is at risk of not being scheduled."
    )
