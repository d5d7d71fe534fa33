"""A ContainerNodePool's spec as the GKE API's message, and which of its fields a live pool can't take any more."""

from collections.abc import Mapping
from typing import Any

from google.cloud import container_v1
from google.protobuf.json_format import ParseDict, ParseError

NodePoolPb = container_v1.NodePool.pb()

NOT_SENT = ("clusterRef", "location", "resourceID")
"""Fields that say which pool it is."""
MUTABLE = frozenset({"taint", "tags", "resourceLabels", "imageType", "workloadMetadataConfig", "kubeletConfig"})
"""Of `nodeConfig`, those that the schema's descriptions don't call immutable."""


class UnknownFieldError(ValueError):
    """The simulated API has no such field, or not with such a value."""


def node_pool(name: str, spec: Mapping[str, Any]) -> Any:
    """The message to create the pool with. Raises UnknownFieldError."""
    body = {key: value for key, value in spec.items() if key not in (*NOT_SENT, "nodeCount")}
    if "nodeCount" in spec:
        body["initialNodeCount"] = spec["nodeCount"]
    if "nodeLocations" in body:
        body["locations"] = body.pop("nodeLocations")
    if "maxPodsPerNode" in body:
        body["maxPodsConstraint"] = {"maxPodsPerNode": body.pop("maxPodsPerNode")}
    if "autoscaling" in body:
        body["autoscaling"] = {"enabled": True, **body["autoscaling"]}
    if reference := (placement := dict(body.get("placementPolicy") or {})).pop("policyNameRef", None):
        body["placementPolicy"] = {**placement, "policyName": reference["external"]}
    body["config"] = _config(body.pop("nodeConfig", {}))
    try:
        return ParseDict({"name": name, **body}, NodePoolPb())
    except ParseError as error:
        raise UnknownFieldError(str(error)) from error


def immutable_changes(wanted: Mapping[str, Any], made_of: Mapping[str, Any]) -> list[str]:
    """The fields by which a spec differs from that which its pool was made of, and which GKE can't change."""
    old, new = made_of.get("nodeConfig") or {}, wanted.get("nodeConfig") or {}
    changed = sorted(key for key in {*old, *new} - MUTABLE if old.get(key) != new.get(key))
    top = [key for key in ("placementPolicy", "queuedProvisioning", "location") if wanted.get(key) != made_of.get(key)]
    return [*top, *(f"nodeConfig.0.{key[:1].upper()}{key[1:]}" for key in changed)]


def mutable_changes(spec: Mapping[str, Any], wanted: Any, live: Any) -> dict[str, Any]:
    """By the field of an UpdateNodePool request, or `management`: what a live pool has to get. What the spec leaves out
    stays as it is.
    """
    config, changes = spec.get("nodeConfig") or {}, {}
    if "management" in spec and wanted.management != live.management:
        changes["management"] = wanted.management
    if "upgradeSettings" in spec and _settings(wanted) != _settings(live):
        changes["upgrade_settings"] = wanted.upgrade_settings
    if "resourceLabels" in config and dict(wanted.config.resource_labels) != dict(live.config.resource_labels):
        labels = dict(wanted.config.resource_labels)
        changes["resource_labels"] = container_v1.ResourceLabels(labels=labels)
    if "taint" in config and list(wanted.config.taints) != list(live.config.taints):
        changes["taints"] = container_v1.NodeTaints(taints=list(wanted.config.taints))
    return changes


def _settings(pool: Any) -> tuple[Any, ...]:
    settings = pool.upgrade_settings
    return settings.strategy, settings.max_surge, settings.max_unavailable


def _config(spec: Mapping[str, Any]) -> dict[str, Any]:
    config = dict(spec)
    if accelerators := config.pop("guestAccelerator", None):
        config["accelerators"] = [_accelerator(found) for found in accelerators]
    if taints := config.pop("taint", None):
        config["taints"] = taints
    return config


def _accelerator(spec: Mapping[str, Any]) -> dict[str, Any]:
    rest = {key: value for key, value in spec.items() if key not in ("type", "count")}
    return {"acceleratorType": spec["type"], "acceleratorCount": str(spec["count"]), **rest}
