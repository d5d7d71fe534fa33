"""The fences of examples/security hold on a real API server."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import yaml
from tests.support.kubectl import kubectl
from tests.support.pod_templates import find_pod_templates
from tests.support.polling import eventually
from tests.support.running_sandbox import REPOSITORY

from mistral_operator.api.names import API_VERSION, MODEL_KIND, MODEL_PLURAL
from mistral_operator.sandbox.control_plane import ControlPlane
from mistral_operator.sandbox.kube import Kube, KubeError

pytestmark = pytest.mark.usefixtures("crds")

FENCES = REPOSITORY / "examples" / "security"
NAMESPACE_LABEL = {"mistral-models": "restricted"}
SECRET = {"secretKeyRef": {"name": "payroll", "key": "password"}}
ALLOWED_ENV = {"name": "VLLM_LOGGING_LEVEL", "value": "DEBUG"}
RUNS_CODE = ("LD_PRELOAD", "LD_LIBRARY_PATH", "PATH", "PYTHONPATH", "PYTHONSTARTUP", "HF_ENDPOINT", "VLLM_PLUGINS")

REFUSED = {
    "spec.engine.image": {"engine": {"image": "registry.example/miner:1"}},
    "spec.engine.extraArgs": {"engine": {"extraArgs": ["--seed=1"]}},
    "no variable may come from a Secret": {"engine": {"env": [ALLOWED_ENV, {"name": "STOLEN", "valueFrom": SECRET}]}},
    "tokenSecretRef": {"weights": {"huggingFace": {"tokenSecretRef": SECRET["secretKeyRef"]}}},
    "spec.serviceAccountName": {"serviceAccountName": "deployer"},
    "spec.pod: tolerations": {"pod": {"priorityClassName": "system-cluster-critical"}},
    "spec.pod: tolerations, nodeSelector": {"pod": {"nodeSelector": {"pool": "others"}}},
    "leave out nodes and provisioner: Existing": {"capacity": {"provisioner": "Existing"}},
    "spec.capacity: models get nodes of their own": {"capacity": {"nodes": {"selector": {"team": "others"}}}},
    "spec.capacity.priority: a model may have at most 0": {"capacity": {"priority": 1}},
    "spec.resourceLabels": {"resourceLabels": {"team": "one-more-pool"}},
}


async def make_model(kube: Kube, namespace: str, name: str, **spec: Any) -> str:
    """Create a model; answers the refusal's words, or nothing."""
    body = {
        "apiVersion": API_VERSION,
        "kind": MODEL_KIND,
        "metadata": {"name": name},
        "spec": {"model": "mistral-7b-v0.3", **spec},
    }
    return await refusal(kube, f"/apis/{API_VERSION}/namespaces/{namespace}/{MODEL_PLURAL}", body)


async def refusal(kube: Kube, path: str, body: dict[str, Any]) -> str:
    try:
        await kube.create(path, body)
    except KubeError as error:
        return str(error)
    return ""


@pytest.fixture
async def restricted(cluster: ControlPlane, kube: Kube, namespace: str) -> AsyncIterator[str]:
    """A namespace under the policy, which is in force."""
    applied = await kubectl(cluster, "apply", "-f", FENCES / "policy.yaml")
    assert (applied.code, applied.errors) == (0, "")
    await kube.merge_patch(f"/api/v1/namespaces/{namespace}", {"metadata": {"labels": NAMESPACE_LABEL}})
    names = iter(range(1000))

    async def in_force() -> bool:
        refused = await make_model(kube, namespace, f"probe-{next(names)}", serviceAccountName="deployer")
        return "restricted-mistral-models" in refused

    await eventually(in_force, 60, "the policy is in force")
    yield namespace
    await kubectl(cluster, "delete", "-f", FENCES / "policy.yaml")


async def test_the_policy_refuses_ways_to_other_pods_and_says_which(kube: Kube, restricted: str) -> None:
    for words, spec in REFUSED.items():
        refused = await make_model(kube, restricted, "chat", **spec)
        assert words in refused, f"{spec}: {refused or 'taken'}"
    harmless = {
        "engine": {"contextLength": 8192, "env": [ALLOWED_ENV]},
        "weights": {"huggingFace": {"tokenSecretRef": {"name": "hugging-face", "key": "token"}}},
        "pod": {"labels": {"team": "a"}},
        "capacity": {"provisioner": "ComputeClass", "priority": -1},
    }
    assert await make_model(kube, restricted, "chat") == ""
    assert await make_model(kube, restricted, "tuned", **harmless) == ""


async def test_the_policy_refuses_variables_that_run_code_or_send_the_token_elsewhere(
    kube: Kube, restricted: str
) -> None:
    for name in RUNS_CODE:
        refused = await make_model(kube, restricted, "chat", engine={"env": [{"name": name, "value": "/tmp/evil"}]})
        assert "only VLLM_LOGGING_LEVEL, VLLM_LOG_STATS_INTERVAL may be set" in refused, name


async def test_nobody_may_set_what_a_shell_runs_when_it_starts(kube: Kube, namespace: str) -> None:
    for name in ("BASH_ENV", "ENV"):
        refused = await make_model(kube, namespace, "chat", engine={"env": [{"name": name, "value": "/tmp/evil"}]})
        assert "reserved for the operator" in refused, name


