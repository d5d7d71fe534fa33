"""What a schema asks for that an older one didn't: what is stored or written for the older one would be refused."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]
RULES = "x-kubernetes-validations"
UPPER = ("maximum", "maxLength", "maxItems", "maxProperties")
LOWER = ("minimum", "minLength", "minItems", "minProperties")
EXACT = ("type", "pattern", "format", "const", "multipleOf", "uniqueItems", "default")
"""Another value may refuse what was accepted, or give another meaning to what was left out."""
OPEN = ("x-kubernetes-preserve-unknown-fields", "x-kubernetes-int-or-string", "nullable")
"""Each lets more in."""


def find_tightenings(old: Schema, new: Schema, path: str = "") -> Iterator[str]:
    """Each way in which `new` refuses or reads differently what `old` accepted, with its place."""
    yield from (f"{path}: {problem}" for problem in _own(old, new))
    known = new.get("properties", {})
    for name, schema in old.get("properties", {}).items():
        place = f"{path}.{name}".lstrip(".")
        if name in known:
            yield from find_tightenings(schema, known[name], place)
        else:
            yield f"{place}: is gone"
    for part in ("items", "additionalProperties"):
        yield from _inner(old.get(part), new.get(part), f"{path}[{part}]")


def _inner(old: Schema | bool | None, new: Schema | bool | None, path: str) -> Iterator[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        yield from find_tightenings(old, new, path)
    elif old != new and new not in (None, True):
        yield f"{path}: {old} became {new}"


def _own(old: Schema, new: Schema) -> Iterator[str]:
    """What this place itself asks for, apart from what is in it."""
    yield from (f"{key} {old.get(key)} became {new.get(key)}" for key in EXACT if _differs(old, new, key))
    yield from (f"{key} became {new[key]}" for key in UPPER if key in new and new[key] < old.get(key, float("inf")))
    yield from (f"{key} became {new[key]}" for key in LOWER if key in new and new[key] > old.get(key, 0))
    yield from (f"{key} is gone" for key in OPEN if old.get(key) and not new.get(key))
    for value in old.get("enum", ()):
        if "enum" in new and value not in new["enum"]:
            yield f"{value} is no longer one of the values"
    if "enum" in new and "enum" not in old:
        yield f"only {new['enum']} are accepted"
    yield from (f"{name} is required" for name in new.get("required", ()) if name not in old.get("required", ()))
    before = {rule["rule"] for rule in old.get(RULES, ())}
    added = [rule["rule"] for rule in new.get(RULES, ()) if rule["rule"] not in before]
    yield from (f"a new rule, {rule}" for rule in added if not _is_about_new_field(rule, old))


def _is_about_new_field(rule: str, old: Schema) -> bool:
    """Whether a rule holds wherever a field is absent that the older schema doesn't have: no stored object has it.

    Of CEL's operators only the conditional one binds less than `||`.
    """
    guard = re.match(r"!has\(self\.(\w+)\) \|\| [^?]*$", rule)
    return guard is not None and guard[1] not in old.get("properties", {})


def _differs(old: Schema, new: Schema, key: str) -> bool:
    """A limit that was lifted refuses nothing; a default that was dropped or added changes a meaning."""
    if key in ("type", "default"):
        return bool(old.get(key) != new.get(key))
    return key in new and new[key] != old.get(key)
