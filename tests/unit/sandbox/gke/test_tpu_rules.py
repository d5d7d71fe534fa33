"""What the simulated GKE refuses of TPU node pools, and in which words."""

import re
from typing import Any

import pytest
from google.api_core import exceptions
from tests.support.simulated_gke import CLUSTER, Gke, Start, l4_pool, slice_pool, tpu_pool

from mistral_operator.sandbox.gke.machines import chips_of, machine_types
from mistral_operator.sandbox.gke.scenario import ScenarioError
from mistral_operator.sandbox.gke.stock import Want

POOL = f"{CLUSTER}/nodePools/mm-pool"
COMPACT = {"type_": "COMPACT"}
SINGLE_HOST = "TPU topology can't be specified with single-host TPU slice pool; please remove the tpu_topology"


def auto_slice(**bounds: Any) -> dict[str, Any]:
    """A slice that the autoscaler brings, with these bounds instead of good ones."""
    autoscaling = {"enabled": True, "max_node_count": 4, "location_policy": "ANY", **bounds}
    return slice_pool(hosts=0, autoscaling=autoscaling)


def placed(machine_type: str, **policy: Any) -> dict[str, Any]:
    return tpu_pool(machine_type, placement_policy=policy)


@pytest.mark.parametrize(
    ("pool", "text"),
    [
        (tpu_pool("ct4p-hightpu-4t"), "Machine type with name 'ct4p-hightpu-4t' does not exist in zone"),
        (slice_pool(placement_policy={"policy_name": "p"}), 'Resource policy "p" was not found in the region'),
        (tpu_pool("ct6e-standard-2t"), "Machine type with name 'ct6e-standard-2t' does not exist in zone"),
        (
            tpu_pool(config={"accelerators": [{"accelerator_type": "tpu-v6e-slice", "accelerator_count": 8}]}),
            "Machine type ct6e-standard-8t can't have accelerators; it was asked for tpu-v6e-slice.",
        ),
        (placed("ct6e-standard-1t", tpu_topology="1x1"), SINGLE_HOST),
        (placed("ct6e-standard-4t", tpu_topology="2x2", **COMPACT), SINGLE_HOST),
        (placed("ct6e-standard-8t", tpu_topology="2x4", **COMPACT), SINGLE_HOST),
        (placed("ct5lp-hightpu-8t", **COMPACT), SINGLE_HOST),
        (slice_pool("2x8"), "Unsupported TPU configuration: ct6e-standard-4t with topology 2x8. It has 2x2 (single-"),
        (placed("ct5lp-hightpu-8t", tpu_topology="4x4", **COMPACT), "Unsupported TPU configuration: ct5lp-hightpu-8t"),
        (slice_pool("x"), "Unsupported TPU configuration"),
        (slice_pool(placement_policy={"tpu_topology": "4x4"}), "needs placement_policy.type COMPACT"),
        (l4_pool(placement_policy={"tpu_topology": "4x4"}), "machine type g2-standard-12 has no TPUs"),
        (slice_pool(locations=["us-central1-a", "us-central1-b"]), "exactly one zone"),
        (slice_pool(locations=[]), "exactly one zone"),
        (slice_pool(hosts=0), "Initial node count 0 is not a valid size of TPU pod slice with topology 4x4"),
        (slice_pool(hosts=3), "Initial node count 3 is not a valid size of TPU pod slice with topology 4x4"),
        (slice_pool("2x4", hosts=4), "Initial node count 4 is not a valid size of TPU pod slice with topology 2x4"),
        (auto_slice() | {"initial_node_count": 2}, "Initial node count 2 is not a valid size of TPU pod slice"),
        (
            auto_slice(max_node_count=0, total_max_node_count=4),
            "Maximum node count 0 is not a valid size of TPU pod slice with topology 4x4",
        ),
        (auto_slice(max_node_count=8), "Maximum node count 8 is not a valid size of TPU pod slice with topology 4x4"),
        (auto_slice(min_node_count=1), "Minimum node count 1 must be 0 for TPU pod slice with topology 4x4"),
        (auto_slice(total_max_node_count=4), "can't be used together"),
        (auto_slice(location_policy="BALANCED"), "needs location_policy ANY"),
        (auto_slice(location_policy="LOCATION_POLICY_UNSPECIFIED"), "needs location_policy ANY"),
    ],
)
async def test_a_pool_that_breaks_a_rule_is_refused(gke: Gke, pool: dict[str, Any], text: str) -> None:
    with pytest.raises(exceptions.InvalidArgument, match=re.escape(text)):
        await gke.create(**pool)
    assert await gke.names() == ["default-pool"]


