"""The simulated GKE on the real control plane: pending pods become nodes or the autoscaler's events."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.support.gke_on_cluster import NODES, ZONES, ClusterGke, StartGke, gke_on_cluster, messages, node_of
from tests.support.polling import eventually

from mistral_operator.sandbox.control_plane import ControlPlane
from mistral_operator.sandbox.kube import Kube

Start = StartGke


@pytest.fixture
async def start(cluster: ControlPlane, kube: Kube) -> AsyncIterator[Start]:
    """`await start(**scenario)` runs a simulated GKE until the test ends."""
    async with AsyncExitStack() as stack:

        async def run(kubeconfig: Path = cluster.kubeconfig, **scenario: Any) -> ClusterGke:
            return await stack.enter_async_context(gke_on_cluster(kubeconfig, kube, **scenario))

        yield run


async def request_pool(gke: ClusterGke, **changes: Any) -> None:
    """Autoscaled L4 machines, none at first, at most three."""
    accelerators = [{"accelerator_type": "nvidia-l4", "accelerator_count": 1}]
    autoscaling = {"enabled": True, "total_max_node_count": 3, "location_policy": "ANY"}
    config = {"machine_type": "g2-standard-12", "accelerators": accelerators}
    await gke.request(config, **{"autoscaling": autoscaling, **changes})


async def create_pool(gke: ClusterGke, **changes: Any) -> None:
    """Request it and wait until it runs."""
    await request_pool(gke, **changes)
    await eventually(gke.runs, message="the pool runs")


async def create_pod(kube: Kube, namespace: str, gke: ClusterGke, name: str = "gpu") -> str:
    """A pod that needs one GPU of the pool; returns its path."""
    container = {"name": "c", "image": "example/none", "resources": {"limits": {"nvidia.com/gpu": "1", "cpu": "4"}}}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "containers": [container],
            "nodeSelector": {"pool": gke.pool},
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
            "terminationGracePeriodSeconds": 0,
        },
    }
    await kube.create(f"/api/v1/namespaces/{namespace}/pods", pod)
    return f"/api/v1/namespaces/{namespace}/pods/{name}"


async def test_a_pending_pod_gets_a_node_with_gpus_and_is_scheduled(kube: Kube, namespace: str, start: Start) -> None:
    gke = await start()
    await create_pool(gke)
    assert await gke.nodes() == []
    pod = await create_pod(kube, namespace, gke)
    name = await eventually(lambda: node_of(kube, pod), message="the pod has a node")
    nodes = await gke.nodes()
    assert [n["metadata"]["name"] for n in nodes] == [name]
    assert nodes[0]["status"]["allocatable"]["nvidia.com/gpu"] == "1"
    assert nodes[0]["spec"]["providerID"].startswith("gce://sandbox-project/us-central1-")
    (text,) = await messages(kube, namespace, "TriggeredScaleUp")
    assert text.startswith(
        "pod triggered scale-up: [{https://www.googleapis.com/compute/v1/projects/sandbox-project/zones/"
    )
    assert text.endswith(" 0->1 (max: 3)}]")


async def test_one_machine_for_each_pod_up_to_the_maximum(kube: Kube, namespace: str, start: Start) -> None:
    gke = await start()
    await create_pool(gke, autoscaling={"enabled": True, "total_max_node_count": 2})
    pods = [await create_pod(kube, namespace, gke, f"gpu-{i}") for i in range(3)]

    async def scheduled() -> bool:
        return sum([bool(await node_of(kube, pod)) for pod in pods]) == 2

    await eventually(scheduled, message="two pods have nodes")
    texts = await eventually(lambda: messages(kube, namespace, "NotTriggerScaleUp"), message="the third one is told")
    assert "2 max node group size reached" in texts[-1]
    assert len(await gke.nodes()) == 2


async def test_a_stock_out_shows_only_as_events_on_the_pod(kube: Kube, namespace: str, start: Start) -> None:
    gke = await start(stock=[{"nodes": 0}])
    await create_pool(gke)
    pod = await create_pod(kube, namespace, gke)
    await eventually(lambda: messages(kube, namespace, "TriggeredScaleUp"), message="it tries")
    texts = await eventually(lambda: messages(kube, namespace, "FailedScaleUp"), message="it fails")
    assert texts[0] in {
        f"Node scale up in zones {zone} associated with this pod failed: GCE out of resources. "
        "Pod is at risk of not being scheduled."
        for zone in ZONES
    }

    async def backs_off() -> bool:
        return any(
            "2 in backoff after failed scale-up" in t for t in await messages(kube, namespace, "NotTriggerScaleUp")
        )

    await eventually(backs_off, message="both zones are in backoff")
    state = await gke.state()
    assert [(p["status"], p["nodes"]) for p in state["pools"] if p["name"] == gke.pool] == [("RUNNING", [])]
    # The stock comes back; after the backoff so does the pod's chance.
    await gke.post("/stock", nodes=5)
    await eventually(lambda: node_of(kube, pod), message="the pod has a node after all")


async def test_a_missing_quota_is_named(kube: Kube, namespace: str, start: Start) -> None:
    gke = await start(quota=[{"limit": 0, "accelerator": "nvidia-l4"}])
    await create_pool(gke)
    await create_pod(kube, namespace, gke)
    texts = await eventually(lambda: messages(kube, namespace, "FailedScaleUp"))
    assert "associated with this pod failed: GCE quota exceeded. Pod is at risk" in texts[0]


async def test_an_idle_node_goes_and_says_so(kube: Kube, namespace: str, start: Start) -> None:
    gke = await start(delays_s={"scale_down_unneeded": 60})
    await create_pool(gke)
    pod = await create_pod(kube, namespace, gke)
    name = await eventually(lambda: node_of(kube, pod), message="the pod has a node")
    await kube.delete(pod, grace_s=0)

    async def gone() -> bool:
        return await gke.nodes() == []

    await eventually(gone, message="the idle node is gone")
    events = await kube.list(
        "/api/v1/namespaces/default/events", {"fieldSelector": f"involvedObject.name={name},reason=ScaleDown"}
    )
    assert [e["message"] for e in events] == ["marked the node as toBeDeleted/unschedulable"]


async def test_a_deleted_pool_takes_its_nodes_and_pods_along(kube: Kube, namespace: str, start: Start) -> None:
    gke = await start(delays_s={"drain_limit": 50})
    await create_pool(gke)
    pod = await create_pod(kube, namespace, gke)
    await eventually(lambda: node_of(kube, pod), message="the pod has a node")
    await gke.client.delete_node_pool(name=gke.pool_path)

    async def gone() -> bool:
        pools = (await gke.client.list_node_pools(parent=gke.parent)).node_pools
        return not await gke.nodes() and await kube.get(pod) is None and gke.pool not in [p.name for p in pools]

    await eventually(gone, message="pool, node and pod are gone")


@pytest.mark.parametrize("path", ["/reclaim", "/delete-node"])
async def test_a_lost_machine_takes_its_pod_along_and_is_replaced(
    kube: Kube, namespace: str, start: Start, path: str
) -> None:
    gke = await start()
    await create_pool(gke)
    pod = await create_pod(kube, namespace, gke)
    first = await eventually(lambda: node_of(kube, pod), message="the pod has a node")
    await gke.post(path, node=first)

    async def replaced() -> bool:
        names = [n["metadata"]["name"] for n in await gke.nodes()]
        return bool(names) and first not in names and await kube.get(pod) is None

    await eventually(replaced, message="another machine is there, the pod is gone")


async def test_changed_labels_and_taints_reach_the_nodes(kube: Kube, namespace: str, start: Start) -> None:
    gke = await start()
    await create_pool(gke)
    pod = await create_pod(kube, namespace, gke)
    await eventually(lambda: node_of(kube, pod), message="the pod has a node")
    request = {
        "name": gke.pool_path,
        "labels": {"labels": {"pool": gke.pool, "added": "yes"}},
        "taints": {"taints": [{"key": "mine", "value": "x", "effect": "NO_SCHEDULE"}]},
    }
    await gke.client.update_node_pool(request=request)

    async def changed() -> bool:
        (node,) = await gke.nodes()
        keys = {taint["key"] for taint in node["spec"]["taints"]}
        return node["metadata"]["labels"].get("added") == "yes" and keys == {"nvidia.com/gpu", "mine"}

    await eventually(changed, message="label and taint on the node")


async def test_machines_do_not_care_whether_the_api_server_is_up(tmp_path: Path, start: Start) -> None:
    async with ControlPlane(tmp_path / "plane") as plane, Kube(plane.kubeconfig) as kube:
        gke = await start(kubeconfig=plane.kubeconfig, system_nodes=1)
        await plane.stop_api_server()
        await request_pool(gke, initial_node_count=1, autoscaling={}, locations=["us-central1-a"])

        async def booting() -> bool:
            pools = {pool["name"]: pool["nodes"] for pool in (await gke.state())["pools"]}
            return [node["state"] for node in pools[gke.pool]] == ["BOOTING"]

        await eventually(booting, message="a machine without a node")
        await plane.start_api_server()

        async def joined() -> bool:
            return len(await kube.list(NODES, {"labelSelector": f"pool={gke.pool}"})) == 1

        await eventually(joined, message="its node")
        pod = await create_pod(kube, "default", gke)
        await eventually(lambda: node_of(kube, pod), message="a pod on it")
