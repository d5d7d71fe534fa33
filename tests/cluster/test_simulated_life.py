"""The life of the simulated GKE's machines on the real control plane: notices, ends, maintenance, upgrades."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from google.cloud import container_v1
from tests.support.gke_on_cluster import ClusterGke, StartGke, gke_on_cluster, messages, node_of
from tests.support.polling import eventually

from mistral_operator.sandbox.control_plane import ControlPlane
from mistral_operator.sandbox.kube import Kube, Object

ZONE = ["us-central1-a"]
NEXT = "1.36.4-gke.1000000"
L4 = {
    "machine_type": "g2-standard-12",
    "accelerators": [{"accelerator_type": "nvidia-l4", "accelerator_count": 1}],
}
NO_RESERVATION = {"consume_reservation_type": "NO_RESERVATION"}
BOUNDS = {"enabled": True, "total_max_node_count": 3, "location_policy": "ANY"}
IMPENDING = "cloud.google.com/impending-node-termination"
MAINTENANCE = "cloud.google.com/scheduled-maintenance-time"


@pytest.fixture
async def start(cluster: ControlPlane, kube: Kube) -> AsyncIterator[StartGke]:
    """`await start(**scenario)` runs a simulated GKE until the test ends."""
    async with AsyncExitStack() as stack:

        async def run(**scenario: Any) -> ClusterGke:
            return await stack.enter_async_context(gke_on_cluster(cluster.kubeconfig, kube, **scenario))

        yield run


async def create_pod(
    kube: Kube, namespace: str, gke: ClusterGke, name: str = "p", device: str = "nvidia.com/gpu", **spec: Any
) -> str:
    """A pod that needs devices of the pool; returns its path."""
    devices = "1" if device == "nvidia.com/gpu" else "4"
    container = {"name": "c", "image": "example/none", "resources": {"limits": {device: devices}}}
    tolerations = [{"key": device, "operator": "Exists"}]
    full = {"containers": [container], "nodeSelector": {"pool": gke.pool}, "tolerations": tolerations}
    full |= {"terminationGracePeriodSeconds": 0, **spec}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": full}
    await kube.create(f"/api/v1/namespaces/{namespace}/pods", pod)
    return f"/api/v1/namespaces/{namespace}/pods/{name}"


async def placed(kube: Kube, pod: str) -> str:
    return await eventually(lambda: node_of(kube, pod), message=f"{pod} has a node")


async def node(gke: ClusterGke, name: str) -> Object | None:
    return next((node for node in await gke.nodes() if node["metadata"]["name"] == name), None)


def taints(found: Object) -> set[str]:
    return {taint["key"] for taint in found["spec"].get("taints") or []}


async def test_a_flex_start_node_ends_with_its_pod_and_another_one_comes(
    kube: Kube, namespace: str, start: StartGke
) -> None:
    gke = await start()
    config = {"flex_start": True, "reservation_affinity": NO_RESERVATION, "max_run_duration": {"seconds": 400}}
    await gke.done(await gke.request({**L4, **config}, autoscaling=BOUNDS))
    pod = await create_pod(kube, namespace, gke)
    first = await placed(kube, pod)
    found = await node(gke, first)
    assert found
    assert found["metadata"]["labels"]["cloud.google.com/gke-flex-start"] == "true"

    async def ended() -> bool:
        return await node(gke, first) is None and await kube.get(pod) is None

    await eventually(ended, message="node and pod are gone")
    assert await gke.nodes() == []
    second = await placed(kube, await create_pod(kube, namespace, gke, "again"))
    assert second != first


async def test_a_spot_notice_leaves_pods_15_seconds(kube: Kube, namespace: str, start: StartGke) -> None:
    # 30 real seconds at the speed of 50; the test ends long before.
    gke = await start(delays_s={"spot_notice": 1500})
    await gke.done(await gke.request({**L4, "spot": True}, autoscaling=BOUNDS))
    pod = await create_pod(kube, namespace, gke, terminationGracePeriodSeconds=600)
    name = await placed(kube, pod)
    await gke.post("/reclaim", node=name)

    async def told() -> Object | None:
        found = await kube.get(pod)
        return found if found and found["metadata"].get("deletionTimestamp") else None

    assert (await eventually(told, message="the pod is told to end"))["metadata"]["deletionGracePeriodSeconds"] == 15
    found = await node(gke, name)
    assert found
    assert found["metadata"]["labels"]["cloud.google.com/gke-spot"] == "true"
    assert IMPENDING in taints(found)
    ready = next(c for c in found["status"]["conditions"] if c["type"] == "Ready")
    assert (ready["status"], ready["message"]) == ("False", "node is shutting down")
    await kube.delete(pod, grace_s=0)


async def test_maintenance_is_announced_and_respects_budgets(kube: Kube, namespace: str, start: StartGke) -> None:
    gke = await start(delays_s={"maintenance_notice": 100, "maintenance_drain": 50000})
    await gke.done(await gke.request(L4, initial_node_count=1, locations=ZONE))
    pod = await create_pod(kube, namespace, gke)
    name = await placed(kube, pod)
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "all"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "p"}}},
    }
    budgets = f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets"
    await kube.create(budgets, budget)
    # Budgets protect what is healthy; no kubelet runs here that would say so.
    healthy = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    await kube.merge_patch(f"{pod}/status", {"status": healthy})

    async def protected() -> bool:
        found = await kube.get(f"{budgets}/all")
        return bool(found and found.get("status", {}).get("currentHealthy") == 1)

    await eventually(protected, message="the budget counts the pod")
    await gke.post("/maintain", node=name)

    async def announced() -> bool:
        found = await node(gke, name)
        return bool(found and found["metadata"]["labels"].get(MAINTENANCE, "").isdecimal())

    await eventually(announced, message="the label")

    async def begun() -> bool:
        found = await node(gke, name)
        return bool(found and IMPENDING in taints(found) and found["spec"].get("unschedulable"))

    await eventually(begun, message="taint and cordon")
    labels = {"pool": gke.pool, "added": "yes"}
    edited = (await gke.post("/edit-pool", pool=gke.pool, labels={"labels": labels}))["operation"]
    await gke.done(container_v1.Operation(name=edited))
    found = await node(gke, name)
    assert found
    assert found["metadata"]["labels"]["added"] == "yes"
    assert (MAINTENANCE in found["metadata"]["labels"], IMPENDING in taints(found)) == (True, True)
    assert await kube.get(pod)
    await kube.delete(f"{budgets}/all")

    async def replaced() -> bool:
        names = [found["metadata"]["name"] for found in await gke.nodes()]
        return bool(names) and name not in names and await kube.get(pod) is None

    await eventually(replaced, message="another machine, once the pod could go")


async def test_a_full_reservation_shows_as_an_event(kube: Kube, namespace: str, start: StartGke) -> None:
    reservation = {"name": "mine", "machine_type": "g2-standard-12", "zone": ZONE[0], "count": 1}
    gke = await start(reservations=[reservation])
    affinity = {
        "consume_reservation_type": "SPECIFIC_RESERVATION",
        "key": "compute.googleapis.com/reservation-name",
        "values": ["mine"],
    }
    await gke.done(await gke.request({**L4, "reservation_affinity": affinity}, autoscaling=BOUNDS, locations=ZONE))
    first = await placed(kube, await create_pod(kube, namespace, gke))
    found = await node(gke, first)
    assert found
    assert found["metadata"]["labels"]["cloud.google.com/reservation-name"] == "mine"
    second = await create_pod(kube, namespace, gke, "second")
    texts = await eventually(lambda: messages(kube, namespace, "FailedScaleUp"), message="there is no second one")
    assert "failed: GCE error RESERVATION_CAPACITY_EXCEEDED. Pod is at risk" in texts[0]
    await gke.post("/reservations", **{**reservation, "count": 2})
    await placed(kube, second)


async def test_pods_alone_do_not_scale_a_queued_pool(kube: Kube, namespace: str, start: StartGke) -> None:
    gke = await start()
    config = {**L4, "reservation_affinity": NO_RESERVATION}
    await gke.done(await gke.request(config, autoscaling=BOUNDS, queued_provisioning={"enabled": True}))
    await create_pod(kube, namespace, gke)
    texts = await eventually(lambda: messages(kube, namespace, "NotTriggerScaleUp"))
    assert "2 queued node group(s) that only a ProvisioningRequest scales up" in texts[0]


async def test_an_upgrade_replaces_a_slice_as_a_whole(kube: Kube, namespace: str, start: StartGke) -> None:
    gke = await start(delays_s={"drain_limit": 50})
    await gke.post("/workload-policies", name="ring", accelerator_topology="2x2x2")
    v7x = {"machine_type": "tpu7x-standard-4t", "disk_type": "hyperdisk-balanced"}
    shape = {"placement_policy": {"policy_name": "ring"}, "initial_node_count": 2, "locations": ZONE}
    await gke.done(await gke.request(v7x, **shape, management={"auto_upgrade": True}))
    pods = [await create_pod(kube, namespace, gke, f"p{i}", "google.com/tpu") for i in range(2)]
    before = {await placed(kube, pod) for pod in pods}
    labels = {node["metadata"]["labels"]["cloud.google.com/gke-tpu-topology"] for node in await gke.nodes()}
    assert (len(before), labels) == (2, {"2x2x2"})
    await gke.post("/upgrade", version=NEXT)

    async def upgraded() -> bool:
        nodes = await gke.nodes()
        assert len({n["metadata"]["name"] in before for n in nodes}) < 2, "old and new hosts of one slice"
        versions = {n["status"]["nodeInfo"]["kubeletVersion"] for n in nodes}
        return len(nodes) == 2 and versions == {f"v{NEXT}"}

    await eventually(upgraded, message="two other hosts", interval_s=0.02)
    assert [await kube.get(pod) for pod in pods] == [None] * 2
    types = [operation["operation_type"] for operation in (await gke.state())["operations"]]
    assert types[-1] == "AUTO_UPGRADE_NODES"


async def test_a_person_takes_a_pool_away(kube: Kube, namespace: str, start: StartGke) -> None:
    gke = await start(delays_s={"drain_limit": 50})
    await gke.done(await gke.request(L4, autoscaling=BOUNDS))
    pod = await create_pod(kube, namespace, gke)
    await placed(kube, pod)
    name = (await gke.post("/delete-pool", pool=gke.pool))["operation"]
    assert (await gke.done(container_v1.Operation(name=name))).error.message == ""
    assert await gke.nodes() == []
    assert await kube.get(pod) is None
