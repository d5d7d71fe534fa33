"""What a machine's Node object looks like: labels, taints, and what of the machine is left for pods."""

from collections.abc import Mapping
from typing import Any

from google.cloud import container_v1

from .machines import MachineType, is_at_least, region_of
from .pools import Instance, Pool
from .reservations import Consume
from .scenario import Scenario
from .stock import Want

Effect = container_v1.NodeTaint.Effect
ArchitectureTaint = container_v1.TaintConfig.ArchitectureTaintBehavior
Sharing = container_v1.GPUSharingConfig.GPUSharingStrategy
Driver = container_v1.GPUDriverInstallationConfig.GPUDriverVersion

GPU = "nvidia.com/gpu"
TPU = "google.com/tpu"
EFFECTS = {
    Effect.NO_SCHEDULE: "NoSchedule",
    Effect.PREFER_NO_SCHEDULE: "PreferNoSchedule",
    Effect.NO_EXECUTE: "NoExecute",
}
PRESSURES = {
    "MemoryPressure": "KubeletHasSufficientMemory",
    "DiskPressure": "KubeletHasNoDiskPressure",
    "PIDPressure": "KubeletHasSufficientPID",
}
DRIVERS = {Driver.DEFAULT: "default", Driver.LATEST: "latest"}
DRIVER_BY_DEFAULT = "1.30.1-gke.1156000"
"""From here on pools that ask for no driver get the default one, before it none."""
SHARING = {Sharing.TIME_SHARING: "time-sharing", Sharing.MPS: "mps"}

MAINTENANCE_LABEL = "cloud.google.com/scheduled-maintenance-time"
MODE_LABELS = {"spot": "cloud.google.com/gke-spot", "flex-start": "cloud.google.com/gke-flex-start"}

KI = 1024
MI = 1024 * KI
GI = 1024 * MI
KERNEL_SHARE = 0.024
"""About so much of a machine's memory never shows up as the node's capacity (seen on g2-standard-4)."""
# GKE's reservation for its own daemons: of each slice of memory (GiB) or CPU (cores) this share.
MEMORY_SLICES = ((4, 0.25), (4, 0.20), (8, 0.10), (112, 0.06), (float("inf"), 0.02))
CPU_SLICES = ((1, 0.06), (1, 0.01), (2, 0.005), (float("inf"), 0.0025))
EVICTION_MEMORY = 100 * MI
LARGEST_DISK_RESERVATION = 100 * GI


def node_labels(pool: Pool, want: Want, hostname: str) -> dict[str, str]:
    """GKE's labels and the pool's own."""
    machine, zone, region = want.machine, want.zone, region_of(want.zone)
    labels = {
        "beta.kubernetes.io/arch": machine.arch,
        "beta.kubernetes.io/instance-type": machine.name,
        "beta.kubernetes.io/os": "linux",
        "cloud.google.com/gke-boot-disk": pool.message.config.boot_disk.disk_type or "pd-balanced",
        "cloud.google.com/gke-container-runtime": "containerd",
        "cloud.google.com/gke-cpu-scaling-level": str(machine.vcpu),
        "cloud.google.com/gke-max-pods-per-node": str(_max_pods(pool)),
        "cloud.google.com/gke-memory-gb-scaling-level": str(int(machine.memory_gib)),
        "cloud.google.com/gke-nodepool": pool.name,
        "cloud.google.com/gke-os-distribution": "cos",
        "cloud.google.com/gke-provisioning": "spot" if want.mode == "spot" else "standard",
        "cloud.google.com/machine-family": machine.family,
        "failure-domain.beta.kubernetes.io/region": region,
        "failure-domain.beta.kubernetes.io/zone": zone,
        "kubernetes.io/arch": machine.arch,
        "kubernetes.io/hostname": hostname,
        "kubernetes.io/os": "linux",
        "node.kubernetes.io/instance-type": machine.name,
        "topology.gke.io/zone": zone,
        "topology.kubernetes.io/region": region,
        "topology.kubernetes.io/zone": zone,
    }
    if want.mode in MODE_LABELS:
        labels[MODE_LABELS[want.mode]] = "true"
    if want.consume is Consume.SPECIFIC:
        labels["cloud.google.com/reservation-name"] = want.reservation.split("/reservationBlocks/")[0].rsplit("/", 1)[
            -1
        ]
    if machine.devices:
        labels["cloud.google.com/gke-accelerator-count"] = str(machine.devices)
    if machine.chips:
        labels["cloud.google.com/gke-tpu-accelerator"] = machine.accelerator
        labels["cloud.google.com/gke-tpu-topology"] = pool.topology
    if machine.gpus:
        labels["cloud.google.com/gke-accelerator"] = machine.accelerator
        labels |= _gpu_labels(pool)
    return labels | dict(pool.message.config.labels)


