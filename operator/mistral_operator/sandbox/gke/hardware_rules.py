"""What GKE accepts of a pool's GPUs, disks and network, by machine type. Texts are Google's where they are known."""

from typing import Any

from google.cloud import container_v1

from .errors import invalid
from .machines import MachineType, is_at_least

Sharing = container_v1.GPUSharingConfig.GPUSharingStrategy

HYPERDISK = "hyperdisk-balanced"
MOST_CLIENTS = 48
IMAGE_CACHE_VERSION = "1.28.3-gke.1067000"
NETWORK_PROFILE_VERSION = "1.34.1-gke.1829001"
NETWORK_PROFILE_MACHINES = ("a3-", "a4-", "a4x-", "ct6e-", "tpu7x-")
NETWORK_PROFILE_LABEL = "cloud.google.com/gke-networking-dra-driver"


def check_accelerators(machine: MachineType, config: Any) -> None:
    """The GPUs that the machine type brings or takes, and how they are shared; TPUs are not asked for."""
    _check_sharing(machine, config)
    asked = [(a.accelerator_type, a.accelerator_count) for a in config.accelerators]
    if machine.attachable:
        _check_attached(machine, asked)
        return
    if not machine.gpus and asked:
        raise invalid(f"Machine type {machine.name} can't have accelerators; it was asked for {asked[0][0]}.")
    if machine.gpus and asked != [(machine.accelerator, machine.gpus)]:
        given = ", ".join(f"{count} x {kind}" for kind, count in asked) or "none"
        raise invalid(
            f"Accelerators don't match the machine type: {machine.name} has {machine.gpus} x {machine.accelerator}, "
            f"the request has {given}."
        )


def _check_attached(machine: MachineType, asked: list[tuple[str, int]]) -> None:
    """GPUs that the machine type doesn't bring: one kind, in a number that it takes, or none."""
    for kind, count in asked:
        known = machine.attachable.get(kind)
        if known is None or len(asked) > 1:
            kinds = " or ".join(machine.attachable)
            raise invalid(f"Machine type {machine.name} takes {kinds}; it was asked for {kind}.")
        if count not in known.counts:
            raise invalid(f"Machine type {machine.name} takes {known.counts} x {kind}; it was asked for {count}.")


def check_hardware(machine: MachineType, pool: Any) -> None:
    """Disk and network that the machine type needs or can have."""
    config = pool.config
    if machine.gvnic and not config.gvnic.enabled:
        raise invalid(f"Machine type {machine.name} requires gVNIC: config.gvnic.enabled must be true.")
    disk = config.boot_disk.disk_type or config.disk_type
    if machine.hyperdisk and disk != HYPERDISK:
        raise invalid(f"[{disk or 'pd-balanced'}, {machine.name}] features are not compatible for creating instance.")
    if config.secondary_boot_disks:
        if not config.gcfs_config.enabled:
            raise invalid("Secondary boot disks need image streaming: config.gcfs_config.enabled must be true.")
        if not is_at_least(pool.version, IMAGE_CACHE_VERSION):
            raise invalid(f"Secondary boot disks need GKE version {IMAGE_CACHE_VERSION} or later, not {pool.version}.")
    _check_network_profile(machine, pool)


def _check_sharing(machine: MachineType, config: Any) -> None:
    """Parts of a GPU that there are, and clients that it can have."""
    for asked in config.accelerators:
        if asked.gpu_partition_size and asked.gpu_partition_size not in machine.partitions:
            sizes = ", ".join(machine.partitions) or "none"
            raise invalid(f"{asked.accelerator_type} has no partition size {asked.gpu_partition_size}; it has {sizes}.")
        sharing = asked.gpu_sharing_config
        if not asked.HasField("gpu_sharing_config"):
            continue
        if sharing.gpu_sharing_strategy == Sharing.GPU_SHARING_STRATEGY_UNSPECIFIED:
            raise invalid("gpu_sharing_config needs a gpu_sharing_strategy: TIME_SHARING or MPS.")
        if not 2 <= sharing.max_shared_clients_per_gpu <= MOST_CLIENTS:
            raise invalid(f"max_shared_clients_per_gpu must be between 2 and {MOST_CLIENTS}.")


def _check_network_profile(machine: MachineType, pool: Any) -> None:
    profile = pool.network_config.accelerator_network_profile
    if not profile:
        return
    if profile != "auto":
        raise invalid(f'accelerator_network_profile "{profile}" must be "auto".')
    if not machine.name.startswith(NETWORK_PROFILE_MACHINES):
        raise invalid(f"Machine type {machine.name} has no accelerator network profile.")
    if not is_at_least(pool.version, NETWORK_PROFILE_VERSION):
        raise invalid(f"accelerator_network_profile needs GKE version {NETWORK_PROFILE_VERSION} or later.")
    if pool.config.labels.get(NETWORK_PROFILE_LABEL) != "true":
        raise invalid(f"accelerator_network_profile needs the node label {NETWORK_PROFILE_LABEL}=true.")
