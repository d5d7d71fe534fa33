"""Compute Engine and the Resource Manager: read from the simulated ones, and from servers that misbehave."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random
from types import SimpleNamespace
from typing import Any

import google.auth
import google.auth.exceptions
import pytest
from aiohttp import web
from tests.support.simulated_gke import PaperNodes

from mistral_operator.capacity.errors import CloudError, NotFoundError, PermissionDeniedError, UnavailableError
from mistral_operator.capacity.preflight.facts import Quota, ReservationView
from mistral_operator.capacity.provisioners.compute_api import ComputeApi
from mistral_operator.sandbox.compute.server import ComputeApi as SimulatedCompute
from mistral_operator.sandbox.gke.faults import Faults
from mistral_operator.sandbox.gke.scenario import parse_scenario
from mistral_operator.sandbox.gke.simulated import GkeApi

PROJECT = "sandbox-project"
ZONES = ("us-central1-a", "us-central1-b", "us-central1-c")


@asynccontextmanager
async def simulated(**scenario: Any) -> AsyncIterator[ComputeApi]:
    """The client on the simulated Compute Engine of a simulated GKE, which answers one zone a page."""
    async with GkeApi(parse_scenario(scenario), PaperNodes()) as gke:
        server = SimulatedCompute(
            gke.inventory, gke.faults, frozenset(gke.cloud.scenario.denied_permissions), page=1
        )  # fmt: skip
        await server.start()
        try:
            async with ComputeApi(PROJECT, server.url) as compute:
                yield compute
        finally:
            await server.stop()


@asynccontextmanager
async def serving(answer: Callable[[web.Request], Any], deadline_s: float = 5.0) -> AsyncIterator[ComputeApi]:
    """The client on a server that gives one answer to everything."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)  # An answer that never comes is not waited for at the end either.
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    try:
        async with ComputeApi(PROJECT, f"http://{host}:{port}", deadline_s) as compute:
            yield compute
    finally:
        await runner.cleanup()


async def test_quotas_are_those_of_the_region_and_of_the_project() -> None:
    quota = [{"limit": 5, "accelerator": "nvidia-l4", "mode": "on-demand"}]
    async with simulated(quota=quota, gpus_all_regions=7) as compute:
        found = await compute.read_quotas("us-central1")
        assert found["NVIDIA_L4_GPUS"] == Quota(limit=5, usage=0)
        assert "PREEMPTIBLE_NVIDIA_L4_GPUS" in found
        # Kept by family, so Compute Engine doesn't list it.
        assert "TPUS_PER_TPU_FAMILY" not in found
        assert (await compute.read_project_quotas())["GPUS_ALL_REGIONS"] == Quota(limit=7, usage=0)
        with pytest.raises(NotFoundError, match="regions/us-east1' was not found"):
            await compute.read_quotas("us-east1")


async def test_zones_are_found_over_all_pages() -> None:
    async with simulated(zones=["us-central1-a", "us-central1-b", "europe-west2-a"]) as compute:
        found = await compute.find_machine_zones(["g2-standard-8", "ct6e-standard-4t", "no-such-machine"])
        assert found["g2-standard-8"] == {"us-central1-a", "us-central1-b", "europe-west2-a"}
        assert found["ct6e-standard-4t"] == {"us-central1-a", "us-central1-b"}
        assert "no-such-machine" not in found
        gpus = await compute.find_gpu_zones(["nvidia-tesla-t4"])
        assert "us-central1-a" in gpus["nvidia-tesla-t4"]


async def test_a_reservation_tells_what_is_left_of_it() -> None:
    mine = {"name": "mine", "machine_type": "g2-standard-12", "zone": ZONES[1], "count": 5, "in_use": 2}
    async with simulated(reservations=[mine]) as compute:
        assert await compute.find_reservations(PROJECT, "mine") == (
            ReservationView(ZONES[1], "g2-standard-12", 5, 2, "READY"),
        )
        assert await compute.find_reservations(PROJECT, "other") == ()


async def test_an_aggregate_reservation_of_tpus_is_found_without_a_size() -> None:
    """As Compute Engine's reference has it; the simulated one has reservations of machines only."""
    zone = "us-east5-b"
    reservation = {
        "name": "tpus",
        "status": "READY",
        "specificReservationRequired": True,
        "aggregateReservation": {
            "vmFamily": "VM_FAMILY_CLOUD_TPU_LITE_POD_SLICE_CT6E",
            "workloadType": "SERVING",
            "reservedResources": [{"accelerator": {"acceleratorType": "ct6e", "acceleratorCount": 8}}],
        },
    }

    async def give(_: web.Request) -> web.Response:
        return web.json_response({"items": {f"zones/{zone}": {"reservations": [reservation]}}})

    async with serving(give) as compute:
        (found,) = await compute.find_reservations(PROJECT, "tpus")
    assert (found.zone, found.status, found.machine_type, found.count) == (zone, "READY", "", None)
    assert found.family == "VM_FAMILY_CLOUD_TPU_LITE_POD_SLICE_CT6E"


