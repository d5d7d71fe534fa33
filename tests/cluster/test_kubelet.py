"""Pods on the kubelet stand-in, scheduled by a real control plane onto nodes that each test makes itself."""

import asyncio
import base64
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.support.polling import eventually

from mistral_operator.sandbox.control_plane import ControlPlane
from mistral_operator.sandbox.dial import DialMap
from mistral_operator.sandbox.front import ServiceFront
from mistral_operator.sandbox.kube import Kube
from mistral_operator.sandbox.kubelet import Kubelet, KubeletSettings

SPEED = 50.0
NODE_LABEL = "test.example.com/node"
Object = dict[str, Any]


class Ground:
    """One namespace, one node that only its pods select, one kubelet."""

    def __init__(self, kube: Kube, namespace: str, node: str, dial: DialMap, front: str) -> None:
        self.kube = kube
        self.namespace = namespace
        self.node = node
        self.dial = dial
        self.front = front

    def path(self, plural: str, name: str = "", group: str = "api/v1") -> str:
        return f"/{group}/namespaces/{self.namespace}/{plural}" + (f"/{name}" if name else "")

    def pod_spec(self, container: Object, **spec: Any) -> Object:
        return {"nodeSelector": {NODE_LABEL: self.node}, "containers": [{"name": "main"} | container], **spec}

    async def create_pod(self, container: Object, name: str = "one", **spec: Any) -> Object:
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": self.pod_spec(container, **spec)}
        return await self.kube.create(self.path("pods"), body)

    async def pod(self, name: str = "one") -> Object:
        return await self.kube.get(self.path("pods", name)) or {}

    async def status(self, name: str = "one") -> Object:
        """The first container's status."""
        found: Object = (await self.pod(name))["status"]["containerStatuses"][0]
        return found

    async def reasons(self) -> set[str]:
        return {event["reason"] for event in await self.kube.list(self.path("events"))}

    async def until_waiting(self, reason: str, name: str = "one") -> Object:
        """The container's status once it waits for this reason."""

        async def waits() -> Object | None:
            status = await self.status(name)
            return status if status["state"].get("waiting", {}).get("reason") == reason else None

        return await eventually(waits, message=reason)

    async def until_ready(self, name: str = "one", timeout_s: float = 60) -> Object:
        async def ready() -> Object | None:
            pod = await self.pod(name)
            held = {c["type"] for c in pod["status"].get("conditions", []) if c["status"] == "True"}
            return pod if "Ready" in held else None

        return await eventually(ready, timeout_s, message="the pod is ready")


def vllm(*flags: str, **more: Any) -> Object:
    """A container as the operator renders it."""
    probe = {"httpGet": {"path": "/health", "port": "http"}}
    return {
        "name": "vllm",
        "image": "vllm/vllm-openai:v0.33.0",
        "command": ["vllm", "serve"],
        "args": ["mistralai/Chat", "--served-model-name", "chat", *flags],
        "ports": [{"name": "http", "containerPort": 8000}],
        "startupProbe": probe | {"periodSeconds": 5, "failureThreshold": 60},
        "readinessProbe": probe | {"periodSeconds": 5},
        "livenessProbe": probe | {"periodSeconds": 10},
        **more,
    }


async def new_node(kube: Kube, name: str) -> None:
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {NODE_LABEL: name}}}
    await kube.create("/api/v1/nodes", node)
    status = {
        "capacity": {"cpu": "64", "memory": "256Gi", "pods": "110"},
        "allocatable": {"cpu": "64", "memory": "256Gi", "pods": "110"},
        "addresses": [{"type": "InternalIP", "address": "10.0.0.9"}],
        "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
    }
    await kube.merge_patch(f"/api/v1/nodes/{name}/status", {"status": status})


Stand = Callable[..., Awaitable[Ground]]


