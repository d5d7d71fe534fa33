"""A pod of JetStream and its gateway on the kubelet stand-in: two processes that find each other on localhost."""

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionUserMessageParam
from tests.cluster.test_kubelet import SPEED, Ground, Object, new_node
from tests.support.polling import eventually

from mistral_operator.sandbox.control_plane import ControlPlane
from mistral_operator.sandbox.dial import DialMap
from mistral_operator.sandbox.front import ServiceFront
from mistral_operator.sandbox.kube import Kube
from mistral_operator.sandbox.kubelet import Kubelet, KubeletSettings

HELLO: list[ChatCompletionUserMessageParam] = [{"role": "user", "content": "Hello"}]
MAXTEXT = {
    "command": ["python3", "-m", "maxtext.inference.maxengine.maxengine_server"],
    "args": [
        *("/opt/maxtext/src/maxtext/configs/base.yml", "model_name=mixtral-8x7b", "max_prefill_predict_length=64"),
        *("max_target_length=128", "per_device_batch_size=4", "prometheus_port=9100"),
    ],
}
PYTORCH = {
    "command": ["jpt", "serve"],
    "args": [
        *("--model_id", "mistralai/Mixtral-8x7B-Instruct-v0.1", "--override_batch_size", "32"),
        *("--max_input_length", "64", "--max_output_length", "64", "--prometheus_port", "9100"),
    ],
}


def jetstream(program: Object) -> list[Object]:
    """Containers as the operator renders them."""
    socket = {"tcpSocket": {"port": "grpc"}}
    engine = {
        "name": "engine",
        "image": "example/jetstream:1",
        "ports": [{"name": "grpc", "containerPort": 9000}, {"name": "metrics", "containerPort": 9100}],
        "startupProbe": socket | {"periodSeconds": 5, "failureThreshold": 60},
        "livenessProbe": socket | {"periodSeconds": 10},
    }
    gateway = {
        "name": "gateway",
        "image": "example/mistral-operator:1",
        "command": ["mistral-operator", "gateway"],
        "args": [
            *("--engine", "localhost:9000", "--served-model-name", "mixtral", "--tokenizer", "v1"),
            *("--max-prefill-tokens", "64", "--max-total-tokens", "128", "--drain-s", "5"),
        ],
        "ports": [{"name": "http", "containerPort": 8000}],
        "readinessProbe": {"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": 5},
    }
    return [engine | program, gateway]


@pytest.fixture
async def ground(cluster: ControlPlane, kube: Kube, namespace: str, tmp_path: Path) -> AsyncIterator[Ground]:
    """One node and one kubelet."""
    async with AsyncExitStack() as stack:
        node = f"node-{secrets.token_hex(4)}"
        await new_node(kube, node)
        stack.push_async_callback(kube.delete, f"/api/v1/nodes/{node}")
        dial = stack.enter_context(DialMap())
        kubelet = Kubelet(cluster.kubeconfig, SPEED, dial, tmp_path / "pods", KubeletSettings())
        await stack.enter_async_context(kubelet)
        front = await stack.enter_async_context(ServiceFront(cluster.kubeconfig, dial))
        yield Ground(kube, namespace, node, dial, front.url)


@pytest.mark.parametrize("program", [MAXTEXT, PYTORCH], ids=["maxtext", "pytorch"])
async def test_a_pod_answers_and_leaves(ground: Ground, program: Any) -> None:
    spec = ground.pod_spec({}) | {"containers": jetstream(program)}
    labels = {"app": "mixtral"}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "mixtral", "labels": labels}, "spec": spec}
    ports = [{"name": "http", "port": 80, "targetPort": "http"}, {"name": "metrics", "port": 9100}]
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "mixtral"}}
    await ground.kube.create(ground.path("services"), service | {"spec": {"selector": labels, "ports": ports}})
    await ground.kube.create(ground.path("pods"), pod)
    await ground.until_ready("mixtral")

    async def listed() -> bool:
        async with AsyncOpenAI(base_url=f"{ground.front}/{ground.namespace}/mixtral/v1", api_key="none") as client:
            return [model.id async for model in client.models.list()] == ["mixtral"]

    await eventually(listed, message="the Service leads to the gateway")
    async with AsyncOpenAI(base_url=f"{ground.front}/{ground.namespace}/mixtral/v1", api_key="none") as client:
        answer = await client.chat.completions.create(model="mixtral", messages=HELLO)
    assert answer.choices[0].message.content == (
        "This is a stand-in for JetStream: no model is loaded. You asked: [INST] Hello [/INST]"
    )
    await ground.kube.delete(ground.path("pods", "mixtral"))
    await eventually(lambda: _gone(ground), message="the pod is gone")


async def _gone(ground: Ground) -> bool:
    return not await ground.pod("mixtral")
