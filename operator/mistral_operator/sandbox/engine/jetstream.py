"""The stand-in for JetStream's two servers, `python -m mistral_operator.sandbox.engine.jetstream PROGRAM …`:

    maxtext …/base.yml key=value …   for  python3 -m maxtext.inference.maxengine.maxengine_server
    jpt serve --model_id …           for  jpt

It loads no model and says so. Command lines, gRPC service and metric names are the real ones; the gRPC port opens only
after the simulated load. Steered by the environment, in simulated seconds (real time is that divided by
STAND_IN_SPEED): STAND_IN_HOST, STAND_IN_SPEED, STAND_IN_LOAD_SECONDS, STAND_IN_TOKENS_PER_SECOND (of each slot),
STAND_IN_DEVICES (MaxText's batch is for each), STAND_IN_CRASH=oom, STAND_IN_DEAD_AFTER_SECONDS (health checks);
STAND_IN_PARENT=stdin ends it when its standard input is closed; STAND_IN_STARTED_FD names a file descriptor that is
closed when the load begins.
"""

import asyncio
import os
import sys
import time
from collections.abc import Mapping, Sequence

from .jetstream_flags import CommandLineError, flag_lists
from .jetstream_settings import JetStreamSettings, read_settings
from .lifecycle import announce_start, end_on_signals, end_with_parent, load, say

OUT_OF_MEMORY = (
    "jaxlib._jax.XlaRuntimeError: RESOURCE_EXHAUSTED: XLA:TPU compile permanent error. Ran out of memory in memory "
    "space hbm. Used 17.52G of 15.75G hbm. Exceeded hbm capacity by 1.77G."
)
GRACE_S = 10
"""What upstream gives its open calls when it stops. Its driver has stopped by then, so that none of them goes on.

Whether SIGTERM leads there is not known: upstream's server installs no handler for it.
"""


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """The process's exit status: 1 for a command line that the real program refuses."""
    if list(arguments) == ["jpt", "list"]:
        print("\n".join(flag_lists()["pytorch"]["models"]))
        return 0
    try:
        settings = read_settings(arguments, environment)
    except CommandLineError as error:
        say(str(error))
        return 1
    return asyncio.run(_serve(settings, environment))


async def _serve(settings: JetStreamSettings, environment: Mapping[str, str]) -> int:
    # Late: a refused command line ends without waiting for these imports.
    import grpc
    from prometheus_client import start_http_server

    from mistral_operator.wire.orchestrator import add_orchestrator

    from .jetstream_driver import Driver
    from .jetstream_metrics import JetStreamMetrics
    from .jetstream_service import StandInOrchestrator

    began = time.monotonic()
    ending = asyncio.Event()
    end_with_parent(environment)
    end_on_signals(ending)
    say(f"stand-in for {settings.program}: no model is loaded; {settings.model} is only a name here")
    announce_start(environment)
    metrics = JetStreamMetrics(environment)
    if settings.prometheus_port:
        start_http_server(settings.prometheus_port, settings.host, metrics.registry)
    out_of_memory = OUT_OF_MEMORY if settings.crash == "oom" else ""
    if not await load(settings.load_s, settings.speed, ending, out_of_memory=out_of_memory):
        return 1
    if ending.is_set():
        return 0
    loaded = time.monotonic()
    driver = Driver(settings, metrics)
    # Without it a second server could share the port unnoticed.
    server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
    add_orchestrator(server, StandInOrchestrator(settings, driver))
    server.add_insecure_port(f"{settings.host}:{settings.port}")
    await server.start()
    metrics.started(loaded - began, time.monotonic() - began)
    say(f"serving {settings.model} on {settings.host}:{settings.port}, {settings.slots} slots")
    await ending.wait()
    driver.stop()
    await server.stop(GRACE_S / settings.speed)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
