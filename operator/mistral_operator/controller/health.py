"""Health over HTTP: /healthz, /readyz and /metrics. It starts before everything else and runs on the standby too."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from aiohttp import web

from mistral_operator.controller.metrics import Metrics

_LAG_INTERVAL_S: Final = 1.0
_LAG_LIMIT_S: Final = 10.0

Check = Callable[[], str]
"""Answers what is wrong in a few words, or an empty string."""


class Health:
    """`alive` are the checks that a restart could mend, `ready` those that only time can.

    An API server that is away fails neither: restarting the operator would not bring it back.
    """

    def __init__(self, metrics: Metrics) -> None:
        self.alive: dict[str, Check] = {"event loop": self._check_loop}
        self.ready: dict[str, Check] = {}
        self.notes: list[str] = []
        """What whoever asks for readiness should know although nothing is wrong."""
        self._metrics = metrics
        self._lag_s = 0.0
        self._measured_at = time.monotonic()
        self._runner: web.AppRunner | None = None
        self._measuring: asyncio.Task[None] | None = None

    async def start(self, port: int, host: str) -> int:
        """Serves on that port (0: any) of that address; answers the port."""
        app = web.Application()
        app.router.add_get("/healthz", self._serve_alive)
        app.router.add_get("/readyz", self._serve_ready)
        app.router.add_get("/metrics", self._serve_metrics)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        self._measuring = asyncio.create_task(self._measure_lag(), name="event loop lag")
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Ends the server."""
        if self._measuring is not None:
            self._measuring.cancel()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _serve_alive(self, _request: web.Request) -> web.Response:
        return _answer(self.alive)

    async def _serve_ready(self, _request: web.Request) -> web.Response:
        return _answer(self.ready, self.notes)

    async def _serve_metrics(self, _request: web.Request) -> web.Response:
        return web.Response(
            body=self._metrics.render(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        )

    async def _measure_lag(self) -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(_LAG_INTERVAL_S)
            self._measured_at = time.monotonic()
            self._lag_s = max(0.0, self._measured_at - before - _LAG_INTERVAL_S)
            self._metrics.loop_lag.set(self._lag_s)

    def _check_loop(self) -> str:
        late_s = max(self._lag_s, time.monotonic() - self._measured_at - _LAG_INTERVAL_S)
        return f"the event loop is {late_s:.1f} s late" if late_s > _LAG_LIMIT_S else ""


def _answer(checks: Mapping[str, Check], notes: Iterable[str] = ()) -> web.Response:
    wrong = {name: finding for name, check in checks.items() if (finding := check())}
    if not wrong:
        return web.Response(text="".join(f"{line}\n" for line in ("ok", *notes)))
    text = "".join(f"{name}: {finding}\n" for name, finding in wrong.items())
    return web.Response(status=503, text=text)
