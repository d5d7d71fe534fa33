"""`plan --what-if`: a model with something else fixed."""

from collections.abc import Mapping
from typing import Any, Final

import click
from pydantic import ValidationError

from mistral_operator.api.model import MistralModel
from mistral_operator.api.rules import violations
from mistral_operator.cli.faults import word_fault

_REPLACES: Final[Mapping[str, frozenset[str]]] = {
    "accelerator": frozenset({"devices", "machineType", "topology"}),
    "devices": frozenset({"machineType", "topology"}),
    "machineType": frozenset({"accelerator", "devices", "topology"}),
    "topology": frozenset({"devices", "machineType"}),
    "consumption": frozenset({"reservation"}),
    "reservation": frozenset(),
}
"""What a spec may say of its hardware that would contradict the other hardware; the rest of it stays."""
_ENGINE: Final = {
    "engine": "type",
    "precision": "precision",
    "kvCachePrecision": "kvCachePrecision",
    "context": "contextLength",
    "concurrency": "maxConcurrency",
}
_SPEC: Final = ("optimizeFor", "model", "variant")
KNOWN: Final = (*_REPLACES, *_ENGINE, *_SPEC)
_NUMBERS: Final = ("devices", "context", "concurrency")
_MOST_DIGITS: Final = 9


def vary(model: MistralModel, change: str) -> MistralModel:
    """The model with `key=value,…` fixed; raise UsageError that says what to write instead."""
    fixed = _read_change(change)
    data = model.model_dump(by_alias=True, exclude_defaults=True, mode="json")
    spec = data["spec"]
    spec |= {key: value for key, value in fixed.items() if key in _SPEC}
    engine = {_ENGINE[key]: value for key, value in fixed.items() if key in _ENGINE}
    if engine:
        spec["engine"] = {**(spec.get("engine") or {}), **engine}
    hardware = {key: value for key, value in fixed.items() if key in _REPLACES}
    if hardware:
        spec["capacity"] = _change_hardware(spec.get("capacity") or {}, hardware)
    try:
        varied = MistralModel.model_validate(data)
    except ValidationError as error:
        raise click.UsageError(f"--what-if {change}: {word_fault(error.errors(include_url=False)[0])}") from None
    broken = next(violations(varied), None)
    if broken:
        raise click.UsageError(f"--what-if {change}: {broken}")
    return varied


def _change_hardware(capacity: Mapping[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
    asked = (capacity.get("options") or [{}])[0]
    replaced = frozenset[str]().union(*(_REPLACES[key] for key in changed))
    kept = {key: value for key, value in asked.items() if key not in replaced}
    return {**capacity, "options": [{**kept, **changed}]}


def _read_change(change: str) -> dict[str, str | int]:
    fixed: dict[str, str | int] = {}
    for word in change.split(","):
        key, _, text = (part.strip() for part in word.partition("="))
        if key not in KNOWN or not text:
            raise click.UsageError(f"--what-if {word.strip()}: write some of {', '.join(f'{k}=…' for k in KNOWN)}")
        if key in fixed:
            raise click.UsageError(f"--what-if {change}: {key} is there twice; write --what-if once for each")
        fixed[key] = _read_number(key, text) if key in _NUMBERS else text
    return fixed


def _read_number(key: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS):
        raise click.UsageError(f"--what-if {key}={text}: write a whole number")
    return int(text)
