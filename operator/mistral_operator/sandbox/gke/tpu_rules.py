"""What GKE accepts for TPU node pools, beyond the rules for all pools. Texts are Google's where they are known.

A TPU machine by itself is a single-host slice: its topology follows from its type, and its pool has any size. A
multi-host slice is a pool of its own: compact placement with a topology in one zone, or a workload policy (TPU7x), and
either no node or all of them.
"""

from typing import Any

from google.cloud import container_v1

from .errors import invalid
from .machines import MachineType
from .pools import LocationPolicy, slice_hosts

PlacementType = container_v1.NodePool.PlacementPolicy.Type

# Google's spelling.
SINGLE_HOST = (
    "TPU topology can't be specified with single-host TPU slice pool; please remove the tpu_topology from the node "
    "pool creation request if the node pool is intented to run with single-host TPU slice nodes."
)


def check_topology(machine: MachineType, policy: Any) -> None:
    """A placement policy fits the machine type: a slice of several hosts has a topology, nothing else has one."""
    topology, compact = policy.tpu_topology, policy.type_ == PlacementType.COMPACT
    if not machine.chips:
        if topology and topology != machine.policy_topology:
            raise invalid(f"TPU topology {topology} can't be specified: machine type {machine.name} has no TPUs.")
        return
    # Without a policy such a pool is created all the same, and fails: see placement.py.
    fails_later = machine.policy == "slices" and not policy.policy_name
    if topology == machine.topology or (not topology and (policy.policy_name or (compact and not fails_later))):
        raise invalid(SINGLE_HOST)
    if topology and topology not in machine.slice_topologies:
        offered = ", ".join((f"{machine.topology} (single-host)", *machine.slice_topologies))
        raise invalid(f"Unsupported TPU configuration: {machine.name} with topology {topology}. It has {offered}.")
    if topology and not compact and not machine.policy:
        raise invalid(f"TPU topology {topology} needs placement_policy.type COMPACT with machine type {machine.name}.")


def check_first_size(pool: Any) -> None:
    """A new slice starts whole, or with no host where the autoscaler brings them; other pools pass."""
    hosts = slice_hosts(pool)
    if hosts and (pool.initial_node_count or not pool.autoscaling.enabled):
        _check_count("Initial node count", pool.initial_node_count, hosts, pool)


def check_slice_size(pool: Any, size: int) -> None:
    """A slice has all of its hosts or none; other pools pass."""
    if size and (hosts := slice_hosts(pool)):
        _check_count("Node count", size, hosts, pool)


def check_slice_bounds(pool: Any, bounds: Any) -> None:
    """Bounds of a slice's autoscaling: 0 and all hosts, for the zone, location policy ANY; other pools pass."""
    hosts = slice_hosts(pool)
    if not hosts:
        return
    # Totals leave this one at 0, and it is this one that is looked at.
    _check_count("Maximum node count", bounds.max_node_count, hosts, pool)
    if bounds.min_node_count:
        topology = pool.placement_policy.tpu_topology
        raise invalid(
            f"Minimum node count {bounds.min_node_count} must be 0 for TPU pod slice with topology {topology}"
        )
    if bounds.location_policy != LocationPolicy.ANY:
        raise invalid("Autoscaling of a multi-host TPU slice node pool needs location_policy ANY.")


def check_slice_move(pool: Any, zones: Any) -> None:
    """A slice stays where it is; other pools pass."""
    if slice_hosts(pool) and list(zones) != list(pool.locations):
        raise invalid("The locations of a multi-host TPU slice node pool can't be changed; create another node pool.")


def _check_count(what: str, count: int, hosts: int, pool: Any) -> None:
    if count != hosts:
        topology = pool.placement_policy.tpu_topology
        raise invalid(f"{what} {count} is not a valid size of TPU pod slice with topology {topology}")