@pytest.fixture
async def stand(cluster: ControlPlane, kube: Kube, namespace: str, tmp_path: Path) -> AsyncIterator[Stand]:
    """`await stand(**settings)` gives the test its ground to stand on."""
    async with AsyncExitStack() as stack:

        async def start(*, kubelet: bool = True, **settings: Any) -> Ground:
            node = f"node-{secrets.token_hex(4)}"
            await new_node(kube, node)
            stack.push_async_callback(kube.delete, f"/api/v1/nodes/{node}")
            dial = stack.enter_context(DialMap())
            if kubelet:
                options = KubeletSettings(**settings)
                await stack.enter_async_context(Kubelet(cluster.kubeconfig, SPEED, dial, tmp_path / "pods", options))
            front = await stack.enter_async_context(ServiceFront(cluster.kubeconfig, dial))
            return Ground(kube, namespace, node, dial, front.url)

        yield start


async def test_a_deployment_becomes_available_and_answers(stand: Stand) -> None:
    ground = await stand()
    labels = {"app": "chat"}
    template = {"metadata": {"labels": labels}, "spec": ground.pod_spec(vllm("--max-model-len", "4096"))}
    template["spec"]["containers"] = [vllm("--max-model-len", "4096")]
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "chat"},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "chat"},
        "spec": {"selector": labels, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
    }
    await ground.kube.create(ground.path("services"), service)
    await ground.kube.create(ground.path("deployments", group="apis/apps/v1"), deployment)

    async def available() -> bool:
        found = await ground.kube.get(ground.path("deployments", "chat", group="apis/apps/v1")) or {}
        return bool(found["status"].get("availableReplicas") == 1)

    await eventually(available, 60, message="one available replica")
    question = {"model": "chat", "stream": True, "messages": [{"role": "user", "content": "Who are you?"}]}
    async with aiohttp.ClientSession() as session:
        for port in ("", ":http", ":80"):
            url = f"{ground.front}/{ground.namespace}/chat{port}/v1/chat/completions"

            async def answered(url: str = url) -> str | None:
                async with session.post(url, json=question) as response:
                    return await response.text() if response.status == 200 else None

            text = await eventually(answered, message="an answer through the front")
            assert "stand-in" in text
            assert text.rstrip().endswith("[DONE]")
        async with session.get(f"{ground.front}/{ground.namespace}/nobody/") as response:
            assert response.status == 503
            assert "no Service nobody" in await response.text()
        async with session.get(f"{ground.front}/{ground.namespace}/chat:9/") as response:
            assert "no port 9; its ports: http" in await response.text()
        async with session.get(ground.front) as response:
            listed = (await response.json())["services"]
    assert {"namespace": ground.namespace, "service": "chat", "ports": ["http"], "ready": 1} in listed
    await eventually(
        lambda: _includes(ground, {"Pulling", "Pulled", "Created", "Started"}), message="the kubelet's events"
    )


async def _includes(ground: Ground, wanted: set[str]) -> bool:
    return wanted <= await ground.reasons()


