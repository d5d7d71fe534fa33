"""What GKE accepts for node pools. Functions raise RpcError; texts are Google's where they are known."""

import re
from collections.abc import Sequence
from typing import Any

from google.cloud import container_v1

from .errors import invalid
from .hardware_rules import check_accelerators, check_hardware
from .label_rules import check_labels, check_resource_labels, check_taints
from .machines import MachineType, is_at_least, machine_types
from .mode_rules import (
    LONGEST_RUN_S,
    check_mode_bounds,
    check_modes,
    check_run_duration,
    check_upgrade_settings,
)
from .placement import check_domain, check_domain_size
from .pools import LocationPolicy, NodePoolPb, slice_hosts
from .scenario import Scenario
from .tpu_rules import check_first_size, check_slice_bounds, check_slice_move, check_slice_size, check_topology
from .upgrade_rules import check_exclusion, check_upgrades

POOL_NAME = re.compile(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?")
MOST_NODES = 1000
BoundsPb = container_v1.NodePoolAutoscaling.pb()
Strategy = container_v1.NodePoolUpdateStrategy


def check_new_pool(scenario: Scenario, pool: Any) -> None:
    """A CreateNodePool request's pool; its locations are filled in already."""
    if not POOL_NAME.fullmatch(pool.name):
        raise invalid(
            f'Invalid value for field "node_pool.name": "{pool.name}". A name has at most 40 characters: '
            "lower-case letters, digits and hyphens; it starts with a letter and doesn't end with a hyphen."
        )
    machine = check_machine(scenario, pool.config.machine_type, pool.locations)
    check_version(scenario, machine, pool.version)
    check_accelerators(machine, pool.config)
    check_hardware(machine, pool)
    check_labels(pool.config.labels)
    check_taints(pool.config.taints)
    check_resource_labels(pool.config.resource_labels)
    check_modes(machine, pool)
    check_upgrades(scenario, pool)
    check_shape(machine, pool)


def check_update(scenario: Scenario, pool: Any, request: Any) -> None:
    """An UpdateNodePool request's fields, those that mean something here."""
    if request.HasField("labels"):
        check_labels(request.labels.labels)
    if request.HasField("taints"):
        check_taints(request.taints.taints)
    if request.HasField("resource_labels"):
        check_resource_labels(request.resource_labels.labels)
    if request.HasField("upgrade_settings"):
        check_upgrade_settings(pool, request.upgrade_settings)
    if request.HasField("max_run_duration"):
        check_run_duration(pool, request.max_run_duration)
    check_exclusion(scenario, request.maintenance_policy)
    zones = list(request.locations or pool.locations)
    machine = check_machine(scenario, pool.config.machine_type, zones)
    if request.node_version:
        check_version(scenario, machine, request.node_version)
    check_placement(pool, zones)
    check_slice_move(pool, zones)


def check_shape(machine: MachineType, pool: Any) -> None:
    """A new pool's placement, bounds and first size; its defaults are filled in already."""
    check_topology(machine, pool.placement_policy)
    check_placement(pool, pool.locations)
    if pool.autoscaling.enabled:
        check_autoscaling(pool, pool.autoscaling)
    check_domain(machine, pool)
    check_first_size(pool)
    check_size(pool.initial_node_count, pool)


def check_locations(scenario: Scenario, zones: Sequence[str]) -> None:
    """A pool's zones are zones of the cluster."""
    for zone in zones:
        if zone not in scenario.zones:
            raise invalid(
                f'Invalid value for field "node_pool.locations": "{zone}" is not a zone of the cluster '
                f"({', '.join(scenario.zones)})."
            )
    if len(set(zones)) != len(zones):
        raise invalid('Invalid value for field "node_pool.locations": duplicate zones.')


def check_machine(scenario: Scenario, name: str, zones: Sequence[str]) -> MachineType:
    """The machine type exists in every zone."""
    check_locations(scenario, zones)
    machine = machine_types().get(name)
    for zone in zones:
        if machine is None or not machine.offered_in(zone):
            raise invalid(f"Machine type with name '{name}' does not exist in zone '{zone}'.")
    if machine is None:
        raise invalid(f"Machine type with name '{name}' does not exist.")
    return machine


def check_version(scenario: Scenario, machine: MachineType, version: str) -> None:
    """Nodes are not newer than the control plane, and new enough for their machine type."""
    try:
        newer = not is_at_least(scenario.version, version)
    except ValueError as error:
        raise invalid(f"Node version {error}.") from error
    if newer:
        raise invalid(
            f'Node version "{version}" must not have a greater version than "{scenario.version}" of the master.'
        )
    if machine.min_version and not is_at_least(version, machine.min_version):
        raise invalid(f"Machine type {machine.name} needs GKE version {machine.min_version} or later, not {version}.")


def check_bounds(pool: Any, bounds: Any) -> None:
    """A pool's new autoscaling, which may be none."""
    check_mode_bounds(pool, bounds)
    if bounds.enabled:
        check_autoscaling(pool, bounds)
        machine = machine_types()[pool.config.machine_type]
        if machine.domain_hosts:
            raise invalid(f"Node pools of machine type {machine.name} have a fixed size: autoscaling can't be enabled.")


def check_autoscaling(pool: Any, bounds: Any) -> None:
    """Per-zone bounds or totals, never both; 0 ≤ min ≤ max, 1 ≤ max; those of a slice are its size."""
    check_slice_bounds(pool, bounds)
    totals = bounds.total_min_node_count or bounds.total_max_node_count
    zonal = bounds.min_node_count or bounds.max_node_count
    if totals and zonal:
        raise invalid(
            "Node pool autoscaling: total_min_node_count and total_max_node_count can't be used together with "
            "min_node_count and max_node_count."
        )
    low, high = bounds.min_node_count, bounds.max_node_count
    if totals:
        low, high = bounds.total_min_node_count, bounds.total_max_node_count
    if low < 0 or high < low:
        raise invalid(f"Node pool autoscaling: minimum {low} must be at least 0 and not greater than maximum {high}.")
    if high < 1:
        raise invalid(f"Node pool autoscaling: maximum node count {high} must be at least 1.")
    if high > MOST_NODES and not slice_hosts(pool):
        raise invalid(f"Node pool autoscaling: maximum node count {high} must be at most {MOST_NODES}.")


def check_size(per_zone: int, pool: Any) -> None:
    """A size (nodes in each zone) that fits the pool's autoscaling bounds; size 0 is always good."""
    most = slice_hosts(pool) or MOST_NODES
    check_slice_size(pool, per_zone)
    if per_zone < 0 or per_zone > most:
        raise invalid(f"Invalid node count {per_zone}: it must be between 0 and {most}.")
    check_domain_size(machine_types()[pool.config.machine_type], per_zone)
    bounds = pool.autoscaling
    if not bounds.enabled or per_zone == 0:
        return
    high = bounds.total_max_node_count or bounds.max_node_count * len(pool.locations)
    if per_zone * len(pool.locations) > high:
        raise invalid(f"Initial node count {per_zone} is outside of the autoscaling bounds (at most {high} nodes).")


def check_placement(pool: Any, zones: Sequence[str]) -> None:
    """Machines that stand close together stand in one zone."""
    if len(zones) == 1:
        return
    if pool.placement_policy.type_ == container_v1.NodePool.PlacementPolicy.Type.COMPACT:
        raise invalid("Compact placement needs a node pool in exactly one zone.")
    if pool.placement_policy.policy_name:
        raise invalid("A workload policy needs a node pool in exactly one zone.")


def default_pool(pool: Any, scenario: Scenario) -> Any:
    """A copy of the request's pool with what GKE fills in by itself."""
    full = NodePoolPb()
    full.CopyFrom(pool)
    if not full.locations:
        full.locations.extend(scenario.zones)
    full.config.machine_type = full.config.machine_type or "e2-medium"
    full.config.disk_size_gb = full.config.disk_size_gb or 100
    full.config.image_type = full.config.image_type or "COS_CONTAINERD"
    full.max_pods_constraint.max_pods_per_node = full.max_pods_constraint.max_pods_per_node or 110
    full.version = full.version or scenario.version
    if full.autoscaling.enabled:
        full.autoscaling.CopyFrom(default_bounds(full.autoscaling, full))
    if full.config.flex_start:
        if not full.config.HasField("max_run_duration"):
            full.config.max_run_duration.seconds = LONGEST_RUN_S
        full.upgrade_settings.strategy = full.upgrade_settings.strategy or Strategy.SHORT_LIVED
    elif not full.HasField("upgrade_settings"):
        full.upgrade_settings.max_surge = 1
    full.upgrade_settings.strategy = full.upgrade_settings.strategy or Strategy.SURGE
    return full


def default_bounds(bounds: Any, pool: Any) -> Any:
    """A copy of a pool's new autoscaling; GKE's location policy, if none is given, is ANY for spot, else BALANCED."""
    full = BoundsPb()
    full.CopyFrom(bounds)
    if full.enabled and not full.location_policy:
        full.location_policy = LocationPolicy.ANY if pool.config.spot else LocationPolicy.BALANCED
    return full
