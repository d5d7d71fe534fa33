"""What people do to pools, and what a scenario's timeline lets happen."""

from typing import Any

import pytest
from google.cloud import container_v1
from tests.support.polling import eventually
from tests.support.simulated_gke import Gke, Start, fixed_pool, l4_pool, slice_pool

from mistral_operator.sandbox.gke.actions import NoNodeError
from mistral_operator.sandbox.gke.errors import RpcError
from mistral_operator.sandbox.gke.plain_data import ScenarioError
from mistral_operator.sandbox.gke.scenario import STEPS, parse_scenario

Status = container_v1.NodePool.Status
RING = {"name": "ring", "accelerator_topology": "2x2x2"}


def test_a_timeline_knows_every_action(gke: Gke) -> None:
    assert sorted(gke.api.actions.names) == sorted(STEPS)


async def test_people_resize_change_and_delete_pools(gke: Gke) -> None:
    await gke.done(await gke.create(**fixed_pool(1)))
    do = gke.api.actions.do
    for action, body in (
        ("resize-pool", {"nodes": 2}),
        ("autoscale-pool", {"enabled": True, "total_max_node_count": 7}),
        ("edit-pool", {"labels": {"labels": {"mine": "no"}}, "taints": {"taints": [{"key": "k", "effect": 1}]}}),
    ):
        await gke.api.operations.wait(do(action, {"pool": "mm-pool", **body})["operation"])
    pool = await gke.pool()
    assert len(gke.nodes_of()) == 2
    assert (pool.autoscaling.total_max_node_count, dict(pool.config.labels)) == (7, {"mine": "no"})
    assert [taint.key for taint in pool.config.taints] == ["k"]
    await gke.api.operations.wait(do("delete-pool", {"pool": "mm-pool"})["operation"])
    assert await gke.names() == ["default-pool"]


async def test_people_keep_to_the_rules_too(gke: Gke) -> None:
    await gke.done(await gke.create(**slice_pool()))
    with pytest.raises(RpcError, match="Node count 3 is not a valid size of TPU pod slice"):
        gke.api.actions.do("resize-pool", {"pool": "mm-pool", "nodes": 3})
    with pytest.raises(RpcError, match="Not found"):
        gke.api.actions.do("delete-pool", {"pool": "mm-other"})


@pytest.mark.parametrize(
    ("action", "body", "text"),
    [
        ("explode", {}, "'explode' is not one of stock, quota"),
        ("resize-pool", {"nodes": 3}, "pool: write a text, not None"),
        ("resize-pool", {"pool": "mm-pool", "nodes": -1}, "nodes: write a number of at least 0, not -1"),
        ("edit-pool", {"pool": "default-pool", "colour": "red"}, "colour"),
        ("condition", {"pool": "default-pool", "code": "SAD"}, "'SAD' is not one of UNKNOWN, GCE_STOCKOUT"),
        ("stock", {"node": 1}, "unknown key node"),
        ("workload-policies", {"name": "x", "type": "FAST"}, "'FAST' is not one of HIGH_THROUGHPUT"),
        ("reservations", {"name": "x", "machine_type": "m", "zone": "z", "count": 1, "in_use": 2}, "more than count 1"),
    ],
)
async def test_bodies_that_make_no_sense(gke: Gke, action: str, body: dict[str, Any], text: str) -> None:
    with pytest.raises(ScenarioError, match=text):
        gke.api.actions.do(action, body)


async def test_a_machine_that_is_not_there(gke: Gke) -> None:
    with pytest.raises(NoNodeError):
        gke.api.actions.do("reclaim", {"node": "nobody"})


async def test_a_pool_gets_and_loses_a_condition(gke: Gke) -> None:
    await gke.done(await gke.create(**fixed_pool(1)))
    text = "The service account of the node pool was deleted."
    body = {"pool": "mm-pool", "code": "GKE_SERVICE_ACCOUNT_DELETED", "message": text}
    gke.api.actions.do("condition", body)
    pool = await gke.pool()
    assert (pool.status, pool.conditions[0].message) == (Status.RUNNING_WITH_ERROR, text)
    assert pool.conditions[0].code.name == "GKE_SERVICE_ACCOUNT_DELETED"
    gke.api.actions.do("condition", {"pool": "mm-pool"})
    pool = await gke.pool()
    assert (pool.status, list(pool.conditions)) == (Status.RUNNING, [])


async def test_somebody_occupies_the_cluster_for_a_while(start: Start) -> None:
    gke = await start(speed=200)
    name = gke.api.actions.do("occupy-cluster", {"seconds": 60})["operation"]
    with pytest.raises(RpcError, match=f"Cluster is running incompatible operation {name}."):
        gke.api.actions.do("resize-pool", {"pool": "default-pool", "nodes": 1})
    await gke.api.operations.wait(name)
    assert gke.api.actions.do("resize-pool", {"pool": "default-pool", "nodes": 1})


