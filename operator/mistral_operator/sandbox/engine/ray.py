"""The stand-in for a Ray cluster: a head that knows which workers have joined, and workers that stay with it.

A worker's membership is its connection: a process that is gone has none. The wire is the stand-in's own: the worker
sends `join NAME`, the head answers `joined`, and both keep the connection open.
"""

import asyncio
import itertools
from collections.abc import Callable
from contextlib import suppress

PORT = 6379
JOIN, JOINED = b"join ", b"joined\n"
HANDSHAKE_S = 10.0
LEAST_RETRY_S = 0.2

Say = Callable[[str], None]


class Membership:
    """Who has joined. A group that was complete once is broken for good when one of its members goes."""

    def __init__(self, size: int) -> None:
        """`size` counts the head too."""
        self.size = size
        self._present: set[str] = set()
        self._members: frozenset[str] = frozenset()
        self.formed, self.broken = asyncio.Event(), asyncio.Event()
        self._form()

    @property
    def active(self) -> int:
        """The head and the workers that are there."""
        return 1 + len(self._present)

    def join(self, worker: str) -> None:
        """A worker is there."""
        self._present.add(worker)
        self._form()

    def leave(self, worker: str) -> None:
        """A worker is gone: before the group is complete it may come again, afterwards nobody can replace it."""
        self._present.discard(worker)
        if worker in self._members:
            self.broken.set()

    def _form(self) -> None:
        if not self.formed.is_set() and self.active == self.size:
            self._members = frozenset(self._present)
            self.formed.set()


class RayHead:
    """Listens for workers; an async context manager."""

    def __init__(self, group: Membership, host: str, port: int, say: Say) -> None:
        self._group = group
        self._host = host
        self._port = port
        self._say = say
        self._numbers = itertools.count()
        self._workers: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> "RayHead":
        self._server = await asyncio.start_server(self._serve, self._host, self._port, reuse_address=True)
        return self

    async def __aexit__(self, *_: object) -> None:
        """The workers see their head go; nobody is told that they went."""
        self._say = lambda _: None
        if self._server:
            self._server.close()
        for writer in self._workers.values():
            writer.close()
        await asyncio.gather(*self._workers)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._workers[task] = writer
        # Whoever went before it had said who it is was never there.
        with suppress(OSError, TimeoutError):
            line = await asyncio.wait_for(reader.readline(), HANDSHAKE_S)
            if line.startswith(JOIN):
                writer.write(JOINED)
                await self._keep(line.removeprefix(JOIN).decode(errors="replace").strip(), reader)
        del self._workers[task]
        writer.close()

    async def _keep(self, name: str, reader: asyncio.StreamReader) -> None:
        """Hold a worker for as long as it is there."""
        worker = f"{name} ({next(self._numbers)})"
        self._group.join(worker)
        self._say(f"{name} has joined: {self._group.active}/{self._group.size} is active")
        with suppress(OSError):
            # A killed process resets its connection instead of closing it.
            await reader.read()
        self._group.leave(worker)
        self._say(f"{name} is gone: {self._group.active}/{self._group.size} is active")


async def stay_with_head(host: str, port: int, name: str, joined: Callable[[], None]) -> None:
    """Join the head, call `joined`, and return when the head is gone. Raises OSError when it can't be joined."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(JOIN + name.encode() + b"\n")
        if await reader.readline() != JOINED:
            raise ConnectionError("what listens there is no head")
        joined()
        with suppress(OSError):
            # A killed process resets its connection instead of closing it.
            await reader.read()
    finally:
        writer.close()
