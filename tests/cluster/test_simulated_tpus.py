"""TPU node pools of the simulated GKE on the real control plane, asked for by Google's own client."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import container_v1
from tests.support.gke_on_cluster import ClusterGke, StartGke, gke_on_cluster, messages, node_of
from tests.support.polling import eventually

from mistral_operator.sandbox.control_plane import ControlPlane
from mistral_operator.sandbox.kube import Kube

ZONE = ["us-central1-a"]
V6E = {"machine_type": "ct6e-standard-4t"}
SLICE = {"placement_policy": {"type_": "COMPACT", "tpu_topology": "4x4"}, "locations": ZONE}
AUTO = {"autoscaling": {"enabled": True, "max_node_count": 4, "location_policy": "ANY"}}
Status = container_v1.NodePool.Status


@pytest.fixture
async def start(cluster: ControlPlane, kube: Kube) -> AsyncIterator[StartGke]:
    """`await start(**scenario)` runs a simulated GKE until the test ends."""
    async with AsyncExitStack() as stack:

        async def run(**scenario: Any) -> ClusterGke:
            return await stack.enter_async_context(gke_on_cluster(cluster.kubeconfig, kube, **scenario))

        yield run


async def create_pods(kube: Kube, namespace: str, gke: ClusterGke, topology: str, names: list[str]) -> list[str]:
    """Pods that need four chips of the pool each; returns their paths."""
    selector = {
        "pool": gke.pool,
        "cloud.google.com/gke-tpu-accelerator": "tpu-v6e-slice",
        "cloud.google.com/gke-tpu-topology": topology,
    }
    container = {"name": "c", "image": "example/none", "resources": {"limits": {"google.com/tpu": "4"}}}
    for name in names:
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name},
            "spec": {
                "containers": [container],
                "nodeSelector": selector,
                "tolerations": [{"key": "google.com/tpu", "operator": "Exists"}],
                "terminationGracePeriodSeconds": 0,
            },
        }
        await kube.create(f"/api/v1/namespaces/{namespace}/pods", pod)
    return [f"/api/v1/namespaces/{namespace}/pods/{name}" for name in names]


async def test_a_single_host_pool_grows_for_a_pending_pod(kube: Kube, namespace: str, start: StartGke) -> None:
    gke = await start()
    bounds = {"enabled": True, "total_max_node_count": 2}
    await gke.done(await gke.request(V6E, autoscaling=bounds))
    (pod,) = await create_pods(kube, namespace, gke, "2x2", ["tpu"])
    name = await eventually(lambda: node_of(kube, pod), message="the pod has a node")
    (node,) = await gke.nodes()
    assert node["metadata"]["name"] == name
    assert node["status"]["allocatable"]["google.com/tpu"] == node["status"]["capacity"]["google.com/tpu"] == "4"
    assert {"key": "google.com/tpu", "value": "present", "effect": "NoSchedule"} in node["spec"]["taints"]


async def test_an_autoscaled_slice_comes_and_goes_whole(kube: Kube, namespace: str, start: StartGke) -> None:
    gke = await start(delays_s={"scale_down_unneeded": 60})
    totals = {"enabled": True, "total_max_node_count": 4, "location_policy": "ANY"}
    refusal = "Maximum node count 0 is not a valid size of TPU pod slice with topology 4x4"
    with pytest.raises(exceptions.InvalidArgument, match=refusal):
        await gke.request(V6E, **SLICE, autoscaling=totals)
    await gke.done(await gke.request(V6E, **SLICE, **AUTO))
    pods = await create_pods(kube, namespace, gke, "4x4", ["p0", "p1", "p2"])
    texts = await eventually(lambda: messages(kube, namespace, "NotTriggerScaleUp"), message="three are too few")
    assert "1 multi-host TPU slice(s) without a pending Pod for every node" in texts[0]
    pods += await create_pods(kube, namespace, gke, "4x4", ["p3"])

    async def spread() -> set[str] | None:
        nodes = {await node_of(kube, pod) for pod in pods}
        return nodes if "" not in nodes else None

    nodes = await eventually(spread, message="all four pods have nodes")
    assert len(nodes) == 4
    for pod in pods:
        await kube.delete(pod, grace_s=0)

    async def gone() -> bool:
        return await gke.nodes() == []

    await eventually(gone, message="the whole slice is gone")


async def test_one_host_out_of_stock_leaves_no_slice(start: StartGke) -> None:
    gke = await start(stock=[{"nodes": 3}], delays_s={"resize_give_up": 30, "resize_retry": 20})
    operation = await gke.done(await gke.request(V6E, **SLICE, initial_node_count=4))
    assert "Expected 4, running 0, transitioning 4. Current errors: [GCE_STOCKOUT]" in operation.error.message
    pool = await gke.client.get_node_pool(name=gke.pool_path)
    assert (pool.status, pool.conditions[0].message) == (Status.ERROR, operation.error.message)
    assert await gke.nodes() == []


async def test_a_slice_that_lost_a_host_is_made_again_and_deleted(kube: Kube, namespace: str, start: StartGke) -> None:
    gke = await start(delays_s={"host_error": 100, "drain_limit": 50})
    await gke.done(await gke.request(V6E, **SLICE, initial_node_count=4))
    before = {node["metadata"]["name"] for node in await gke.nodes()}
    pods = await create_pods(kube, namespace, gke, "4x4", ["p0", "p1", "p2", "p3"])

    async def placed() -> bool:
        return all([await node_of(kube, pod) for pod in pods])

    await eventually(placed, message="every host has a pod")
    lost = (await gke.post("/host-error", pool=gke.pool))["node"]

    async def unreachable() -> bool:
        (node,) = (node for node in await gke.nodes() if node["metadata"]["name"] == lost)
        ready = next(c for c in node["status"]["conditions"] if c["type"] == "Ready")
        return bool(ready["status"] == "Unknown") and sum([await kube.get(pod) is not None for pod in pods]) == 3

    await eventually(unreachable, message="the node is not ready, its pod is gone", interval_s=0.01)

    async def whole() -> bool:
        state = next(pool for pool in (await gke.state())["pools"] if pool["name"] == gke.pool)
        names = {node["metadata"]["name"] for node in await gke.nodes()}
        return state["status"] == "RUNNING" and len(names) == 4 and not names & before

    await eventually(whole, message="four other hosts")
    assert [await kube.get(pod) for pod in pods] == [None] * 4
    await gke.done(await gke.client.delete_node_pool(name=gke.pool_path))
    assert await gke.nodes() == []
