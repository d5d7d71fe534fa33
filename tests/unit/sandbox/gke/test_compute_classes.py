"""ComputeClasses in the simulated GKE, without a cluster: pods and classes are written down by hand."""

from typing import Any, cast

import pytest
from tests.support.polling import eventually
from tests.support.simulated_gke import CLUSTER, Gke, Start

from mistral_operator.sandbox.gke.class_pools import CLASS_LABEL
from mistral_operator.sandbox.gke.pools import PodRef
from mistral_operator.sandbox.gke.scale_up import ScaleUp
from mistral_operator.sandbox.gke.scenario import Stock

L4 = {
    "machineType": "g2-standard-12",
    "gpu": {"type": "nvidia-l4", "count": 1, "driverVersion": "default"},
    "storage": {"bootDiskSize": 250, "bootDiskType": "pd-balanced"},
}
PENDING = {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]}
NOT_ELIGIBLE = (
    "Location europe-west4-a specified in zonal preferences is not eligible for autoprovisioning. Available locations:"
    " ['us-central1-a', 'us-central1-b', 'us-central1-c']"
)
MISMATCH = "Accelerators don't match the machine type: g2-standard-12 has 1 x nvidia-l4, the request has 2 x nvidia-l4."
TOO_FEW = "pod didn't trigger scale-up: 1 multi-host TPU slice(s) without a pending Pod for every node"
HEALTHY = ("Health", "True", "Crd is healthy.")


