"""Whether the engine behind the API lives, and what becomes of the requests that it takes with it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from .requests import RequestError

DEAD = "EngineCore encountered an issue. See stack trace (above) for the root cause."


class Life:
    """Once dead, always dead: the process has to be started again."""

    def __init__(self) -> None:
        self.dead = False
        self._requests: set[asyncio.Task[object]] = set()

    def end(self) -> None:
        """The engine dies now, and every request with it."""
        self.dead = True
        for request in self._requests:
            request.cancel()

    @asynccontextmanager
    async def request(self) -> AsyncIterator[None]:
        """The body needs a living engine. Raises RequestError (500) when there is none, or none any more."""
        if self.dead:
            raise RequestError(DEAD, "InternalServerError", 500)
        task = asyncio.current_task()
        assert task
        self._requests.add(task)
        try:
            yield
        except asyncio.CancelledError:
            if not self.dead:
                raise
            task.uncancel()
            raise RequestError(DEAD, "InternalServerError", 500) from None
        finally:
            self._requests.discard(task)
