"""Long-running operations: PENDING → RUNNING → DONE, at most so many at once, none that gets in another one's way."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc
from google.cloud import container_v1

from .errors import UNHARMED, Failure, Fate, RpcError
from .pace import Pace, timestamp
from .scenario import Scenario

log = logging.getLogger(__name__)

OperationPb = container_v1.Operation.pb()
Type = container_v1.Operation.Type
Status = container_v1.Operation.Status
Work = Callable[[], Awaitable[Failure | None]]

KEPT = 500
"""So many operations are remembered; GKE forgets them after a while too."""

WAIT = "Please wait and try again once it is done."
LATER = "please try again later."
DOING = {
    Type.CREATE_NODE_POOL: "creating a node pool for",
    Type.DELETE_NODE_POOL: "deleting a node pool for",
    Type.UPGRADE_NODES: "upgrading",
    Type.AUTO_UPGRADE_NODES: "upgrading",
}
CLUSTER = ""
"""In place of a pool: the operation works on the whole cluster, and nothing else may."""


@dataclass(slots=True)
class Running:
    """An operation, the pool it works on, and the task that does it."""

    message: Any
    pool: str
    on_abort: Callable[[], None] | None
    task: asyncio.Task[None] | None = None


class Operations:
    """All operations of the one cluster, oldest first."""

    def __init__(self, scenario: Scenario, pace: Pace) -> None:
        self._scenario = scenario
        self._pace = pace
        self._by_name: dict[str, Running] = {}
        self._count = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def __iter__(self) -> Iterator[Any]:
        return (running.message for running in self._by_name.values())

    def admit(self, pool: str) -> None:
        """Raises RpcError when no operation on this pool may start now."""
        unfinished = [r for r in self._by_name.values() if r.message.status != Status.DONE]
        cluster = self._scenario.cluster
        for running in unfinished:
            name = running.message.name
            if self._scenario.busy_scope == "cluster" or CLUSTER in (pool, running.pool):
                text = f"Cluster is running incompatible operation {name}."
                raise RpcError(grpc.StatusCode.FAILED_PRECONDITION, text)
            if running.pool == pool:
                doing = DOING.get(Type(running.message.operation_type), "operating on")
                text = f"Operation {name} is currently {doing} cluster {cluster}. {WAIT}"
                raise RpcError(grpc.StatusCode.FAILED_PRECONDITION, text)
        limit = self._scenario.concurrent_operations
        if len(unfinished) >= limit:
            text = f'Too many operations: cluster "{cluster}" hits the concurrent operations quota {limit}, {LATER}'
            raise RpcError(grpc.StatusCode.RESOURCE_EXHAUSTED, text)

    def start(
        self, kind: Any, pool: str, work: Work, on_abort: Callable[[], None] | None = None, fate: Fate = UNHARMED
    ) -> Any:
        """Run `work` as an operation on a pool and return its message; cancelled, it ends with `on_abort`.

        Ask `admit` first.
        """
        self._count += 1
        s = self._scenario
        parent = f"projects/{s.project}/locations/{s.location}"
        name = f"operation-{1_700_000_000_000 + self._count}-{s.seed:08x}-{self._count:08x}"
        message = OperationPb(
            name=name,
            zone=s.location,
            location=s.location,
            operation_type=kind,
            status=Status.PENDING,
            start_time=timestamp(),
            self_link=f"https://container.googleapis.com/v1/{parent}/operations/{name}",
            target_link=f"https://container.googleapis.com/v1/{parent}/clusters/{s.cluster}"
            + (f"/nodePools/{pool}" if pool else ""),
        )
        running = Running(message, pool, on_abort)
        self._by_name[name] = running
        running.task = asyncio.create_task(self._run(running, work, fate), name=name)
        self._tasks.add(running.task)
        running.task.add_done_callback(self._tasks.discard)
        self._forget_old()
        return message

    def get(self, name: str) -> Any:
        """Raises RpcError NOT_FOUND."""
        return self._find(name).message

    def cancel(self, name: str) -> None:
        """Ask a running operation to stop; a finished one is refused."""
        running = self._find(name)
        if running.message.status == Status.DONE or running.task is None:
            raise RpcError(grpc.StatusCode.FAILED_PRECONDITION, f"Operation {name} is already done.")
        running.message.status = Status.ABORTING
        running.task.cancel()

    async def close(self) -> None:
        """End all tasks."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def wait(self, name: str) -> Any:
        """The operation's message once it is DONE."""
        if task := self._find(name).task:
            await asyncio.wait([task])
        return self.get(name)

    async def _run(self, running: Running, work: Work, fate: Fate) -> None:
        message = running.message
        failure: Failure | None
        try:
            await self._pace.wait(self._scenario.delays_s.operation_pending)
            message.status = Status.RUNNING
            await self._pace.wait(fate.latency_s)
            if fate.stuck:
                await asyncio.Event().wait()
            failure = await work() or fate.late
        except asyncio.CancelledError:
            if message.status != Status.ABORTING:
                raise
            if running.on_abort:
                running.on_abort()
            failure = Failure(grpc.StatusCode.CANCELLED, "Operation was aborted.")
        except Exception as error:
            log.exception("the operation %s failed inside the simulated GKE", message.name)
            failure = Failure(grpc.StatusCode.INTERNAL, f"Internal error: {error}")
        if failure:
            message.error.code = failure.number
            message.error.message = failure.message
            message.status_message = failure.message
        message.status = Status.DONE
        message.end_time = timestamp()

    def _find(self, name: str) -> Running:
        short = name.rsplit("/", 1)[-1]
        if short not in self._by_name:
            s = self._scenario
            text = f"Not found: projects/{s.project}/locations/{s.location}/operations/{short}."
            raise RpcError(grpc.StatusCode.NOT_FOUND, text)
        return self._by_name[short]

    def _forget_old(self) -> None:
        done = [name for name, running in self._by_name.items() if running.message.status == Status.DONE]
        for name in done[: max(0, len(self._by_name) - KEPT)]:
            del self._by_name[name]
