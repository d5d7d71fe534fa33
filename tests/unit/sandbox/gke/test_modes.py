"""Spot, flex-start, queued provisioning and reservations: what GKE refuses of each."""

import re
from typing import Any

import pytest
from google.api_core import exceptions
from tests.support.simulated_gke import CLUSTER, Gke, Start, fixed_pool, flex_pool, l4_pool, slice_pool, tpu_pool

from mistral_operator.sandbox.gke import template

POOL = f"{CLUSTER}/nodePools/mm-pool"
NONE = {"consume_reservation_type": "NO_RESERVATION"}
KEY = "compute.googleapis.com/reservation-name"
ANY_SIZE = {"enabled": True, "total_max_node_count": 3, "location_policy": "ANY"}
H100 = {
    "machine_type": "a3-highgpu-8g",
    "accelerators": [{"accelerator_type": "nvidia-h100-80gb", "accelerator_count": 8}],
    "gvnic": {"enabled": True},
}
H200 = {
    "machine_type": "a3-ultragpu-8g",
    "accelerators": [{"accelerator_type": "nvidia-h200-141gb", "accelerator_count": 8}],
    "gvnic": {"enabled": True},
}
COMPACT = {"placement_policy": {"type_": "COMPACT"}, "locations": ["us-central1-a"]}


def specific(*values: str, key: str = KEY) -> dict[str, Any]:
    return {"consume_reservation_type": "SPECIFIC_RESERVATION", "key": key, "values": list(values)}


def spot(**config: Any) -> dict[str, Any]:
    return l4_pool(config={"spot": True, **config})


def queued(**changes: Any) -> dict[str, Any]:
    config = {"reservation_affinity": NONE, **changes.pop("config", {})}
    return l4_pool(queued_provisioning={"enabled": True}, config=config, **changes)


def reserved(*values: str, key: str = KEY, **changes: Any) -> dict[str, Any]:
    size = changes.pop("initial_node_count", 1)
    return fixed_pool(size, config={"reservation_affinity": specific(*values, key=key)}, **changes)


@pytest.mark.parametrize(
    ("pool", "text"),
    [
        (spot(reservation_affinity=specific("mine")), "Spot VMs can't consume reservations"),
        (spot(preemptible=True), "Only one of config.spot and config.preemptible can be true."),
        (spot(flex_start=True), "Only one of config.spot and config.flex_start can be true."),
        (spot() | {"queued_provisioning": {"enabled": True}}, "config.spot excludes queued_provisioning"),
        (flex_pool(autoscaling={}), "Flex-start node pools need autoscaling: autoscaling.enabled must be true."),
        (flex_pool(autoscaling={**ANY_SIZE, "location_policy": "BALANCED"}), "need autoscaling.location_policy ANY."),
        (flex_pool(autoscaling={"enabled": True, "total_max_node_count": 3}), "autoscaling.location_policy ANY."),
        (flex_pool(autoscaling={**ANY_SIZE, "total_min_node_count": 1}), "need a minimum node count of 0."),
        (flex_pool(initial_node_count=1), "Flex-start node pools need initial_node_count 0, not 1."),
        (flex_pool(config={"reservation_affinity": {}}), "consume_reservation_type NO_RESERVATION."),
        (flex_pool(config={"reservation_affinity": specific("mine")}), "consume_reservation_type NO_RESERVATION."),
        (flex_pool(management={"auto_repair": True}), "management.auto_repair must be false"),
        (flex_pool(config={"max_run_duration": {"seconds": 604801}}), "604801 s is longer than the 604800 s"),
        (flex_pool(config={"preemptible": True, "flex_start": True}), "can be true."),
        (flex_pool(config={"machine_type": "e2-standard-8", "accelerators": []}), "e2-standard-8 has none"),
        (flex_pool(config=H100, **COMPACT), "Compact placement can't be used with flex-start on machine type a3-high"),
        (queued(autoscaling={}), "Queued node pools need autoscaling"),
        (queued(config={"reservation_affinity": {}}), "Queued node pools need reservation_affinity"),
        (queued(initial_node_count=1), "Queued node pools need initial_node_count 0, not 1."),
        (queued(**COMPACT), "Queued provisioning can't be used with compact placement on GPU node pools."),
        (queued(autoscaling={**ANY_SIZE, "total_min_node_count": 1}), "Queued node pools need a minimum node count"),
        (reserved(), "must name one reservation, not 0."),
        (reserved("a", "b"), "must name one reservation, not 2."),
        (reserved("mine", key="name"), f'reservation_affinity.key "name" must be "{KEY}".'),
        (reserved("zones/a/mine"), "write its NAME, or projects/PROJECT/reservations/NAME."),
        (
            fixed_pool(1, config={"reservation_affinity": {**NONE, "values": ["mine"]}}),
            "key and values are only for SPECIFIC_RESERVATION",
        ),
        (
            reserved("mine", upgrade_settings={"strategy": "BLUE_GREEN"}),
            "Blue-green upgrades need twice the machines, which a specific reservation doesn't have",
        ),
        (
            slice_pool(best_effort_provisioning={"enabled": True}),
            "Best-effort provisioning can't be used with a multi-",
        ),
    ],
)
async def test_a_pool_that_breaks_a_rule_of_its_mode_is_refused(gke: Gke, pool: dict[str, Any], text: str) -> None:
    with pytest.raises(exceptions.InvalidArgument, match=re.escape(text)):
        await gke.create(**pool)
    assert await gke.names() == ["default-pool"]


