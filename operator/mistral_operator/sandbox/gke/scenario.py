"""Scenario files: what this GKE has, how slow it is and how it fails. YAML, every key optional, unknown keys refused.

All durations are simulated seconds, which `--speed` divides. `examples/scenarios/everything.yaml` shows every key.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import yaml

from .plain_data import ScenarioError as ScenarioError
from .plain_data import build, items, mapping, one_of

ANY = "*"
MODES = ("on-demand", "spot", "flex-start")
QUOTA_MODES = ("on-demand", "spot", "preemptible")
BUSY_SCOPES = ("node-pool", "cluster")
RESERVATION_STATES = ("READY", "CREATING", "UPDATING", "DELETING")
POLICY_TYPES = ("HIGH_THROUGHPUT", "HIGH_AVAILABILITY")
TOPOLOGY_MODES = ("", "AUTO_CONNECT", "PROVISION_ONLY")
TOPOLOGY_DISTANCES = ("", "BLOCK", "CLUSTER", "SUBBLOCK")
STEPS = (
    "stock", "quota", "instance-errors", "reservations", "workload-policies", "faults", "exclude",
    "reclaim", "delete-node", "host-error", "maintain", "upgrade",
    "resize-pool", "autoscale-pool", "edit-pool", "delete-pool", "condition", "occupy-cluster",
)  # fmt: skip
RELEASE_CHANNELS = ("", "RAPID", "REGULAR", "STABLE", "EXTENDED")
EXCLUSION_SCOPES = ("NO_UPGRADES", "NO_MINOR_UPGRADES", "NO_MINOR_OR_NODE_UPGRADES")


@dataclass(frozen=True, slots=True)
class Delays:
    """How long things take."""

    operation_pending: float = 1
    operation: float = 8
    instance_creation: float = 20
    node_boot: float = 40
    driver_installation: float = 45
    device_plugin: float = 5
    node_deletion: float = 20
    drain_limit: float = 3600
    stock_out_report: float = 30
    resize_give_up: float = 2100
    resize_retry: float = 240
    autoscaler_scan: float = 10
    scale_down_unneeded: float = 600
    backoff: float = 300
    longest_backoff: float = 1800
    priority_cooldown: float = 300
    spot_notice: float = 30
    host_error: float = 60
    maintenance_notice: float = 600
    maintenance_drain: float = 3600
    master_upgrade: float = 300
    upgrade_check: float = 60


@dataclass(frozen=True, slots=True)
class Stock:
    """In a zone, `nodes` machines of a type and mode can run at once; `*` means each of them. Later entries win.

    Reserved machines are none of them: a reservation has its own.
    """

    nodes: int
    zone: str = ANY
    machine_type: str = ANY
    mode: str = ANY


@dataclass(frozen=True, slots=True)
class Quota:
    """`limit` devices at most in the region for one accelerator label (`nvidia-l4`) and mode. Later entries win.

    Spot and flex-start machines share the preemptible quota: mode `preemptible`, or `spot`, its older name here.
    Reserved machines need none.
    """

    limit: int
    accelerator: str = ANY
    mode: str = ANY
    region: str = ANY


@dataclass(frozen=True, slots=True)
class InstanceError:
    """Compute Engine refuses these machines whatever their stock, with its code and text: no addresses, no permission.

    IP_SPACE_EXHAUSTED, PERMISSIONS_ERROR, CONDITION_NOT_MET, ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS and the like.
    """

    code: str
    message: str
    zone: str = ANY
    machine_type: str = ANY
    mode: str = ANY


@dataclass(frozen=True, slots=True)
class Reservation:
    """`count` machines set aside in one zone; `in_use` of them run outside of this cluster.

    `project` "": the cluster's own; one of another project must be `shared` with it. `specific`: only pools that name
    it get its machines. It can be used once its `status` is READY.
    """

    name: str
    machine_type: str
    zone: str
    count: int
    project: str = ""
    in_use: int = 0
    specific: bool = True
    shared: bool = True
    status: str = "READY"


@dataclass(frozen=True, slots=True)
class WorkloadPolicy:
    """A Compute resource policy with a workload policy; `region` "": the cluster's."""

    name: str
    region: str = ""
    type: str = "HIGH_THROUGHPUT"
    accelerator_topology: str = ""
    accelerator_topology_mode: str = ""
    max_topology_distance: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """Calls of `rpc` that go wrong: those with these numbers (the first one is 1), else each one with `probability`.

    `lost_response`: the call takes effect, yet its client sees the error. `in_operation`: the call succeeds and its
    operation ends DONE with the error; with `after_work` only once it has done what it was asked for. `latency` delays
    a call, `operation_latency` its operation, and `stuck` lets that run until somebody cancels it: give code "" for
    calls that only these three are to strike.
    """

    rpc: str = ANY
    calls: tuple[int, ...] = ()
    probability: float = 1.0
    code: str = "UNAVAILABLE"
    message: str = "The service is currently unavailable."
    lost_response: bool = False
    in_operation: bool = False
    after_work: bool = False
    latency: float = 0
    operation_latency: float = 0
    stuck: bool = False


