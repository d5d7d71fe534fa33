"""What the simulated Compute Engine tells about quotas, reservations and zones."""

import pytest
from tests.support.simulated_gke import Start, fixed_pool, slice_pool

from mistral_operator.sandbox.gke.errors import RpcError
from mistral_operator.sandbox.gke.inventory import QuotaUse
from mistral_operator.sandbox.gke.scenario import WorkloadPolicy

REGION = "us-central1"
ZONE = "us-central1-a"
RESERVATION = {"name": "mine", "machine_type": "g2-standard-12", "zone": ZONE, "count": 5, "in_use": 2}
SPECIFIC = {
    "consume_reservation_type": "SPECIFIC_RESERVATION",
    "key": "compute.googleapis.com/reservation-name",
    "values": ["mine"],
}


async def test_quotas_say_what_runs_and_what_may_run(start: Start) -> None:
    gke = await start(quota=[{"limit": 3, "accelerator": "nvidia-l4"}, {"limit": 9, "mode": "preemptible"}])
    await gke.done(await gke.create(**fixed_pool(2)))
    await gke.done(await gke.create(**fixed_pool(1, name="mm-spot", config={"spot": True})))
    found = {(q.name, q.accelerator): q for q in gke.api.inventory.quotas(REGION)}
    assert found["NVIDIA_L4_GPUS", "nvidia-l4"] == QuotaUse(REGION, "NVIDIA_L4_GPUS", "nvidia-l4", "on-demand", 3, 2)
    spot = found["PREEMPTIBLE_NVIDIA_L4_GPUS", "nvidia-l4"]
    assert (spot.mode, spot.limit, spot.usage) == ("preemptible", 9, 1)
    assert found["NVIDIA_T4_GPUS", "nvidia-tesla-t4"].usage == 0
    assert [(q.name, q.usage) for q in gke.api.inventory.project_quotas()] == [("GPUS_ALL_REGIONS", 3)]


async def test_quotas_of_one_name_are_counted_for_each_family(start: Start) -> None:
    gke = await start()
    await gke.done(await gke.create(**slice_pool()))
    found = [q for q in gke.api.inventory.quotas(REGION) if q.name == "TPUS_PER_TPU_FAMILY"]
    assert {q.accelerator: q.usage for q in found} == {"tpu-v5p-slice": 0, "tpu-v6e-slice": 16, "tpu7x": 0}


async def test_a_reservation_says_what_is_free_and_needs_no_quota(start: Start) -> None:
    gke = await start(reservations=[RESERVATION], quota=[{"limit": 0}], stock=[{"nodes": 0}], gpus_all_regions=0)
    (before,) = gke.api.inventory.reservations()
    assert (before.project, before.count, before.in_use, before.free) == ("sandbox-project", 5, 2, 3)
    reserved = fixed_pool(2, config={"reservation_affinity": SPECIFIC})
    assert (await gke.done(await gke.create(**reserved))).error.code == 0
    assert [r.free for r in gke.api.inventory.reservations(ZONE)] == [1]
    assert gke.api.inventory.reservations("us-central1-b") == ()
    assert {q.usage for q in gke.api.inventory.quotas(REGION)} == {0}
    await gke.done(await gke.client.delete_node_pool(name=reserved_path()))
    assert [r.free for r in gke.api.inventory.reservations()] == [3]


def reserved_path() -> str:
    return "projects/sandbox-project/locations/us-central1/clusters/sandbox/nodePools/mm-pool"


async def test_zones_say_which_machine_types_they_list(start: Start) -> None:
    inventory = (await start()).api.inventory
    assert inventory.zones_offering("ct6e-standard-4t") == inventory.zones()
    assert inventory.zones_offering("ct4p-hightpu-4t") == ()
    assert inventory.zones_offering("no-such-machine") == ()
    names = {machine.name for machine in inventory.machine_types(ZONE)}
    assert {"tpu7x-standard-4t", "a4x-highgpu-4g", "n1-standard-8"} <= names
    assert "ct4p-hightpu-4t" not in names
    assert inventory.regions() == (REGION,)


async def test_workload_policies_live_in_a_region(start: Start) -> None:
    gke = await start(workload_policies=[{"name": "ring", "accelerator_topology": "4x4x4"}])
    policies = gke.api.inventory.policies
    assert policies.find("ring") == WorkloadPolicy("ring", REGION, accelerator_topology="4x4x4")
    assert policies.find("projects/sandbox-project/regions/us-central1/resourcePolicies/ring")
    assert policies.find("projects/sandbox-project/regions/us-east1/resourcePolicies/ring") is None
    with pytest.raises(RpcError, match="resourcePolicies/ring' already exists"):
        policies.create(WorkloadPolicy("ring"))
    policies.create(WorkloadPolicy("ring", "us-east1"))
    assert [p.region for p in policies.all()] == ["us-central1", "us-east1"]
    policies.delete("ring")
    with pytest.raises(RpcError, match="resourcePolicies/ring' was not found"):
        policies.delete("ring")
    assert [p.region for p in policies.all()] == ["us-east1"]
