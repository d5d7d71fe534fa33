"""The gateway's life: listen, serve, drain at SIGTERM."""

import asyncio
import logging
import signal

from aiohttp import web

from .engine import Engine
from .server import GatewayServer
from .settings import GatewaySettings
from .tokens import Tokenizer

CLOSE_S = 1.0
"""What is left of a connection when nothing is answered any more."""

log = logging.getLogger(__name__)


async def run(settings: GatewaySettings) -> None:
    """Serve until SIGTERM or SIGINT, then until the open answers are out, `drain_s` at most."""
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    tokenizer = Tokenizer(settings.tokenizer)
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
