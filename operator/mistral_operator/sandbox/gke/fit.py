"""Would this pod fit on such a node? The scheduler's filters, as far as the autoscaler stand-in needs them.

Looked at: node selector, required node affinity, taints, resources, number of pods. Not looked at: affinity between
pods, spread constraints, volumes, ports.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

Amounts = dict[str, Decimal]

SELECTOR_REASON = "node(s) didn't match Pod's node affinity/selector"
TAINT_REASON = "node(s) had untolerated taint(s)"
TOO_MANY_PODS = "Too many pods"

SUFFIXES = {
    "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1),
    "k": Decimal(10**3), "M": Decimal(10**6), "G": Decimal(10**9), "T": Decimal(10**12), "P": Decimal(10**15),
    "Ki": Decimal(2**10), "Mi": Decimal(2**20), "Gi": Decimal(2**30), "Ti": Decimal(2**40), "Pi": Decimal(2**50),
}  # fmt: skip


@dataclass(slots=True)
class Room:
    """A node, real or imagined: what it is, and what is free on it."""

    labels: Mapping[str, str]
    taints: Sequence[Mapping[str, str]]
    free: Amounts
    unschedulable: bool = False
    pods: list[str] = field(default_factory=list)

    def copy(self) -> "Room":
        """Another one like it, to be filled on its own."""
        return replace(self, free=dict(self.free), pods=list(self.pods))

    def put(self, name: str, requests: Amounts) -> None:
        """Place a pod."""
        for resource, amount in requests.items():
            self.free[resource] = self.free.get(resource, Decimal(0)) - amount
        self.free["pods"] = self.free.get("pods", Decimal(0)) - 1
        self.pods.append(name)


def quantity(text: str) -> Decimal:
    """A Kubernetes quantity such as `500m`, `10Gi` or `1e3` as a number."""
    number = text.rstrip("KMGTPEinumk")
    suffix = text[len(number) :]
    if suffix in SUFFIXES:
        return Decimal(number) * SUFFIXES[suffix]
    return Decimal(text)


def amounts(resources: Mapping[str, str]) -> Amounts:
    """Quantities as numbers."""
    return {name: quantity(str(value)) for name, value in resources.items()}


def pod_requests(pod: Mapping[str, Any]) -> Amounts:
    """What the scheduler reserves: the containers' sum, or the largest init container where that is more."""
    total: Amounts = {}
    spec = pod["spec"]
    for container in spec["containers"]:
        _add(total, _container_requests(container))
    sidecars: Amounts = {}
    for container in spec.get("initContainers") or []:
        requests = _container_requests(container)
        if container.get("restartPolicy") == "Always":
            _add(sidecars, requests)
        else:
            for name, amount in requests.items():
                total[name] = max(total.get(name, Decimal(0)), amount + sidecars.get(name, Decimal(0)))
    _add(total, sidecars)
    _add(total, amounts(spec.get("overhead") or {}))
    return total


def is_finished(pod: Mapping[str, Any]) -> bool:
    """Its containers have ended for good; it takes no room."""
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def misfits(pod: Mapping[str, Any], requests: Amounts, room: Room) -> list[str]:
    """Why the pod can't go there, in the scheduler's words; empty if it can."""
    spec = pod["spec"]
    if not _selected(spec, room.labels):
        return [SELECTOR_REASON]
    if room.unschedulable:
        return ["node(s) were unschedulable"]
    tolerations = spec.get("tolerations") or []
    if any(t["effect"] != "PreferNoSchedule" and not _tolerated(t, tolerations) for t in room.taints):
        return [TAINT_REASON]
    lacking = [
        f"Insufficient {name}" for name, need in sorted(requests.items()) if need > room.free.get(name, Decimal(0))
    ]
    if room.free.get("pods", Decimal(0)) < 1:
        lacking.append(TOO_MANY_PODS)
    return lacking


def _container_requests(container: Mapping[str, Any]) -> Amounts:
    resources = container.get("resources") or {}
    return amounts({**(resources.get("limits") or {}), **(resources.get("requests") or {})})


def _add(total: Amounts, more: Amounts) -> None:
    for name, amount in more.items():
        total[name] = total.get(name, Decimal(0)) + amount


def _selected(spec: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    if any(labels.get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()):
        return False
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if not required:
        return True
    terms = required.get("nodeSelectorTerms") or []
    return any(all(_matches(e, labels) for e in term.get("matchExpressions") or []) for term in terms if term)


def _matches(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, operator = expression["key"], expression["operator"]
    values: Sequence[str | None] = expression.get("values") or []
    value = labels.get(key)
    match operator:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt":
            return value is not None and all(int(value) > int(v or 0) for v in values)
        case "Lt":
            return value is not None and all(int(value) < int(v or 0) for v in values)
    raise ValueError(f"unknown node affinity operator {operator}")


def _tolerated(taint: Mapping[str, str], tolerations: Iterable[Mapping[str, str]]) -> bool:
    for toleration in tolerations:
        if toleration.get("effect", "") not in ("", taint["effect"]):
            continue
        if toleration.get("key", "") not in ("", taint["key"]):
            continue
        if toleration.get("operator", "Equal") == "Exists" or toleration.get("value", "") == taint.get("value", ""):
            return True
    return False
