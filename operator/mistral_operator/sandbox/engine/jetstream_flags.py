"""JetStream's two command lines, parsed as strictly as their programs do, from the lists in jetstream_flags.yaml."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

FLAG_LIST = Path(__file__).with_name("jetstream_flags.yaml")
Values = dict[str, Any]
Flags = Mapping[str, Mapping[str, Any]]


class CommandLineError(Exception):
    """The real program refuses this command line, with this text and exit status 1."""


@cache
def flag_lists() -> dict[str, Any]:
    """{maxtext: {keys, models}, pytorch: {flags, models}, prefill_lengths}"""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    document: dict[str, Any] = yaml.load(FLAG_LIST.read_bytes(), Loader=loader)  # noqa: S506 - a SafeLoader either way
    return document


def parse_maxtext(arguments: Sequence[str]) -> Values:
    """Parse `…/base.yml key=value …`, all keys with their values. Raises CommandLineError with MaxText's text."""
    if not arguments or not arguments[0].endswith(".yml"):
        raise CommandLineError("IndexError: list index out of range: the first argument is the path of base.yml")
    keys: Flags = flag_lists()["maxtext"]["keys"]
    values = _defaults(keys)
    for word in arguments[1:]:
        key, _, text = word.partition("=")
        if key not in keys:
            raise CommandLineError(f"ValueError: Key {key} was passed at the command line but isn't in config.")
        try:
            values[key] = _from_yaml(text, keys[key]["kind"])
        except ValueError:
            message = f"ValueError: Couldn't parse value from CLI or ENV '{text}' for key '{key}'"
            raise CommandLineError(message) from None
    return values


def parse_pytorch(arguments: Sequence[str]) -> Values:
    """Parse `--flag value …` as absl does, all flags with their values. Raises CommandLineError with absl's text."""
    flags: Flags = flag_lists()["pytorch"]["flags"]
    values = _defaults(flags)
    words = iter(arguments)
    for word in words:
        if not word.startswith("-"):
            # absl leaves it to the program, which looks at nothing behind its command.
            continue
        name, equals, text = word.lstrip("-").partition("=")
        if name.startswith("no") and not equals and flags.get(name[2:], {}).get("kind") == "bool":
            values[name[2:]] = False
        elif name not in flags:
            raise _absl_error(f"Unknown command line flag '{name}'")
        else:
            values[name] = _read_flag(name, flags[name]["kind"], text if equals else None, words)
    return values


def _read_flag(name: str, kind: str, text: str | None, words: Iterator[str]) -> Any:
    if kind == "bool" and text is None:
        return True
    text = next(words, None) if text is None else text
    if text is None:
        raise _absl_error(f"Missing value for flag --{name}")
    try:
        return _from_absl(text, kind)
    except ValueError as error:
        raise _absl_error(f"flag --{name}={text}: {error}") from None


def _absl_error(message: str) -> CommandLineError:
    return CommandLineError(
        f"FATAL Flags parsing error: {message}\nPass --helpshort or --helpfull to see help on flags."
    )


def _defaults(flags: Flags) -> Values:
    return {name: flag["default"] for name, flag in flags.items()}


def _from_yaml(text: str, kind: str) -> Any:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
    fits = {
        "int": isinstance(value, int) and not isinstance(value, bool),
        "float": isinstance(value, int | float) and not isinstance(value, bool),
        "bool": isinstance(value, bool),
        "str": True,
    }
    if not fits[kind]:
        raise ValueError(text)
    return text if kind == "str" else value


def _from_absl(text: str, kind: str) -> Any:
    match kind:
        case "int":
            return int(text)
        case "float":
            return float(text)
        case "bool" if text.lower() in ("true", "t", "1", "false", "f", "0"):
            return text.lower() in ("true", "t", "1")
        case "bool":
            raise ValueError("Non-boolean argument to boolean flag", text)
        case _:
            return text