async def test_a_region_without_the_machine_type_has_none(start: Start) -> None:
    gke = await start(zones=["us-south1-a"])
    assert await gke.create(**tpu_pool("ct5lp-hightpu-4t", locations=["us-south1-a"]))
    with pytest.raises(exceptions.InvalidArgument, match="does not exist in zone 'us-south1-a'"):
        await gke.create(**tpu_pool("ct6e-standard-4t", name="mm-v6e", locations=["us-south1-a"]))


@pytest.mark.parametrize(
    "pool",
    [
        tpu_pool(autoscaling={"enabled": True, "total_max_node_count": 3}, locations=[]),
        tpu_pool(autoscaling={}, initial_node_count=2, config={"spot": True}),
        slice_pool("2x4", hosts=2),
        slice_pool(config={"machine_type": "ct5lp-hightpu-4t", "gvnic": {"enabled": True}}),
        slice_pool(max_pods_constraint={"max_pods_per_node": 15}),
        auto_slice(),
        auto_slice() | {"initial_node_count": 4},
    ],
)
async def test_a_pool_within_the_rules_is_taken(gke: Gke, pool: dict[str, Any]) -> None:
    assert (await gke.done(await gke.create(**pool))).error.code == 0


@pytest.mark.parametrize(
    ("rpc", "change", "text"),
    [
        ("set_node_pool_size", {"node_count": 2}, "Node count 2 is not a valid size of TPU pod slice with topology"),
        ("set_node_pool_size", {"node_count": 5}, "Node count 5 is not a valid size of TPU pod slice with topology"),
        (
            "set_node_pool_autoscaling",
            {"autoscaling": {"enabled": True, "total_max_node_count": 4, "location_policy": "ANY"}},
            "Maximum node count 0 is not a valid size of TPU pod slice with topology 4x4",
        ),
        (
            "set_node_pool_autoscaling",
            {"autoscaling": {"enabled": True, "max_node_count": 4}},
            "needs location_policy ANY",
        ),
        ("update_node_pool", {"locations": ["us-central1-b"]}, "slice node pool can't be changed"),
        (
            "update_node_pool",
            {"machine_type": "ct6e-standard-8t"},
            "Unsupported TPU configuration: ct6e-standard-8t with topology 4x4",
        ),
    ],
)
async def test_a_slice_keeps_its_rules(gke: Gke, rpc: str, change: dict[str, Any], text: str) -> None:
    await gke.done(await gke.create(**slice_pool()))
    with pytest.raises(exceptions.InvalidArgument, match=text):
        await getattr(gke.client, rpc)(request={"name": POOL, **change}, retry=None)
    assert len(gke.nodes_of()) == 4


async def test_single_host_pools_have_any_size_and_may_move(gke: Gke) -> None:
    await gke.done(await gke.create(**tpu_pool(autoscaling={}, initial_node_count=1)))
    await gke.done(await gke.client.set_node_pool_size(request={"name": POOL, "node_count": 3}))
    assert len(gke.nodes_of()) == 3
    await gke.done(await gke.client.update_node_pool(request={"name": POOL, "locations": ["us-central1-b"]}))
    assert len(gke.nodes_of()) == 3


@pytest.mark.parametrize(
    ("foreign", "text"),
    [
        ({"topology": "4x4", "nodes": 3, "zones": ["us-central1-a"]}, "theirs: Initial node count 3 is not a valid"),
        ({"topology": "4x4", "nodes": 4}, "theirs: Compact placement needs a node pool in exactly one zone"),
        ({"topology": "9x9", "nodes": 4, "zones": ["us-central1-a"]}, "theirs: Unsupported TPU configuration"),
    ],
)
async def test_a_foreign_slice_keeps_them_too(start: Start, foreign: dict[str, Any], text: str) -> None:
    with pytest.raises(ScenarioError, match=text):
        await start(foreign_pools=[{"name": "theirs", "machine_type": "ct6e-standard-4t", **foreign}])


def test_chips_add_up() -> None:
    for machine in machine_types().values():
        if machine.chips:
            assert chips_of(machine.topology) == machine.chips
            assert all(chips_of(topology) % machine.chips == 0 for topology in machine.slice_topologies)


def test_quotas_have_compute_engines_names() -> None:
    names = [
        Want("us-central1-a", machine_types()[machine], mode).quota_name
        for machine in ("ct5lp-hightpu-1t", "ct6e-standard-1t")
        for mode in ("on-demand", "spot")
    ]
    assert names == [
        "TPU_LITE_PODSLICE_V5",
        "PREEMPTIBLE_TPU_LITE_PODSLICE_V5",
        "TPUS_PER_TPU_FAMILY",
        "PREEMPTIBLE_TPU_V6E",
    ]
