"""How the containers of a JetStream pod run here: stand-ins for its servers, and the operator's own gateway.

A pod's containers share one network, so they find each other on localhost. Here that is the pod's own loopback
address, which is put into their arguments from outside.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .calls import Call, Program

Object = dict[str, Any]

ENGINE_MODULE = "mistral_operator.sandbox.engine.jetstream"
TETHER_MODULE = "mistral_operator.sandbox.tether"
MAXTEXT_MODULE = "maxtext.inference.maxengine.maxengine_server"
DEFAULT_ENGINE = "localhost:9000"
LOCAL = ("localhost", "127.0.0.1")


def maxtext(call: Call) -> Program | None:
    """`python3 -m maxtext.inference.maxengine.maxengine_server …`"""
    words = call.words
    if words and Path(words[0]).name.startswith("python") and words[1:3] == ("-m", MAXTEXT_MODULE):
        return Program(ENGINE_MODULE, ("maxtext", *words[3:]))
    return None


def pytorch(call: Call) -> Program | None:
    """`jpt …`"""
    words = call.words
    return Program(ENGINE_MODULE, ("jpt", *words[1:])) if words and Path(words[0]).name == "jpt" else None


def gateway(call: Call) -> Program | None:
    """`mistral-operator gateway …`"""
    words = call.words
    if len(words) < 2 or Path(words[0]).name != "mistral-operator" or words[1] != "gateway":
        return None
    host, _, port = _option(words, "--engine", DEFAULT_ENGINE).rpartition(":")
    engine = ("--engine", f"{call.address}:{port}") if host in LOCAL else ()
    # The last of an option's values counts.
    own = ("--host", call.address, *engine)
    return Program(TETHER_MODULE, ("mistral_operator", *words[1:], *own), loads=False)


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
