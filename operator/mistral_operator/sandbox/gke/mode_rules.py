"""What GKE accepts of the ways to get machines: spot, flex-start, queued provisioning, reservations, best effort.

Texts are ours: Google's are not known, except where the rules for placement say otherwise.
"""

import re
from typing import Any

from google.cloud import container_v1

from .errors import invalid
from .machines import MachineType, is_at_least
from .pools import Affinity, LocationPolicy
from .reservations import PATH

Placement = container_v1.NodePool.PlacementPolicy.Type
Strategy = container_v1.NodePoolUpdateStrategy

RESERVATION_KEY = "compute.googleapis.com/reservation-name"
RESERVATION_NAME = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?(/reservationBlocks/.+)?")
LONGEST_RUN_S = 604_800
FLEX_START_GPU = "1.32.2-gke.1652000"
FLEX_START_TPU = "1.33.0-gke.1712000"


def check_modes(machine: MachineType, pool: Any) -> None:
    """A new pool's mode; its defaults are filled in already."""
    _check_spot(pool)
    _check_reservation(pool)
    _check_run_duration(pool)
    if pool.config.flex_start:
        _check_flex_start(machine, pool)
    if pool.queued_provisioning.enabled:
        _check_queued(machine, pool)
    check_best_effort(pool)
    check_management(pool, pool.management)
    check_upgrade_settings(pool, pool.upgrade_settings)


def check_mode_bounds(pool: Any, bounds: Any) -> None:
    """Bounds that flex-start and queued pools must have; other pools pass."""
    for is_on, name in ((pool.config.flex_start, "Flex-start"), (pool.queued_provisioning.enabled, "Queued")):
        if not is_on:
            continue
        if not bounds.enabled:
            raise invalid(f"{name} node pools need autoscaling: autoscaling.enabled must be true.")
        if bounds.location_policy != LocationPolicy.ANY:
            raise invalid(f"{name} node pools need autoscaling.location_policy ANY.")
        if bounds.min_node_count or bounds.total_min_node_count:
            raise invalid(f"{name} node pools need a minimum node count of 0.")


def check_management(pool: Any, management: Any) -> None:
    """Flex-start machines are never repaired."""
    if pool.config.flex_start and management.auto_repair:
        raise invalid("Flex-start node pools can't have auto-repair: management.auto_repair must be false.")


def check_upgrade_settings(pool: Any, settings: Any) -> None:
    """Surge or blue-green, as far as there can be machines for it."""
    blue_green, short_lived = settings.strategy == Strategy.BLUE_GREEN, settings.strategy == Strategy.SHORT_LIVED
    specific = pool.config.reservation_affinity.consume_reservation_type == Affinity.SPECIFIC_RESERVATION
    if blue_green and specific:
        raise invalid(
            "Blue-green upgrades need twice the machines, which a specific reservation doesn't have: use "
            "upgrade_settings.strategy SURGE with max_surge 0 and max_unavailable 1."
        )
    if blue_green and pool.placement_policy.type_ == Placement.COMPACT:
        raise invalid("Blue-green upgrades can't be used with compact placement.")
    if short_lived and not (pool.config.flex_start or pool.queued_provisioning.enabled):
        raise invalid("Upgrade strategy SHORT_LIVED is only for flex-start and queued node pools.")
    if settings.max_surge < 0 or settings.max_unavailable < 0 or settings.max_surge + settings.max_unavailable > 20:
        raise invalid("max_surge and max_unavailable must be at least 0 and together at most 20.")


def check_best_effort(pool: Any) -> None:
    """Pools that may start with fewer machines: no slices, which are whole or nothing."""
    asked = pool.best_effort_provisioning
    if not asked.enabled:
        return
    if pool.placement_policy.tpu_topology:
        raise invalid("Best-effort provisioning can't be used with a multi-host TPU slice node pool.")
    if asked.min_provision_nodes > pool.initial_node_count * len(pool.locations):
        raise invalid(
            f"best_effort_provisioning.min_provision_nodes {asked.min_provision_nodes} is more than the pool's size."
        )