def node_taints(pool: Pool) -> list[dict[str, str]]:
    """GKE's taints for GPUs or TPUs, Arm and queued pools, and the pool's own. Spot pools get none (on Standard)."""
    own = [{"key": t.key, "value": t.value, "effect": EFFECTS[t.effect]} for t in pool.message.config.taints]
    taken = {(taint["key"], taint["effect"]) for taint in own}
    behavior = pool.message.config.taint_config.architecture_taint_behavior
    added = {}
    if device := _device(pool.machine):
        added[device] = "present"
    if pool.machine.arch == "arm64" and behavior != ArchitectureTaint.NONE:
        added["kubernetes.io/arch"] = "arm64"
    if pool.queued:
        added["cloud.google.com/gke-queued"] = "true"
    ours = [{"key": key, "value": value, "effect": "NoSchedule"} for key, value in added.items()]
    return [*(taint for taint in ours if (taint["key"], "NoSchedule") not in taken), *own]


def shows_devices(pool: Pool) -> bool:
    """Whether pods will ever see GPUs or TPU chips: GPUs only if GKE installs a driver."""
    return bool(_driver(pool) if pool.machine.gpus else pool.machine.chips)


def capacity(pool: Pool, machine: MachineType) -> dict[str, str]:
    """The node's whole resources, GPUs and TPU chips included."""
    memory = int(machine.memory_gib * GI * (1 - KERNEL_SHARE))
    whole = {
        "cpu": str(machine.vcpu),
        "memory": f"{memory // KI}Ki",
        "ephemeral-storage": f"{_disk_bytes(pool, machine) // KI}Ki",
        "pods": str(_max_pods(pool)),
        "hugepages-1Gi": "0",
        "hugepages-2Mi": "0",
    }
    device = _device(machine)
    return whole | ({device: str(machine.devices * _shares(pool))} if device else {})


def allocatable(pool: Pool, machine: MachineType) -> dict[str, str]:
    """What is left for pods."""
    whole = capacity(pool, machine)
    memory = int(whole["memory"].removesuffix("Ki")) * KI
    memory -= int(_share(machine.memory_gib, MEMORY_SLICES) * GI) + EVICTION_MEMORY
    disk = _disk_bytes(pool, machine)
    # Half of the disk, or 35 % and 6 GiB, or 100 GiB: the least of them; and 10 % for eviction.
    disk_reserved = min(disk // 2, int(disk * 0.35) + 6 * GI, LARGEST_DISK_RESERVATION) + disk // 10
    return whole | {
        "cpu": f"{int(machine.vcpu * 1000 - _share(machine.vcpu, CPU_SLICES) * 1000)}m",
        "memory": f"{memory // KI}Ki",
        "ephemeral-storage": str(disk - disk_reserved),
    }


def node_manifest(scenario: Scenario, pool: Pool, instance: Instance) -> dict[str, Any]:
    """The Node as its kubelet registers it: Ready, without devices."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": instance.name,
            "labels": node_labels(pool, instance.want, instance.name),
        },
        "spec": {
            "providerID": f"gce://{scenario.project}/{instance.zone}/{instance.name}",
            "taints": node_taints(pool),
        },
        "status": node_status(pool, instance, devices=False),
    }


def node_status(pool: Pool, instance: Instance, *, devices: bool) -> dict[str, Any]:
    """A healthy node's status; conditions come without times."""
    machine = instance.want.machine
    return {
        "capacity": _visible(capacity(pool, machine), devices),
        "allocatable": _visible(allocatable(pool, machine), devices),
        "addresses": [
            {"type": "InternalIP", "address": instance.address},
            {"type": "Hostname", "address": instance.name},
        ],
        "nodeInfo": {
            "architecture": machine.arch,
            "bootID": instance.name,
            "containerRuntimeVersion": "containerd://2.1.0 (simulated)",
            "kernelVersion": "6.12.0+",
            "kubeProxyVersion": f"v{instance.version}",
            "kubeletVersion": f"v{instance.version}",
            "machineID": instance.name,
            "operatingSystem": "linux",
            "osImage": "Container-Optimized OS from Google (simulated)",
            "systemUUID": instance.name,
        },
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
    }


def conditions(*, ready: bool, message: str, now: str) -> list[dict[str, str]]:
    """A kubelet's conditions; `now` is RFC 3339 with seconds."""
    found = [(kind, "False", reason, "kubelet is healthy") for kind, reason in PRESSURES.items()]
    found.append(("Ready", "True" if ready else "False", "KubeletReady" if ready else "KubeletNotReady", message))
    return [_condition(*each, now) for each in found]


def lost_conditions(now: str) -> list[dict[str, str]]:
    """What the node controller writes when a kubelet is silent."""
    unknown = ("Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status.")
    return [_condition(kind, *unknown, now) for kind in (*PRESSURES, "Ready")]


def _condition(kind: str, status: str, reason: str, message: str, now: str) -> dict[str, str]:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastHeartbeatTime": now,
        "lastTransitionTime": now,
    }


