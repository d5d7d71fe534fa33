"""The one way to a cluster's node pools: one list for all claims, one change at a time, and a memory of what failed.

GKE serialises work on a cluster and answers the rest with FAILED_PRECONDITION, so changes go through here one after
the other, with few operations under way; how few is learned from its answers. All memory may be lost at any time:
pools, their labels and the claims' status are enough to find everything again.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from mistral_operator.capacity.claim_types import Call, FailedCall, RunningOperation, call_of
from mistral_operator.capacity.cluster_look import ClusterLook
from mistral_operator.capacity.errors import BusyError, CloudError, CloudFinding, InvalidRequestError, NotFoundError
from mistral_operator.capacity.policies import PolicySpec, PolicyView, WorkloadPolicies
from mistral_operator.capacity.pool_list import PoolList
from mistral_operator.capacity.port import (
    WRITE_DEADLINE_S,
    Bounds,
    ClusterView,
    Mend,
    NodePools,
    OperationView,
    PoolRepairs,
    PoolSpec,
    PoolView,
    SetVersion,
)

log = logging.getLogger(__name__)

_BACKOFF_S: Final = {
    "ClusterBusy": (2.0, 60.0),
    "CloudUnavailable": (4.0, 60.0),
    "AlreadyExists": (1.0, 60.0),
    "RequestsThrottled": (5.0, 120.0),
    "PermissionDenied": (30.0, 300.0),
    "ReservationNotReady": (30.0, 300.0),
    "PolicyInUse": (5.0, 60.0),
}
"""Reason → first and longest wait before the call is repeated."""
_OTHER_BACKOFF_S: Final = (60.0, 900.0)
"""Stock-outs, quotas, refused requests: nothing changes soon, and each try may take GKE many minutes."""


def bounds_of_wait_s(reason: str) -> tuple[float, float]:
    """The first and the longest wait in seconds before a call that was refused for this reason is repeated.

    Each is shortened by up to a half, at random.
    """
    return _BACKOFF_S.get(reason, _OTHER_BACKOFF_S)


@dataclass(frozen=True, slots=True)
class CloudPace:
    """How fast the cloud is asked."""

    list_interval_s: float = 5.0
    """Age up to which one list of the pools is good for everybody, and the least time between two."""
    change_interval_s: float = 0.2
    """Least time between two changes."""
    bounds_interval_s: float = 15.0
    """Least time between two changes of one pool's bounds, so that models which come one by one don't each cost one."""
    max_operations: int = 4
    """Operations under way at once; users have seen GKE refuse more than 5."""
    unheard_s: float = 1.5 * WRITE_DEADLINE_S
    """How long a create whose answer nobody heard may still bring a pool."""
    backoff_scale: float = 1.0
    """Multiplies every wait after a failure, and the least times between two lists and two changes of bounds; below 1
    where the cloud is a simulated, faster one.
    """


class CloudPools:
    """Node pools of one cluster for all claims. Pools are known by name; a claim has one."""

    def __init__(
        self,
        pools: NodePools,
        *,
        policies: WorkloadPolicies | None = None,
        pace: CloudPace | None = None,
        guard: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        rng: random.Random | None = None,
    ) -> None:
        """`guard` is called before each change; it raises when this process may not change anything any more.

        `policies` is None where nothing can be placed by a workload policy.
        """
        self._pools = pools
        self._policies = policies
        self._listed_policies: frozenset[str] = frozenset()
        self._repairs = pools if isinstance(pools, PoolRepairs) else None
        self._pace = pace or CloudPace()
        self._guard = guard
        self._clock = clock
        self._now = now
        self._rng = rng or random.Random()  # noqa: S311
        rest_s, scale = self._pace.list_interval_s, self._pace.backoff_scale
        self._list = PoolList(pools, clock, rest_s=rest_s, gap_s=rest_s * min(1.0, scale))
        self._cluster = ClusterLook(pools, clock)
        self._changed_at: dict[str, float] = {}
        """Pool → when it was asked to be changed, or an operation on it failed."""
        self._done_at: dict[str, float] = {}
        """Pool → when an operation on it was seen to have succeeded."""
        self._changing = asyncio.Lock()
        self._next_change_at = float("-inf")
        self._limit = float(self._pace.max_operations)
        self._running: dict[str, RunningOperation] = {}
        self._unreadable: set[str] = set()
        """Pools whose operation we may not look at: they must not hold up the others."""
        self._ended: dict[str, str] = {}
        self._failures: dict[str, dict[Call, FailedCall]] = {}
        self._failed_times: dict[tuple[str, Call], int] = {}
        self._tried: dict[str, tuple[str, ...]] = {}
        """Pool → the zones of its last create."""
        self._resized_at: dict[str, float] = {}
        """Pool → when its bounds were changed for the last time."""
        self._untold: set[str] = set()
        """Pools whose last create ended without a failure being noted."""
        self._began_at: float | None = None
        self._unheard_at: dict[str, float] = {}
        """Pool → when a create got no answer for the last time; minus infinity once it is known what became of it."""

    @property
    def may_change(self) -> bool:
        """False while as many operations of ours are under way as GKE bears."""
        return len(self._running) - len(self._unreadable) < max(1, int(self._limit))

    @property
    def mends(self) -> frozenset[type[Mend]]:
        """What can be put right that somebody changed of a pool."""
        return self._repairs.mends if self._repairs is not None else frozenset()

    async def find(self, name: str) -> PoolView | None:
        """The pool, from a list that is younger than its last change and than the list interval.

        After an operation that succeeded it waits for the next list, by a ListNotDueError. Raises CloudError.
        """
        now, never = self._clock(), float("-inf")
        unclear_at, heard_of_at = self._changed_at.get(name, never), self._unheard_until(name)
        if heard_of_at <= now:
            unclear_at = max(unclear_at, heard_of_at)
        oldest = max(self._done_at.get(name, never), now - self._pace.list_interval_s)
        pool = (await self._list.newer_than(oldest, unclear_at=unclear_at)).get(name)
        if pool is not None:
            self._unheard_at[name] = float("-inf")
        return pool

    async def list(self) -> tuple[PoolView, ...]:
        """All pools of the cluster, ours and others', as of the list interval. Raises CloudError."""
        return tuple((await self._list.newer_than(self._clock() - self._pace.list_interval_s)).values())

    async def describe_cluster(self) -> ClusterView | None:
        """The cluster as of the last minute; None where no pool can be upgraded, or GKE doesn't answer."""
        return await self._cluster.recent() if SetVersion in self.mends else None

    def is_at_work(self, name: str) -> bool:
        """Whether an operation of ours on the pool is under way, or an upgrade that nobody heard the answer of."""
        upgrade = self._failures.get(name, {}).get(Call.UPGRADE)
        return name in self._running or (upgrade is not None and upgrade.finding.outcome_unknown)

    def unheard_s(self, name: str) -> float:
        """For how many seconds more the pool may come of a create whose answer nobody heard.

        An earlier process may have died while it waited for one, so that the first seconds are uncertain for every
        pool that wasn't seen yet. Once this is 0, what `find` doesn't find won't come by itself.
        """
        return max(0.0, self._unheard_until(name) - self._clock())

    def failures(self, name: str) -> tuple[FailedCall, ...]:
        """The last failure of each call, the latest one last."""
        return tuple(self._failures.get(name, {}).values())

    async def follow(self, name: str, recorded: RunningOperation | None) -> RunningOperation | None:
        """How the pool's operation stands, asked anew; None when none is under way.

        `recorded` is the one that the claim's status tells of, for a process that has just started. Raises CloudError
        where asking again is no use before somebody has mended something.
        """
        running = self._running.get(name)
        if running is None and recorded is not None and self._ended.get(name) != recorded.view.name:
            running = recorded
        if running is None:
            return None
        try:
            view = await self._pools.get_operation(running.view.name)
        except (NotFoundError, InvalidRequestError) as error:
            # Long ago, or of another cluster whose objects were restored here: the pool itself tells how it stands.
            log.info("Operation %s on node pool %s is unknown: %s", running.view.name, name, error.text)
            self._end(name, running)
            self._changed_at[name] = self._clock()
            return None
        except CloudError as error:
            self._running[name] = running
            if not (error.retryable or error.outcome_unknown):
                self._unreadable.add(name)
                raise
            log.info("Operation %s on node pool %s can't be read: %s", running.view.name, name, error.text)
            return running
        self._unreadable.discard(name)
        if view.done:
            self._end(name, running)
            if view.finding is None:
                self._done_at[name] = self._clock()
                self._changed_at.pop(name, None)
            else:
                self._changed_at[name] = self._clock()
                self._note_failure(name, running.call, view.finding)
            return None
        self._running[name] = running = RunningOperation(running.call, view)
        return running

    async def create(self, spec: PoolSpec) -> bool:
        """Begin to create a pool. False when that can't be done now; why not is among the failures."""
        self._tried[spec.name] = spec.locations
        begun = await self._change(spec.name, Call.CREATE, lambda: self._begin_create(spec))
        if begun:
            self._untold.add(spec.name)
        return begun

    def refuse(self, spec: PoolSpec, finding: CloudFinding) -> None:
        """Note that a pool isn't asked for, because it would be refused; it is looked at again as after a refusal."""
        self._tried[spec.name] = spec.locations
        self._note_failure(spec.name, Call.CREATE, finding)

    async def resize(self, name: str, bounds: Bounds) -> bool:
        """Begin to change a pool's bounds; see `create`."""
        if begun := await self._change(name, Call.RESIZE, lambda: self._pools.set_autoscaling(name, bounds)):
            self._resized_at[name] = self._clock()
        return begun

    def bounds_rest_s(self, name: str) -> float:
        """For how many seconds more the pool's bounds are left as they are, because they were changed just now."""
        interval_s = self._pace.bounds_interval_s * min(1.0, self._pace.backoff_scale)
        return max(0.0, self._resized_at.get(name, float("-inf")) + interval_s - self._clock())

    async def mend(self, name: str, mend: Mend) -> bool:
        """Begin to put one thing right; see `create`. Only what is in `mends`."""
        repairs = self._repairs
        assert repairs is not None, "asked for only where it can be done"
        return await self._change(name, call_of(mend), lambda: repairs.mend_pool(name, mend))

    async def delete(self, name: str, *, cause: CloudFinding | None, uid: str = "") -> bool:
        """Begin to delete a pool; see `create`. `cause` is why a pool that is wanted has failed, `uid` its view's."""
        known = self._failures.get(name, {}).get(Call.CREATE)
        if cause is not None and (name in self._untold or known is None or known.finding.outcome_unknown):
            self._note_failure(name, Call.CREATE, cause)
        return await self._change(name, Call.DELETE, lambda: self._pools.delete_pool(name, uid))

    def hurry(self, name: str) -> None:
        """Something may be free now that a create was refused for: it needn't wait any longer to try again."""
        failure = self._failures.get(name, {}).get(Call.CREATE)
        if failure is not None:
            self._failures[name][Call.CREATE] = replace(failure, retry_at=self._now())

    async def find_policy(self, name: str) -> PolicyView | None:
        """The workload policy of that name, whosever it is, asked anew. Raises CloudError."""
        return await self._all_policies().find_policy(name)

    async def list_policies(self) -> tuple[PolicyView, ...]:
        """All resource policies of the region, ours and others'; none where there can't be any. Raises CloudError."""
        found = await self._policies.list_policies() if self._policies else ()
        self._listed_policies = frozenset(policy.name for policy in found)
        return found

    def has_listed_policy(self, name: str) -> bool:
        """Whether there was one of that name when all were last listed."""
        return name in self._listed_policies

    async def create_policy(self, spec: PolicySpec) -> bool:
        """Create a workload policy. False when that failed; why is among the failures of the pool of that name."""
        return await self._change_policy(
            spec.name, Call.CREATE_POLICY, lambda: self._all_policies().create_policy(spec)
        )

    async def delete_policy(self, name: str) -> bool:
        """Delete a workload policy; see `create_policy`."""
        return await self._change_policy(name, Call.DELETE_POLICY, lambda: self._all_policies().delete_policy(name))

    def settle(self, name: str) -> None:
        """The pool is as it should be: forget what failed before."""
        self._failures.pop(name, None)
        for call in Call:
            self._failed_times.pop((name, call), None)

    def forget(self, name: str) -> None:
        """The claim is gone."""
        self.settle(name)
        for moments in (self._changed_at, self._done_at, self._resized_at, self._unheard_at):
            moments.pop(name, None)
        for memory in (self._running, self._ended, self._tried):
            memory.pop(name, None)
        for names in (self._untold, self._unreadable):
            names.discard(name)

    def _unheard_until(self, name: str) -> float:
        if self._began_at is None:
            # Not when this was made: a standby is made long before it leads.
            self._began_at = self._clock()
        return self._unheard_at.get(name, self._began_at) + self._pace.unheard_s * self._pace.backoff_scale

    async def _begin_create(self, spec: PoolSpec) -> OperationView:
        try:
            view = await self._pools.create_pool(spec)
        except CloudError as error:
            if error.outcome_unknown:
                self._unheard_at[spec.name] = self._clock()
            raise
        self._unheard_at[spec.name] = float("-inf")
        return view

    def _all_policies(self) -> WorkloadPolicies:
        if self._policies is None:
            raise InvalidRequestError(
                "workload policies can't be made here: Compute Engine isn't known", verbatim=False
            )
        return self._policies

    async def _change_policy(self, name: str, call: Call, change: Callable[[], Awaitable[None]]) -> bool:
        """Compute Engine's work, which GKE's doesn't wait for."""
        self._guard()
        try:
            await change()
        except NotFoundError as error:
            if call is Call.DELETE_POLICY:
                return True
            self._note_failure(name, call, error.finding)
            return False
        except CloudError as error:
            if error.outcome_unknown:
                # It may come late; a claim that goes meanwhile looks for it once more.
                self._unheard_at[name] = self._clock()
            self._note_failure(name, call, error.finding)
            return False
        log.info("Workload policy %s: %s is done", name, call)
        return True

    async def _change(self, name: str, call: Call, begin: Callable[[], Awaitable[OperationView]]) -> bool:
        async with self._changing:
            if not self.may_change:
                return False
            await asyncio.sleep(self._next_change_at - self._clock())
            self._guard()
            try:
                view = await begin()
            except CloudError as error:
                self._note_failure(name, call, error.finding)
                if isinstance(error, BusyError):
                    self._limit = max(1.0, self._limit / 2)
                return False
            finally:
                # Also when it failed or was cancelled: it may have taken effect all the same.
                self._changed_at[name] = self._clock()
                self._next_change_at = self._clock() + self._pace.change_interval_s
        log.info("Node pool %s: %s is operation %s", name, call, view.name)
        self._running[name] = RunningOperation(call, view)
        return True

    def _end(self, name: str, running: RunningOperation) -> None:
        self._running.pop(name, None)
        self._unreadable.discard(name)
        self._ended[name] = running.view.name
        self._limit = min(float(self._pace.max_operations), self._limit + 1.0 / self._limit)

    def _note_failure(self, name: str, call: Call, finding: CloudFinding) -> None:
        log.warning("Node pool %s: %s failed: %s: %s", name, call, finding.reason, finding.text)
        times = self._failed_times[name, call] = self._failed_times.get((name, call), 0) + 1
        first_s, longest_s = bounds_of_wait_s(finding.reason)
        wait_s = min(longest_s, first_s * 2 ** min(times - 1, 16)) * self._rng.uniform(0.5, 1.0)
        retry_at = self._now() + timedelta(seconds=wait_s * self._pace.backoff_scale)
        failures = self._failures.setdefault(name, {})
        failures.pop(call, None)
        zones = self._tried.get(name, ()) if call is Call.CREATE else ()
        failures[call] = FailedCall(call, finding, retry_at, zone=zones[0] if len(zones) == 1 else "")
        self._untold.discard(name)