async def test_a_missing_secret_is_named_and_waited_for(stand: Stand) -> None:
    ground = await stand()
    token = {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf-token", "key": "token"}}}
    await ground.create_pod(vllm(env=[token]))
    status = await ground.until_waiting("CreateContainerConfigError")
    assert status["state"]["waiting"]["message"] == 'secret "hf-token" not found'
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hf-token"}}
    data = {"other": base64.b64encode(b"x").decode()}
    await ground.kube.create(ground.path("secrets"), secret | {"data": data})

    async def the_key_is_missing() -> bool:
        waiting = (await ground.status())["state"]["waiting"]
        return bool(waiting["message"] == f"couldn't find key token in Secret {ground.namespace}/hf-token")

    await eventually(the_key_is_missing, message="the missing key is named")
    await ground.kube.merge_patch(ground.path("secrets", "hf-token"), {"data": {"token": data["other"]}})
    await ground.until_ready()


async def test_a_crash_loop(stand: Stand) -> None:
    ground = await stand()
    crash = [{"name": "STAND_IN_CRASH", "value": "oom"}, {"name": "STAND_IN_LOAD_SECONDS", "value": "1"}]
    await ground.create_pod(vllm(env=crash, terminationMessagePolicy="FallbackToLogsOnError"))
    status = await ground.until_waiting("CrashLoopBackOff")
    pod = await ground.pod()
    container = f"failed container=vllm pod=one_{ground.namespace}({pod['metadata']['uid']})"
    assert status["state"]["waiting"]["message"] == f"back-off 10s restarting {container}"
    assert status["restartCount"] == 2
    assert status["lastState"]["terminated"]["exitCode"] == 1
    assert "CUDA out of memory" in status["lastState"]["terminated"]["message"]
    assert pod["status"]["phase"] == "Running"


async def test_an_unknown_flag_crashes_the_container(stand: Stand) -> None:
    ground = await stand()
    await ground.create_pod(vllm("--swap-space", "4", terminationMessagePolicy="FallbackToLogsOnError"))
    status = await ground.until_waiting("CrashLoopBackOff")
    ended = status["lastState"]["terminated"]
    assert ended["exitCode"] == 2
    assert "unrecognized arguments: --swap-space 4" in ended["message"]


async def test_an_image_that_cannot_be_pulled(stand: Stand) -> None:
    ground = await stand(failing_images=frozenset({"absent"}))
    await ground.create_pod({"image": "example/absent:1"})
    status = await ground.until_waiting("ImagePullBackOff")
    assert 'Back-off pulling image "example/absent:1"' in status["state"]["waiting"]["message"]
    assert "not found" in status["state"]["waiting"]["message"]


async def test_probes_that_fail_restart_the_container(stand: Stand) -> None:
    ground = await stand()
    never = [{"name": "STAND_IN_LOAD_SECONDS", "value": "100000"}]
    startup = {"httpGet": {"path": "/health", "port": 8000}, "periodSeconds": 5, "failureThreshold": 4}
    await ground.create_pod(vllm(env=never, startupProbe=startup), name="slow", terminationGracePeriodSeconds=5)
    dying = [{"name": "STAND_IN_DEAD_AFTER_SECONDS", "value": "100"}, {"name": "STAND_IN_LOAD_SECONDS", "value": "1"}]
    await ground.create_pod(vllm(env=dying), name="dead", terminationGracePeriodSeconds=5)

    async def restarted(name: str) -> Object | None:
        status = await ground.status(name)
        return status if status["restartCount"] else None

    for name in ("slow", "dead"):
        status = await eventually(lambda name=name: restarted(name), 60, message=f"{name} is restarted")
        assert status["lastState"]["terminated"]["exitCode"] == 0
    assert {"Unhealthy", "Killing"} <= await ground.reasons()


async def test_a_deletion_runs_pre_stop_and_drains(stand: Stand) -> None:
    ground = await stand()
    slow = [{"name": "STAND_IN_TOKENS_PER_SECOND", "value": "0.5"}, {"name": "STAND_IN_LOAD_SECONDS", "value": "1"}]
    container = vllm("--shutdown-timeout", "600", env=slow, lifecycle={"preStop": {"sleep": {"seconds": 5}}})
    created = await ground.create_pod(container, terminationGracePeriodSeconds=900)
    pod = await ground.until_ready()
    url = f"http://{ground.dial.dial(pod['status']['podIP'])}:8000/v1/chat/completions"
    question = {"messages": [{"role": "user", "content": "Hi"}], "ignore_eos": True, "max_tokens": 50, "stream": True}
    async with aiohttp.ClientSession() as session, session.post(url, json=question) as response:
        assert (await response.content.readline()).startswith(b"data: ")
        await ground.kube.delete(ground.path("pods", "one"))
        assert (await response.content.read()).rstrip().endswith(b"[DONE]")
        assert (await ground.pod())["metadata"]["uid"] == created["metadata"]["uid"]
    await eventually(lambda: _gone(ground), message="the pod is gone")


async def _gone(ground: Ground, name: str = "one") -> bool:
    return await ground.kube.get(ground.path("pods", name)) is None


async def test_a_forced_deletion_ends_the_process(stand: Stand) -> None:
    ground = await stand()
    await ground.create_pod(vllm(env=[{"name": "STAND_IN_LOAD_SECONDS", "value": "1"}]))
    address = ground.dial.dial((await ground.until_ready())["status"]["podIP"])
    await ground.kube.delete(ground.path("pods", "one"), grace_s=0)
    await eventually(lambda: _nobody_listens(address), message="nobody listens any more")


async def _nobody_listens(address: str) -> bool:
    try:
        _, writer = await asyncio.open_connection(address, 8000)
    except (ConnectionRefusedError, ConnectionResetError):
        return True  # A listener that is closed in this very moment resets what had just come in.
    writer.close()
    return False


async def test_init_containers_sidecars_and_ends(stand: Stand) -> None:
    ground = await stand()
    init = [
        {"name": "fetch", "image": "example/fetch"},
        {"name": "proxy", "image": "example/p", "restartPolicy": "Always"},
    ]
    await ground.create_pod({"image": "example/work"}, "good", restartPolicy="Never", initContainers=init)
    failing = {"image": "example/work", "env": [{"name": "STAND_IN_EXIT_CODE", "value": "3"}]}
    await ground.create_pod(failing, "bad", restartPolicy="Never")

    async def phase(name: str, wanted: str) -> Object | None:
        pod = await ground.pod(name)
        return pod if pod["status"]["phase"] == wanted else None

    good = await eventually(lambda: phase("good", "Succeeded"), message="Succeeded")
    codes = [s["state"]["terminated"]["exitCode"] for s in good["status"]["initContainerStatuses"]]
    assert codes == [0, 0]
    bad = await eventually(lambda: phase("bad", "Failed"), message="Failed")
    assert bad["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 3
    for name in ("good", "bad"):
        await ground.kube.delete(ground.path("pods", name))
        await eventually(lambda name=name: _gone(ground, name), message="the finished pod is gone")


async def test_pods_without_processes(stand: Stand) -> None:
    ground = await stand(engine_processes=False, events=False)
    for number in range(20):
        await ground.create_pod(vllm(), f"light-{number}")
    for number in range(20):
        await ground.until_ready(f"light-{number}")
    assert "Started" not in await ground.reasons()


async def test_a_new_kubelet_starts_again_what_ran(stand: Stand, cluster: ControlPlane, tmp_path: Path) -> None:
    ground = await stand(kubelet=False)
    await ground.create_pod({"image": "example/web"})
    async with Kubelet(cluster.kubeconfig, SPEED, ground.dial, tmp_path):
        before = await ground.until_ready()
    async with Kubelet(cluster.kubeconfig, SPEED, ground.dial, tmp_path):

        async def restarted() -> bool:
            status = await ground.status()
            return bool(status["restartCount"] == 1 and status["ready"])

        await eventually(restarted, message="counted as a restart")
    assert (await ground.pod())["status"]["podIP"] == before["status"]["podIP"]


async def test_a_lost_machine_ends_its_processes_unheard(stand: Stand) -> None:
    ground = await stand()
    await ground.create_pod(vllm(env=[{"name": "STAND_IN_LOAD_SECONDS", "value": "1"}]))
    address = ground.dial.dial((await ground.until_ready())["status"]["podIP"])
    await ground.kube.delete(f"/api/v1/nodes/{ground.node}")
    await eventually(lambda: _nobody_listens(address), message="nobody listens any more")
    assert (await ground.status())["ready"]


async def test_an_api_server_restart_is_survived(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        plane = await stack.enter_async_context(ControlPlane(tmp_path / "plane"))
        kube = await stack.enter_async_context(Kube(plane.kubeconfig))
        await eventually(lambda: kube.get("/api/v1/namespaces/default/serviceaccounts/default"), message="account")
        await new_node(kube, "node")
        dial = stack.enter_context(DialMap())
        await stack.enter_async_context(Kubelet(plane.kubeconfig, SPEED, dial, tmp_path / "pods"))
        ground = Ground(kube, "default", "node", dial, "")
        load = [{"name": "STAND_IN_LOAD_SECONDS", "value": "1"}]
        await ground.create_pod(vllm(env=load), "kept")
        await ground.create_pod(vllm(env=load), "deleted", terminationGracePeriodSeconds=1)
        kept = await ground.until_ready("kept")
        await ground.until_ready("deleted")
        await kube.delete(ground.path("pods", "deleted"))
        await plane.restart_api_server()
        await eventually(lambda: _gone(ground, "deleted"), 60, message="deleted after the restart")
        await ground.create_pod(vllm(env=load), "later")
        await ground.until_ready("later")
        status = await ground.status("kept")
        assert status["restartCount"] == 0
        assert (await ground.pod("kept"))["status"]["podIP"] == kept["status"]["podIP"]
