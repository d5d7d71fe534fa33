"""vLLM's command line, parsed as strictly as vLLM does, from the list in vllm_flags.yaml."""

import argparse
import json
import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import yaml

FLAG_LIST = Path(__file__).with_name("vllm_flags.yaml")
DECIMAL = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
BINARY = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@cache
def flag_list() -> dict[str, Any]:
    """{version, flags: {name: {kind, choices, known, nargs, aliases, optional, repeated}}}"""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    document: dict[str, Any] = yaml.load(FLAG_LIST.read_bytes(), Loader=loader)  # noqa: S506 - a SafeLoader either way
    return document


def parse_serve(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse `serve MODEL --flags…`. Ends the process with status 2 and argparse's text when vLLM would."""
    parser, serve = _parsers()
    words = _normalised(arguments)
    words, nested = _nested_json(words, serve)
    namespace = parser.parse_args([*words, *(f"{flag}={json.dumps(value)}" for flag, value in nested.items())])
    if namespace.command is None:
        parser.error("the following arguments are required: command")
    return namespace


def human_int(text: str) -> int:
    """`4096`, `4k` (thousands, decimals allowed), `4K` (1024s). Raises as an argparse type does."""
    if match := re.fullmatch(r"(\d+(?:\.\d+)?)([kKmMgGtT])", text.strip()):
        number, suffix = match.groups()
        if suffix in DECIMAL:
            return int(float(number) * DECIMAL[suffix])
        if "." in number:
            raise argparse.ArgumentTypeError(
                f"Decimals are not allowed with binary suffixes like {suffix}. "
                f"Did you mean to use {number}{suffix.lower()} instead?"
            )
        return int(number) * BINARY[suffix]
    return int(text)


def human_int_or_auto(text: str) -> int:
    """Like `human_int`; `auto` and -1 are -1."""
    return -1 if text.strip().lower() in {"-1", "auto"} else human_int(text)


def json_or_text(text: str) -> Any:
    """A JSON object when it looks like one, else the text."""
    return json.loads(text) if re.match(r"(?s)^\s*{.*}\s*$", text) else text


CONVERTERS: dict[str, Callable[[str], Any]] = {
    "int": int,
    "float": float,
    "str": str,
    "json": json.loads,
    "json_or_str": json_or_text,
    "human_int": human_int,
    "human_int_or_auto": human_int_or_auto,
}


class _ServeParser(argparse.ArgumentParser):
    """Refuses abbreviations: vLLM's list grows, and what is unique today is ambiguous in the next release."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        # The usage of 290 flags would bury the message.
        self.exit(2, f"{self.prog}: error: {message}\n")


@cache
def _parsers() -> tuple[argparse.ArgumentParser, argparse.ArgumentParser]:
    parser = _ServeParser(prog="vllm", description="A stand-in for vLLM: it loads no model.")
    commands = parser.add_subparsers(dest="command")
    serve = commands.add_parser("serve")
    serve.add_argument("model_tag", nargs="?")
    for name, flag in flag_list()["flags"].items():
        serve.add_argument(name, *flag.get("aliases", []), **_options(flag))
    return parser, serve


def _options(flag: dict[str, Any]) -> dict[str, Any]:
    kind = flag["kind"]
    if kind == "bool":
        return {"action": argparse.BooleanOptionalAction, "default": None}
    if kind == "switch":
        return {"action": "store_true"}
    options: dict[str, Any] = {"type": _converter(kind, optional=bool(flag.get("optional")))}
    if "choices" in flag:
        options["choices"] = [*flag["choices"], *([None] if flag.get("optional") else [])]
    if "nargs" in flag:
        options["nargs"] = flag["nargs"]
    if flag.get("nargs") == "?":
        options["const"] = True
    if flag.get("repeated"):
        options["action"] = "append"
    return options


def _converter(kind: str, *, optional: bool) -> Callable[[str], Any]:
    convert = CONVERTERS[kind]

    def converter(text: str) -> Any:
        return None if optional and text in {"", "None"} else convert(text)

    converter.__name__ = kind
    return converter


def _normalised(arguments: Sequence[str]) -> list[str]:
    """vLLM takes underscores for dashes in names, and -O3 for --optimization-level 3."""
    words: list[str] = []
    for word in arguments:
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            head, dot, rest = name.partition(".")
            words.append(head.replace("_", "-") + dot + rest + equals + value)
        elif word.startswith("-O"):
            level = word[2:].removeprefix("=")
            words += ["--optimization-level", *([level] if level else [])]
        else:
            words.append(word)
    return words


def _nested_json(words: list[str], serve: argparse.ArgumentParser) -> tuple[list[str], dict[str, Any]]:
    """Take `--flag.key.key value` out of the words: JSON objects given key by key."""
    names = {word for action in serve._actions for word in action.option_strings}
    plain: list[str] = []
    nested: dict[str, Any] = {}
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        flag, dot, path = name.partition(".")
        if not (word.startswith("-") and dot and flag in names):
            plain.append(word)
            continue
        text = value if equals else next(rest, "")
        _put(nested.setdefault(flag, {}), path.split("."), text)
    return plain, nested


def _put(target: dict[str, Any], keys: list[str], text: str) -> None:
    *parents, last = keys
    for key in parents:
        target = target.setdefault(key, {})
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        value = text
    if last.endswith("+"):
        target.setdefault(last[:-1], []).extend(text.split(",") if isinstance(value, str) else [value])
    else:
        target[last] = value