@pytest.mark.parametrize(
    "pool",
    [
        flex_pool(),
        flex_pool(queued_provisioning={"enabled": True}),
        flex_pool(config=H200, **COMPACT),
        flex_pool(config={"machine_type": "ct6e-standard-8t", "accelerators": []}),
        slice_pool(
            hosts=0,
            config={"machine_type": "ct6e-standard-4t", "flex_start": True, "reservation_affinity": NONE},
            autoscaling={"enabled": True, "max_node_count": 4, "location_policy": "ANY"},
        ),
        queued(),
        spot(reservation_affinity=NONE),
        spot(max_run_duration={"seconds": 10**6}),
        reserved("mine", upgrade_settings={"max_surge": 0, "max_unavailable": 1}, initial_node_count=0),
        reserved("projects/theirs/reservations/their-own", initial_node_count=0),
        reserved("projects/theirs/reservations/their-own/reservationBlocks/one", initial_node_count=0),
        fixed_pool(1, config={"reservation_affinity": {"consume_reservation_type": "ANY_RESERVATION"}}),
    ],
)
async def test_a_pool_within_the_rules_of_its_mode_is_taken(gke: Gke, pool: dict[str, Any]) -> None:
    assert (await gke.done(await gke.create(**pool))).error.message == ""


@pytest.mark.parametrize(
    ("version", "pool", "minimum"),
    [
        ("1.32.1-gke.1", flex_pool(), "1.32.2-gke.1652000"),
        ("1.32.9-gke.1", flex_pool(config={"machine_type": "ct6e-standard-8t", "accelerators": []}), "1.33.0-gke.1712"),
    ],
)
async def test_flex_start_needs_a_gke_that_knows_it(
    start: Start, version: str, pool: dict[str, Any], minimum: str
) -> None:
    gke = await start(version=version)
    with pytest.raises(exceptions.InvalidArgument, match=f"needs GKE version {minimum}"):
        await gke.create(**pool)


@pytest.mark.parametrize("mode", ["flex-start", "queued provisioning"])
async def test_a_tpu_v4_is_not_to_be_had_like_this(start: Start, mode: str) -> None:
    gke = await start(zones=["us-central2-b"])
    flex = flex_pool if mode == "flex-start" else queued
    machine = {"machine_type": "ct4p-hightpu-4t", "accelerators": []}
    with pytest.raises(exceptions.InvalidArgument, match=f"ct4p-hightpu-4t is not supported with {mode}"):
        await gke.create(**flex(config=machine, locations=["us-central2-b"]))
    plain = tpu_pool("ct4p-hightpu-4t", locations=["us-central2-b"])
    assert (await gke.done(await gke.create(**plain))).error.message == ""


async def test_flex_start_runs_seven_days_at_most_and_says_so(gke: Gke) -> None:
    await gke.done(await gke.create(**flex_pool()))
    pool = await gke.pool()
    assert pool.config.max_run_duration.total_seconds() == 604800
    assert pool.upgrade_settings.strategy.name == "SHORT_LIVED"
    for rpc, change, text in (
        ("update_node_pool", {"max_run_duration": {"seconds": 604801}}, "longer than the 604800 s"),
        ("update_node_pool", {"upgrade_settings": {"max_surge": 30}}, "together at most 20"),
        ("set_node_pool_management", {"management": {"auto_repair": True}}, "can't have auto-repair"),
        ("set_node_pool_autoscaling", {"autoscaling": {}}, "need autoscaling"),
        ("set_node_pool_autoscaling", {"autoscaling": {"enabled": True, "max_node_count": 2}}, "location_policy ANY"),
    ):
        with pytest.raises(exceptions.InvalidArgument, match=text):
            await getattr(gke.client, rpc)(request={"name": POOL, **change}, retry=None)
    shorter = {"name": POOL, "max_run_duration": {"seconds": 3600}}
    await gke.done(await gke.client.update_node_pool(request=shorter))
    assert (await gke.pool()).config.max_run_duration.total_seconds() == 3600


@pytest.mark.parametrize(
    ("pool", "labels", "taints"),
    [
        (flex_pool(), {"cloud.google.com/gke-flex-start": "true"}, []),
        (spot(), {"cloud.google.com/gke-spot": "true", "cloud.google.com/gke-provisioning": "spot"}, []),
        (
            reserved("projects/p/reservations/their-own/reservationBlocks/b"),
            {"cloud.google.com/reservation-name": "their-own"},
            [],
        ),
        (queued(), {}, ["cloud.google.com/gke-queued"]),
        (l4_pool(), {"cloud.google.com/gke-provisioning": "standard"}, []),
    ],
)
async def test_nodes_carry_the_labels_and_taints_of_their_mode(
    gke: Gke, pool: dict[str, Any], labels: dict[str, str], taints: list[str]
) -> None:
    await gke.create(**pool)
    made = gke.api.cloud.pools["mm-pool"]
    shown = template.node_labels(made, made.want("us-central1-a"), "node")
    modes = {key for key in shown if key.endswith(("gke-spot", "gke-flex-start", "reservation-name"))}
    assert labels.items() <= shown.items()
    assert modes == {key for key in labels if not key.endswith("provisioning")}
    assert [taint["key"] for taint in template.node_taints(made)] == ["nvidia.com/gpu", *taints]
