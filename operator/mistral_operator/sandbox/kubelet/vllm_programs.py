"""vLLM's command lines: one host, and the leader and the workers of a group of hosts.

What is not recognised but would run vLLM is refused, as a shell would: a container that runs nothing must not look like
an engine that loads.
"""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath

from .calls import Call, Program, Refused

VLLM = "mistral_operator.sandbox.engine.vllm"
MULTI_NODE = "mistral_operator.sandbox.engine.multi_node"
GPU_IMAGE = "vllm-openai"
"""Its entrypoint is `vllm serve`."""
TPU_IMAGE = "vllm-tpu"
"""Its entrypoint executes its arguments; tpu-inference's docker/entrypoint.sh."""

SCRIPT = r"bash /workspace/vllm/examples/ray_serving/multi-node-serving\.sh"
OPTIONS = r'(?P<options>(?: --[a-z_]+=(?:[\w.:/-]+|"\$[A-Za-z_]\w*"))*)'
LEADER = re.compile(rf'{SCRIPT} leader{OPTIONS} && exec vllm serve "\$@"')
WORKER = re.compile(rf"exec {SCRIPT} worker{OPTIONS}")
INTERPRETER = re.compile(r"bash|sh|python[\d.]*")
ANY_USE = re.compile(r"(?<![\w./-])vllm(?![\w/-])|multi-node-serving")


def serve(call: Call) -> Program | None:
    """`vllm …`, by name or by the GPU image's entrypoint."""
    words = call.words
    if words and _name(words[0]) == "vllm":
        return Program(VLLM, words[1:])
    if not call.command and GPU_IMAGE in call.image:
        return Program(VLLM, ("serve", *words))
    return None


def multi_node_leader(call: Call) -> Program | None:
    """`bash -c '… multi-node-serving.sh leader … && exec vllm serve "$@"' NAME ARGS…`"""
    match = _script(call, LEADER)
    if match is None or len(call.words) < 4:
        return None
    # The word after the script is its $0.
    return Program(MULTI_NODE, ("leader", *_options(match, call.values), "--", "serve", *call.words[4:]))


def multi_node_worker(call: Call) -> Program | None:
    """`bash -c 'exec … multi-node-serving.sh worker …'`"""
    match = _script(call, WORKER)
    if match is None or len(call.words) > 3:
        return None
    return Program(MULTI_NODE, ("worker", *_options(match, call.values)), loads=False)


def refuse_other_uses(call: Call) -> Refused | None:
    """Whatever else would run vLLM or its script."""
    words = call.words
    if not call.command and TPU_IMAGE in call.image:
        return Refused(f"exec: {words[0]}: not found" if words else "the stand-in knows no program without arguments")
    if not words:
        return None
    program = _name(words[0])
    interpreted = INTERPRETER.fullmatch(program) and ANY_USE.search(" ".join(words[1:]))
    if interpreted or program.startswith("vllm") or program == "multi-node-serving.sh":
        return Refused(
            f"{' '.join(words)[:500]}: command not found: the stand-in has `vllm serve`, and vLLM's "
            'multi-node-serving.sh as leader (`… && exec vllm serve "$@"`) and as worker'
        )
    return None


def _script(call: Call, pattern: re.Pattern[str]) -> re.Match[str] | None:
    words = call.words
    if len(words) < 3 or _name(words[0]) != "bash" or words[1] != "-c":
        return None
    return pattern.fullmatch(words[2])


def _options(match: re.Match[str], values: Mapping[str, str]) -> list[str]:
    """The script's options with "$NAME" expanded; a variable that isn't set is empty, as in a shell."""
    return [
        re.sub(r'"\$(\w+)"', lambda variable: values.get(variable[1], ""), option)
        for option in match["options"].split()
    ]


def _name(word: str) -> str:
    return PurePosixPath(word).name
