"""How the containers of a JetStream pod run here: stand-ins for its servers, and the operator's own gateway.

A pod's containers share one network, so they find each other on localhost. Here that is the pod's own loopback
address, which is put into their arguments from outside.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

Object = dict[str, Any]
Command = Callable[[Sequence[str], str], list[str] | None]
"""The words of a container and the pod's address to what `python -m` runs, or None for another program's words."""

ENGINE_MODULE = "mistral_operator.sandbox.engine.jetstream"
TETHER_MODULE = "mistral_operator.sandbox.tether"
MAXTEXT_MODULE = "maxtext.inference.maxengine.maxengine_server"
DEFAULT_ENGINE = "localhost:9000"
LOCAL = ("localhost", "127.0.0.1")


def _maxtext(words: Sequence[str], _: str) -> list[str] | None:
    interpreter, *rest = words
    if Path(interpreter).name.startswith("python") and rest[:2] == ["-m", MAXTEXT_MODULE]:
        return [ENGINE_MODULE, "maxtext", *rest[2:]]
    return None


def _pytorch(words: Sequence[str], _: str) -> list[str] | None:
    return [ENGINE_MODULE, "jpt", *words[1:]] if Path(words[0]).name == "jpt" else None


def _gateway(words: Sequence[str], address: str) -> list[str] | None:
    if Path(words[0]).name != "mistral-operator" or words[1:2] != ["gateway"]:
        return None
    host, _, port = _option(words, "--engine", DEFAULT_ENGINE).rpartition(":")
    engine = ["--engine", f"{address}:{port}"] if host in LOCAL else []
    # The last of an option's values counts.
    return [TETHER_MODULE, "mistral_operator", *words[1:], "--host", address, *engine]


COMMANDS: tuple[Command, ...] = (_maxtext, _pytorch, _gateway)


def find_command(words: Sequence[str], address: str) -> list[str] | None:
    """What to run after `python -m` for a container of a JetStream pod, None for any other container."""
    found = (command(words, address) for command in COMMANDS if words)
    return next((command for command in found if command is not None), None)


def count_devices(container: Object) -> Mapping[str, str]:
    """The TPU chips that a container gets, as the stand-in's variable: the real engine counts them itself."""
    chips = ((container.get("resources") or {}).get("limits") or {}).get("google.com/tpu")
    return {"STAND_IN_DEVICES": str(chips)} if chips else {}


def _option(words: Sequence[str], name: str, default: str) -> str:
    """The last value of `--name VALUE` or `--name=VALUE`."""
    value = default
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word == name:
            value = following
        elif word.startswith(f"{name}="):
            value = word.removeprefix(f"{name}=")
    return value