@dataclass(frozen=True, slots=True)
class HostError:
    """A machine of a pool breaks down `after` this time, or once the pool has one that runs if that is later.

    `*`: of the first pool with GPUs or TPUs that has one.
    """

    pool: str = ANY
    after: float = 0


@dataclass(frozen=True, slots=True)
class MaintenanceExclusion:
    """From second `starts` to second `ends` of the simulation GKE upgrades nothing that `scope` covers."""

    name: str
    ends: float
    starts: float = 0
    scope: str = "NO_UPGRADES"


@dataclass(frozen=True, slots=True)
class Step:
    """At this second of the simulation something happens: `do` is one of the control API's paths, `body` its body.

    One that concerns a machine waits until there is one.
    """

    at: float
    do: str
    body: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ForeignPool:
    """A node pool that somebody else made before; its nodes (so many in the whole pool) run from the start.

    `topology`: the pool is a multi-host TPU slice; `reservation`: its machines are reserved ones.
    """

    name: str
    machine_type: str = "e2-standard-8"
    topology: str = ""
    nodes: int = 0
    spot: bool = False
    reservation: str = ""
    max_nodes: int = 0
    zones: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    resource_labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One simulated cluster in one simulated project.

    `autopilot`: its node pools are Google's own matter, and calls about them are refused.
    """

    project: str = "sandbox-project"
    location: str = "us-central1"
    cluster: str = "sandbox"
    zones: tuple[str, ...] = ("us-central1-a", "us-central1-b", "us-central1-c")
    version: str = "1.36.3-gke.1000000"
    release_channel: str = "REGULAR"
    autopilot: bool = False
    seed: int = 1
    concurrent_operations: int = 5
    busy_scope: str = "node-pool"
    system_nodes: int = 2
    delays_s: Delays = field(default_factory=Delays)
    stock: tuple[Stock, ...] = ()
    quota: tuple[Quota, ...] = ()
    gpus_all_regions: int = 10**6
    denied_permissions: tuple[str, ...] = ()
    reservations: tuple[Reservation, ...] = ()
    workload_policies: tuple[WorkloadPolicy, ...] = ()
    maintenance_exclusions: tuple[MaintenanceExclusion, ...] = ()
    instance_errors: tuple[InstanceError, ...] = ()
    faults: tuple[Fault, ...] = ()
    host_errors: tuple[HostError, ...] = ()
    foreign_pools: tuple[ForeignPool, ...] = ()
    timeline: tuple[Step, ...] = ()


def load_scenario(path: Path) -> Scenario:
    """Read a scenario file; an empty one is the default scenario. Raises ScenarioError."""
    try:
        document = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ScenarioError(f"{path}: not YAML: {error}") from error
    return parse_scenario(document or {}, str(path))


def parse_scenario(document: Any, where: str = "scenario") -> Scenario:
    """A scenario from plain data."""
    data = dict(mapping(document, where))
    if "delays_s" in data:
        data["delays_s"] = build(Delays, data["delays_s"], f"{where}.delays_s")
    for key, parse in PARTS.items():
        if key in data:
            data[key] = tuple(
                parse(item, f"{where}.{key}[{i}]") for i, item in enumerate(items(data[key], f"{where}.{key}"))
            )
    scenario = build(Scenario, data, where)
    if not scenario.zones:
        raise ScenarioError(f"{where}.zones: give at least one zone")
    one_of(scenario.busy_scope, BUSY_SCOPES, f"{where}.busy_scope")
    one_of(scenario.release_channel, RELEASE_CHANNELS, f"{where}.release_channel")
    return scenario


def parse_stock(document: Any, where: str = "stock") -> Stock:
    """One stock entry."""
    stock = build(Stock, document, where)
    one_of(stock.mode, (*MODES, ANY), f"{where}.mode")
    return stock


def parse_quota(document: Any, where: str = "quota") -> Quota:
    """One quota entry."""
    quota = build(Quota, document, where)
    one_of(quota.mode, (*QUOTA_MODES, ANY), f"{where}.mode")
    return quota


def parse_instance_error(document: Any, where: str = "instance_error") -> InstanceError:
    """One instance error."""
    error = build(InstanceError, document, where)
    one_of(error.mode, (*MODES, ANY), f"{where}.mode")
    return error


def parse_reservation(document: Any, where: str = "reservation") -> Reservation:
    """One reservation."""
    reservation = build(Reservation, document, where)
    one_of(reservation.status, RESERVATION_STATES, f"{where}.status")
    if reservation.in_use > reservation.count:
        raise ScenarioError(f"{where}.in_use: {reservation.in_use} is more than count {reservation.count}")
    return reservation


def parse_policy(document: Any, where: str = "workload_policy") -> WorkloadPolicy:
    """One workload policy."""
    policy = build(WorkloadPolicy, document, where)
    one_of(policy.type, POLICY_TYPES, f"{where}.type")
    one_of(policy.accelerator_topology_mode, TOPOLOGY_MODES, f"{where}.accelerator_topology_mode")
    one_of(policy.max_topology_distance, TOPOLOGY_DISTANCES, f"{where}.max_topology_distance")
    if policy.max_topology_distance and (policy.accelerator_topology or policy.accelerator_topology_mode):
        raise ScenarioError(f"{where}: max_topology_distance excludes accelerator_topology and its mode; leave one out")
    return policy


def parse_fault(document: Any, where: str = "fault") -> Fault:
    """One fault."""
    fault = build(Fault, document, where)
    one_of(fault.code, ("", *(code.name for code in grpc.StatusCode if code.name != "OK")), f"{where}.code")
    return fault


def parse_step(document: Any, where: str = "timeline") -> Step:
    """One step: `at`, `do`, and the rest is the body."""
    body = dict(mapping(document, where))
    first = {key: body.pop(key) for key in ("at", "do") if key in body}
    step = build(Step, {**first, "body": body}, where)
    one_of(step.do, STEPS, f"{where}.do")
    if step.do in BODIES:
        BODIES[step.do](step.body, where)
    return step


def parse_exclusion(document: Any, where: str = "maintenance_exclusion") -> MaintenanceExclusion:
    """One maintenance exclusion."""
    exclusion = build(MaintenanceExclusion, document, where)
    one_of(exclusion.scope, EXCLUSION_SCOPES, f"{where}.scope")
    return exclusion


def _host_error(document: Any, where: str) -> HostError:
    return build(HostError, document, where)


def _pool(document: Any, where: str) -> ForeignPool:
    return build(ForeignPool, document, where)


PARTS: dict[str, Callable[[Any, str], object]] = {
    "stock": parse_stock,
    "quota": parse_quota,
    "instance-errors": parse_instance_error,
    "instance_errors": parse_instance_error,
    "reservations": parse_reservation,
    "workload_policies": parse_policy,
    "maintenance_exclusions": parse_exclusion,
    "faults": parse_fault,
    "host_errors": _host_error,
    "foreign_pools": _pool,
    "timeline": parse_step,
}
BODIES: dict[str, Callable[[Any, str], object]] = {
    "stock": parse_stock,
    "quota": parse_quota,
    "instance-errors": parse_instance_error,
    "reservations": parse_reservation,
    "workload-policies": parse_policy,
    "faults": parse_fault,
    "exclude": parse_exclusion,
}
