"""`sweep` as a user runs it, on a real control plane and the simulated GKE."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.support.claim_cases import claim_body
from tests.support.gke_on_cluster import ClusterGke, gke_on_cluster
from tests.support.polling import eventually

from mistral_operator.api.claim import NodePoolClaim
from mistral_operator.capacity.pools import NodeFacts, pool_name, pool_spec
from mistral_operator.capacity.provisioners.container_api import ContainerApi
from mistral_operator.cluster.client import ApiClient
from mistral_operator.cluster.kinds import CLAIM
from mistral_operator.controller.place import find_cluster_uid
from mistral_operator.sandbox.control_plane import ControlPlane
from mistral_operator.sandbox.kube import Kube

pytestmark = pytest.mark.cluster

LOST, KEPT, BUSY = "g2-standard-12-od-lost", "g2-standard-12-od-kept", "g2-standard-12-od-busy"
REPOSITORY = Path(__file__).parents[2]


@dataclass
class Place:
    """A cluster with three pools of the operator and one of a stranger; one of the three has its claim."""

    gke: ClusterGke
    kubeconfig: Path
    client: ApiClient

    async def pools(self) -> set[str]:
        """But for the cluster's own."""
        return {pool["name"] for pool in (await self.gke.state())["pools"]} - {"default-pool"}

    async def sweep(self, *args: str, answer: str = "") -> tuple[int, str, str]:
        cluster = self.gke.parent.rpartition("/")[2]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "mistral_operator", "sweep", *args,
            "--kubeconfig", str(self.kubeconfig), "--container-api", f"http://{self.gke.simulated.address}",
            "--project", "sandbox-project", "--location", "us-central1", "--cluster", cluster,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY / "operator"), "COLUMNS": "200"},
        )  # fmt: skip
        out, err = await process.communicate(answer.encode())
        return process.returncode or 0, out.decode(), err.decode()

    async def orphans(self, *args: str) -> dict[str, Any]:
        code, out, err = await self.sweep("-o", "json", *args)
        assert code == 0, err
        return {pool["name"]: pool for pool in json.loads(out)["orphanedPools"]}


Start = Callable[..., Awaitable[Place]]


@pytest.fixture
async def start(cluster: ControlPlane, kube: Kube, crds: Path) -> AsyncIterator[Start]:
    """`await start(**scenario)`."""
    async with AsyncExitStack() as stack:

        async def run(**scenario: Any) -> Place:
            scenario["foreign_pools"] = [{"name": "stranger", "machine_type": "e2-standard-8"}]
            scenario["delays_s"] = {"scale_down_unneeded": 10**6}
            gke = await stack.enter_async_context(gke_on_cluster(cluster.kubeconfig, kube, **scenario))
            client = await ApiClient.connect(cluster.kubeconfig)
            stack.push_async_callback(client.close)
            place = Place(gke, cluster.kubeconfig, client)
            await make_pools(place)
            await client.create(claim_body(KEPT, finalizers=[]))
            stack.push_async_callback(client.delete, CLAIM, KEPT)
            return place

        yield run


async def make_pools(place: Place) -> None:
    """As the operator would have made them for its claims; one of them then gets a node."""
    uid = await find_cluster_uid(place.client)
    *_, location, _, name = place.gke.parent.split("/")
    endpoint = f"http://{place.gke.simulated.address}"
    async with ContainerApi(project="sandbox-project", location=location, cluster=name, endpoint=endpoint) as api:
        for claim_name in (LOST, KEPT, BUSY):
            claim = NodePoolClaim.model_validate(claim_body(claim_name))
            await api.create_pool(pool_spec(claim, total_max=2, facts=NodeFacts(), cluster_uid=uid))

        async def run() -> bool:
            return all(pool.status.value == "RUNNING" for pool in await api.list_pools())

        await eventually(run, message="the pools run")
    path = f"{place.gke.parent}/nodePools/{pool_name(BUSY)}"
    await place.gke.client.set_node_pool_size(request={"name": path, "node_count": 1})
    await eventually(lambda: has_node(place), message="the pool has its node")


async def has_node(place: Place) -> bool:
    found = (await place.orphans()).get(pool_name(BUSY), {})
    return found.get("nodes") == 2 and found["status"] == "RUNNING"


async def test_a_list_deletes_nothing_and_a_yes_deletes_only_what_has_no_claim_and_no_node(start: Start) -> None:
    place = await start()
    everything = {"stranger", *map(pool_name, (LOST, KEPT, BUSY))}
    code, out, err = await place.sweep()
    assert code == 0, err
    assert "2 node pools" in out
    assert pool_name(LOST) in out
    assert "stranger" not in out
    assert pool_name(KEPT) not in out
    found = await place.orphans("--dry-run")
    assert found[pool_name(LOST)]["reason"] == "Unused"
    # One node in each of two zones.
    assert (found[pool_name(BUSY)]["reason"], found[pool_name(BUSY)]["hourlyCost"]) == ("HasNodes", "2.0008")
    code, out, err = await place.sweep("--delete", answer="n\n")
    assert code == 1
    assert await place.pools() == everything
    code, out, err = await place.sweep("--delete", answer="y\n")
    assert code == 0, err
    assert await place.pools() == everything - {pool_name(LOST)}
    assert set(await place.orphans("--delete", "--with-nodes", "--yes")) == {pool_name(BUSY)}
    assert await place.pools() == {"stranger", pool_name(KEPT)}


async def test_a_refusal_of_gke_is_quoted_with_what_to_do(start: Start) -> None:
    words = 'Required "container.clusters.update" permission(s) for "projects/sandbox-project".'
    place = await start(faults=[{"rpc": "DeleteNodePool", "code": "PERMISSION_DENIED", "message": words}])
    code, out, err = await place.sweep("--delete", "--yes")
    assert code == 1, err
    told = " ".join(out.split())
    assert f'GKE says: "{words}"' in told
    assert "gcloud projects add-iam-policy-binding sandbox-project" in told
    assert pool_name(LOST) in await place.pools()


async def test_a_pool_whose_end_cannot_be_read_hides_no_other_and_holds_none_up(start: Start) -> None:
    words = 'Required "container.operations.get" permission(s) for "projects/sandbox-project".'
    fault = {"rpc": "GetOperation", "calls": [1], "code": "PERMISSION_DENIED", "message": words}
    place = await start(faults=[fault])
    code, out, err = await place.sweep("--delete", "--with-nodes", "--yes", "-o", "json")
    assert code == 1, err
    found = {pool["name"]: pool for pool in json.loads(out)["orphanedPools"]}
    first, second = found[pool_name(BUSY)], found[pool_name(LOST)]
    assert (first["deleted"], second["deleted"]) == (False, True)
    assert "GKE began to delete it (operation " in first["keptBecause"]
    assert f'PermissionDenied. GKE says: "{words}"' in first["keptBecause"]
    assert pool_name(LOST) not in await place.pools()


async def test_a_cluster_that_is_not_there_is_said_to_be_so(start: Start) -> None:
    place = await start()
    place.gke.parent += "-of-another-name"
    code, _, err = await place.sweep()
    assert code == 1
    assert "NotFound: GKE says:" in err
    place.gke.parent = place.gke.parent.removesuffix("-of-another-name")
