"""What the simulated GKE refuses, and in which words."""

from typing import Any

import pytest
from google.api_core import exceptions
from tests.support.simulated_gke import CLUSTER, Gke, Start, fixed_pool, l4_pool

from mistral_operator.sandbox.gke import template

H100 = [{"accelerator_type": "nvidia-h100-80gb", "accelerator_count": 8}]
G4 = [{"accelerator_type": "nvidia-rtx-pro-6000", "accelerator_count": 1}]
B200 = [{"accelerator_type": "nvidia-b200", "accelerator_count": 8}]

DISK = {"disk_image": "global/images/engine", "mode": "CONTAINER_IMAGE_CACHE"}


def auto(**bounds: Any) -> dict[str, Any]:
    return l4_pool(autoscaling={"enabled": True, **bounds})


def t4_pool(machine_type: str, kind: str = "nvidia-tesla-t4", count: int = 1) -> dict[str, Any]:
    """GPUs attached to a machine type that brings none."""
    accelerators = [{"accelerator_type": kind, "accelerator_count": count}]
    return fixed_pool(1, config={"machine_type": machine_type, "accelerators": accelerators})


def sharing(strategy: str = "GPU_SHARING_STRATEGY_UNSPECIFIED", clients: int = 4) -> dict[str, Any]:
    config = {"gpu_sharing_strategy": strategy, "max_shared_clients_per_gpu": clients}
    accelerator = {"accelerator_type": "nvidia-l4", "accelerator_count": 1, "gpu_sharing_config": config}
    return l4_pool(config={"accelerators": [accelerator]})


def partitioned(size: str, machine_type: str = "a2-highgpu-1g", kind: str = "nvidia-tesla-a100") -> dict[str, Any]:
    accelerator = {"accelerator_type": kind, "accelerator_count": 1, "gpu_partition_size": size}
    return l4_pool(config={"machine_type": machine_type, "accelerators": [accelerator]})


def profiled(profile: str, **labels: str) -> dict[str, Any]:
    config = {"machine_type": "ct6e-standard-8t", "accelerators": [], "labels": labels}
    return l4_pool(config=config, network_config={"accelerator_network_profile": profile})


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
        (l4_pool(placement_policy={"policy_name": "close"}), 'Resource policy "close" was not found in the region'),
        (t4_pool("n1-standard-8", count=3), r"n1-standard-8 takes \(1, 2, 4\) x nvidia-tesla-t4; it was asked for 3"),
        (t4_pool("n1-standard-8", kind="nvidia-l4"), "n1-standard-8 takes nvidia-tesla-t4; it was asked for nvidia-l4"),
        (l4_pool(version="1.99.0-gke.1"), "must not have a greater version than"),
        (l4_pool(version="newest"), "is not a GKE version"),
        (fixed_pool(1, upgrade_settings={"max_surge": 15, "max_unavailable": 15}), "together at most 20"),
        (fixed_pool(1, upgrade_settings={"strategy": "SHORT_LIVED"}), "only for flex-start and queued"),
        (
            fixed_pool(1, upgrade_settings={"strategy": "BLUE_GREEN"}, placement_policy={"type_": "COMPACT"}),
            "Blue-green upgrades can't be used with compact placement",
        ),
        (
            fixed_pool(1, best_effort_provisioning={"enabled": True, "min_provision_nodes": 2}),
            "min_provision_nodes 2 is more than the pool's size",
        ),
        (sharing(), "needs a gpu_sharing_strategy: TIME_SHARING or MPS"),
        (sharing("MPS", 1), "max_shared_clients_per_gpu must be between 2 and 48"),
        (partitioned("1g.5gb", "g2-standard-12", "nvidia-l4"), "nvidia-l4 has no partition size 1g.5gb; it has none"),
        (partitioned("9g.9gb"), "nvidia-tesla-a100 has no partition size 9g.9gb; it has 1g.5gb, 2g.10gb, 3g.20gb"),
        (l4_pool(config={"secondary_boot_disks": [DISK]}), "Secondary boot disks need image streaming"),
        (profiled("fast"), 'accelerator_network_profile "fast" must be "auto"'),
        (profiled("auto"), "needs the node label cloud.google.com/gke-networking-dra-driver=true"),
        (
            l4_pool(network_config={"accelerator_network_profile": "auto"}),
            "Machine type g2-standard-12 has no accelerator network profile",
        ),
        (l4_pool(config={"max_run_duration": {"seconds": 0}}), "must be more than 0"),
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
        fixed_pool(1, config={"machine_type": "n1-standard-8", "accelerators": []}),
        fixed_pool(1, version="1.35.1-gke.1"),
        sharing("TIME_SHARING"),
        partitioned("3g.20gb"),
        l4_pool(config={"secondary_boot_disks": [DISK], "gcfs_config": {"enabled": True}}),
        profiled("auto", **{"cloud.google.com/gke-networking-dra-driver": "true"}),
    ],
)
async def test_a_pool_within_the_rules_is_taken(gke: Gke, pool: dict[str, Any]) -> None:
    assert (await gke.done(await gke.create(**pool))).error.code == 0


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"flex_start": True}, "does not do this yet: changing flex_start"),
        ({"machine_type": "g2-standard-24"}, "g2-standard-24 has 2 x nvidia-l4, the request has 1 x nvidia-l4"),
        ({"machine_type": "g4-standard-48", "accelerators": G4}, r"\[pd-balanced, g4-standard-48\] features are not"),
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


