"""What puts a pool right that has an object of Config Connector's: a change of the object's spec. Pure.

A field that can't be changed in a pool's life is put back in the object only: Config Connector refused the edit, so the
pool never had it, and goes on refusing everything else until it is taken back.
"""

from collections.abc import Mapping
from typing import Any, Final

from mistral_operator.capacity.port import (
    EFFECTS,
    Mend,
    SetManagement,
    SetNodeLabels,
    SetResourceLabels,
    SetTaints,
    SetUpgrades,
    StopAutoscaling,
    Taint,
    Upkeep,
)

Json = dict[str, Any]

MENDS: Final[frozenset[type[Mend]]] = frozenset({
    SetNodeLabels, SetResourceLabels, SetTaints, SetManagement, SetUpgrades, StopAutoscaling
})  # fmt: skip
"""What the schema has a field for. It has none for exclusions from upgrades, and a version or a size that is written
there would be held against GKE from then on."""

_WORDS: Final = {effect: word for word, effect in EFFECTS.items()}


def mend_patch(mend: Mend) -> Json:
    """The JSON merge patch of the object's spec. Maps keep what others have put there."""
    match mend:
        case SetNodeLabels(labels):
            return {"nodeConfig": {"labels": dict(labels)}}
        case SetResourceLabels(labels):
            return {"nodeConfig": {"resourceLabels": dict(labels)}}
        case SetTaints(taints):
            return {"nodeConfig": {"taint": [_write_taint(taint) for taint in taints]}}
        case SetManagement(upkeep):
            return {"management": management(upkeep)}
        case SetUpgrades(upkeep):
            # Settings of another strategy are refused beside this one.
            return {"upgradeSettings": {**upgrade_settings(upkeep), "blueGreenSettings": None}}
        case StopAutoscaling():
            return {"autoscaling": None}
        case _:
            raise ValueError(f"{mend} is none of {MENDS}")


def management(upkeep: Upkeep) -> Json:
    """The object's field of that name."""
    return {"autoRepair": upkeep.auto_repair, "autoUpgrade": upkeep.auto_upgrade}


def upgrade_settings(upkeep: Upkeep) -> Json:
    """The object's field for how nodes are replaced in an upgrade."""
    return {
        "strategy": upkeep.strategy, "maxSurge": upkeep.max_surge, "maxUnavailable": upkeep.max_unavailable
    }  # fmt: skip


def upkeep_view(spec: Mapping[str, Any]) -> Upkeep:
    """How the object's spec says that the pool is kept. What it leaves out is off; without a strategy GKE surges."""
    kept, settings = spec.get("management") or {}, spec.get("upgradeSettings") or {}
    return Upkeep(
        auto_repair=bool(kept.get("autoRepair")),
        auto_upgrade=bool(kept.get("autoUpgrade")),
        strategy=str(settings.get("strategy") or "SURGE"),
        max_surge=int(settings.get("maxSurge") or 0),
        max_unavailable=int(settings.get("maxUnavailable") or 0),
    )


def _write_taint(taint: Taint) -> Json:
    return {"key": taint.key, "value": taint.value, "effect": EFFECTS.get(taint.effect, taint.effect)}


def read_taint(found: Mapping[str, Any]) -> Taint:
    """GKE writes `NO_SCHEDULE` for what Kubernetes calls `NoSchedule`."""
    effect = str(found["effect"])
    return Taint(key=str(found["key"]), value=str(found["value"]), effect=_WORDS.get(effect, effect))
