"""What is wrong with a MistralModel and what to write instead: the parser's findings in this project's words. Pure."""

import json
import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import cache
from typing import Any, Final

from mistral_operator.api.common import PATTERN_EXAMPLES
from mistral_operator.api.rules import field_paths, find_field

_LONGEST_QUOTE: Final = 40
_MOST_OFFERED: Final = 3
_SYNONYMS: Final = {
    "args": "spec.engine.extraArgs",
    "context": "spec.engine.contextLength",
    "dtype": "spec.engine.precision",
    "gpu": "spec.capacity.options[].accelerator",
    "gpucount": "spec.capacity.options[].devices",
    "gpus": "spec.capacity.options[].devices",
    "gputype": "spec.capacity.options[].accelerator",
    "hftoken": "spec.weights.huggingFace.tokenSecretRef",
    "maxmodellen": "spec.engine.contextLength",
    "maxnumseqs": "spec.engine.maxConcurrency",
    "flexstart": "spec.capacity.options[].consumption",
    "quantization": "spec.engine.precision",
    "region": "spec.capacity.options[].zones",
    "spot": "spec.capacity.options[].consumption",
    "tensorparallelsize": "spec.capacity.options[].devices",
    "token": "spec.weights.huggingFace.tokenSecretRef",
}
"""What other tools call our fields, in small letters."""


def word_fault(detail: Mapping[str, Any]) -> str:
    """One error of pydantic as `path: what is wrong; what to write`."""
    kind = str(detail["type"])
    word = next((word for start, word in _WORDS.items() if kind.startswith(start)), None)
    return f"{_join(detail['loc'])}: {word(detail) if word else detail['msg']}"