async def test_the_policy_bounds_replicas_however_they_are_asked_for(kube: Kube, restricted: str) -> None:
    path = f"/apis/{API_VERSION}/namespaces/{restricted}/{MODEL_PLURAL}/chat"
    words = "at most 4 replicas"
    assert words in await make_model(kube, restricted, "chat", replicas=5)
    assert words in await make_model(kube, restricted, "chat", scaling={"maxReplicas": 5})
    assert await make_model(kube, restricted, "chat", replicas=4, scaling={"maxReplicas": 4}) == ""
    for target in (path, f"{path}/scale"):
        with pytest.raises(KubeError, match=words):
            await kube.merge_patch(target, {"spec": {"replicas": 5}})
    await kube.merge_patch(f"{path}/scale", {"spec": {"replicas": 0}})
    scaled = await kube.get(path)
    assert scaled is not None
    assert scaled["spec"]["replicas"] == 0


async def test_the_policy_bounds_the_slice_that_a_replica_may_have(kube: Kube, restricted: str) -> None:
    slices = (
        {"machineType": "ct6e-standard-4t", "topology": "2x4"},
        {"machineType": "ct6e-standard-4t"},
        {"accelerator": "v6e", "topology": "4x4"},
        {"accelerator": "v6e"},
    )
    for option in slices:
        refused = await make_model(kube, restricted, "large", allowExperimental=True, capacity={"options": [option]})
        assert "write a machineType with GPUs" in refused, option
    assert "write a machineType with GPUs" in await make_model(kube, restricted, "large", allowExperimental=True)
    allowed = ({"machineType": "ct6e-standard-8t", "topology": "2x4"}, {"machineType": "g2-standard-8"})
    for number, option in enumerate(allowed):
        name = f"small-{number}"
        assert await make_model(kube, restricted, name, allowExperimental=True, capacity={"options": [option]}) == ""


async def test_the_quota_bounds_models_and_accelerators(cluster: ControlPlane, kube: Kube, namespace: str) -> None:
    applied = await kubectl(cluster, "apply", "-n", namespace, "-f", FENCES / "quota.yaml")
    assert (applied.code, applied.errors) == (0, "")
    hard = yaml.safe_load((FENCES / "quota.yaml").read_text())["spec"]["hard"]

    async def counted() -> bool:
        found = await kube.get(f"/api/v1/namespaces/{namespace}/resourcequotas/mistral-models")
        return found is not None and set(found.get("status", {}).get("used", {})) == set(hard)

    await eventually(counted, 90, "the quota is counted")
    taken = [await make_model(kube, namespace, f"chat-{number}") for number in range(5)]
    assert taken[:4] == [""] * 4
    assert "exceeded quota: mistral-models" in taken[4]
    pods = f"/api/v1/namespaces/{namespace}/pods"
    assert await refusal(kube, pods, device_pod("fits", "nvidia.com/gpu", 8)) == ""
    assert "requests.nvidia.com/gpu=1" in await refusal(kube, pods, device_pod("one-more", "nvidia.com/gpu", 1))
    assert await refusal(kube, pods, device_pod("fits-too", "google.com/tpu", 16)) == ""
    assert "requests.google.com/tpu=4" in await refusal(kube, pods, device_pod("a-host-more", "google.com/tpu", 4))


async def test_the_network_policies_are_taken(cluster: ControlPlane, namespace: str) -> None:
    """Nothing here enforces them: what they admit is worked out in the unit tests."""
    for file in ("network.yaml", "operator-network.yaml"):
        applied = await kubectl(cluster, "apply", "-n", namespace, "-f", FENCES / file)
        assert (applied.code, applied.errors) == (0, "")


async def test_a_models_pod_runs_where_the_restricted_standard_is_enforced(kube: Kube, namespace: str) -> None:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    await kube.merge_patch(f"/api/v1/namespaces/{namespace}", {"metadata": {"labels": labels}})
    account = {"metadata": {"name": "converter"}}
    assert await refusal(kube, f"/api/v1/namespaces/{namespace}/serviceaccounts", account) == ""
    pods = f"/api/v1/namespaces/{namespace}/pods"
    assert "violates PodSecurity" in await refusal(kube, pods, device_pod("careless", "nvidia.com/gpu", 1))
    # On a GPU, on a TPU with and without a Job that converts, and both kinds of a slice's hosts.
    for example in ("private-weights", "mixtral-jetstream", "mistral-7b-maxtext", "mixtral-tpu-slice"):
        rendered = yaml.safe_load_all((REPOSITORY / f"tests/golden/{example}/manifests.yaml").read_text())
        templates = list(find_pod_templates(rendered))
        assert templates
        for number, (_, template) in enumerate(templates):
            metadata = {**template["metadata"], "name": f"{example}-{number}"}
            assert await refusal(kube, pods, {"metadata": metadata, "spec": template["spec"]}) == ""


def device_pod(name: str, resource: str, count: int) -> dict[str, Any]:
    """A pod that wants so many accelerators."""
    container = {"name": "c", "image": "i", "resources": {"limits": {resource: str(count)}}}
    return {"metadata": {"name": name}, "spec": {"containers": [container]}}