async def test_a_timeline_changes_the_stock_and_takes_machines(start: Start) -> None:
    timeline = [
        {"at": 0, "do": "stock", "nodes": 0, "machine_type": "g2-standard-12"},
        {"at": 300, "do": "stock", "nodes": 5, "machine_type": "g2-standard-12"},
        {"at": 10, "do": "reclaim", "pool": "mm-pool"},
        {"at": 20, "do": "delete-pool", "pool": "mm-second"},
    ]
    gke = await start(timeline=timeline, delays_s={"resize_retry": 20})
    await eventually(lambda: gke.api.warehouse.describe()["stock"], message="none left")
    operation = await gke.create(**fixed_pool(1))
    pool = gke.api.cloud.pools["mm-pool"]
    seen: set[str] = set()
    await eventually(lambda: seen.update(pool.instances) or len(seen) > 1, message="a second attempt")
    assert (await gke.done(operation)).error.message == ""
    await eventually(lambda: gke.nodes.warned, message="the machine is taken back")
    await gke.done(await gke.create(**l4_pool(name="mm-second")))

    async def deleted() -> bool:
        return "mm-second" not in await gke.names()

    await eventually(deleted, message="somebody deletes it")


@pytest.mark.parametrize(
    ("step", "text"),
    [
        ({"do": "stock"}, r"timeline\[0\]: .*at"),
        ({"at": 5, "do": "explode"}, "'explode' is not one of stock"),
        ({"at": 5, "do": "stock", "node": 1}, r"timeline\[0\]: unknown key node"),
    ],
)
def test_a_timeline_is_read_strictly(step: dict[str, Any], text: str) -> None:
    with pytest.raises(ScenarioError, match=text):
        parse_scenario({"timeline": [step]})


async def test_a_policy_in_use_stays(gke: Gke) -> None:
    gke.api.actions.do("workload-policies", RING)
    config = {"machine_type": "tpu7x-standard-4t", "disk_type": "hyperdisk-balanced"}
    placement = {"policy_name": "projects/sandbox-project/regions/us-central1/resourcePolicies/ring"}
    await gke.done(await gke.create(**slice_pool(hosts=2, config=config, placement_policy=placement)))
    with pytest.raises(RpcError, match=r"resourcePolicies/ring' is already being used by 'projects/.*-mm-pool-"):
        gke.api.policies.delete("ring")
    await gke.api.operations.wait(gke.api.actions.do("delete-pool", {"pool": "mm-pool"})["operation"])
    gke.api.policies.delete("ring")
    assert gke.api.policies.all() == []


@pytest.mark.parametrize(
    ("policy", "placement", "text"),
    [
        (RING, {"policy_name": "ring", "tpu_topology": "2x2x4"}, "doesn't match workload policy"),
        ({**RING, "type": "HIGH_AVAILABILITY"}, {"policy_name": "ring"}, "needs HIGH_THROUGHPUT"),
        ({"name": "ring"}, {"policy_name": "ring"}, "TPU topology can't be specified with single-host"),
        ({"name": "ring", "region": "us-east1"}, {"policy_name": "ring"}, "was not found in the region"),
        ({**RING, "accelerator_topology": "9x9x9"}, {"policy_name": "ring"}, "Unsupported TPU configuration"),
    ],
)
async def test_a_policy_that_does_not_fit_is_refused(
    gke: Gke, policy: dict[str, Any], placement: dict[str, Any], text: str
) -> None:
    gke.api.actions.do("workload-policies", policy)
    config = {"machine_type": "tpu7x-standard-4t", "disk_type": "hyperdisk-balanced"}
    with pytest.raises(Exception, match=text):
        await gke.create(**slice_pool(hosts=2, config=config, placement_policy=placement))
    assert await gke.names() == ["default-pool"]


async def test_a_policy_is_for_machines_that_know_it_and_one_zone(gke: Gke) -> None:
    gke.api.actions.do("workload-policies", RING)
    with pytest.raises(Exception, match="ct6e-standard-4t can't be placed by a workload policy"):
        await gke.create(**slice_pool(placement_policy={"policy_name": "ring"}))
    with pytest.raises(Exception, match="A workload policy needs a node pool in exactly one zone"):
        await gke.create(**l4_pool(placement_policy={"policy_name": "ring"}))


@pytest.mark.parametrize("type_", ["COMPACT", "TYPE_UNSPECIFIED"])
async def test_what_is_kept_of_a_policy_is_its_name_and_topology(gke: Gke, type_: str) -> None:
    gke.api.actions.do("workload-policies", RING)
    config = {"machine_type": "tpu7x-standard-4t", "disk_type": "hyperdisk-balanced"}
    placement = {"policy_name": "ring", "tpu_topology": "2x2x2", "type_": type_}
    await gke.done(await gke.create(**slice_pool(hosts=2, config=config, placement_policy=placement)))
    kept = (await gke.pool()).placement_policy
    assert (kept.policy_name, kept.tpu_topology, kept.type_.name) == ("ring", "2x2x2", "TYPE_UNSPECIFIED")
    assert len(gke.nodes_of()) == 2