def _join(location: tuple[int | str, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")


def _name(detail: Mapping[str, Any]) -> str:
    return next((part for part in reversed(detail["loc"]) if isinstance(part, str)), "value")


def _quote(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST_QUOTE else text[: _LONGEST_QUOTE - 1] + "…"


def find_example(location: tuple[int | str, ...], pattern: str | None) -> str:
    """A value that the field takes, from its description or its pattern; empty where neither has one."""
    field = find_field(location)
    described = re.search(r"(?<=such as `)[^`]+|[^`]+(?=` when left out)", (field.description if field else None) or "")
    return described[0] if described else PATTERN_EXAMPLES.get(pattern or "", "")


def _advise(detail: Mapping[str, Any]) -> str:
    example = find_example(detail["loc"], detail.get("ctx", {}).get("pattern"))
    return f"; write {example}, for instance" if example else ""


def _word_missing(detail: Mapping[str, Any]) -> str:
    field = find_field(detail["loc"])
    example = find_example(detail["loc"], None)
    described = (field.description if field else None) or ""
    return (
        f"is missing; write {_name(detail)}: {example}, for instance"
        if example
        else f"is missing. {described}".rstrip()
    )


def _word_pattern(detail: Mapping[str, Any]) -> str:
    return f"{_quote(detail['input'])} is malformed{_advise(detail)}"


def _word_text(detail: Mapping[str, Any]) -> str:
    value = detail["input"]
    if isinstance(value, bool | int | float):
        return f'must be text; write it in quotes: "{json.dumps(value)}"'
    return f"must be text, and {_quote(value)} is {_shape(value)}{_advise(detail)}"


def _word_integer(detail: Mapping[str, Any]) -> str:
    value = detail["input"]
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]+", value):
        return f"must be a whole number; write {value} without quotes"
    return f"must be a whole number, and {_quote(value)} is none; write it in digits, without a unit and without quotes"


def _word_flag(detail: Mapping[str, Any]) -> str:
    return f"must be true or false, and {_quote(detail['input'])} is neither; write one of them without quotes"


def _word_choice(detail: Mapping[str, Any]) -> str:
    choices = re.findall(r"'([^']*)'", detail["ctx"]["expected"])
    near = [choice for choice in choices if choice.lower() == str(detail["input"]).lower()]
    near = near or get_close_matches(str(detail["input"]), choices, n=1)
    return f"{_quote(detail['input'])} is not one of its values; write {' or '.join(near or choices)}"


def _word_list(detail: Mapping[str, Any]) -> str:
    inner = _fields_below((*detail["loc"], 0))
    if inner:
        return f"must be a list, also of a single item; each item has the fields {inner}"
    value = detail["input"]
    item = value if isinstance(value, str) else _quote(value)
    return f"must be a list, also of a single item; write {_name(detail)}: [{item}]"


def _word_mapping(detail: Mapping[str, Any]) -> str:
    return f"must hold names with values, and {_quote(detail['input'])} is {_shape(detail['input'])}"


def _word_part(detail: Mapping[str, Any]) -> str:
    inner = _fields_below(detail["loc"])
    known = f"; its fields are {inner}" if inner else ""
    return f"must hold fields, and {_quote(detail['input'])} is {_shape(detail['input'])}{known}"


def _fields_below(location: tuple[int | str, ...]) -> str:
    return ", ".join(_siblings(_join(location)))


def _shape(value: object) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list() | tuple():
            return "a list"
        case Mapping():
            return "a mapping"
    return f"a {type(value).__name__}"


def _word_least(detail: Mapping[str, Any]) -> str:
    return f"{detail['input']} is too small; write {detail['ctx']['ge']} or more"


def _word_most(detail: Mapping[str, Any]) -> str:
    return f"{detail['input']} is too large; write {detail['ctx']['le']} or less"


def _word_short(detail: Mapping[str, Any]) -> str:
    least = detail["ctx"]["min_length"]
    return f"{_quote(detail['input'])} is too short; write at least {_count(detail, least)}"


def _word_long(detail: Mapping[str, Any]) -> str:
    most = detail["ctx"]["max_length"]
    return f"is too long; write at most {_count(detail, most)}"


def _count(detail: Mapping[str, Any], number: int) -> str:
    noun = "character" if isinstance(detail["input"], str) else "item"
    return f"{number} {noun}{'' if number == 1 else 's'}"


_WORDS: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    "missing": _word_missing,
    "string_pattern": _word_pattern,
    "string_too_short": _word_short,
    "too_short": _word_short,
    "string_too_long": _word_long,
    "too_long": _word_long,
    "string_": _word_text,
    "int_": _word_integer,
    "bool_": _word_flag,
    "enum": _word_choice,
    "literal_error": _word_choice,
    "tuple_type": _word_list,
    "dict_type": _word_mapping,
    "model_": _word_part,
    "greater_than": _word_least,
    "less_than": _word_most,
}
"""Beginning of pydantic's type of error → its words; the first that fits."""


def word_unknown(path: str) -> str:
    """A field that there isn't, with the one that was probably meant."""
    parent, _, name = path.rpartition(".")
    offered = offer_fields(parent, name)
    if offered:
        return f"{path}: there is no such field; write {' or '.join(offered)}"
    known = ", ".join(_siblings(parent))
    return f"{path}: there is no such field" + (f"; known are {known}" if known else "")


def offer_fields(parent: str, name: str) -> list[str]:
    """The paths of fields that may be meant: of the same name, known under it elsewhere, or of a similar name."""
    siblings = _siblings(parent)
    plain = _simplify(name)
    here = [sibling for sibling in siblings if _simplify(sibling) == plain]
    elsewhere = [path for path in field_paths() if _simplify(path.rpartition(".")[2]) == plain]
    if not here and 0 < len(elsewhere) <= _MOST_OFFERED:
        return elsewhere
    if not here and plain in _SYNONYMS:
        return [_SYNONYMS[plain]]
    near = here or get_close_matches(name, siblings, n=1)
    if near:
        return [f"{parent}.{found}" if parent else found for found in near]
    likely = get_close_matches(plain, _names(), n=1, cutoff=0.8)
    return list(_names()[likely[0]]) if likely else []


def _siblings(parent: str) -> list[str]:
    above = re.sub(r"\[[0-9]+\]", "[]", parent)
    return [path.rpartition(".")[2] for path in field_paths() if path.rpartition(".")[0] == above]


def _simplify(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


@cache
def _names() -> Mapping[str, tuple[str, ...]]:
    """Simplified name → paths, of the names that few enough fields have to be offered."""
    names: dict[str, tuple[str, ...]] = {}
    for path in field_paths():
        plain = _simplify(path.rpartition(".")[2])
        names[plain] = (*names.get(plain, ()), path)
    return {plain: paths for plain, paths in names.items() if len(paths) <= _MOST_OFFERED}
