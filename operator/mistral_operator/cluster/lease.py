"""Leader election by a `coordination.k8s.io` Lease: who may write, and until when.

The leader renews the Lease every second. It may begin a write only while its last renewal is younger than the renew
deadline; another candidate takes the Lease only when it has seen no renewal for the whole lease duration, by its own
monotonic clock. Clocks of different machines are never compared. An API server that is away for a while only stops the
writes: nobody can take the Lease meanwhile. A Lease that somebody else has taken ends the process.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mistral_operator.cluster.client import ApiClient
from mistral_operator.cluster.errors import ApiError, Conflict, Unavailable
from mistral_operator.cluster.kinds import LEASE

Json = dict[str, Any]

log = logging.getLogger(__name__)


class NotLeading(Unavailable):
    """A write that was not begun, because this process can't be sure to be the leader. Tried again later."""

    def __init__(self) -> None:
        super().__init__(0, "NotLeading", "the Lease could not be renewed in time; no writes until it is")


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """How long things take, in seconds."""

    duration_s: float = 8
    """A Lease without renewal for so long is free."""
    renew_deadline_s: float = 5
    """A leader without renewal for so long stops writing; shorter than the duration."""
    retry_s: float = 1


class Lease:
    """One candidate for the Lease. `client` should be its own, so that renewals never queue behind other requests."""

    def __init__(
        self,
        client: ApiClient,
        namespace: str,
        name: str,
        identity: str,
        *,
        on_lost: Callable[[str], None],
        times: LeaseTimes | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._on_lost = on_lost
        self._times = times or LeaseTimes()
        self._clock = clock
        self._seen: tuple[str, float] = ("", 0.0)
        """The last version seen of somebody's Lease, and when it was first seen."""
        self._renewed_at: float | None = None

    @property
    def deadline(self) -> float | None:
        """Until when, by the clock, this process may begin writes; None if it doesn't lead."""
        return None if self._renewed_at is None else self._renewed_at + self._times.renew_deadline_s

    def check(self) -> None:
        """To be called before each write; raises NotLeading when this process may not write."""
        deadline = self.deadline
        if deadline is None or self._clock() >= deadline:
            raise NotLeading

    async def acquire(self) -> None:
        """Waits until this process leads."""
        while not await self._try_to_lead():  # noqa: ASYNC110 - the Lease is polled
            await asyncio.sleep(self._times.retry_s)
        log.info("Leading as %s", self._identity)

    async def hold(self) -> None:
        """Renews until cancelled. Calls `on_lost` with the other holder's name, and returns, if the Lease was taken."""
        while True:
            await asyncio.sleep(self._times.retry_s)
            if not await self._try_to_lead() and self._renewed_at is None:
                return

    async def release(self) -> None:
        """Gives the Lease up, so that the next leader needn't wait; without an answer it runs out by itself."""
        if self._renewed_at is None:
            return
        self._renewed_at = None
        try:
            live = await self._client.get(LEASE, self._name, self._namespace)
            if live is not None and _holder(live) == self._identity:
                await self._client.replace({**live, "spec": {**live["spec"], "holderIdentity": ""}})
        except ApiError as error:
            log.warning("The Lease could not be released: %s", error)

    async def _try_to_lead(self) -> bool:
        """One attempt to take or renew the Lease."""
        started = self._clock()
        try:
            async with asyncio.timeout(self._times.renew_deadline_s):
                live = await self._client.get(LEASE, self._name, self._namespace)
                if live is None:
                    await self._client.create(self._lease(None))
                elif self._may_take(live):
                    await self._client.replace(self._lease(live))
                else:
                    return self._yield_to(_holder(live))
        except Conflict:
            return False  # Somebody was faster; the next attempt sees who.
        except (ApiError, TimeoutError) as error:
            log.warning("The Lease could not be renewed: %s", error or "no answer in time")
            return False
        self._renewed_at = started
        return True

    def _may_take(self, live: Mapping[str, Any]) -> bool:
        holder = _holder(live)
        if holder in ("", self._identity):
            return True
        version = str(live["metadata"]["resourceVersion"])
        if self._seen[0] != version:
            self._seen = (version, self._clock())
        return self._clock() - self._seen[1] >= self._times.duration_s

    def _yield_to(self, holder: str) -> bool:
        if self._renewed_at is not None:
            self._renewed_at = None
            log.error("%s has taken the Lease", holder)
            self._on_lost(holder)
        return False

    def _lease(self, live: Mapping[str, Any] | None) -> Json:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        before: Mapping[str, Any] = live.get("spec", {}) if live else {}
        renewal = live is not None and before.get("holderIdentity") == self._identity
        metadata = live["metadata"] if live else {"name": self._name, "namespace": self._namespace}
        return {
            "apiVersion": LEASE.api_version,
            "kind": LEASE.kind,
            "metadata": {name: value for name, value in metadata.items() if name != "managedFields"},
            "spec": {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": max(1, round(self._times.duration_s)),
                "acquireTime": before.get("acquireTime", now) if renewal else now,
                "renewTime": now,
                "leaseTransitions": int(before.get("leaseTransitions", 0)) + (0 if renewal or not live else 1),
            },
        }


def _holder(lease: Mapping[str, Any]) -> str:
    return str((lease.get("spec") or {}).get("holderIdentity") or "")
