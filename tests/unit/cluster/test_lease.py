"""Never two leaders at once, whoever is late, cut off or killed."""

import asyncio
import copy
from typing import Any

import pytest
from tests.support.polling import eventually

from mistral_operator.cluster.errors import AlreadyExists, ApiError, Conflict, Unreachable
from mistral_operator.cluster.kinds import Kind
from mistral_operator.cluster.lease import Lease, LeaseTimes, NotLeading

QUICK = LeaseTimes(duration_s=8, renew_deadline_s=5, retry_s=0.001)


class Server:
    """A stand-in for the API server: one Lease with optimistic concurrency, and a switch that cuts it off."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.away: ApiError | None = None
        self._version = 0

    async def get(self, _kind: Kind, _name: str, _namespace: str = "") -> dict[str, Any] | None:
        self._answer()
        return copy.deepcopy(self.lease)

    async def create(self, manifest: dict[str, Any]) -> dict[str, Any]:
        self._answer()
        if self.lease is not None:
            raise AlreadyExists(409, "AlreadyExists", "it is there")
        return self._store(manifest)

    async def replace(self, manifest: dict[str, Any]) -> dict[str, Any]:
        self._answer()
        if self.lease is None or manifest["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:
            raise Conflict(409, "Conflict", "it has changed")
        return self._store(manifest)

    @property
    def holder(self) -> str:
        return str(self.lease["spec"]["holderIdentity"]) if self.lease else ""

    def _store(self, manifest: dict[str, Any]) -> dict[str, Any]:
        self._version += 1
        stored = copy.deepcopy(manifest)
        stored["metadata"]["resourceVersion"] = str(self._version)
        self.lease = stored
        return stored

    def _answer(self) -> None:
        if self.away is not None:
            raise self.away


class Candidate:
    """One process: its clock and its view of the Lease."""

    def __init__(self, server: Server, name: str, clock: list[float]) -> None:
        self.lost_to: list[str] = []
        self.lease = Lease(
            server,  # type: ignore[arg-type]
            "ns",
            "lease",
            name,
            on_lost=self.lost_to.append,
            times=QUICK,
            clock=lambda: clock[0],
        )

    async def try_to_lead(self) -> bool:
        return await self.lease._try_to_lead()

    @property
    def may_write(self) -> bool:
        try:
            self.lease.check()
        except NotLeading:
            return False
        return True


@pytest.fixture
def clock() -> list[float]:
    return [100.0]


@pytest.fixture
def server() -> Server:
    return Server()


async def test_the_first_leads_and_the_second_waits(server: Server, clock: list[float]) -> None:
    first, second = Candidate(server, "a", clock), Candidate(server, "b", clock)
    assert not first.may_write
    assert await first.try_to_lead()
    assert not await second.try_to_lead()
    assert (first.may_write, second.may_write, server.holder) == (True, False, "a")


async def test_a_dead_leader_is_replaced_after_the_duration_and_never_earlier(
    server: Server, clock: list[float]
) -> None:
    dead, heir = Candidate(server, "a", clock), Candidate(server, "b", clock)
    await dead.try_to_lead()
    assert not await heir.try_to_lead()
    clock[0] += 7.9
    assert not await heir.try_to_lead()
    clock[0] += 0.1
    assert await heir.try_to_lead()
    assert (dead.may_write, heir.may_write) == (False, True)
    assert server.lease is not None
    assert server.lease["spec"]["leaseTransitions"] == 1


async def test_a_renewal_starts_the_duration_anew(server: Server, clock: list[float]) -> None:
    leader, other = Candidate(server, "a", clock), Candidate(server, "b", clock)
    await leader.try_to_lead()
    for _ in range(10):
        clock[0] += 4
        assert await leader.try_to_lead()
        assert not await other.try_to_lead()


async def test_an_api_server_that_is_away_stops_the_writes_and_nothing_else(server: Server, clock: list[float]) -> None:
    leader = Candidate(server, "a", clock)
    await leader.try_to_lead()
    server.away = Unreachable(0, "Unreachable", "gone")
    clock[0] += 4.9
    assert not await leader.try_to_lead()
    assert leader.may_write
    clock[0] += 0.1
    assert not leader.may_write
    server.away = None
    assert await leader.try_to_lead()
    assert leader.may_write
    assert leader.lost_to == []


async def test_a_leader_that_was_cut_off_learns_who_has_taken_over(server: Server, clock: list[float]) -> None:
    cut_off, heir = Candidate(server, "a", clock), Candidate(server, "b", clock)
    await cut_off.try_to_lead()
    await heir.try_to_lead()
    clock[0] += 8
    assert not cut_off.may_write
    assert await heir.try_to_lead()
    assert not await cut_off.try_to_lead()
    assert cut_off.lost_to == ["b"]
    assert not cut_off.may_write


async def test_release_hands_over_at_once(server: Server, clock: list[float]) -> None:
    leaving, heir = Candidate(server, "a", clock), Candidate(server, "b", clock)
    await leaving.try_to_lead()
    await leaving.lease.release()
    assert not leaving.may_write
    assert await heir.try_to_lead()
    await leaving.lease.release()
    assert server.holder == "b"


async def test_of_two_that_take_it_at_once_one_gets_it(server: Server, clock: list[float]) -> None:
    candidates = [Candidate(server, name, clock) for name in "abcdef"]
    led = await asyncio.gather(*(candidate.try_to_lead() for candidate in candidates))
    assert sum(led) == 1
    assert sum(candidate.may_write for candidate in candidates) == 1


async def test_acquire_and_hold_go_on_until_it_is_taken(server: Server, clock: list[float]) -> None:
    leader, thief = Candidate(server, "a", clock), Candidate(server, "b", clock)
    await leader.lease.acquire()
    holding = asyncio.create_task(leader.lease.hold())
    server.away = Unreachable(0, "Unreachable", "gone")
    await thief.lease.release()
    clock[0] += 20
    server.away = None
    assert server.lease is not None
    server.lease["spec"]["holderIdentity"] = "b"
    async with asyncio.timeout(5):
        await holding
    await eventually(lambda: leader.lost_to == ["b"])
