"""Reserved machines: who gets them, and what Compute Engine says where there are none."""

from typing import Any

import pytest
from google.cloud import container_v1
from tests.support.polling import eventually
from tests.support.simulated_gke import Gke, Start, fixed_pool, l4_pool, slice_pool

from mistral_operator.sandbox.gke.events import failed_scale_up
from mistral_operator.sandbox.gke.scenario import Reservation

ZONE = "us-central1-a"
MINE = {"name": "mine", "machine_type": "g2-standard-12", "zone": ZONE, "count": 2}
IMPATIENT = {"resize_give_up": 100, "resize_retry": 50}
Status = container_v1.NodePool.Status


def reserved(size: int, reservation: str = "mine", **changes: Any) -> dict[str, Any]:
    affinity = {
        "consume_reservation_type": "SPECIFIC_RESERVATION",
        "key": "compute.googleapis.com/reservation-name",
        "values": [reservation],
    }
    return fixed_pool(size, config={"reservation_affinity": affinity, **changes.pop("config", {})}, **changes)


def consuming(kind: str, size: int = 1) -> dict[str, Any]:
    return fixed_pool(size, config={"reservation_affinity": {"consume_reservation_type": kind}})


def free(gke: Gke) -> list[int]:
    return [reservation.free for reservation in gke.api.inventory.reservations()]


@pytest.mark.parametrize(
    ("change", "named", "code", "text"),
    [
        (
            {},
            "other",
            "RESERVATION_NOT_FOUND",
            "Specified reservations [projects/sandbox-project/zones/us-central1-a/reservations/other] do not exist.",
        ),
        ({"zone": "us-central1-b"}, "mine", "RESERVATION_NOT_FOUND", "reservations/mine] do not exist."),
        ({"status": "CREATING"}, "mine", "RESERVATION_NOT_READY", "it requires reservation to be in READY state"),
        (
            {"in_use": 2},
            "mine",
            "RESERVATION_CAPACITY_EXCEEDED",
            "zones/us-central1-a/reservations/mine' does not have available resources for the request.",
        ),
        (
            {"machine_type": "g2-standard-24"},
            "mine",
            "RESERVATION_INCOMPATIBLE",
            "No available resources in specified reservations",
        ),
        (
            {"project": "theirs", "shared": False},
            "projects/theirs/reservations/mine",
            "INVALID_RESERVATION",
            "The reservation must exist in the same project as the instance",
        ),
    ],
)
async def test_a_reservation_that_cannot_be_used_fails_the_operation(
    start: Start, change: dict[str, Any], named: str, code: str, text: str
) -> None:
    gke = await start(reservations=[MINE | change], delays_s=IMPATIENT)
    operation = await gke.done(await gke.create(**reserved(1, named)))
    assert f"Current errors: [{code}]: Instance 'gke-" in operation.error.message
    assert text in operation.error.message
    pool = await gke.pool()
    assert (pool.status, pool.conditions[0].message) == (Status.ERROR, operation.error.message)
    assert (gke.nodes_of(), len(pool.conditions)) == ([], 1)


async def test_reserved_machines_are_counted_and_no_others_given(start: Start) -> None:
    gke = await start(reservations=[MINE], delays_s=IMPATIENT)
    operation = await gke.done(await gke.create(**reserved(3)))
    assert "Expected 3, running 2, transitioning 1. Current errors: [RESERVATION_CAPACITY_EXCEEDED]" in (
        operation.error.message
    )
    assert ((await gke.pool()).status, free(gke)) == (Status.RUNNING_WITH_ERROR, [0])


async def test_a_reservation_that_gets_ready_in_time_is_used(start: Start) -> None:
    gke = await start(reservations=[MINE | {"status": "CREATING"}], delays_s={"resize_retry": 20})
    operation = await gke.create(**reserved(2))
    pool = gke.api.cloud.pools["mm-pool"]
    seen: set[str] = set()
    await eventually(lambda: seen.update(pool.instances) or len(seen) > 2, message="a second attempt")
    gke.api.warehouse.reservations.put(Reservation(**MINE))
    assert (await gke.done(operation)).error.message == ""
    assert free(gke) == [0]


