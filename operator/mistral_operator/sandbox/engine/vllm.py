"""The stand-in for the `vllm` command: `python -m mistral_operator.sandbox.engine.vllm serve MODEL --flags…`.

It loads no model and says so. Flags, HTTP surface and metric names are the real ones; the port opens only after the
simulated load, as with the real engine. Steered by the environment, in simulated seconds (real time is that divided by
STAND_IN_SPEED): STAND_IN_HOST, STAND_IN_SPEED, STAND_IN_LOAD_SECONDS, STAND_IN_TOKENS_PER_SECOND,
STAND_IN_CRASH=oom, STAND_IN_DEAD_AFTER_SECONDS; STAND_IN_PARENT=stdin ends it when its standard input is closed;
STAND_IN_STARTED_FD names a file descriptor that is closed when the load begins.
"""

import asyncio
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from .flags import flag_list, parse_serve
from .life import Life
from .lifecycle import announce_start, end_on_signals, end_with_parent, first, load, say
from .settings import ConfigurationError, EngineSettings, read_settings

OUT_OF_MEMORY = (
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.25 GiB. "
    "GPU 0 has a total capacity of 22.03 GiB of which 512.00 MiB is free.\n"
    "RuntimeError: Engine core initialization failed. See root cause above."
)
LOST_WORKER = (
    "a Ray worker died unexpectedly, shutting down executor.\n"
    "vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue. See stack trace (above) for the root "
    "cause."
)
# How often vLLM looks whether its engine has died (vllm/entrypoints/launcher.py): so long /health answers 503.
WATCHDOG_S = 5.0
# Uvicorn's own pause between refusing connections and cutting them.
ABORT_S = 0.1


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """The process's exit status: 2 for a command line that doesn't parse, 1 for one that vLLM refuses later."""
    settings = _read(arguments, environment)
    return asyncio.run(_start(settings, environment)) if settings else 1


async def run(arguments: Sequence[str], environment: Mapping[str, str], broken: asyncio.Event) -> int:
    """Like `main`, in a process that leads a group of hosts. `broken`: one of the others is gone.

    The caller has announced the start, and arranged for the end with the parent.
    """
    settings = _read(arguments, environment)
    return await _serve(settings, broken, lambda: None) if settings else 1


def _read(arguments: Sequence[str], environment: Mapping[str, str]) -> EngineSettings | None:
    """None, and the reason said, for what vLLM refuses after parsing."""
    parsed = parse_serve(arguments)
    try:
        return read_settings(parsed, environment)
    except ConfigurationError as error:
        say(str(error))
        return None


async def _start(settings: EngineSettings, environment: Mapping[str, str]) -> int:
    end_with_parent(environment)
    return await _serve(settings, asyncio.Event(), partial(announce_start, environment))


async def _serve(settings: EngineSettings, broken: asyncio.Event, announce: Callable[[], None]) -> int:
    """`announce` is called once signals are heard: before, a SIGTERM would look like a crash."""
    # Late: a refused command line ends without waiting for these imports.
    from aiohttp import web

    from .server import EngineServer

    ending = asyncio.Event()
    end_on_signals(ending)
    say(f"stand-in for vLLM {flag_list()['version']}: no model is loaded; {settings.model} is only a name here")
    announce()
    if not await _load(settings, ending, broken):
        return 1
    if ending.is_set():
        return 0
    engine = EngineServer(settings)
    runner = web.AppRunner(
        engine.application(), access_log=None, handler_cancellation=True, shutdown_timeout=ABORT_S, handle_signals=False
    )
    await runner.setup()
    await web.TCPSite(runner, settings.host, settings.port, reuse_address=True).start()
    say(f"serving {', '.join(settings.served_names)} on {settings.host}:{settings.port}")
    dying = asyncio.create_task(_die_when(broken, engine.life))
    await first(ending, broken)
    if broken.is_set():
        await asyncio.sleep(WATCHDOG_S / settings.speed)
    else:
        engine.admission.draining = True
        try:
            await asyncio.wait_for(engine.admission.drained(), settings.shutdown_timeout_s / settings.speed)
        except TimeoutError:
            say(f"aborting {engine.admission.unfinished} unfinished requests")
    dying.cancel()
    await runner.cleanup()
    return 1 if engine.life.dead else 0


async def _die_when(broken: asyncio.Event, life: Life) -> None:
    await broken.wait()
    say(LOST_WORKER)
    life.end()


async def _load(settings: EngineSettings, ending: asyncio.Event, broken: asyncio.Event) -> bool:
    """The port stays closed meanwhile. False if the engine crashes."""
    out_of_memory = OUT_OF_MEMORY if settings.crash == "oom" else ""
    if not await load(settings.load_s, settings.speed, ending, broken, out_of_memory=out_of_memory):
        return False
    if broken.is_set():
        say(LOST_WORKER)
    return not broken.is_set()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
