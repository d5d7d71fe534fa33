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
from collections.abc import Mapping, Sequence

from .flags import flag_list, parse_serve
from .lifecycle import end_on_signals, load, say, tell_started
from .settings import ConfigurationError, EngineSettings, read_settings

OUT_OF_MEMORY = (
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.25 GiB. "
    "GPU 0 has a total capacity of 22.03 GiB of which 512.00 MiB is free.\n"
    "RuntimeError: Engine core initialization failed. See root cause above."
)
# Uvicorn's own pause between refusing connections and cutting them.
ABORT_S = 0.1


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """The process's exit status: 2 for a command line that doesn't parse, 1 for one that vLLM refuses later."""
    parsed = parse_serve(arguments)
    try:
        settings = read_settings(parsed, environment)
    except ConfigurationError as error:
        say(str(error))
        return 1
    return asyncio.run(_serve(settings, environment))


async def _serve(settings: EngineSettings, environment: Mapping[str, str]) -> int:
    # Late: a refused command line ends without waiting for these imports.
    from aiohttp import web

    from .server import EngineServer

    ending = asyncio.Event()
    end_on_signals(ending, environment)
    say(f"stand-in for vLLM {flag_list()['version']}: no model is loaded; {settings.model} is only a name here")
    tell_started(environment)
    if not await load(settings.load_s, settings.speed, ending, OUT_OF_MEMORY if settings.crash == "oom" else ""):
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
    await ending.wait()
    engine.admission.draining = True
    try:
        await asyncio.wait_for(engine.admission.drained(), settings.shutdown_timeout_s / settings.speed)
    except TimeoutError:
        say(f"aborting {engine.admission.unfinished} unfinished requests")
    await runner.cleanup()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