async def test_a_shared_reservation_of_another_project(start: Start) -> None:
    gke = await start(reservations=[MINE | {"project": "theirs"}])
    named = "projects/theirs/reservations/mine"
    assert (await gke.done(await gke.create(**reserved(2, named)))).error.message == ""
    assert free(gke) == [0]
    other = await gke.done(await gke.create(**reserved(1, "mine", name="mm-own")))
    assert "[RESERVATION_NOT_FOUND]" in other.error.message


async def test_a_slice_takes_all_of_its_hosts_from_a_reservation_or_none(start: Start) -> None:
    tpus = {"name": "mine", "machine_type": "ct6e-standard-4t", "zone": ZONE, "count": 3}
    gke = await start(reservations=[tpus], delays_s=IMPATIENT)
    config = reserved(0)["config"] | {"machine_type": "ct6e-standard-4t", "accelerators": []}
    operation = await gke.done(await gke.create(**slice_pool(config=config)))
    assert "Expected 4, running 0, transitioning 4. Current errors: [RESERVATION_CAPACITY_EXCEEDED]" in (
        operation.error.message
    )
    assert (gke.nodes_of(), free(gke)) == ([], [3])


async def test_a_lost_machine_comes_from_the_reservation_again(start: Start) -> None:
    gke = await start(reservations=[MINE])
    await gke.done(await gke.create(**reserved(2)))
    pool = gke.api.cloud.pools["mm-pool"]
    first = next(iter(pool.instances.values()))
    await gke.api.lose(pool, first, gke.api.fleet.crash)
    await eventually(lambda: len(gke.nodes_of()) == 2 and first.name not in gke.nodes_of(), message="two again")
    assert free(gke) == [0]


@pytest.mark.parametrize(
    ("kind", "open_to_all", "left", "error"),
    [
        ("ANY_RESERVATION", True, 0, ""),
        ("ANY_RESERVATION", False, 2, ""),
        ("UNSPECIFIED", True, 0, ""),
        ("NO_RESERVATION", True, 2, ""),
        ("ANY_RESERVATION_THEN_FAIL", True, 0, "[RESERVATION_INCOMPATIBLE]"),
        ("ANY_RESERVATION_THEN_FAIL", False, 2, "[RESERVATION_INCOMPATIBLE]"),
    ],
)
async def test_reservations_open_to_all_go_first(
    start: Start, kind: str, open_to_all: bool, left: int, error: str
) -> None:
    gke = await start(reservations=[MINE | {"specific": not open_to_all}], delays_s=IMPATIENT)
    operation = await gke.done(await gke.create(**consuming(kind, 3)))
    assert error in operation.error.message
    assert bool(operation.error.message) == bool(error)
    assert free(gke) == [left]


async def test_foreign_pools_may_run_on_a_reservation(start: Start) -> None:
    foreign = {"name": "theirs", "machine_type": "g2-standard-12", "nodes": 1, "reservation": "mine", "zones": [ZONE]}
    gke = await start(reservations=[MINE], foreign_pools=[foreign])
    assert free(gke) == [1]
    await gke.client.delete_node_pool(name=gke_path("theirs"))
    await eventually(lambda: free(gke) == [2], message="it is given back")


def gke_path(pool: str) -> str:
    return f"projects/sandbox-project/locations/us-central1/clusters/sandbox/nodePools/{pool}"


async def test_an_autoscaled_pool_is_created_whatever_its_reservation(start: Start) -> None:
    gke = await start()
    config = reserved(0, "nowhere")["config"]
    assert (await gke.done(await gke.create(**l4_pool(config=config)))).error.message == ""
    text = failed_scale_up([ZONE], ["RESERVATION_NOT_FOUND"])
    assert "associated with this pod failed: GCE error RESERVATION_NOT_FOUND. Pod is at risk" in text
