"""The gateway's life: listen, serve, drain at SIGTERM."""

import asyncio
import gc
import logging
import signal
from typing import Final

from aiohttp import web

from .engine import Engine
from .server import GatewayServer
from .settings import GatewaySettings
from .tokens import Tokenizer

CLOSE_S = 1.0
"""What is left of a connection when nothing is answered any more."""
COLLECT_AFTER: Final = 50_000
"""New objects, in place of Python's 700, so that a large request isn't searched for cycles again and again while it is
read: 2 MB of empty lists took half a second, and everything stood still meanwhile."""

log = logging.getLogger(__name__)


async def run(settings: GatewaySettings) -> None:
    """Serve until SIGTERM or SIGINT, then until the open answers are out, `drain_s` at most."""
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    tokenizer = Tokenizer(settings.tokenizer)
    calm_collector()
    async with Engine(settings.engine) as engine:
        server = GatewayServer(settings, tokenizer, engine)
        runner = web.AppRunner(
            server.application(),
            access_log=None,
            handler_cancellation=True,
            shutdown_timeout=CLOSE_S,
            handle_signals=False,
        )
        await runner.setup()
        await web.TCPSite(runner, settings.host, settings.port, reuse_address=True).start()
        log.info("%s on %s:%d, engine %s", settings.served_model_name, settings.host, settings.port, settings.engine)
        await ending.wait()
        log.info("draining for at most %g s", settings.drain_s)
        await server.drain(settings.drain_s)
        await runner.cleanup()


def calm_collector() -> None:
    """Look for garbage less often, and never among what has been loaded by now."""
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, *gc.get_threshold()[1:])
