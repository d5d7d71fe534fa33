"""What the simulated GKE refuses, and in which words."""

from typing import Any

import pytest
from google.api_core import exceptions
from tests.support.simulated_gke import CLUSTER, Gke, fixed_pool, l4_pool

H100 = [{"accelerator_type": "nvidia-h100-80gb", "accelerator_count": 8}]
B200 = [{"accelerator_type": "nvidia-b200", "accelerator_count": 8}]


def auto(**bounds: Any) -> dict[str, Any]:
    return l4_pool(autoscaling={"enabled": True, **bounds})


@pytest.mark.parametrize(
    ("pool", "text"),
    [
        (l4_pool(name="Upper"), "lower-case"),
        (l4_pool(name="m" * 41), "at most 40 characters"),
        (l4_pool(name="ends-"), "doesn't end with a hyphen"),
        (l4_pool(config={"machine_type": "g2-huge"}), "Machine type with name 'g2-huge' does not exist in zone"),
        (l4_pool(config={"accelerators": []}), "g2-standard-12 has 1 x nvidia-l4, the request has none"),
        (l4_pool(config={"machine_type": "g2-standard-24"}), "g2-standard-24 has 2 x nvidia-l4"),
        (l4_pool(config={"machine_type": "e2-standard-8"}), "can't have accelerators"),
        (l4_pool(config={"machine_type": "a3-highgpu-8g", "accelerators": H100}), "requires gVNIC"),
        (
            l4_pool(config={"machine_type": "a4-highgpu-8g", "accelerators": B200, "gvnic": {"enabled": True}}),
            r"\[pd-balanced, a4-highgpu-8g\] features are not compatible",
        ),
        (l4_pool(locations=["europe-west4-a"]), "not a zone of the cluster"),
        (l4_pool(locations=["us-central1-a", "us-central1-a"]), "duplicate zones"),
        (
            l4_pool(config={"spot": True, "reservation_affinity": {"consume_reservation_type": "ANY_RESERVATION"}}),
            "Spot VMs can't consume reservations",
        ),
        (auto(total_max_node_count=3, max_node_count=1), "can't be used together"),
        (auto(), "maximum node count 0 must be at least 1"),
        (auto(min_node_count=4, max_node_count=2), "not greater than maximum"),
        (auto(total_max_node_count=3) | {"initial_node_count": 2}, "outside of the autoscaling bounds"),
        (l4_pool(config={"resource_labels": {"Team": "x"}}), "Invalid resource label key"),
        (l4_pool(config={"resource_labels": {"team": "x.y"}}), "Invalid resource label value"),
        (l4_pool(config={"labels": {"a": "not valid"}}), "not a valid Kubernetes label value"),
        (l4_pool(config={"taints": [{"key": "a"}]}), "key and effect are required"),
        (l4_pool(placement_policy={"type_": "COMPACT"}), "exactly one zone"),
        (l4_pool(config={"flex_start": True}), "does not do this yet: flex-start"),
        (l4_pool(placement_policy={"policy_name": "close"}), "does not do this yet: workload policies"),
    ],
)
async def test_a_pool_that_breaks_a_rule_is_refused(gke: Gke, pool: dict[str, Any], text: str) -> None:
    with pytest.raises(exceptions.InvalidArgument, match=text):
        await gke.create(**pool)
    assert await gke.names() == ["default-pool"]


@pytest.mark.parametrize(
    "pool",
    [
        l4_pool(name="m" * 40),
        l4_pool(config={"spot": True}),
        auto(min_node_count=0, max_node_count=2),
        auto(total_min_node_count=1, total_max_node_count=2),
        l4_pool(config={"machine_type": "a3-highgpu-8g", "accelerators": H100, "gvnic": {"enabled": True}}),
        l4_pool(placement_policy={"type_": "COMPACT"}, locations=["us-central1-a"]),
        fixed_pool(0, config={"labels": {"a": ""}}),
    ],
)
async def test_a_pool_within_the_rules_is_taken(gke: Gke, pool: dict[str, Any]) -> None:
    assert (await gke.done(await gke.create(**pool))).error.code == 0


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"machine_type": "g2-standard-24"}, "does not do this yet: changing machine_type"),
        ({"locations": ["europe-west4-a"]}, "not a zone of the cluster"),
        ({"labels": {"labels": {"a": "b c"}}}, "not a valid Kubernetes label value"),
        ({}, "Nothing to update"),
        ({"locations": ["us-central1-a", "us-central1-b"]}, "exactly one zone"),
    ],
)
async def test_a_change_that_breaks_a_rule_is_refused(gke: Gke, change: dict[str, Any], text: str) -> None:
    await gke.done(await gke.create(**l4_pool(placement_policy={"type_": "COMPACT"}, locations=["us-central1-a"])))
    with pytest.raises(exceptions.InvalidArgument, match=text):
        await gke.client.update_node_pool(request={"name": f"{CLUSTER}/nodePools/mm-pool", **change}, retry=None)


async def test_bounds_that_make_no_sense_are_refused_later_too(gke: Gke) -> None:
    await gke.done(await gke.create(**l4_pool()))
    request = {"name": f"{CLUSTER}/nodePools/mm-pool", "autoscaling": {"enabled": True}}
    with pytest.raises(exceptions.InvalidArgument, match="at least 1"):
        await gke.client.set_node_pool_autoscaling(request=request, retry=None)
