"""The fences of examples/security hold on a real API server."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import yaml
from tests.support.kubectl import kubectl
from tests.support.polling import eventually
from tests.support.running_sandbox import REPOSITORY

from mistral_operator.api.names import API_VERSION, MODEL_KIND, MODEL_PLURAL
from mistral_operator.sandbox.control_plane import ControlPlane
from mistral_operator.sandbox.kube import Kube, KubeError

pytestmark = pytest.mark.usefixtures("crds")

FENCES = REPOSITORY / "examples" / "security"
NAMESPACE_LABEL = {"mistral-models": "restricted"}
SECRET = {"secretKeyRef": {"name": "payroll", "key": "password"}}

REFUSED = {
    "spec.engine.image": {"engine": {"image": "registry.example/miner:1"}},
    "spec.engine.extraArgs": {"engine": {"extraArgs": ["--seed=1"]}},
    "spec.engine.env": {"engine": {"env": [{"name": "A", "value": "b"}, {"name": "STOLEN", "valueFrom": SECRET}]}},
    "tokenSecretRef": {"weights": {"huggingFace": {"tokenSecretRef": SECRET["secretKeyRef"]}}},
    "spec.serviceAccountName": {"serviceAccountName": "deployer"},
    "spec.pod: tolerations": {"pod": {"priorityClassName": "system-cluster-critical"}},
    "spec.pod: tolerations, nodeSelector": {"pod": {"nodeSelector": {"pool": "others"}}},
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
        "engine": {"contextLength": 8192, "env": [{"name": "A", "value": "b"}]},
        "weights": {"huggingFace": {"tokenSecretRef": {"name": "hugging-face", "key": "token"}}},
        "pod": {"labels": {"team": "a"}},
    }
    assert await make_model(kube, restricted, "chat") == ""
    assert await make_model(kube, restricted, "tuned", **harmless) == ""


async def test_the_quota_bounds_models_and_gpus(cluster: ControlPlane, kube: Kube, namespace: str) -> None:
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
    assert await refusal(kube, pods, gpu_pod("fits", 8)) == ""
    assert "requests.nvidia.com/gpu=1" in await refusal(kube, pods, gpu_pod("one-more", 1))


async def test_a_models_pod_runs_where_the_restricted_standard_is_enforced(kube: Kube, namespace: str) -> None:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    await kube.merge_patch(f"/api/v1/namespaces/{namespace}", {"metadata": {"labels": labels}})
    pods = f"/api/v1/namespaces/{namespace}/pods"
    assert "violates PodSecurity" in await refusal(kube, pods, gpu_pod("careless", 1))
    rendered = yaml.safe_load_all((REPOSITORY / "tests/golden/private-weights/manifests.yaml").read_text())
    template = next(item["spec"]["template"] for item in rendered if item["kind"] == "Deployment")
    metadata = {**template["metadata"], "name": "engine"}
    assert await refusal(kube, pods, {"metadata": metadata, "spec": template["spec"]}) == ""


def gpu_pod(name: str, count: int) -> dict[str, Any]:
    """A pod that wants so many GPUs."""
    container = {"name": "c", "image": "i", "resources": {"limits": {"nvidia.com/gpu": str(count)}}}
    return {"metadata": {"name": name}, "spec": {"containers": [container]}}