class Notebook:
    """In place of the event writer."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def on_pod(self, pod: PodRef, kind: str, reason: str, message: str) -> None:
        self.told.append((reason, message))


def compute_class(*priorities: dict[str, Any], name: str = "mm-l4", enabled: bool = True) -> dict[str, Any]:
    spec = {
        "nodePoolAutoCreation": {"enabled": enabled},
        "nodePoolConfig": {"imageStreaming": {"enabled": True}, "nodeLabels": {"team": "a"}},
        "priorities": list(priorities),
        "whenUnsatisfiable": "DoNotScaleUp",
    }
    return {"metadata": {"name": name, "generation": 1}, "spec": spec}


def pod_of(name: str, selected: str = "mm-l4") -> dict[str, Any]:
    tolerations = [{"key": key, "operator": "Exists"} for key in ("nvidia.com/gpu", CLASS_LABEL, "google.com/tpu")]
    resources = {"limits": {"nvidia.com/gpu": "1"}}
    return {
        "metadata": {"namespace": "team-a", "name": name, "uid": name},
        "spec": {
            "containers": [{"name": "c", "resources": resources}],
            "nodeSelector": {CLASS_LABEL: selected},
            "tolerations": tolerations,
        },
        "status": PENDING,
    }


def scale_up(gke: Gke, *pods: dict[str, Any]) -> tuple[ScaleUp, Notebook]:
    notebook = Notebook()
    by_key = {f"team-a/{pod['metadata']['name']}": pod for pod in pods}
    return ScaleUp(gke.api.cloud, cast("Any", notebook), gke.api.pace, by_key), notebook


async def pools_of(gke: Gke, up: ScaleUp, number: int) -> list[str]:
    """The names of the pools that were made, once there are so many with machines."""

    def made() -> list[str]:
        up.scan()
        pools = [pool for pool in gke.api.cloud.pools.values() if pool.name.startswith("nap-")]
        return [pool.name for pool in pools] if len([pool for pool in pools if pool.size()]) == number else []

    return await eventually(made, message=f"{number} pools have machines")


def essence(conditions: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return [(each["type"], each["status"], each["message"]) for each in conditions]


async def test_a_pod_that_selects_a_class_gets_a_pool_of_its_first_priority(gke: Gke) -> None:
    up, notebook = scale_up(gke, pod_of("a"))
    assert essence(up.creation.learn(compute_class({**L4, "spot": True}, L4))) == [HEALTHY]
    (name,) = await pools_of(gke, up, 1)
    pool = gke.api.cloud.pools[name]
    assert pool.mode == "spot"
    assert dict(pool.message.config.labels) == {"team": "a", CLASS_LABEL: "mm-l4"}
    assert [(taint.key, taint.value) for taint in pool.message.config.taints] == [(CLASS_LABEL, "mm-l4")]
    assert pool.message.config.disk_size_gb == 250
    assert [reason for reason, _ in notebook.told] == ["TriggeredScaleUp"]


async def test_a_stock_out_bars_the_whole_priority_for_a_while(start: Start) -> None:
    gke = await start(stock=[{"nodes": 0, "mode": "spot"}])
    up, notebook = scale_up(gke, pod_of("a"))
    up.creation.learn(compute_class({**L4, "spot": True}, L4))

    def second() -> bool:
        up.scan()
        return any(
            pool.mode == "on-demand" and pool.size() for pool in gke.api.cloud.pools.values() if "nap-" in pool.name
        )

    await eventually(second, message="the second priority has a machine")
    assert "GCE out of resources" in next(text for reason, text in notebook.told if reason == "FailedScaleUp")
    assert up.creation.cooling("mm-l4") == 1
    gke.api.warehouse.set_stock(Stock(5, mode="spot"))
    await eventually(lambda: not up.creation.cooling("mm-l4"), message="the first priority has its turn again")
    assert next(up.creation.choices("mm-l4")).rank == 0


async def test_with_all_priorities_barred_the_pod_is_told_so(start: Start) -> None:
    gke = await start(stock=[{"nodes": 0}], delays_s={"priority_cooldown": 10**7})
    up, notebook = scale_up(gke, pod_of("a"))
    up.creation.learn(compute_class({**L4, "spot": True}, L4))

    def told() -> bool:
        up.scan()
        return ("NotTriggerScaleUp", "pod didn't trigger scale-up: 2 in backoff after failed scale-up") in notebook.told

    await eventually(told, message="both priorities are barred")


async def test_an_empty_pool_is_deleted_even_when_its_class_is_gone(gke: Gke) -> None:
    pod = pod_of("a")
    up, _ = scale_up(gke, pod)
    up.creation.learn(compute_class(L4))
    (name,) = await pools_of(gke, up, 1)
    up.creation.forget("mm-l4")
    pod["status"] = {"phase": "Succeeded"}
    pool = gke.api.cloud.pools[name]
    await eventually(lambda: all(i.usable for i in pool.instances.values()), message="its machine is there")
    for instance in list(pool.instances.values()):
        await gke.api.fleet.remove(pool, instance)

    def gone() -> bool:
        up.scan()
        return name not in gke.api.cloud.pools

    await eventually(gone, message="the empty pool is gone")


async def test_a_slice_comes_when_all_its_hosts_have_pods(start: Start) -> None:
    gke = await start()
    tpu = {"type": "tpu-v6e-slice", "count": 4, "topology": "4x4"}
    pods = [pod_of(str(number)) for number in range(3)]
    for pod in pods:
        pod["spec"]["containers"][0]["resources"] = {"limits": {"google.com/tpu": "4"}}
    up, notebook = scale_up(gke, *pods)
    slices = compute_class({"machineType": "ct6e-standard-4t", "tpu": tpu, "location": {"zones": ["us-central1-a"]}})
    assert essence(up.creation.learn(slices)) == [HEALTHY]
    up.scan()
    assert set(notebook.told) == {("NotTriggerScaleUp", TOO_FEW)}
    fourth = pod_of("3")
    fourth["spec"]["containers"][0]["resources"] = {"limits": {"google.com/tpu": "4"}}
    up, _ = scale_up(gke, *pods, fourth)
    up.creation.learn(slices)
    (name,) = await pools_of(gke, up, 1)
    assert gke.api.cloud.pools[name].size() == 4


@pytest.mark.parametrize(
    ("priority", "kind", "message"),
    [
        ({"machineType": "g9"}, "RuleMisconfigured", "Machine type g9 is not a known type."),
        (
            {**L4, "location": {"zones": ["europe-west4-a"]}},
            "CrdMisconfigured",
            NOT_ELIGIBLE,
        ),
        (
            {**L4, "reservations": {"affinity": "Specific", "specific": [{"name": "gpus"}]}},
            "RuleMisconfigured",
            'Reservation "gpus" either does not exist or not accessible.',
        ),
        (
            {**L4, "gpu": {"type": "nvidia-l4", "count": 2}},
            "RuleMisconfigured",
            MISMATCH,
        ),
        (
            {"machineType": "ct6e-standard-8t", "tpu": {"type": "tpu-v6e-slice", "count": 4, "topology": "2x4"}},
            "RuleMisconfigured",
            "TPU type tpu-v6e-slice with count 4 is not supported with ct6e-standard-8t.",
        ),
        (
            {"machineFamily": "g2"},
            "RuleMisconfigured",
            "The simulated GKE does not do this yet: machineFamily in a priority of a ComputeClass.",
        ),
    ],
)
async def test_what_is_wrong_with_a_priority_is_a_condition(
    gke: Gke, priority: dict[str, Any], kind: str, message: str
) -> None:
    up, _ = scale_up(gke)
    found = essence(up.creation.learn(compute_class(priority, L4)))
    assert found == [("Health", "False", "Crd is not healthy."), (kind, "True", message)]
    assert [choice.rank for choice in up.creation.choices("mm-l4")] == [1]


async def test_a_reservation_is_taken_from(start: Start) -> None:
    reservation = {"name": "gpus", "machine_type": "g2-standard-12", "zone": "us-central1-b", "count": 1}
    gke = await start(reservations=[reservation])
    up, _ = scale_up(gke, pod_of("a"))
    specific = [{"name": "gpus", "zones": ["us-central1-b"]}]
    up.creation.learn(compute_class({**L4, "reservations": {"affinity": "Specific", "specific": specific}}, L4))
    (name,) = await pools_of(gke, up, 1)
    (instance,) = gke.api.cloud.pools[name].instances.values()
    await eventually(lambda: bool(instance.want.held), message="the machine is a reserved one")
    assert instance.zone == "us-central1-b"


async def test_without_auto_creation_a_class_makes_nothing(gke: Gke) -> None:
    up, notebook = scale_up(gke, pod_of("a"))
    found = essence(up.creation.learn(compute_class(L4, enabled=False)))
    assert [kind for kind, _, _ in found] == ["Health", "CrdMisconfigured"]
    up.scan()
    assert [reason for reason, _ in notebook.told] == ["NotTriggerScaleUp"]
    assert list(gke.api.cloud.pools) == ["default-pool"]


async def test_on_autopilot_node_pools_are_nobodys_business(start: Start) -> None:
    gke = await start(autopilot=True)
    with pytest.raises(Exception, match="Autopilot node pools cannot be accessed or modified"):
        await gke.names()
    assert (await gke.client.get_cluster(name=CLUSTER, retry=None)).autopilot.enabled
    up, _ = scale_up(gke, pod_of("a"))
    up.creation.learn(compute_class(L4))
    assert len(await pools_of(gke, up, 1)) == 1