async def test_permissions_are_those_that_were_granted() -> None:
    async with simulated(denied_permissions=["container.clusters.update"]) as compute:
        names = ("container.clusters.get", "container.clusters.update")
        assert await compute.test_permissions(names) == {"container.clusters.get"}
        assert await compute.test_permissions(names[1:]) == frozenset()


async def test_a_refusal_is_in_the_clouds_own_words() -> None:
    words = "Required 'compute.regions.get' permission for 'projects/sandbox-project/regions/us-central1'"
    fault = {"rpc": "compute.regions.get", "code": "PERMISSION_DENIED", "message": words}
    async with simulated(faults=[fault]) as compute:
        with pytest.raises(PermissionDeniedError) as caught:
            await compute.read_quotas("us-central1")
        assert (caught.value.text, caught.value.verbatim) == (words, True)
        assert await compute.read_project_quotas()


@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        (lambda _: web.Response(status=503, text="<html>proxy</html>"), UnavailableError, "<html>proxy</html>"),
        (lambda _: web.Response(status=502), UnavailableError, "HTTP 502"),
        (lambda _: web.Response(status=401, text='{"error": "x"}'), PermissionDeniedError, '{"error": "x"}'),
        (lambda _: web.Response(text="no JSON"), UnavailableError, "Expecting value"),
        (lambda _: web.Response(text="[]"), UnavailableError, "is no object"),
    ],
)
async def test_what_is_no_answer_of_google_is_never_taken_for_one(
    answer: Callable[[web.Request], Any], kind: type[CloudError], text: str
) -> None:
    async def give(request: web.Request) -> web.Response:
        response: web.Response = answer(request)
        return response

    async with serving(give) as compute:
        with pytest.raises(kind) as caught:
            await compute.read_project_quotas()
        assert text in caught.value.text
        assert not caught.value.finding.verbatim


async def test_a_server_that_says_nothing_is_not_waited_for() -> None:
    async def hang(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async with serving(hang, deadline_s=0.2) as compute:
        with pytest.raises(
            UnavailableError, match=r"no answer from 127\.0\.0\.1:\d+: nothing came within 0\.2 s"
        ) as caught:
            await compute.read_project_quotas()
    assert not caught.value.finding.verbatim


async def test_where_nobody_answers_the_words_are_not_googles(unused_tcp_port: int) -> None:
    async with ComputeApi(PROJECT, f"http://127.0.0.1:{unused_tcp_port}") as compute:
        with pytest.raises(UnavailableError, match="Cannot connect to host") as caught:
            await compute.read_quotas("us-central1")
    assert not caught.value.finding.verbatim


async def test_a_filter_that_the_stand_in_cannot_read_is_refused() -> None:
    async with GkeApi(parse_scenario({}), PaperNodes()) as gke, ComputeApi(PROJECT, gke.compute.url) as compute:
        with pytest.raises(CloudError, match="Invalid list filter expression"):
            await compute.find_machine_zones(['a" OR zone = "b'])
        assert gke.compute.calls == ["compute.machineTypes.list"]


class TestLogin:
    """Against Google, whose credentials are made up here."""

    async def test_the_token_the_account_and_the_quota_project_are_sent(self, monkeypatch: pytest.MonkeyPatch) -> None:
        account = "operator@team-project.iam.gserviceaccount.com"
        credentials = SimpleNamespace(
            token="secret", service_account_email=account, quota_project_id="billed", refresh=lambda _: None
        )
        monkeypatch.setattr(google.auth, "default", lambda scopes: (credentials, "team-project"))
        async with ComputeApi(PROJECT) as compute:
            assert compute.identity == account
            assert dict(compute._rest.headers) == {"Authorization": "Bearer secret", "X-Goog-User-Project": "billed"}

    @pytest.mark.parametrize(
        ("error", "kind"),
        [
            (google.auth.exceptions.DefaultCredentialsError("no credentials"), PermissionDeniedError),
            (google.auth.exceptions.TransportError("no route"), UnavailableError),
        ],
    )
    async def test_without_credentials_it_says_so(
        self, monkeypatch: pytest.MonkeyPatch, error: Exception, kind: type[CloudError]
    ) -> None:
        def fail(scopes: Any) -> None:
            raise error

        monkeypatch.setattr(google.auth, "default", fail)
        with pytest.raises(kind, match=str(error)) as caught:
            async with ComputeApi(PROJECT):
                raise AssertionError
        assert not caught.value.finding.verbatim


def test_faults_name_calls_of_compute_engine() -> None:
    faults = Faults(parse_scenario({"faults": [{"rpc": "compute.regions.get"}]}).faults, Random(1))
    assert faults.hit("compute.regions.get") is not None
    assert faults.hit("compute.projects.get") is None
