"""What of a spec a plan and a pod template are made from. Anything else changes neither, and re-rolls nothing.

The hash of these inputs names a revision for as long as it lives, so it must stay the same for the same wish: a default
that is written out, an empty section or another order says nothing new, and a field of a newer version isn't there.
"""

from collections.abc import Mapping
from typing import Any, Final

from mistral_operator.api.model import MistralModel
from mistral_operator.manifests.identity import hash_content, part_number

_FIELDS: Final = frozenset({
    "model", "customModel", "variant", "weights", "engine", "capacity", "optimizeFor", "serviceAccountName",
    "resourceLabels", "endpoint", "rollout", "pod", "servingClassName",
})  # fmt: skip
# Parts that only say how many replicas may run or in which order they change.
_NOT_PLANNED: Final = frozenset({
    "capacity.maxHourlyCost", "capacity.maxSurgeHourlyCost", "capacity.priority", "capacity.options.replicas",
    "rollout.strategy", "rollout.canary",
})  # fmt: skip
# Values that say no more than leaving the field out.
_DEFAULTS: Final[Mapping[str, frozenset[str]]] = {
    "optimizeFor": frozenset({"Cost"}),
    "engine.type": frozenset({"Auto", "VLLM"}),
    "engine.precision": frozenset({"Auto"}),
    "engine.kvCachePrecision": frozenset({"Auto"}),
    "engine.toolCalling": frozenset({"Auto"}),
    "engine.reasoning": frozenset({"Auto"}),
    "capacity.provisioner": frozenset({"Auto", "ContainerAPI"}),
    "capacity.options.consumption": frozenset({"OnDemand"}),
    "endpoint.mode": frozenset({"Service"}),
}
_UNORDERED: Final = frozenset({"capacity.options.zones"})


def hash_inputs(model: MistralModel) -> str:
    """Hash the chosen inputs of planning; never the rendered output."""
    spec = model.spec.model_dump(by_alias=True, exclude_defaults=True, mode="json")
    digest = hash_content(_reduce({name: spec[name] for name in _FIELDS if name in spec}, ""))
    number = part_number(model)
    # The labels of its pods are another part's: with the same hash it would have another one's revision.
    return digest if number == 1 else hash_content([digest, "part", number])


def hash_rung(inputs: str, rung: str) -> str:
    """Hash what a plan for another rung than the first is made from: the inputs' hash, and the rung's name."""
    return hash_content([inputs, rung])


def _reduce(value: Any, path: str) -> Any:
    if isinstance(value, dict):
        return _reduce_section(value, path)
    if isinstance(value, list):
        items = [_reduce(item, path) for item in value]
        said = items if any(item != {} for item in items) else []
        return sorted(said) if path in _UNORDERED else said
    return value


def _reduce_section(section: Mapping[str, Any], path: str) -> dict[str, Any]:
    parts = {name: (f"{path}.{name}" if path else name, value) for name, value in section.items()}
    reduced = {
        name: _reduce(value, where)
        for name, (where, value) in parts.items()
        if where not in _NOT_PLANNED and not (isinstance(value, str) and value in _DEFAULTS.get(where, ()))
    }
    return {name: value for name, value in reduced.items() if value not in ({}, [], "")}
