"""What one replica asks of its node besides devices: CPU, memory, shared memory.

GKE keeps a part of every node for itself (its documented brackets), and its own pods take some more; what a container
asks for must stay below the rest, or its pod is never scheduled.
"""

from dataclasses import dataclass

from mistral_operator.api.common import quantity_amount
from mistral_operator.api.pod import PodResources
from mistral_operator.catalogue.accelerator import MachineShape
from mistral_operator.catalogue.engine import Engine
from mistral_operator.catalogue.units import GIB
from mistral_operator.planning.layout import Misfit
from mistral_operator.planning.units import ceil_div, gib_text

RESERVED_MEMORY_BRACKETS = ((4, 25), (4, 20), (8, 10), (112, 6))
"""GKE's reservation: of the first 4 GiB 25 %, of the next 4 GiB 20 % and so on; of everything above 2 %."""
RESERVED_ABOVE_PERCENT = 2
EVICTION_MIB = 100
SYSTEM_PODS_GIB = 1
"""Estimate of what GKE's own pods on a GPU node ask for."""
KERNEL_PERCENT = 3
"""Estimate of the machine's memory that the kernel keeps from the node's capacity."""
CPU_PERCENT = 90
LEAST_CPU_MILLIS = 1000
"""Own estimate: an engine whose scheduler waits for its CPU leaves its device idle."""


@dataclass(frozen=True, slots=True)
class HostRequest:
    """What one replica's container asks for."""

    cpu_millis: int
    """Thousandths of a CPU."""
    memory_gib: int
    shared_memory_bytes: int

    @property
    def cpu(self) -> str:
        """The CPUs as a Kubernetes quantity."""
        return f"{self.cpu_millis}m" if self.cpu_millis % 1000 else str(self.cpu_millis // 1000)


def plan_host(
    engine: Engine, shape: MachineShape, checkpoint_bytes: int, replicas_per_node: int = 1
) -> HostRequest | Misfit:
    """Ask for nearly the whole machine, or an equal part of that, or say that it is too small to run the engine."""
    rule = engine.host
    shared_gib = rule.shared_memory_parallel_gib if shape.total_devices > 1 else rule.shared_memory_gib
    cpu, memory_gib = _leave_to_pods(shape)
    available_gib = memory_gib // replicas_per_node - rule.beside_gib
    processes_gib = rule.base_gib + rule.device_gib * shape.devices + shared_gib
    # A host of several reads only the layers of its own stage.
    read_bytes = ceil_div(checkpoint_bytes, shape.hosts)
    needed_bytes = processes_gib * GIB + read_bytes
    if needed_bytes > available_gib * GIB:
        return Misfit(
            "HostMemoryTooSmall",
            f"loading needs {gib_text(needed_bytes)} of host memory (checkpoint {gib_text(read_bytes)}, processes"
            f" and shared memory {processes_gib} GiB), and {shape.machine_type} leaves {available_gib} of"
            f" {shape.memory_gib} GiB{_name_others(replicas_per_node)}",
        )
    cpu_millis = cpu * 1000 // replicas_per_node - rule.beside_cpu * 1000
    if cpu_millis < LEAST_CPU_MILLIS:
        return Misfit(
            "HostCpuTooSmall",
            f"the engine needs a CPU for itself, and {shape.machine_type} leaves {max(0, cpu_millis)}m of {shape.cpu}"
            f"{_name_others(replicas_per_node)}",
        )
    return HostRequest(cpu_millis, available_gib, shared_gib * GIB)


def _name_others(replicas_per_node: int) -> str:
    return "" if replicas_per_node == 1 else f" for each of the {replicas_per_node} replicas that it holds"


def _leave_to_pods(shape: MachineShape) -> tuple[int, int]:
    """CPUs and GiB for one replica; of a node that is there Kubernetes tells, and its system's pods take some more."""
    if shape.is_node:
        return max(1, shape.cpu - 1), max(0, shape.memory_gib - SYSTEM_PODS_GIB)
    return allocatable_cpu(shape.cpu), allocatable_memory_gib(shape.memory_gib)


def check_pod(asked: PodResources, shape: MachineShape, host: HostRequest) -> Misfit | None:
    """Check that what `spec.pod.resources` replaces of the plan's request still fits on the machine, and together."""
    field = "spec.pod.resources"
    left = {"cpu": host.cpu, "memory": f"{host.memory_gib}Gi"}
    for name, amount in asked.requests.items():
        if name in left and quantity_amount(amount) > quantity_amount(left[name]):
            return Misfit(
                "PodExceedsMachine",
                f"{field}.requests asks for {name} {amount}, and {shape.machine_type} ({shape.cpu} CPUs,"
                f" {shape.memory_gib} GiB) leaves {left[name]} for the engine; write no more, or leave it out",
            )
    requests, limits = {**left, **asked.requests}, {"memory": left["memory"], **asked.limits}
    for name in sorted(requests.keys() & limits.keys()):
        if quantity_amount(requests[name]) > quantity_amount(limits[name]):
            return Misfit(
                "PodResourcesConflict",
                f"{field}.limits gives {name} {limits[name]}, and {requests[name]} are requested on"
                f" {shape.machine_type}; write {field}.requests with {name}: {limits[name]} or less too",
            )
    return None


def allocatable_cpu(cpu: int) -> int:
    """Whole CPUs that one container may ask for."""
    return max(1, min(cpu - 1, cpu * CPU_PERCENT // 100))


def allocatable_memory_gib(memory_gib: int) -> int:
    """Whole GiB that one container may ask for."""
    capacity_mib = memory_gib * 1024 * (100 - KERNEL_PERCENT) // 100
    reserved_mib = 0
    rest_mib = capacity_mib
    for bracket_gib, percent in RESERVED_MEMORY_BRACKETS:
        part_mib = min(rest_mib, bracket_gib * 1024)
        reserved_mib += part_mib * percent // 100
        rest_mib -= part_mib
    reserved_mib += rest_mib * RESERVED_ABOVE_PERCENT // 100
    free_mib = capacity_mib - reserved_mib - EVICTION_MIB - SYSTEM_PODS_GIB * 1024
    return max(0, free_mib // 1024)
