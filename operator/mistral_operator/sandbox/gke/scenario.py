"""Scenario files: what this GKE has, how slow it is and how it fails. YAML, every key optional, unknown keys refused.

All durations are simulated seconds, which `--speed` divides.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

import grpc
import yaml

ANY = "*"
MODES = ("on-demand", "spot")
BUSY_SCOPES = ("node-pool", "cluster")


class ScenarioError(ValueError):
    """A scenario that can't be used; the message says where and what to write instead."""


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
    spot_notice: float = 30
    host_error: float = 60


@dataclass(frozen=True, slots=True)
class Stock:
    """In a zone, `nodes` machines of a type and mode can run at once; `*` means each of them. Later entries win."""

    nodes: int
    zone: str = ANY
    machine_type: str = ANY
    mode: str = ANY


@dataclass(frozen=True, slots=True)
class Quota:
    """`limit` devices at most in the region for one accelerator label (`nvidia-l4`) and mode. Later entries win."""

    limit: int
    accelerator: str = ANY
    mode: str = ANY


@dataclass(frozen=True, slots=True)
class Fault:
    """Calls of `rpc` that go wrong: those with these numbers (the first one is 1), else each one with `probability`.

    `lost_response`: the call takes effect, yet its client sees the error. `in_operation`: the call succeeds and its
    operation ends DONE with the error. `latency` delays a call; with code "" that is all that happens.
    """

    rpc: str = ANY
    calls: tuple[int, ...] = ()
    probability: float = 1.0
    code: str = "UNAVAILABLE"
    message: str = "The service is currently unavailable."
    lost_response: bool = False
    in_operation: bool = False
    latency: float = 0


@dataclass(frozen=True, slots=True)
class HostError:
    """A machine of a pool breaks down `after` this time, or once the pool has one that runs if that is later.

    `*`: of the first pool with GPUs or TPUs that has one.
    """

    pool: str = ANY
    after: float = 0


@dataclass(frozen=True, slots=True)
class ForeignPool:
    """A node pool that somebody else made before; its nodes (so many in the whole pool) run from the start.

    `topology`: the pool is a multi-host TPU slice.
    """

    name: str
    machine_type: str = "e2-standard-8"
    topology: str = ""
    nodes: int = 0
    spot: bool = False
    max_nodes: int = 0
    zones: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    resource_labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One simulated cluster in one simulated project."""

    project: str = "sandbox-project"
    location: str = "us-central1"
    cluster: str = "sandbox"
    zones: tuple[str, ...] = ("us-central1-a", "us-central1-b", "us-central1-c")
    version: str = "1.36.3-gke.1000000"
    seed: int = 1
    concurrent_operations: int = 5
    busy_scope: str = "node-pool"
    system_nodes: int = 2
    delays_s: Delays = field(default_factory=Delays)
    stock: tuple[Stock, ...] = ()
    quota: tuple[Quota, ...] = ()
    faults: tuple[Fault, ...] = ()
    host_errors: tuple[HostError, ...] = ()
    foreign_pools: tuple[ForeignPool, ...] = ()


def load_scenario(path: Path) -> Scenario:
    """Read a scenario file; an empty one is the default scenario. Raises ScenarioError."""
    try:
        document = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ScenarioError(f"{path}: not YAML: {error}") from error
    return parse_scenario(document or {}, str(path))


def parse_scenario(document: Any, where: str = "scenario") -> Scenario:
    """A scenario from plain data."""
    data = dict(_mapping(document, where))
    if "delays_s" in data:
        data["delays_s"] = _build(Delays, data["delays_s"], f"{where}.delays_s")
    for key, parse in (
        ("stock", parse_stock),
        ("quota", parse_quota),
        ("faults", parse_fault),
        ("host_errors", _host_error),
        ("foreign_pools", _pool),
    ):
        if key in data:
            data[key] = tuple(
                parse(item, f"{where}.{key}[{i}]") for i, item in enumerate(_list(data[key], f"{where}.{key}"))
            )
    scenario = _build(Scenario, data, where)
    if not scenario.zones:
        raise ScenarioError(f"{where}.zones: give at least one zone")
    _one_of(scenario.busy_scope, BUSY_SCOPES, f"{where}.busy_scope")
    return scenario


def parse_stock(document: Any, where: str = "stock") -> Stock:
    """One stock entry."""
    stock = _build(Stock, document, where)
    _one_of(stock.mode, (*MODES, ANY), f"{where}.mode")
    return stock


def parse_quota(document: Any, where: str = "quota") -> Quota:
    """One quota entry."""
    quota = _build(Quota, document, where)
    _one_of(quota.mode, (*MODES, ANY), f"{where}.mode")
    return quota


def parse_fault(document: Any, where: str = "fault") -> Fault:
    """One fault."""
    fault = _build(Fault, document, where)
    _one_of(fault.code, ("", *(code.name for code in grpc.StatusCode if code.name != "OK")), f"{where}.code")
    return fault


def _host_error(document: Any, where: str) -> HostError:
    return _build(HostError, document, where)


def _pool(document: Any, where: str) -> ForeignPool:
    return _build(ForeignPool, document, where)


T = TypeVar("T")


def _build(kind: type[T], document: Any, where: str) -> T:
    data = _mapping(document, where)
    known = [f.name for f in fields(kind)]  # type: ignore[arg-type]
    unknown = sorted(str(key) for key in data if key not in known)
    if unknown:
        raise ScenarioError(f"{where}: unknown key {unknown[0]}; known keys: {', '.join(known)}")
    try:
        made = kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in data.items()})
    except TypeError as error:
        raise ScenarioError(f"{where}: {str(error).replace('__init__()', '').split('.', 1)[-1].strip()}") from error
    for name in known:
        _check_type(getattr(made, name), kind.__annotations__[name], f"{where}.{name}")
    return made


def _check_type(value: Any, expected: Any, where: str) -> None:
    """Plain fields only; nested ones were built, and so checked, before."""
    if expected is bool:
        good = isinstance(value, bool)
    elif expected in (int, float):
        good = isinstance(value, (int, expected)) and not isinstance(value, bool) and value >= 0
    else:
        good = expected is not str or isinstance(value, str)
    if not good:
        raise ScenarioError(f"{where}: {value!r} is not a valid {expected.__name__}")


def _mapping(document: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(document, Mapping):
        raise ScenarioError(f"{where}: write a mapping of keys to values, not {type(document).__name__}")
    return document


def _list(document: Any, where: str) -> list[Any]:
    if not isinstance(document, list):
        raise ScenarioError(f"{where}: write a list, not {type(document).__name__}")
    return document


def _one_of(value: str, allowed: tuple[str, ...], where: str) -> None:
    if value not in allowed:
        raise ScenarioError(f"{where}: {value!r} is not one of {', '.join(allowed)}")
