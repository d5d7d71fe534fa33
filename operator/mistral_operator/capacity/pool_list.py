"""The node pools of a cluster, listed once for everybody who asks at about the same time, and not too often."""

import asyncio
from collections.abc import Callable

from mistral_operator.capacity.errors import CloudError
from mistral_operator.capacity.port import NodePools, PoolView


class ListNotDueError(Exception):
    """A newer list is needed than there may be yet: whoever asked looks again in `wait_s` seconds."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(f"the node pools may be listed again in {wait_s:.1f} s")
        self.wait_s = wait_s


class PoolList:
    """One list for all, kept until somebody needs a newer one."""

    def __init__(self, pools: NodePools, clock: Callable[[], float], *, rest_s: float, gap_s: float) -> None:
        """An error is everybody's for `rest_s`; between two lists are `gap_s`, where nothing is unclear."""
        self._pools = pools
        self._clock = clock
        self._rest_s = rest_s
        self._gap_s = gap_s
        self._listing = asyncio.Lock()
        self._by_name: dict[str, PoolView] = {}
        self._listed_at = float("-inf")
        self._error: CloudError | None = None
        self._failed_at = float("-inf")

    async def newer_than(self, moment: float, *, unclear_at: float = float("-inf")) -> dict[str, PoolView]:
        """All pools by name, from a list that began after `moment`, for which one can wait, and after `unclear_at`, for
        which none does. Raises CloudError and ListNotDueError.
        """
        async with self._listing:
            if self._listed_at > max(moment, unclear_at):
                return self._by_name
            if self._error is not None and self._clock() - self._failed_at < self._rest_s:
                raise type(self._error)(self._error.text, verbatim=self._error.verbatim)
            began = self._clock()
            if unclear_at < self._listed_at and began < self._listed_at + self._gap_s:
                raise ListNotDueError(self._listed_at + self._gap_s - began)
            try:
                found = await self._pools.list_pools()
            except CloudError as error:
                self._error, self._failed_at = error, began
                raise
            self._error = None
            self._by_name, self._listed_at = {pool.name: pool for pool in found}, began
            return self._by_name
