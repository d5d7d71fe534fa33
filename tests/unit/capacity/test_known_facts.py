"""The checks before a pool is asked for: what is refused at once, what is not, and how often Google is asked."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.support.claim_cases import NAME, SETTINGS, a_claim
from tests.support.claim_world import World

from mistral_operator.capacity.claims.checks import describe_claim
from mistral_operator.capacity.errors import CloudFinding, PermissionDeniedError, UnavailableError
from mistral_operator.capacity.pools import NodeFacts, pool_spec
from mistral_operator.capacity.port import ClusterView
from mistral_operator.capacity.preflight.facts import AskedRung, Quota, ReservationView
from mistral_operator.capacity.provisioners.known_facts import FactsPace, KnownFacts
from mistral_operator.catalogue.load import load_catalogue
from mistral_operator.planning.types import Provisioner

ZONES = ("us-central1-a", "us-central1-b")


class Compute:
    """A stand-in for Compute Engine that counts how often it is opened."""

    identity = "operator@team-project.iam.gserviceaccount.com"

    def __init__(self) -> None:
        self.limit = 4.0
        self.usage = 0.0
        self.metric = "NVIDIA_L4_GPUS"
        self.zones = frozenset(ZONES)
        self.reservations: tuple[ReservationView, ...] = ()
        self.fails: Exception | None = None
        self.hangs = False
        self.asked = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Compute"]:
        self.asked += 1
        if self.fails:
            raise self.fails
        if self.hangs:
            await asyncio.Event().wait()
        yield self

    async def read_quotas(self, region: str) -> Mapping[str, Quota]:
        assert region == "us-central1"
        return {self.metric: Quota(self.limit, self.usage)}

    async def read_project_quotas(self) -> Mapping[str, Quota]:
        return {}

    async def find_machine_zones(self, names: Iterable[str]) -> Mapping[str, frozenset[str]]:
        return dict.fromkeys(names, self.zones)

    async def find_gpu_zones(self, names: Iterable[str]) -> Mapping[str, frozenset[str]]:
        return dict.fromkeys(names, self.zones)

    async def find_reservations(self, project: str, name: str) -> tuple[ReservationView, ...]:
        assert (project, name) == ("team-project", "gpus")
        return self.reservations

    async def test_permissions(self, names: Iterable[str]) -> frozenset[str]:
        return frozenset()


class Place:
    """A clock, a stand-in for Compute Engine, and what is known of it."""

    def __init__(self, version: str = "1.36.0-gke.1000") -> None:
        self.compute = Compute()
        self.now_s = 0.0
        self.version = version
        self.facts = KnownFacts(
            SETTINGS.place, self.compute.open, self._describe, pace=FactsPace(deadline_s=0.05), clock=lambda: self.now_s
        )

    async def _describe(self) -> ClusterView:
        return ClusterView("team-project", "us-central1", "serving", ZONES, self.version, autopilot=False)

    async def check(self, **changes: Any) -> CloudFinding | None:
        return await self.facts.check(rung(**changes))


def rung(**changes: Any) -> AskedRung:
    claim = a_claim(**changes)
    found = describe_claim(claim, pool_spec(claim, total_max=2, facts=NodeFacts()), load_catalogue())
    assert found is not None
    return found


async def test_a_quota_of_none_is_refused_with_its_figures_and_the_command() -> None:
    place = Place()
    place.compute.limit = 0
    refusal = await place.check()
    assert refusal is not None
    assert (refusal.reason, refusal.verbatim) == ("QuotaExceeded", False)
    assert "NVIDIA_L4_GPUS in us-central1 allows 0" in refusal.text
    assert "gcloud beta quotas preferences create" in refusal.advice


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        ((), "ReservationNotFound"),
        ((ReservationView("us-east5-a", "g2-standard-12", 2, 0, "READY"),), "ReservationNotFound"),
        ((ReservationView(ZONES[0], "g2-standard-48", 2, 0, "READY"),), "ReservationIncompatible"),
        ((ReservationView(ZONES[0], "g2-standard-12", 2, 2, "READY"),), ""),
        ((ReservationView(ZONES[0], "g2-standard-12", 2, 0, "CREATING"),), ""),
    ],
)
async def test_a_reservation_that_can_not_be_used_is_refused_and_a_full_one_is_asked_for(
    found: tuple[ReservationView, ...], reason: str
) -> None:
    place = Place()
    place.compute.reservations = found
    refusal = await place.check(consumption="Reservation", terms={"reservation": "gpus"})
    assert (refusal.reason if refusal else "") == reason


async def test_a_zone_without_the_machine_and_a_cluster_that_is_too_old_are_refused() -> None:
    place = Place()
    place.compute.zones = frozenset(ZONES[:1])
    lacks = await place.check()
    assert lacks is not None
    assert (lacks.reason, "zones: [us-central1-a]" in lacks.text) == ("InvalidRequest", True)
    old = await Place("1.29.0-gke.1000").check(consumption="FlexStart")
    assert old is not None
    assert "the cluster has 1.29.0-gke.1000" in old.text


@pytest.mark.parametrize("used", [4.0, 3.5])
async def test_what_may_be_otherwise_in_a_minute_is_asked_of_gke(used: float) -> None:
    place = Place()
    place.compute.usage = used
    assert await place.check() is None


async def test_spot_may_count_against_another_quota() -> None:
    place = Place()
    place.compute.metric, place.compute.limit = "PREEMPTIBLE_NVIDIA_L4_GPUS", 0
    assert await place.check(consumption="Spot") is None


async def test_many_claims_are_one_question_and_a_refusal_is_never_stale() -> None:
    place = Place()
    for _ in range(50):
        assert await place.check() is None
    assert place.compute.asked == 1
    place.compute.limit = 0
    place.now_s += 299
    assert await place.check() is None, "what stands in nobody's way is believed for five minutes"
    place.now_s += 2
    assert await place.check() is not None
    assert place.compute.asked == 2, "these answers were fresh"
    place.compute.limit = 4
    place.now_s += 29
    assert await place.check() is not None
    place.now_s += 2
    assert await place.check() is None, "the quota was raised meanwhile"
    assert place.compute.asked == 3


@pytest.mark.parametrize("trouble", [PermissionDeniedError("no"), UnavailableError("nobody there"), None])
async def test_whoever_can_not_ask_goes_on_and_says_it_once(
    trouble: Exception | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    place = Place()
    place.compute.fails, place.compute.hangs = trouble, trouble is None
    place.compute.limit = 0
    assert [await place.check() for _ in range(3)] == [None, None, None]
    assert place.compute.asked == 1
    place.now_s += 301
    assert await place.check() is None
    assert len([record for record in caplog.records if "without looking" in record.message]) == 1


async def test_a_refused_claim_says_so_in_seconds_and_gke_is_not_asked_until_it_may_work() -> None:
    place, world = Place(), World()
    place.compute.limit = 0

    async def check(claim: Any, spec: Any) -> CloudFinding | None:
        found = describe_claim(claim, spec, load_catalogue())
        place.now_s = world.clock_s
        return await place.facts.check(found) if found else None

    world.checks = {Provisioner.CONTAINER_API: check}
    world.start()
    world.add_model()
    await world.step()
    await world.step()
    assert world.condition()["reason"] == "QuotaExceeded"
    assert world.state == "Failed"
    assert "allows 0" in world.condition()["message"]
    assert "gcloud beta quotas" in world.condition()["message"]
    assert "create" not in world.cloud.calls
    place.compute.limit = 4
    await world.settle(for_s=900)
    assert world.condition()["reason"] == "PoolReady"
    assert world.cloud.calls.count("create") == 1
    assert world.claim is not None
    assert world.claim["metadata"]["name"] == NAME
