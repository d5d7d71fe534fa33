"""Pools that are bought as flex-start or out of a reservation: what GKE is asked for, and what is recognised of it."""

from dataclasses import replace
from typing import Any

import pytest
from tests.support.claim_cases import CHAT, NOW, SETTINGS, a_claim, a_failure, pool_of

from mistral_operator.api.claim import MAX_RUN_DURATION_S, NodePoolClaim
from mistral_operator.capacity.claims.node_facts import find_node_facts
from mistral_operator.capacity.claims.sync import sync_claim
from mistral_operator.capacity.claims.types import Call, ClaimOutcome, CreatePool, Seen
from mistral_operator.capacity.pools import NodeFacts, differences, is_surely_own, pool_spec, shape_hash
from mistral_operator.capacity.port import PoolStatus, PoolView
from mistral_operator.capacity.provisioners.container_api import node_pool, pool_view
from mistral_operator.catalogue.load import load_catalogue
from mistral_operator.planning.modes import LONGEST_FLEX_START_S

CATALOGUE = load_catalogue()
SLICE = {
    "shape": {
        "machineType": "ct6e-standard-4t",
        "accelerator": {"type": "tpu-v6e-slice", "count": 4},
        "topology": "4x4",
        "hosts": 4,
    },
    "model": "mix",
    "slice": {"group": "ct6e-standard-4t-res-0123456789", "number": 0},
}
DAY_S = 86_400
PATH = "projects/p/zones/us-central1-a/reservations/team-gpus"


def flexible(run_s: int = MAX_RUN_DURATION_S) -> NodePoolClaim:
    return a_claim(consumption="FlexStart", terms={"maxRunDurationSeconds": run_s})


def reserved(name: str = "team-gpus", **terms: Any) -> NodePoolClaim:
    return a_claim(consumption="Reservation", terms={"reservation": name, **terms})


def message_of(claim: NodePoolClaim, facts: NodeFacts | None = None, zone: str = "us-central1-a") -> Any:
    """What GKE is asked for."""
    return node_pool(pool_spec(claim, total_max=3, facts=facts or NodeFacts(), cluster_uid="c", zone=zone))


def seen_of(claim: NodePoolClaim) -> PoolView:
    """The same pool as GKE tells of it."""
    return replace(pool_view(message_of(claim)), status=PoolStatus.RUNNING)


def decide(claim: NodePoolClaim, **seen: Any) -> ClaimOutcome:
    return sync_claim(claim, Seen(users=(CHAT,), **seen), SETTINGS, NOW)


def ready_of(outcome: ClaimOutcome) -> dict[str, str]:
    assert outcome.status is not None
    return next(found for found in outcome.status["conditions"] if found["type"] == "Ready")


def on_machine(claim: NodePoolClaim, machine_type: str, accelerator: str, count: int) -> NodePoolClaim:
    shape = {"machineType": machine_type, "accelerator": {"type": accelerator, "count": count}}
    return a_claim(consumption=claim.spec.consumption.value, terms={"shape": shape})


def test_a_flex_start_pool_starts_empty_and_is_never_repaired() -> None:
    message = message_of(flexible())
    config = message.config
    assert config.flex_start
    assert config.max_run_duration.total_seconds() == 7 * DAY_S
    assert config.reservation_affinity.consume_reservation_type.name == "NO_RESERVATION"
    assert not config.spot
    assert message.initial_node_count == 0
    scaling = message.autoscaling
    assert (scaling.enabled, scaling.total_min_node_count, scaling.total_max_node_count) == (True, 0, 3)
    assert scaling.location_policy.name == "ANY"
    assert not message.management.auto_repair
    assert message.upgrade_settings.strategy.name == "SHORT_LIVED"


def test_planner_and_claim_know_the_same_longest_run() -> None:
    assert LONGEST_FLEX_START_S == MAX_RUN_DURATION_S
    assert message_of(a_claim(consumption="FlexStart")) == message_of(flexible()), "a claim that doesn't say how long"


@pytest.mark.parametrize("name", ["team-gpus", "projects/other-project/reservations/team-gpus"])
def test_a_reserved_pool_names_its_reservation_and_surges_beyond_nothing(name: str) -> None:
    message = message_of(reserved(name))
    affinity = message.config.reservation_affinity
    assert affinity.consume_reservation_type.name == "SPECIFIC_RESERVATION"
    assert affinity.key == "compute.googleapis.com/reservation-name"
    assert list(affinity.values) == [name]
    settings = message.upgrade_settings
    assert (settings.strategy.name, settings.max_surge, settings.max_unavailable) == ("SURGE", 0, 1)
    assert message.management.auto_repair
    assert not message.config.flex_start


