"""A plan as JSON that survives any reader: money and bytes as strings, the rest as whole numbers, texts and lists.

`plan_from_dict(plan_to_dict(plan)) == plan`, exactly. A record of an older operator gets the defaults of newer fields,
so a field that is added must have one; what only a newer operator knows is left aside.
"""

from collections.abc import Mapping
from dataclasses import fields
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from mistral_operator.planning.types import (
    Consumption,
    MemoryBudget,
    Plan,
    PlannedOption,
    Provisioner,
    Purchase,
    Refusal,
    StartupEstimate,
    ThroughputEstimate,
    Tier,
)

_Record = Plan | PlannedOption | Purchase | MemoryBudget | StartupEstimate | ThroughputEstimate | Refusal
_NAMES: Final[Mapping[type[_Record], tuple[str, ...]]] = {
    kind: tuple(field.name for field in fields(kind))
    for kind in (Plan, PlannedOption, Purchase, MemoryBudget, StartupEstimate, ThroughputEstimate, Refusal)
}
"""Written down once: they are asked for at each look at a model, for dozens of records."""


class PlanFormatError(ValueError):
    """A stored plan can't be read; the message says which part."""


def plan_to_dict(plan: Plan) -> dict[str, Any]:
    """Write a plan as JSON."""
    return {
        **_fields_of(plan),
        "engine_flags": list(plan.engine_flags),
        "engine_env": dict(plan.engine_env),
        "weights_bytes": str(plan.weights_bytes),
        "options": [option_to_dict(option) for option in plan.options],
        "refusals": [_fields_of(refusal) for refusal in plan.refusals],
        "notes": list(plan.notes),
    }


def option_to_dict(option: PlannedOption) -> dict[str, Any]:
    """Write one option as JSON."""
    known = {name: value for name, value in _fields_of(option).items() if name != "alternatives"}
    return {
        **known,
        "consumption": option.consumption.value,
        "provisioner": option.provisioner.value,
        "tier": option.tier.value,
        "zones": list(option.zones),
        "notes": list(option.notes),
        "node_labels": dict(option.node_labels),
        "memory": {name: str(value) for name, value in _fields_of(option.memory).items()},
        "startup": _fields_of(option.startup),
        "shm_bytes": str(option.shm_bytes),
        "hourly_cost": _money_text(option.hourly_cost),
        "throughput": None if option.throughput is None else _throughput_to_dict(option.throughput),
        # Left out where there is none, as in every plan of earlier versions.
        **({"alternatives": [_purchase_to_dict(item) for item in option.alternatives]} if option.alternatives else {}),
    }


def plan_from_dict(data: Mapping[str, Any]) -> Plan:
    """Read a plan; raise PlanFormatError when the record is not one."""
    try:
        return Plan(
            **{
                **_known(Plan, data),
                "engine_flags": tuple(data["engine_flags"]),
                "weights_bytes": int(data["weights_bytes"]),
                "options": tuple(option_from_dict(item) for item in data["options"]),
                "refusals": tuple(Refusal(**_known(Refusal, item)) for item in data["refusals"]),
                "notes": tuple(data.get("notes", ())),
            }
        )
    except (KeyError, TypeError, ValueError, InvalidOperation) as error:
        raise PlanFormatError(f"this is no plan that this version can read: {error!r}") from error


def option_from_dict(data: Mapping[str, Any]) -> PlannedOption:
    """Read one option; raises what the parts raise."""
    known = _known(PlannedOption, data)
    throughput = known.get("throughput")
    return PlannedOption(
        **{
            **known,
            "consumption": Consumption(data["consumption"]),
            "provisioner": Provisioner(data.get("provisioner", Provisioner.CONTAINER_API)),
            "tier": Tier(data["tier"]),
            "zones": tuple(data["zones"]),
            "notes": tuple(data.get("notes", ())),
            "memory": MemoryBudget(
                **{name: int(value) for name, value in _known(MemoryBudget, data["memory"]).items()}
            ),
            "startup": StartupEstimate(**_known(StartupEstimate, data["startup"])),
            "shm_bytes": int(data["shm_bytes"]),
            "hourly_cost": _money(data["hourly_cost"]),
            "throughput": None if throughput is None else _throughput_from_dict(throughput),
            "alternatives": tuple(_purchase_from_dict(item) for item in data.get("alternatives", ())),
        }
    )


def _purchase_to_dict(purchase: Purchase) -> dict[str, Any]:
    return {
        **_fields_of(purchase),
        "consumption": purchase.consumption.value,
        "zones": list(purchase.zones),
        "hourly_cost": _money_text(purchase.hourly_cost),
    }


def _purchase_from_dict(data: Mapping[str, Any]) -> Purchase:
    return Purchase(
        **{
            **_known(Purchase, data),
            "consumption": Consumption(data["consumption"]),
            "zones": tuple(data["zones"]),
            "hourly_cost": _money(data["hourly_cost"]),
        }
    )


def _throughput_to_dict(estimate: ThroughputEstimate) -> dict[str, Any]:
    return {
        **_fields_of(estimate),
        "dollars_per_million_tokens": _money_text(estimate.dollars_per_million_tokens),
        "uncertainty": str(estimate.uncertainty),
    }


def _throughput_from_dict(data: Mapping[str, Any]) -> ThroughputEstimate:
    return ThroughputEstimate(
        **{
            **_known(ThroughputEstimate, data),
            "dollars_per_million_tokens": _money(data["dollars_per_million_tokens"]),
            "uncertainty": Decimal(data["uncertainty"]),
        }
    )


def _money(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _money_text(amount: Decimal | None) -> str | None:
    return None if amount is None else str(amount)


def _known(kind: type[_Record], data: Mapping[str, Any]) -> dict[str, Any]:
    return {name: data[name] for name in _NAMES[kind] if name in data}


def _fields_of(item: _Record) -> dict[str, Any]:
    """One level only; `asdict` copies all levels, and takes as long as planning itself."""
    return {name: getattr(item, name) for name in _NAMES[type(item)]}
