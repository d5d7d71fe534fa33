"""Where the cluster is: options first, the metadata server for the rest; and which one it is."""

from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from mistral_operator.capacity.advice import ClusterPlace
from mistral_operator.cluster.client import ApiClient
from mistral_operator.cluster.errors import ApiError, Forbidden, Unreachable
from mistral_operator.cluster.kinds import Kind
from mistral_operator.controller import place
from mistral_operator.controller.options import RunOptions
from mistral_operator.controller.place import UnknownPlaceError, find_cluster_uid, find_gke_cluster, find_place


@pytest.fixture
async def metadata_server() -> AsyncIterator[str]:
    """A stand-in for GKE's metadata server."""

    async def answer(request: web.Request) -> web.Response:
        known = {"project/project-id": "p\n", "instance/attributes/cluster-location": "us-central1"}
        if request.headers.get("Metadata-Flavor") != "Google" or request.match_info["path"] not in known:
            return web.Response(status=404)
        return web.Response(text=known[request.match_info["path"]])

    app = web.Application()
    app.router.add_get("/computeMetadata/v1/{path:.*}", answer)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")


async def test_options_are_enough() -> None:
    given = RunOptions(project="p", location="l", cluster="c")
    assert await find_place(given, "http://127.0.0.1:1") == ClusterPlace("p", "l", "c")


async def test_the_rest_is_asked_for(metadata_server: str) -> None:
    found = await find_place(RunOptions(cluster="mine"), metadata_server)
    assert found == ClusterPlace("p", "us-central1", "mine")


async def test_outside_of_gke_it_says_what_to_give(metadata_server: str) -> None:
    with pytest.raises(UnknownPlaceError, match=r"give --project, --location, --cluster"):
        await find_place(RunOptions(), metadata_server)


class System:
    """Stands in for the API server's answers to one read."""

    def __init__(self, *answers: dict[str, Any] | ApiError | None) -> None:
        self._answers = list(answers)

    async def get(self, kind: Kind, name: str, _namespace: str = "") -> dict[str, Any] | None:
        assert (kind.kind, name) == ("Namespace", "kube-system")
        answer = self._answers.pop(0)
        if isinstance(answer, ApiError):
            raise answer
        return answer


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (({"metadata": {"uid": "u"}},), "u"),
        ((Unreachable(0, "", "refused"), {"metadata": {"uid": "u"}}), "u"),
        ((Forbidden(403, "Forbidden", "namespaces"),), ""),
        ((None,), ""),
    ],
)
async def test_a_cluster_is_known_by_its_system_namespace(
    monkeypatch: pytest.MonkeyPatch, answers: tuple[Any, ...], expected: str
) -> None:
    monkeypatch.setattr(place, "_RETRY_S", 0.0)
    assert await find_cluster_uid(cast("ApiClient", System(*answers))) == expected


class Versions:
    """Stands in for the API server's answers about its version."""

    def __init__(self, *answers: str | ApiError) -> None:
        self._answers = list(answers)

    async def read(self, path: str) -> dict[str, Any]:
        assert path == "/version"
        answer = self._answers.pop(0)
        if isinstance(answer, ApiError):
            raise answer
        return {"gitVersion": answer}


@pytest.mark.parametrize("answers", [("v1.36.3",), ("v1.31.2+k3s1",), (Unreachable(0, "", "refused"), "v1.36.3-eks-1")])
async def test_a_cluster_of_nobody_is_found_to_be_one(
    monkeypatch: pytest.MonkeyPatch, answers: tuple[str | ApiError, ...]
) -> None:
    monkeypatch.setattr(place, "_RETRY_S", 0.0)
    client = cast("ApiClient", Versions(*answers))
    assert await find_gke_cluster(RunOptions(), client, "http://127.0.0.1:1") is None


async def test_a_cluster_of_gke_whose_metadata_server_is_silent_is_no_other() -> None:
    client = cast("ApiClient", Versions("v1.33.4-gke.1245000"))
    with pytest.raises(UnknownPlaceError):
        await find_gke_cluster(RunOptions(), client, "http://127.0.0.1:1")


async def test_whoever_names_a_part_of_a_cluster_means_one_of_gke() -> None:
    with pytest.raises(UnknownPlaceError, match=r"give --location, --cluster"):
        await find_gke_cluster(RunOptions(project="p"), cast("ApiClient", Versions()), "http://127.0.0.1:1")


async def test_a_cluster_that_is_named_is_taken_for_granted() -> None:
    given = RunOptions(project="p", location="l", cluster="c")
    assert await find_gke_cluster(given, cast("ApiClient", Versions())) == ClusterPlace("p", "l", "c")