@pytest.mark.parametrize(
    ("pool", "gpus", "labels"),
    [
        (
            sharing("TIME_SHARING", 5),
            "5",
            {"gke-gpu-sharing-strategy": "time-sharing", "gke-max-shared-clients-per-gpu": "5"},
        ),
        (sharing("MPS", 2), "2", {"gke-gpu-sharing-strategy": "mps", "gke-max-shared-clients-per-gpu": "2"}),
        (partitioned("1g.5gb"), "7", {"gke-gpu-partition-size": "1g.5gb"}),
        (l4_pool(), "1", {"gke-gpu-driver-version": "default"}),
    ],
)
async def test_a_shared_gpu_is_several_devices(
    gke: Gke, pool: dict[str, Any], gpus: str, labels: dict[str, str]
) -> None:
    await gke.create(**pool)
    made = gke.api.cloud.pools["mm-pool"]
    assert template.allocatable(made, made.machine)["nvidia.com/gpu"] == gpus
    shown = template.node_labels(made, made.want("us-central1-a"), "node")
    assert {f"cloud.google.com/{key}": value for key, value in labels.items()}.items() <= shown.items()
    assert shown["cloud.google.com/gke-accelerator-count"] == "1"


@pytest.mark.parametrize(("version", "shown"), [("1.30.0-gke.1", False), ("1.30.1-gke.1156000", True)])
async def test_an_old_gke_installs_no_driver_unless_asked(start: Start, version: str, shown: bool) -> None:
    gke = await start(version=version)
    await gke.done(await gke.create(**fixed_pool(1)))
    assert [gke.nodes.there[name] for name in gke.nodes_of()] == ["with devices" if shown else "ready"]


@pytest.mark.parametrize(
    ("version", "pool", "text"),
    [
        (
            "1.28.2-gke.1",
            l4_pool(config={"secondary_boot_disks": [DISK], "gcfs_config": {"enabled": True}}),
            "Secondary boot disks need GKE version 1.28.3-gke.1067000",
        ),
        ("1.34.0-gke.1", profiled("auto"), "accelerator_network_profile needs GKE version 1.34.1-gke.1829001"),
    ],
)
async def test_what_an_old_gke_does_not_know(start: Start, version: str, pool: dict[str, Any], text: str) -> None:
    gke = await start(version=version)
    with pytest.raises(exceptions.InvalidArgument, match=text):
        await gke.create(**pool)
