"""Workload policies of node pools: TPU7x slices and GB200/GB300 domains are placed by them, and by nothing else."""

from typing import Any

import grpc
from google.cloud import container_v1

from .errors import Failure, invalid
from .machines import MachineType, machine_types
from .policies import Policies
from .scenario import WorkloadPolicy

PlacementType = container_v1.NodePool.PlacementPolicy.Type


def resolve_placement(pool: Any, policies: Policies) -> None:
    """Fill in what the policy says that a new pool's message names; RpcError if it doesn't fit.

    GKE was seen to keep policy_name and tpu_topology of such a pool, and no type.
    """
    placement, machine = pool.placement_policy, machine_types().get(pool.config.machine_type)
    if not placement.policy_name or machine is None:
        return
    policy = policies.find(placement.policy_name)
    if policy is None:
        raise invalid(f'Resource policy "{placement.policy_name}" was not found in the region of the cluster.')
    if machine.chips and machine.policy != "slices":
        raise invalid(f"Machine type {machine.name} can't be placed by a workload policy.")
    if machine.policy:
        placement.tpu_topology = _topology(machine, policy, placement.tpu_topology)
        placement.type_ = PlacementType.TYPE_UNSPECIFIED


def unsupported_placement(machine: MachineType, pool: Any) -> Failure | None:
    """What Compute Engine answers to the instance group of a pool that should have named a workload policy."""
    placement = pool.placement_policy
    placed = placement.tpu_topology or placement.type_ == PlacementType.COMPACT
    if placement.policy_name or not (machine.policy == "always" or (machine.policy and placed)):
        return None
    return Failure(
        grpc.StatusCode.INVALID_ARGUMENT,
        f"Google Compute Engine: Creation of a managed instance group with {machine.name} machine type with placement "
        "policy is not supported. Use workload policy instead.",
        "UNKNOWN",
    )


def check_domain(machine: MachineType, pool: Any) -> None:
    """A pool within one NVLink domain: no autoscaler, and not more machines than that has; other pools pass."""
    if not machine.domain_hosts:
        return
    if pool.autoscaling.enabled:
        raise invalid(f"Node pools of machine type {machine.name} have a fixed size: autoscaling can't be enabled.")
    check_domain_size(machine, pool.initial_node_count)


def check_domain_size(machine: MachineType, size: int) -> None:
    """The pool's new size; other pools pass."""
    if machine.domain_hosts and size > machine.domain_hosts:
        raise invalid(
            f"Node count {size} is more than the {machine.domain_hosts} machines of one NVLink domain "
            f"({machine.policy_topology}) of machine type {machine.name}."
        )


def _topology(machine: MachineType, policy: WorkloadPolicy, asked: str) -> str:
    """The topology of a pool under a policy; what the two say must be the same."""
    if policy.type != "HIGH_THROUGHPUT":
        raise invalid(
            f'Workload policy "{policy.name}" is {policy.type}; machine type {machine.name} needs HIGH_THROUGHPUT.'
        )
    topology = asked or policy.accelerator_topology
    if policy.accelerator_topology not in ("", topology):
        raise invalid(
            f'TPU topology {asked} doesn\'t match workload policy "{policy.name}", which has '
            f"{policy.accelerator_topology}."
        )
    if machine.policy_topology and topology != machine.policy_topology:
        raise invalid(
            f"Machine type {machine.name} needs topology {machine.policy_topology}, not {topology or 'none'}."
        )
    return topology
