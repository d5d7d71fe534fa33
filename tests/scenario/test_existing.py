"""A model on nodes that are there: what is asked of the scheduler, what is pinned, and what it says."""

from dataclasses import replace
from typing import Any

from tests.support.node_cases import a_group, gke_labels, nvidia_labels
from tests.support.world import CLUSTER, World, make_model

from mistral_operator.planning.nodes import NodeGroup
from mistral_operator.planning.types import Provisioner

L4 = a_group(gke_labels(team="search"))
H100 = a_group(nvidia_labels(team="search"), devices=8, cpu="192", memory="1900Gi")
NO_POOL_OF_OURS = {"key": "serving.mistral-operator.dev/shape", "operator": "DoesNotExist"}


def a_world(*nodes: NodeGroup, **spec: Any) -> World:
    cluster = replace(CLUSTER, provisioners=tuple(Provisioner), nodes=nodes)
    capacity = {"provisioner": "Existing", "nodes": {"selector": {"team": "search"}}, **spec.pop("capacity", {})}
    return World(model=make_model(capacity=capacity, **spec), cluster=cluster)


def pod_of(world: World) -> dict[str, Any]:
    found: dict[str, Any] = world.deployment["spec"]["template"]["spec"]
    return found


def expressions_of(world: World) -> list[dict[str, Any]]:
    """What the pods require of nodes beyond labels with one value."""
    required = pod_of(world)["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    (term,) = required["nodeSelectorTerms"]
    found: list[dict[str, Any]] = term["matchExpressions"]
    return found


def test_pods_select_the_users_labels_and_never_a_pool_of_ours() -> None:
    pinned = {"options": [{"machineType": "g2-standard-12"}]}
    world = a_world(L4, pod={"nodeSelector": {"disk": "fast"}}, capacity=pinned)
    world.step()
    assert pod_of(world)["nodeSelector"] == {
        "cloud.google.com/gke-accelerator": "nvidia-l4",
        "disk": "fast",
        "node.kubernetes.io/instance-type": "g2-standard-12",
        "team": "search",
    }
    assert expressions_of(world) == [NO_POOL_OF_OURS, {"key": "cloud.google.com/gke-spot", "operator": "DoesNotExist"}]


def test_spot_and_zones_are_asked_for_where_the_user_does() -> None:
    labels = gke_labels(team="search", **{"cloud.google.com/gke-spot": "true"})
    asked = {"options": [{"consumption": "Spot", "zones": ["us-central1-a"]}]}
    world = a_world(a_group(labels), capacity=asked)
    world.step()
    assert pod_of(world)["nodeSelector"]["cloud.google.com/gke-spot"] == "true"
    in_zone = {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["us-central1-a"]}
    assert expressions_of(world) == [NO_POOL_OF_OURS, in_zone]


def test_the_claim_says_which_nodes_would_do() -> None:
    tolerations = [{"key": "dedicated", "operator": "Exists"}]
    world = a_world(H100, pod={"tolerations": tolerations})
    world.step()
    (claim,) = world.claims.values()
    assert claim["metadata"]["name"].startswith("h100-80-x1-ex-")
    spec = claim["spec"]
    assert (spec["provisioner"], "zones" in spec) == ("Existing", False)
    assert spec["nodes"] == {
        "selector": {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3", "team": "search"},
        "tolerations": tolerations,
        "requests": {"cpu": "23", "memory": "236Gi", "nvidia.com/gpu": "1"},
    }
    container = pod_of(world)["containers"][0]
    assert container["resources"]["requests"] == spec["nodes"]["requests"]


def test_a_plan_stays_when_nodes_come_and_go() -> None:
    world = a_world(L4)
    world.step()
    template = world.deployment["spec"]["template"]
    for nodes in ((L4, H100), (H100,), ()):
        world.cluster = replace(world.cluster, nodes=nodes)
        world.step()
        assert world.deployment["spec"]["template"] == template
        assert world.condition("Accepted")["status"] == "True"
    assert len(world.revisions) == 1


def test_a_model_that_was_refused_is_planned_when_nodes_come() -> None:
    world = a_world()
    world.step()
    assert world.condition("Accepted")["reason"] == "NoNodesMatch"
    world.cluster = replace(world.cluster, nodes=(L4,))
    world.step()
    accepted = world.condition("Accepted")
    assert accepted["status"] == "True"
    assert accepted["message"].endswith("It runs on nodes that are there (provisioner Existing): none are made for it.")


def test_outside_of_gke_auto_comes_to_it_and_says_so() -> None:
    elsewhere = replace(CLUSTER, provider="None", provisioners=(Provisioner.EXISTING,), nodes=(H100,))
    world = World(model=make_model(), cluster=elsewhere)
    outcome = world.step()
    assert [claim["spec"]["provisioner"] for claim in outcome.claims] == ["Existing"]
    assert "provisioner Existing" in world.condition("Accepted")["message"]
    notes = world.revisions[0]["data"]["plan"]["notes"]
    assert "the cluster isn't GKE's, so no node pools are made: Existing uses the nodes that are there" in notes


def test_the_claims_words_are_the_models() -> None:
    world = a_world(L4)
    world.step()
    world.start_pod(node="")
    (claim,) = world.claims.values()
    condition = {"type": "Ready", "status": "False", "reason": "NodesDontFit", "message": "None of the 1 nodes fits."}
    claim["status"] = {"conditions": [condition]}
    world.step()
    found = world.condition("CapacityReady")
    assert (found["status"], found["reason"]) == ("False", "NodesDontFit")
    condition |= {"status": "True", "reason": "NodesFit", "message": ""}
    world.step()
    found = world.condition("CapacityReady")
    assert found["reason"] == "WaitingForNodes"
    assert "waiting for room on the nodes that are there" in found["message"]


def test_slices_are_refused_with_a_reason() -> None:
    labels = {
        "cloud.google.com/gke-tpu-accelerator": "tpu-v6e-slice",
        "cloud.google.com/gke-tpu-topology": "4x4",
        "node.kubernetes.io/instance-type": "ct6e-standard-4t",
        "team": "search",
    }
    world = a_world(a_group(labels, devices=4, resource="google.com/tpu", cpu="170", memory="660Gi"))
    world.step()
    message = world.condition("Accepted")["message"]
    assert (
        "write hardware of one machine, or write spec.capacity.provisioner: ContainerAPI or ConfigConnector" in message
    )
