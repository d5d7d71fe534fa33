"""The stand-in for vLLM's multi-node-serving.sh, with the `exec vllm serve` that follows it on the leader.

    python -m mistral_operator.sandbox.engine.multi_node leader --ray_cluster_size=N -- serve MODEL --flags…
    python -m mistral_operator.sandbox.engine.multi_node worker --ray_address=HOST

No Ray runs: leader and workers only know of each other. The leader serves when all workers have joined; when one of
them goes, its engine is dead and the process ends. A worker ends with its leader. Steered like the stand-in for vLLM;
STAND_IN_HOSTS and STAND_IN_NAMESPACE say how the leader's name is looked up.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mistral_operator.sandbox.names import find_host

from . import vllm
from .lifecycle import announce_start, end_with_parent, say
from .ray import LEAST_RETRY_S, PORT, Membership, RayHead, stay_with_head

REQUIRED = {"leader": "--ray_cluster_size", "worker": "--ray_address"}
RETRY_S = 5.0
TIMEOUT_S = 300
# Pods of a group are made one after the other by real controllers, which simulated time doesn't hurry.
LEAST_TIMEOUT_S = 60.0


class UsageError(Exception):
    """The script ends with status 1 and this text."""


@dataclass(frozen=True, slots=True)
class Options:
    """The script's own options; the rest would go to `ray start`."""

    address: str = ""
    cluster_size: int = 0
    port: int = PORT
    timeout_s: int = TIMEOUT_S


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """The process's exit status."""
    # As the first process of a container, bash has no handler for SIGTERM, and the kernel gives it none: a worker, and
    # a leader that still waits, end only by SIGKILL, at the end of the grace period.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    role, words = (arguments[0] if arguments else ""), list(arguments[1:])
    own, serve = _split(words)
    try:
        options = read_options(role, own)
    except UsageError as error:
        say(str(error))
        return 1
    work = _lead(options, serve, environment) if role == "leader" else _work(options, environment)
    return asyncio.run(work)


def read_options(role: str, words: Sequence[str]) -> Options:
    """As the script reads them. Raises UsageError."""
    if role not in REQUIRED:
        raise UsageError(f"unknown subcommand: {role}")
    values = {name: value for name, _, value in (word.partition("=") for word in words)}
    needed = REQUIRED[role]
    if not values.get(needed):
        raise UsageError(f"Error: Missing argument {needed}")
    known = {needed, "--ray_port", "--ray_init_timeout"}
    if unknown := [name for name in values if name not in known]:
        raise UsageError(f"Error: No such option: {unknown[0]} (the stand-in knows none of ray's own)")
    return Options(
        address=values[needed] if role == "worker" else "",
        cluster_size=_number(values[needed]) if role == "leader" else 0,
        port=_number(values.get("--ray_port", str(PORT))),
        timeout_s=_number(values.get("--ray_init_timeout", str(TIMEOUT_S))),
    )


async def _lead(options: Options, serve: Sequence[str], environment: Mapping[str, str]) -> int:
    end_with_parent(environment)
    group = Membership(options.cluster_size)
    say("stand-in for a Ray head: no Ray runs, only the workers' connections are counted")
    async with RayHead(group, environment.get("STAND_IN_HOST") or "127.0.0.1", options.port, say):
        announce_start(environment)
        say(f"Wait for all ray workers to be active. {group.active}/{group.size} is active")
        try:
            await asyncio.wait_for(group.formed.wait(), _real_s(options.timeout_s, environment, LEAST_TIMEOUT_S))
        except TimeoutError:
            say("Waiting for all ray workers to be active timed out.")
            return 1
        say("All ray workers are active and the ray cluster is initialized successfully.")
        return await vllm.run(serve, environment, group.broken)


async def _work(options: Options, environment: Mapping[str, str]) -> int:
    end_with_parent(environment)
    announce_start(environment)
    name = f"worker {environment.get('LWS_WORKER_INDEX', '?')} at {environment.get('STAND_IN_HOST', '?')}"
    say(f"stand-in for a Ray worker: no Ray runs, {name} only stays connected to {options.address}:{options.port}")
    deadline = time.monotonic() + _real_s(options.timeout_s, environment, LEAST_TIMEOUT_S)
    while time.monotonic() < deadline:
        try:
            host = _look_up(options.address, environment)
            await stay_with_head(host, options.port, name, lambda: say(f"joined the head at {options.address}"))
        except OSError as error:
            say(f"Waiting until the ray worker is active... ({error})")
            await asyncio.sleep(_real_s(RETRY_S, environment, LEAST_RETRY_S))
        else:
            say("the head is gone")
            return 1
    say(f"Ray worker starts timeout, head address: {options.address}:{options.port}")
    return 1


def _look_up(host: str, environment: Mapping[str, str]) -> str:
    """Anew for each attempt: a leader that comes again has another address."""
    hosts = environment.get("STAND_IN_HOSTS")
    found = find_host(Path(hosts), host, environment.get("STAND_IN_NAMESPACE")) if hosts else None
    return found or host


def _split(words: list[str]) -> tuple[list[str], list[str]]:
    if "--" not in words:
        return words, []
    place = words.index("--")
    return words[:place], words[place + 1 :]


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"{text}: integer expression expected") from None


def _real_s(simulated_s: float, environment: Mapping[str, str], least_s: float) -> float:
    return max(simulated_s / float(environment.get("STAND_IN_SPEED") or 1), least_s)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
