"""Node pools through Google's own client: created, found, changed, resized, deleted."""

import asyncio

import pytest
from google.api_core import exceptions
from google.cloud import container_v1
from tests.support.polling import eventually
from tests.support.simulated_gke import CLUSTER, Gke, Start, fixed_pool, l4_pool

Status = container_v1.NodePool.Status
POOL = f"{CLUSTER}/nodePools/mm-pool"


async def test_the_cluster_says_what_it_is(gke: Gke) -> None:
    cluster = await gke.client.get_cluster(name=CLUSTER)
    assert list(cluster.locations) == ["us-central1-a", "us-central1-b", "us-central1-c"]
    assert cluster.current_master_version.startswith("1.36")
    assert cluster.status == container_v1.Cluster.Status.RUNNING
    assert [pool.name for pool in cluster.node_pools] == ["default-pool"]
    assert len(gke.nodes.there) == 2


async def test_an_autoscaled_pool_of_size_0_succeeds_without_any_stock(start: Start) -> None:
    gke = await start(stock=[{"nodes": 0}], quota=[{"limit": 0}])
    operation = await gke.create(**l4_pool())
    assert operation.operation_type == container_v1.Operation.Type.CREATE_NODE_POOL
    finished = await gke.done(operation)
    assert finished.error.code == 0
    assert finished.end_time
    assert (await gke.pool()).status == Status.RUNNING


async def test_a_pool_is_provisioning_until_its_operation_is_done(start: Start) -> None:
    gke = await start(speed=20)
    operation = await gke.create(**l4_pool())
    assert operation.status == container_v1.Operation.Status.PENDING
    assert (await gke.pool()).status == Status.PROVISIONING
    await gke.done(operation)
    assert (await gke.pool()).status == Status.RUNNING


async def test_a_pool_of_fixed_size_brings_nodes_and_then_their_gpus(gke: Gke) -> None:
    operation = await gke.create(**fixed_pool(2))
    await gke.done(operation)
    mine = {name: state for name, state in gke.nodes.there.items() if "-mm-pool-" in name}
    assert len(mine) == 2
    assert set(mine.values()) == {"with devices"}


async def test_drivers_that_are_not_installed_show_no_gpus(gke: Gke) -> None:
    accelerator = {
        "accelerator_type": "nvidia-l4",
        "accelerator_count": 1,
        "gpu_driver_installation_config": {"gpu_driver_version": "INSTALLATION_DISABLED"},
    }
    await gke.done(await gke.create(**fixed_pool(1, config={"accelerators": [accelerator]})))
    assert [state for name, state in gke.nodes.there.items() if "-mm-pool-" in name] == ["ready"]


async def test_defaults_are_filled_in_and_labels_kept(gke: Gke) -> None:
    await gke.done(await gke.create(**l4_pool(config={"labels": {"a/b": "c"}, "resource_labels": {"team": "x"}})))
    pool = await gke.pool()
    assert list(pool.locations) == ["us-central1-a", "us-central1-b", "us-central1-c"]
    assert dict(pool.config.labels) == {"a/b": "c"}
    assert dict(pool.config.resource_labels) == {"team": "x"}
    assert pool.max_pods_constraint.max_pods_per_node == 110
    assert len(pool.instance_group_urls) == 3


async def test_a_name_is_taken_once(gke: Gke) -> None:
    await gke.create(**l4_pool())
    with pytest.raises(exceptions.AlreadyExists, match=f"Already exists: {POOL}"):
        await gke.create(**l4_pool())


async def test_what_is_not_there_is_not_found(gke: Gke) -> None:
    with pytest.raises(exceptions.NotFound, match=f"Not found: {POOL}"):
        await gke.pool()
    with pytest.raises(exceptions.NotFound, match="clusters/other"):
        await gke.client.get_cluster(name=CLUSTER.replace("clusters/sandbox", "clusters/other"), retry=None)
    with pytest.raises(exceptions.NotFound, match="operations/operation-0"):
        await gke.operation("operation-0")


async def test_calls_that_it_does_not_know_are_unimplemented(gke: Gke) -> None:
    with pytest.raises(exceptions.MethodNotImplemented):
        await gke.client.get_server_config(name="projects/sandbox-project/locations/us-central1", retry=None)


async def test_deleting_drains_gives_machines_back_and_forgets_the_pool(start: Start) -> None:
    gke = await start(stock=[{"nodes": 1, "machine_type": "g2-standard-12"}])
    await gke.done(await gke.create(**fixed_pool(1)))
    node = next(name for name in gke.nodes.there if "-mm-pool-" in name)
    deletion = await gke.client.delete_node_pool(name=POOL)
    assert (await gke.pool()).status == Status.STOPPING
    await gke.done(deletion)
    assert await gke.names() == ["default-pool"]
    assert gke.nodes.drained == [node]
    assert node not in gke.nodes.there
    # The stock is there again.
    assert (await gke.done(await gke.create(**fixed_pool(1)))).error.code == 0


async def test_labels_taints_and_resource_labels_change_in_place(gke: Gke) -> None:
    await gke.done(await gke.create(**fixed_pool(1)))
    taint = {"key": "k", "value": "v", "effect": "NO_SCHEDULE"}
    request = {
        "name": POOL,
        "labels": {"labels": {"x": "y"}},
        "taints": {"taints": [taint]},
        "resource_labels": {"labels": {"model": "chat"}},
    }
    await gke.done(await gke.client.update_node_pool(request=request))
    pool = await gke.pool()
    assert dict(pool.config.labels) == {"x": "y"}
    assert [t.key for t in pool.config.taints] == ["k"]
    assert dict(pool.config.resource_labels) == {"model": "chat"}
    assert len(gke.nodes.relabelled) == 1