def _visible(resources: Mapping[str, str], devices: bool) -> dict[str, str]:
    return {name: amount for name, amount in resources.items() if devices or name not in (GPU, TPU)}


def _device(machine: MachineType) -> str:
    if machine.gpus:
        return GPU
    return TPU if machine.chips else ""


def _gpus(pool: Pool) -> Any:
    """What the pool asks of its GPUs, or None."""
    accelerators = pool.message.config.accelerators
    return accelerators[0] if accelerators else None


def _gpu_labels(pool: Pool) -> dict[str, str]:
    asked, labels = _gpus(pool), {}
    if driver := _driver(pool):
        labels["cloud.google.com/gke-gpu-driver-version"] = driver
    if asked.gpu_partition_size:
        labels["cloud.google.com/gke-gpu-partition-size"] = asked.gpu_partition_size
    if asked.HasField("gpu_sharing_config"):
        sharing = asked.gpu_sharing_config
        labels["cloud.google.com/gke-gpu-sharing-strategy"] = SHARING[sharing.gpu_sharing_strategy]
        labels["cloud.google.com/gke-max-shared-clients-per-gpu"] = str(sharing.max_shared_clients_per_gpu)
    return labels


def _shares(pool: Pool) -> int:
    """So many devices pods see for each GPU: its partitions, and the clients that may share each."""
    asked = _gpus(pool)
    if asked is None:
        return 1
    parts = pool.machine.partitions.get(asked.gpu_partition_size, 1)
    return int(parts * (asked.gpu_sharing_config.max_shared_clients_per_gpu or 1))


def _driver(pool: Pool) -> str:
    """The driver that GKE installs: default, latest, or "" for none."""
    asked = _gpus(pool)
    version = asked.gpu_driver_installation_config.gpu_driver_version if asked else Driver.INSTALLATION_DISABLED
    if version == Driver.GPU_DRIVER_VERSION_UNSPECIFIED and is_at_least(pool.message.version, DRIVER_BY_DEFAULT):
        version = Driver.DEFAULT
    return DRIVERS.get(version, "")


def _max_pods(pool: Pool) -> int:
    return int(pool.message.max_pods_constraint.max_pods_per_node)


def _disk_bytes(pool: Pool, machine: MachineType) -> int:
    """Pods' scratch space: local SSDs where the pool asks for them, else the boot disk."""
    config = pool.message.config
    ssds = int(config.ephemeral_storage_local_ssd_config.local_ssd_count)
    if config.HasField("ephemeral_storage_local_ssd_config"):
        ssds = ssds or machine.local_ssd
    if ssds:
        return ssds * machine.local_ssd_gib * 10**9
    return int(int(config.boot_disk.size_gb or config.disk_size_gb) * 10**9 * 0.97)


def _share(amount: float, slices: tuple[tuple[float, float], ...]) -> float:
    reserved = 0.0
    for width, share in slices:
        part = min(amount, width)
        reserved += part * share
        amount -= part
    return reserved