@pytest.mark.parametrize("consumption", ["OnDemand", "Spot"])
def test_other_pools_are_asked_for_as_before(consumption: str) -> None:
    message = message_of(a_claim(consumption=consumption))
    assert message.config.spot == (consumption == "Spot")
    assert not message.config.reservation_affinity.consume_reservation_type
    assert not message.config.max_run_duration
    settings = message.upgrade_settings
    assert (settings.strategy.name, settings.max_surge, settings.max_unavailable) == ("SURGE", 1, 0)


def test_a_slice_comes_whole_out_of_a_reservation() -> None:
    message = message_of(reserved(**SLICE))
    assert list(message.config.reservation_affinity.values) == ["team-gpus"]
    assert message.initial_node_count == 4
    assert message.placement_policy.tpu_topology == "4x4"


def test_a_slice_may_be_spot() -> None:
    message = message_of(a_claim(consumption="Spot", terms=SLICE))
    assert (message.config.spot, message.initial_node_count) == (True, 4)


@pytest.mark.parametrize(
    ("claim", "words"),
    [
        (a_claim(consumption="FlexStart", terms=SLICE), "write Spot"),
        (a_claim(consumption="Reservation"), "write spec.reservation"),
        (a_claim(terms={"reservation": "team-gpus"}), "write Reservation"),
    ],
)
def test_a_claim_that_no_pool_can_keep_is_refused(claim: NodePoolClaim, words: str) -> None:
    outcome = decide(claim)
    ready = ready_of(outcome)
    assert outcome.action is None
    assert (ready["status"], ready["reason"]) == ("False", "InvalidClaim")
    assert words in ready["message"]


@pytest.mark.parametrize("claim", [flexible(), flexible(DAY_S), reserved(), reserved(**SLICE), a_claim()])
def test_a_pool_comes_back_as_it_was_asked_for(claim: NodePoolClaim) -> None:
    pool = seen_of(claim)
    assert differences(pool, claim) == ()
    assert is_surely_own(pool, claim.metadata.name, "c")
    spec = pool_spec(claim, total_max=3, facts=NodeFacts(), cluster_uid="c", zone="us-central1-a")
    assert pool == pool_of(spec)


@pytest.mark.parametrize(
    ("pool", "claim", "words"),
    [
        (seen_of(flexible()), a_claim(), "flex-start is True, not False"),
        (seen_of(a_claim()), flexible(), "flex-start is False, not True"),
        (seen_of(flexible(DAY_S)), flexible(), "maximum run duration is 86400 s, not 604800 s"),
        (seen_of(reserved("others")), reserved(), "reservation is others, not team-gpus"),
        (seen_of(a_claim()), reserved(), "reservation is absent, not team-gpus"),
        (seen_of(reserved()), a_claim(), "reservation is team-gpus, not absent"),
    ],
)
def test_a_pool_that_is_bought_otherwise_is_reported_and_left_alone(
    pool: PoolView, claim: NodePoolClaim, words: str
) -> None:
    assert words in differences(pool, claim)
    outcome = decide(claim, pool=pool)
    assert outcome.action is None
    assert ready_of(outcome)["reason"] == "PoolDiffers"
    relabelled = replace(pool, resource_labels=dict(message_of(claim).config.resource_labels))
    assert not is_surely_own(relabelled, claim.metadata.name, "c")


def test_shapes_that_are_bought_differently_are_different() -> None:
    claims = (a_claim(), a_claim(consumption="Spot"), flexible(), flexible(DAY_S), reserved(), reserved("others"))
    assert len({shape_hash(claim) for claim in claims}) == len(claims)


def test_the_shape_of_earlier_pools_is_what_it_was() -> None:
    """Pools of version 0.1.0 carry these; another hash would make orphans of them."""
    assert shape_hash(a_claim()) == "ab51b57641"


