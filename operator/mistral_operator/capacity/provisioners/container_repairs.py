"""What puts a pool right, in Google's types: one request of the Kubernetes Engine API for each way to mend it."""

from typing import Any, Final

from google.cloud import container_v1

from mistral_operator.capacity.port import (
    EFFECTS,
    MaintenanceExclusion,
    Mend,
    SetExclusion,
    SetManagement,
    SetNodeLabels,
    SetResourceLabels,
    SetSize,
    SetTaints,
    SetUpgrades,
    SetVersion,
    Taint,
    Upkeep,
)

IMAGE_TYPE: Final = "COS_CONTAINERD"
_Scope: Final = container_v1.MaintenanceExclusionOptions.Scope
_Strategy: Final = container_v1.NodePoolUpdateStrategy
_Effect: Final = container_v1.NodeTaint.Effect
_EFFECTS: Final = {word: _Effect[effect] for word, effect in EFFECTS.items()}
_WORDS: Final = {effect: word for word, effect in _EFFECTS.items()}


def mend_request(path: str, mend: Mend) -> tuple[str, Any]:
    """The name of the client's method, and its request, for the pool at `path`."""
    match mend:
        case SetManagement(upkeep):
            return "set_node_pool_management", container_v1.SetNodePoolManagementRequest(
                name=path, management=management(upkeep)
            )
        case SetSize(nodes):
            return "set_node_pool_size", container_v1.SetNodePoolSizeRequest(name=path, node_count=nodes)
        case SetNodeLabels() | SetTaints() | SetResourceLabels() | SetUpgrades() | SetExclusion() | SetVersion():
            return "update_node_pool", container_v1.UpdateNodePoolRequest(name=path, **_fields(mend))
        case _:
            return "set_node_pool_autoscaling", container_v1.SetNodePoolAutoscalingRequest(
                name=path, autoscaling=container_v1.NodePoolAutoscaling(enabled=False)
            )


def _fields(
    mend: SetNodeLabels | SetTaints | SetResourceLabels | SetUpgrades | SetExclusion | SetVersion,
) -> dict[str, Any]:
    """What an UpdateNodePool request changes; the field takes the place of what the pool had."""
    match mend:
        case SetNodeLabels(labels):
            return {"labels": container_v1.NodeLabels(labels=dict(labels))}
        case SetTaints(taints):
            return {"taints": container_v1.NodeTaints(taints=[_taint(taint) for taint in taints])}
        case SetResourceLabels(labels):
            return {"resource_labels": container_v1.ResourceLabels(labels=dict(labels))}
        case SetUpgrades(upkeep):
            return {"upgrade_settings": upgrade_settings(upkeep)}
        case SetExclusion(on):
            return {"maintenance_policy": exclusion(on=on)}
        case SetVersion(version):
            # The API's reference calls the image type required beside it; this is the one that pools are made with.
            return {"node_version": version, "image_type": IMAGE_TYPE}


def management(upkeep: Upkeep) -> Any:
    """The `NodeManagement` message."""
    return container_v1.NodeManagement(auto_repair=upkeep.auto_repair, auto_upgrade=upkeep.auto_upgrade)


def upgrade_settings(upkeep: Upkeep) -> Any:
    """The `UpgradeSettings` message."""
    return container_v1.NodePool.UpgradeSettings(
        strategy=_Strategy[upkeep.strategy], max_surge=upkeep.max_surge, max_unavailable=upkeep.max_unavailable
    )


def exclusion(*, on: bool) -> Any:
    """The `NodePoolMaintenancePolicy` message; GKE knows when support ends."""
    until_end = container_v1.NodePool.ExclusionUntilEndOfSupport(enabled=on)
    return container_v1.NodePool.NodePoolMaintenancePolicy(exclusion_until_end_of_support=until_end)


def maintenance_view(cluster: Any) -> dict[str, Any]:
    """What a `Cluster` message says of upgrades, as fields of a `ClusterView`."""
    channel, window = cluster.release_channel.channel, cluster.maintenance_policy.window
    return {
        "release_channel": str(getattr(channel, "name", channel)) if channel else "",
        "exclusions": tuple(
            MaintenanceExclusion(
                name,
                found.start_time,
                found.end_time,
                minor_only=found.maintenance_exclusion_options.scope == _Scope.NO_MINOR_UPGRADES,
            )
            for name, found in sorted(window.maintenance_exclusions.items())
        ),
        "has_window": "daily_maintenance_window" in window or "recurring_window" in window,
    }


def upkeep_view(pool: Any) -> Upkeep:
    """How a `NodePool` message says that it is kept; without a strategy GKE surges."""
    settings = pool.upgrade_settings
    unset = settings.strategy == _Strategy.NODE_POOL_UPDATE_STRATEGY_UNSPECIFIED
    strategy = _Strategy.SURGE if unset else settings.strategy
    return Upkeep(
        auto_repair=pool.management.auto_repair,
        auto_upgrade=pool.management.auto_upgrade,
        # An enum value that is newer than the client arrives as a bare integer.
        strategy=str(getattr(strategy, "name", strategy)),
        max_surge=settings.max_surge,
        max_unavailable=settings.max_unavailable,
        excluded=pool.maintenance_policy.exclusion_until_end_of_support.enabled,
    )


def taints_view(pool: Any) -> tuple[Taint, ...]:
    """The taints that a `NodePool` message gives its nodes; those that GKE adds by itself may be among them."""
    return tuple(
        Taint(taint.key, taint.value, _WORDS.get(taint.effect, str(taint.effect))) for taint in pool.config.taints
    )


def _taint(taint: Taint) -> Any:
    return container_v1.NodeTaint(key=taint.key, value=taint.value, effect=_EFFECTS[taint.effect])
