"""What UpdateNodePool changes of a node pool's message."""

from typing import Any

from .errors import invalid, not_yet
from .pools import NodePoolPb

UPDATABLE = (
    "labels",
    "taints",
    "resource_labels",
    "locations",
    "upgrade_settings",
    "node_drain_config",
    "tags",
    "gcfs_config",
    "max_run_duration",
    "maintenance_policy",
    "machine_type",
    "disk_type",
    "disk_size_gb",
    "boot_disk",
    "accelerators",
    "gvnic",
)
REBUILDING = ("machine_type", "disk_type", "disk_size_gb", "boot_disk", "accelerators", "gvnic")
"""These take new machines."""
IGNORED = ("project_id", "zone", "cluster_id", "node_pool_id", "name", "etag", "node_version", "image_type")


def rebuilds(request: Any) -> bool:
    """Whether the pool's machines have to be made again for it."""
    return any(field in REBUILDING for field in _given(request))


def applied(request: Any, pool: Any) -> Any:
    """A copy of the node pool with the change."""
    copy = NodePoolPb()
    copy.CopyFrom(pool)
    apply(request, copy)
    return copy


def check_fields(request: Any) -> None:
    """The request changes something, and nothing that can't be changed."""
    given = _given(request)
    for field in given:
        if field not in UPDATABLE:
            raise not_yet(f"changing {field} of a node pool")
    if not given:
        raise invalid("Nothing to update: the request has no field to change.")


def apply(request: Any, pool: Any) -> None:
    """Everything but the zones, which take machines along."""
    config = pool.config
    if request.HasField("resource_labels"):
        _replace_map(config.resource_labels, request.resource_labels.labels)
    if request.HasField("labels"):
        _replace_map(config.labels, request.labels.labels)
    if request.HasField("taints"):
        del config.taints[:]
        config.taints.extend(request.taints.taints)
    if request.HasField("tags"):
        del config.tags[:]
        config.tags.extend(request.tags.tags)
    if request.accelerators:
        del config.accelerators[:]
        config.accelerators.extend(request.accelerators)
    for field in ("machine_type", "disk_type", "disk_size_gb"):
        if value := getattr(request, field):
            setattr(config, field, value)
    for field in ("gcfs_config", "max_run_duration", "gvnic", "boot_disk"):
        if request.HasField(field):
            getattr(config, field).CopyFrom(getattr(request, field))
    for field in ("upgrade_settings", "node_drain_config", "maintenance_policy"):
        if request.HasField(field):
            getattr(pool, field).CopyFrom(getattr(request, field))


def _given(request: Any) -> list[str]:
    return [field.name for field, _ in request.ListFields() if field.name not in IGNORED]


def _replace_map(target: Any, source: Any) -> None:
    target.clear()
    target.update(source)
