"""The whole sandbox as its users start it: a pool is ordered, a pod gets its node, the stand-in engine answers."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import grpc
import psutil
from google.cloud import container_v1
from google.cloud.container_v1.services.cluster_manager.transports import ClusterManagerGrpcAsyncIOTransport
from tests.support.namespaces import new_namespace
from tests.support.polling import eventually
from tests.support.running_sandbox import REPOSITORY, RunningSandbox

from mistral_operator.sandbox.kube import Kube, Object

MODEL = "mistralai/Mistral-7B-Instruct-v0.3"
SHAPE = "example.com/shape"


def deployment() -> Object:
    container = {
        "name": "vllm",
        "image": "vllm/vllm-openai:v0.11.0",
        "command": ["vllm", "serve"],
        "args": [MODEL, "--port=8000", "--max-model-len=8192"],
        "ports": [{"name": "http", "containerPort": 8000}],
        "resources": {"limits": {"nvidia.com/gpu": "1"}},
        "startupProbe": {"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": 5, "failureThreshold": 100},
        "readinessProbe": {"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": 5},
    }
    pod = {
        "containers": [container],
        "nodeSelector": {SHAPE: "small"},
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "chat"},
        "spec": {
            "selector": {"matchLabels": {"app": "chat"}},
            "template": {"metadata": {"labels": {"app": "chat"}}, "spec": pod},
        },
    }


SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "chat"},
    "spec": {"selector": {"app": "chat"}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
}


async def order_pool(sandbox: RunningSandbox) -> None:
    """As a customer of GKE would, with Google's client."""
    parent = f"projects/{sandbox.project}/locations/{sandbox.location}/clusters/{sandbox.cluster}"
    pool = {
        "name": "l4",
        "config": {
            "machine_type": "g2-standard-12",
            "accelerators": [{"accelerator_type": "nvidia-l4", "accelerator_count": 1}],
            "labels": {SHAPE: "small"},
        },
        "autoscaling": {"enabled": True, "total_max_node_count": 1, "location_policy": "ANY"},
    }
    async with grpc.aio.insecure_channel(sandbox.container_api.removeprefix("http://")) as channel:
        client = container_v1.ClusterManagerAsyncClient(transport=ClusterManagerGrpcAsyncIOTransport(channel=channel))
        await client.create_node_pool(parent=parent, node_pool=pool)


async def test_an_engine_is_served_on_a_new_node(shared_sandbox: RunningSandbox) -> None:
    async with Kube(shared_sandbox.kubeconfig) as kube, new_namespace(kube) as namespace:
        await order_pool(shared_sandbox)
        await kube.create(f"/apis/apps/v1/namespaces/{namespace}/deployments", deployment())
        await kube.create(f"/api/v1/namespaces/{namespace}/services", SERVICE)

        async def ready() -> bool:
            current = await kube.request("GET", f"/apis/apps/v1/namespaces/{namespace}/deployments/chat")
            return bool(current["status"].get("readyReplicas") == 1)

        await eventually(ready, 60, f"a ready replica; see {shared_sandbox.directory}")
        question = {"model": MODEL, "messages": [{"role": "user", "content": "Who are you?"}]}
        address = f"{shared_sandbox.front_url}/{namespace}/chat/v1/chat/completions"
        async with aiohttp.ClientSession() as http:

            async def answered() -> Object:
                async with http.post(address, json=question) as response:
                    assert response.status == 200, await response.text()
                    return dict(await response.json())

            # The endpoint follows the pod's readiness a moment later.
            answer = await eventually(answered, 20)
        assert answer["choices"][0]["message"]["content"]


async def test_the_definitions_are_served_when_it_is_ready(shared_sandbox: RunningSandbox) -> None:
    async with Kube(shared_sandbox.kubeconfig) as kube:
        assert await kube.list("/apis/serving.mistral-operator.dev/v1alpha1/mistralmodels") == []


async def test_nothing_is_left_when_it_is_killed(sandbox: Callable[..., Awaitable[RunningSandbox]]) -> None:
    running = await sandbox(crds=None)
    children = psutil.Process(running.process.popen.pid).children(recursive=True)
    assert {"etcd", "kube-apiserver", "kube-scheduler"} <= {child.name() for child in children}
    running.process.send(signal.SIGKILL)
    await eventually(lambda: not any(_alive(child) for child in children), 10)


async def test_a_bad_scenario_is_explained(tmp_path: Path) -> None:
    scenario = tmp_path / "scenario.yaml"
    scenario.write_text("stok: []\n")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "mistral_operator.sandbox", "--directory", tmp_path / "s", "--scenario", scenario),
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY / "operator")},
    )
    _, errors = await process.communicate()
    assert process.returncode == 2
    assert "stok" in errors.decode()
    assert "Traceback" not in errors.decode()


def test_its_description_is_private_json(shared_sandbox: RunningSandbox) -> None:
    path = shared_sandbox.directory / "sandbox.json"
    assert json.loads(path.read_text())["kubeconfig"] == str(shared_sandbox.kubeconfig)
    assert path.stat().st_mode & 0o077 == 0


def _alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