def check_run_duration(pool: Any, duration: Any) -> None:
    """How long the pool's machines may run."""
    seconds = duration.ToTimedelta().total_seconds()
    if seconds <= 0:
        raise invalid(f"config.max_run_duration {seconds:.0f} s must be more than 0.")
    if pool.config.flex_start and seconds > LONGEST_RUN_S:
        raise invalid(
            f"config.max_run_duration {seconds:.0f} s is longer than the {LONGEST_RUN_S} s that flex-start allows."
        )


def _check_spot(pool: Any) -> None:
    config = pool.config
    reservation = config.reservation_affinity.consume_reservation_type
    if not config.spot:
        return
    if reservation not in (Affinity.UNSPECIFIED, Affinity.NO_RESERVATION):
        raise invalid("Spot VMs can't consume reservations: config.spot excludes config.reservation_affinity.")
    if config.preemptible:
        raise invalid("Only one of config.spot and config.preemptible can be true.")
    if config.flex_start:
        raise invalid("Only one of config.spot and config.flex_start can be true.")
    if pool.queued_provisioning.enabled:
        raise invalid("Spot VMs can't be provisioned by queue: config.spot excludes queued_provisioning.")


def _check_reservation(pool: Any) -> None:
    affinity = pool.config.reservation_affinity
    if affinity.consume_reservation_type != Affinity.SPECIFIC_RESERVATION:
        if affinity.key or affinity.values:
            raise invalid("reservation_affinity.key and values are only for SPECIFIC_RESERVATION.")
        return
    if affinity.key != RESERVATION_KEY:
        raise invalid(f'reservation_affinity.key "{affinity.key}" must be "{RESERVATION_KEY}".')
    if len(affinity.values) != 1:
        raise invalid(f"reservation_affinity.values must name one reservation, not {len(affinity.values)}.")
    value = affinity.values[0]
    if not RESERVATION_NAME.fullmatch(value) and not PATH.fullmatch(value):
        raise invalid(f'"{value}" names no reservation: write its NAME, or projects/PROJECT/reservations/NAME.')


def _check_run_duration(pool: Any) -> None:
    if pool.config.HasField("max_run_duration"):
        check_run_duration(pool, pool.config.max_run_duration)


def _check_flex_start(machine: MachineType, pool: Any) -> None:
    minimum = FLEX_START_TPU if machine.chips else FLEX_START_GPU
    if not machine.devices:
        raise invalid(f"Flex-start is for GPUs and TPUs; machine type {machine.name} has none.")
    if not machine.flex_start:
        raise invalid(f"Machine type {machine.name} is not supported with flex-start.")
    if not is_at_least(pool.version, minimum):
        raise invalid(f"Flex-start with {machine.name} needs GKE version {minimum} or later, not {pool.version}.")
    if pool.config.reservation_affinity.consume_reservation_type != Affinity.NO_RESERVATION:
        raise invalid("Flex-start node pools need reservation_affinity.consume_reservation_type NO_RESERVATION.")
    if pool.config.preemptible:
        raise invalid("Only one of config.preemptible and config.flex_start can be true.")
    if pool.initial_node_count:
        raise invalid(f"Flex-start node pools need initial_node_count 0, not {pool.initial_node_count}.")
    check_mode_bounds(pool, pool.autoscaling)
    if machine.gpus and pool.placement_policy.type_ == Placement.COMPACT and not machine.compact_flex_start:
        raise invalid(f"Compact placement can't be used with flex-start on machine type {machine.name}.")


def _check_queued(machine: MachineType, pool: Any) -> None:
    if not machine.queued:
        raise invalid(f"Machine type {machine.name} is not supported with queued provisioning.")
    if pool.config.reservation_affinity.consume_reservation_type != Affinity.NO_RESERVATION:
        raise invalid("Queued node pools need reservation_affinity.consume_reservation_type NO_RESERVATION.")
    if pool.initial_node_count:
        raise invalid(f"Queued node pools need initial_node_count 0, not {pool.initial_node_count}.")
    check_mode_bounds(pool, pool.autoscaling)
    if machine.gpus and pool.placement_policy.type_ == Placement.COMPACT:
        raise invalid("Queued provisioning can't be used with compact placement on GPU node pools.")
