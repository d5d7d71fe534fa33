"""`docs/reference/api.md`, made from the schemas: one table row for each field."""

import re
from collections.abc import Iterator
from typing import Any, Final

from mistral_operator.api.names import API_VERSION
from mistral_operator.api.schema import all_crds

_HEAD: Final = f"""# API reference

<!-- Generated from operator/mistral_operator/api by `python -m mistral_operator.api.schema --write`; do not edit. -->

Group and version: `{API_VERSION}`. Quantities, durations and money are strings. A field in **bold** is required where
its parent is given. Any other may be left out; its description says what happens then, and a boolean is false. A `[]`
stands for an item of a list, a `{{}}` for a value of a map.

Everything here has its type and its rules. What is not built yet is refused with the condition `Accepted=False` and the
reason `NotYetSupported`, which names the field.
"""


def render_reference() -> str:
    """The whole page."""
    return "\n".join((_HEAD, *(_render_kind(crd) for crd in all_crds().values())))


def _render_kind(crd: dict[str, Any]) -> str:
    names, version = crd["spec"]["names"], crd["spec"]["versions"][0]
    schema = version["schema"]["openAPIV3Schema"]
    subresources = ", ".join(f"`{name}`" for name in version.get("subresources", ()))
    facts = (
        f"{crd['spec']['scope']}; short name `{names['shortNames'][0]}`; categories "
        f"{', '.join(f'`{name}`' for name in names['categories'])}; "
        f"{f'subresources {subresources}' if subresources else 'no subresources'}."
    )
    parts = [f"## {names['kind']}\n\n{schema['description']}\n\n{facts}\n"]
    known = schema["properties"]
    parts += [_render_part(part, known[part]) for part in ("spec", "status") if part in known]
    parts.append("### Rules\n\n" + "\n".join(_render_rules(schema, "")) + "\n")
    return "\n".join(parts)


def _render_part(name: str, schema: dict[str, Any]) -> str:
    rows = "\n".join(_render_fields(schema, name))
    head = "| Field | Type | Constraint | Default | Description |\n| --- | --- | --- | --- | --- |"
    return f"### {name}\n\n{schema['description']}\n\n{head}\n{rows}\n"


def _render_fields(schema: dict[str, Any], path: str) -> Iterator[str]:
    for name, field in schema.get("properties", {}).items():
        below = f"{path}.{name}"
        shown = f"**`{below}`**" if name in schema.get("required", ()) else f"`{below}`"
        default = f"`{field['default']}`" if "default" in field else ""
        cells = (shown, _type(field), _constraint(field), default, _cell(field["description"]))
        yield "| " + " | ".join(cells) + " |"
        yield from _render_fields(field, below)
        yield from _render_fields(field.get("items", {}), f"{below}[]")
        yield from _render_fields(_values(field), f"{below}{{}}")


def _type(field: dict[str, Any]) -> str:
    if field.get("x-kubernetes-int-or-string"):
        return "quantity"
    if field["type"] == "array":
        return f"list of {_type(field['items'])}"
    if _values(field):
        return f"map of {_type(_values(field))}"
    return "timestamp" if field.get("format") == "date-time" else str(field["type"])


def _constraint(field: dict[str, Any]) -> str:
    inner = field.get("items") or _values(field)
    parts = [*_own_constraints(field), *_own_constraints(inner)]
    return "; ".join(parts)


def _own_constraints(field: dict[str, Any]) -> Iterator[str]:
    if "enum" in field:
        yield ", ".join(f"`{value}`" for value in field["enum"])
    if "minimum" in field or "maximum" in field:
        yield f"{field.get('minimum', '')} … {field.get('maximum', '')}".strip()
    if "maxLength" in field and "enum" not in field and field.get("format") != "date-time":
        yield f"≤ {field['maxLength']} characters"
    if "maxItems" in field:
        yield f"≤ {field['maxItems']} items"
    if "maxProperties" in field:
        yield f"≤ {field['maxProperties']} entries"
    if "pattern" in field:
        yield f"`{_cell(field['pattern'])}`"


def _render_rules(schema: dict[str, Any], path: str) -> Iterator[str]:
    for rule in schema.get("x-kubernetes-validations", ()):
        place = f"`{path}`: " if path else ""
        yield f"- {place}{rule['message']}."
    for name, field in schema.get("properties", {}).items():
        below = f"{path}.{name}" if path else name
        yield from _render_rules(field, below)
        yield from _render_rules(field.get("items", {}), f"{below}[]")


def _values(field: dict[str, Any]) -> dict[str, Any]:
    values = field.get("additionalProperties", {})
    return values if isinstance(values, dict) else {}


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|")