async def test_another_machine_type_makes_every_machine_again(start: Start) -> None:
    gke = await start(quota=[{"limit": 6, "accelerator": "nvidia-l4"}])
    await gke.done(await gke.create(**fixed_pool(2)))
    before = gke.nodes_of()
    two = [{"accelerator_type": "nvidia-l4", "accelerator_count": 2}]
    request = {"name": POOL, "machine_type": "g2-standard-24", "accelerators": two, "disk_size_gb": 200}
    operation = await gke.done(await gke.client.update_node_pool(request=request))
    assert operation.error.message == ""
    pool = await gke.pool()
    assert (pool.config.machine_type, pool.config.disk_size_gb) == ("g2-standard-24", 200)
    assert (len(gke.nodes_of()), set(before) & set(gke.nodes_of())) == (2, set())
    instances = gke.api.cloud.pools["mm-pool"].instances.values()
    assert {instance.want.machine.name for instance in instances} == {"g2-standard-24"}
    used = [q.usage for q in gke.api.inventory.quotas("us-central1") if q.name == "NVIDIA_L4_GPUS"]
    assert used == [4]


async def test_bounds_and_management_change(gke: Gke) -> None:
    await gke.done(await gke.create(**l4_pool()))
    bounds = {"enabled": True, "total_max_node_count": 7}
    await gke.done(await gke.client.set_node_pool_autoscaling(request={"name": POOL, "autoscaling": bounds}))
    management = {"auto_repair": True, "auto_upgrade": True}
    await gke.done(await gke.client.set_node_pool_management(request={"name": POOL, "management": management}))
    pool = await gke.pool()
    assert pool.autoscaling.total_max_node_count == 7
    assert pool.autoscaling.location_policy
    assert pool.management.auto_repair


async def test_a_size_is_set_for_each_zone(gke: Gke) -> None:
    await gke.done(await gke.create(**fixed_pool(1)))
    await gke.done(await gke.client.set_node_pool_size(request={"name": POOL, "node_count": 3}))
    assert sum("-mm-pool-" in name for name in gke.nodes.there) == 3
    await gke.done(await gke.client.set_node_pool_size(request={"name": POOL, "node_count": 1}))
    assert sum("-mm-pool-" in name for name in gke.nodes.there) == 1


async def test_a_lost_machine_of_a_fixed_pool_comes_back(gke: Gke) -> None:
    await gke.done(await gke.create(**fixed_pool(1)))
    pool = gke.api.cloud.pools["mm-pool"]
    instance = next(iter(pool.instances.values()))
    await gke.api.lose(pool, instance, gke.api.fleet.reclaim)
    assert gke.nodes.warned == [instance.name]
    assert instance.name not in gke.nodes.there
    await eventually(lambda: any("-mm-pool-" in name for name in gke.nodes.there), message="another machine")


async def test_foreign_pools_are_there_from_the_start(start: Start) -> None:
    foreign = {"name": "theirs", "nodes": 2, "machine_type": "g2-standard-4", "resource_labels": {"owner": "them"}}
    gke = await start(foreign_pools=[foreign])
    pool = await gke.pool("theirs")
    assert (pool.status, dict(pool.config.resource_labels)) == (Status.RUNNING, {"owner": "them"})
    assert [state for name, state in gke.nodes.there.items() if "-theirs-" in name] == ["with devices"] * 2


async def test_one_operation_at_a_time_on_a_pool(start: Start) -> None:
    gke = await start(speed=20)
    operation = await gke.create(**l4_pool())
    busy = f"Operation {operation.name} is currently creating a node pool for cluster sandbox"
    with pytest.raises(exceptions.FailedPrecondition, match=busy):
        await gke.client.delete_node_pool(name=POOL, retry=None)
    # Another pool is another matter.
    assert await gke.create(**l4_pool(name="mm-other"))


async def test_one_operation_at_a_time_in_a_cluster_when_the_scenario_says_so(start: Start) -> None:
    gke = await start(speed=20, busy_scope="cluster")
    operation = await gke.create(**l4_pool())
    with pytest.raises(
        exceptions.FailedPrecondition, match=f"Cluster is running incompatible operation {operation.name}"
    ):
        await gke.create(**l4_pool(name="mm-other"))


async def test_so_many_operations_at_once(start: Start) -> None:
    gke = await start(speed=20, concurrent_operations=2)
    await asyncio.gather(gke.create(**l4_pool()), gke.create(**l4_pool(name="mm-2")))
    with pytest.raises(exceptions.ResourceExhausted, match="hits the concurrent operations quota 2"):
        await gke.create(**l4_pool(name="mm-3"))


async def test_a_cancelled_creation_ends_with_an_error(start: Start) -> None:
    gke = await start(speed=20)
    operation = await gke.create(**fixed_pool(1))
    parent = "projects/sandbox-project/locations/us-central1"
    await gke.client.cancel_operation(name=f"{parent}/operations/{operation.name}")
    assert (await gke.done(operation)).error.message == "Operation was aborted."
    assert (await gke.pool()).status == Status.ERROR
    listed = await gke.client.list_operations(parent=parent)
    assert [o.name for o in listed.operations] == [operation.name]