@pytest.mark.parametrize(
    ("text", "reason", "command"),
    [
        (
            f"Specified reservations [{PATH}] do not exist.",
            "ReservationNotFound",
            "gcloud compute reservations list --project p",
        ),
        (
            f"Specified reservation '{PATH}' does not have available resources for the request.",
            "ReservationExhausted",
            "gcloud compute reservations update team-gpus --zone us-central1-a --project p --vm-count COUNT",
        ),
        (
            f"No available resources in specified reservations [{PATH}].",
            "ReservationIncompatible",
            "gcloud compute reservations describe team-gpus --zone us-central1-a --project p",
        ),
        (
            "[INVALID_RESERVATION] projects/p/reservations/team-gpus",
            "InvalidReservation",
            "gcloud compute reservations update team-gpus --zone ZONE --project p --add-share-with team-project",
        ),
        ("RESERVATION_NOT_FOUND", "ReservationNotFound", "gcloud compute reservations list --project team-project"),
    ],
)
def test_what_a_reservation_lacks_is_told_with_the_command_that_mends_it(text: str, reason: str, command: str) -> None:
    outcome = decide(reserved(), failures=(a_failure(Call.CREATE, text),))
    assert outcome.status is not None
    assert (outcome.action, outcome.status["state"]) == (None, "Failed")
    ready = ready_of(outcome)
    assert ready["reason"] == reason
    assert text in ready["message"]
    assert command in ready["message"]


def test_a_reservation_that_is_being_made_is_waited_for() -> None:
    path = "projects/p/zones/us-central1-a/reservations/r"
    text = f"Cannot use reservation '{path}', it requires reservation to be in READY state."
    outcome = decide(reserved(), failures=(a_failure(Call.CREATE, text),))
    assert outcome.status is not None
    assert outcome.status["state"] == "Provisioning"
    assert "gcloud compute reservations describe r --zone us-central1-a --project p" in ready_of(outcome)["message"]
    assert isinstance(decide(reserved(), failures=(a_failure(Call.CREATE, text, wait_s=-1),)).action, CreatePool)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "Flex-start with g2-standard-12 needs GKE version 1.32.2-gke.1652000 or later.",
            "gcloud container clusters upgrade serving --location us-central1 --project team-project --master",
        ),
        ("Machine type g2-standard-12 is not supported with flex-start.", "Write another consumption"),
    ],
)
def test_what_flex_start_lacks_is_told_with_what_to_do(text: str, words: str) -> None:
    outcome = decide(flexible(), failures=(a_failure(Call.CREATE, text, code="INVALID_ARGUMENT"),))
    assert words in ready_of(outcome)["message"]


@pytest.mark.parametrize(
    ("machine_type", "accelerator", "count", "disk", "local_ssds"),
    [
        ("g2-standard-12", "nvidia-l4", 1, "pd-balanced", 0),
        ("a2-ultragpu-2g", "nvidia-a100-80gb", 2, "pd-balanced", 2),
        ("a3-highgpu-8g", "nvidia-h100-80gb", 8, "pd-balanced", 16),
        ("a4-highgpu-8g", "nvidia-b200", 8, "hyperdisk-balanced", 32),
        ("g4-standard-48", "nvidia-rtx-pro-6000", 1, "hyperdisk-balanced", 0),
    ],
)
def test_disks_are_those_that_the_catalogue_says_the_machine_takes(
    machine_type: str, accelerator: str, count: int, disk: str, local_ssds: int
) -> None:
    claim = on_machine(a_claim(consumption="Spot"), machine_type, accelerator, count)
    facts = find_node_facts(CATALOGUE, {}, claim)
    config = message_of(claim, facts).config
    assert config.disk_type == disk
    assert ("ephemeral_storage_local_ssd_config" in config) == bool(local_ssds)
    assert config.ephemeral_storage_local_ssd_config.local_ssd_count == local_ssds
    assert config.disk_size_gb == 200 + (0 if local_ssds else facts.accelerator_memory_gib)


def test_a_tpu_that_takes_no_persistent_disk_gets_a_hyperdisk() -> None:
    shape = {
        "machineType": "tpu7x-standard-4t",
        "accelerator": {"type": "tpu7x", "count": 4},
        "topology": "2x2x1",
    }
    claim = a_claim(terms={"shape": shape})
    assert message_of(claim, find_node_facts(CATALOGUE, {}, claim)).config.disk_type == "hyperdisk-balanced"


def test_every_pool_has_what_engines_and_gke_need() -> None:
    message = message_of(a_claim())
    config = message.config
    assert config.gvnic.enabled
    assert config.gcfs_config.enabled
    assert config.workload_metadata_config.mode.name == "GKE_METADATA"
    assert config.accelerators[0].gpu_driver_installation_config.gpu_driver_version.name == "DEFAULT"
    assert message.max_pods_constraint.max_pods_per_node == 32


def test_a_reserved_machine_costs_what_it_costs_on_demand() -> None:
    on_demand = find_node_facts(CATALOGUE, {}, a_claim()).hourly_price
    assert on_demand is not None
    assert find_node_facts(CATALOGUE, {}, reserved()).hourly_price == on_demand
    assert find_node_facts(CATALOGUE, {}, flexible()).hourly_price is None
