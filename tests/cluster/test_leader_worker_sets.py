"""Groups of hosts under the real LeaderWorkerSet controller, each on a node pool of its own, with stand-in engines."""

import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
import yaml
from tests.support.namespaces import new_namespace
from tests.support.polling import eventually
from tests.support.running_sandbox import RunningSandbox

from mistral_operator.engines.vllm_tpu import LEADER_COMMAND, WORKER_COMMAND
from mistral_operator.sandbox.dial import listening_address
from mistral_operator.sandbox.kube import Kube
from mistral_operator.sandbox.names import find_host

Object = dict[str, Any]
SandboxFactory = Callable[..., Awaitable[RunningSandbox]]

NAMES = ("chat-0", "chat-0-1", "chat-1", "chat-1-1")
POOLS = {"slice-a", "slice-b"}
POOL_LABEL = "cloud.google.com/gke-nodepool"
SETS = "apis/leaderworkerset.x-k8s.io/v1"
PATIENCE = {"name": "VLLM_ENGINE_READY_TIMEOUT_S", "value": "600"}
FLAGS = ["mistralai/Chat", "--port=8000", "--tensor-parallel-size=4", "--pipeline-parallel-size=2"]
FLAGS += ["--distributed-executor-backend=ray", "--disable-chunked-mm-input", '--additional-config={"sharding": {}}']
# The worker waits for this Secret, as it may for a slow disk or image.
GATE = {"name": "GATE", "valueFrom": {"secretKeyRef": {"name": "gate", "key": "open"}}}


def leader_template() -> Object:
    probe = {"httpGet": {"path": "/health", "port": "http"}}
    container = {
        "name": "vllm",
        "image": "vllm/vllm-tpu:v0.21.0",
        "command": list(LEADER_COMMAND),
        "args": FLAGS,
        "env": [PATIENCE, {"name": "STAND_IN_LOAD_SECONDS", "value": "5"}],
        "ports": [{"name": "http", "containerPort": 8000}],
        "resources": {"limits": {"google.com/tpu": "4"}},
        "startupProbe": probe | {"periodSeconds": 5, "failureThreshold": 1000},
        "readinessProbe": probe | {"periodSeconds": 5},
    }
    return {"metadata": {"labels": {"app": "chat"}}, "spec": {"containers": [container]}}


def worker_template(env: list[Object]) -> Object:
    container = {
        "name": "vllm",
        "image": "vllm/vllm-tpu:v0.21.0",
        "command": list(WORKER_COMMAND),
        "env": [PATIENCE, *env],
        "resources": {"limits": {"google.com/tpu": "4"}},
    }
    return {"spec": {"containers": [container], "terminationGracePeriodSeconds": 1}}


def chat(*, worker_env: list[Object] | None = None) -> Object:
    return {
        "apiVersion": "leaderworkerset.x-k8s.io/v1",
        "kind": "LeaderWorkerSet",
        "metadata": {"name": "chat", "annotations": {"leaderworkerset.sigs.k8s.io/exclusive-topology": POOL_LABEL}},
        "spec": {
            "replicas": 2,
            "leaderWorkerTemplate": {
                "size": 2,
                "restartPolicy": "RecreateGroupOnPodRestart",
                "leaderTemplate": leader_template(),
                "workerTemplate": worker_template(worker_env or []),
            },
        },
    }


SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "answers"},
    "spec": {"selector": {"app": "chat"}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
}


class Ground:
    """A sandbox with two pools of two hosts, and one namespace in it."""

    def __init__(self, sandbox: RunningSandbox, kube: Kube, namespace: str) -> None:
        self.sandbox = sandbox
        self.kube = kube
        self.namespace = namespace

    def path(self, plural: str, name: str = "", group: str = "api/v1") -> str:
        return f"/{group}/namespaces/{self.namespace}/{plural}" + (f"/{name}" if name else "")

    async def create(self, manifest: Object) -> None:
        await self.kube.create(self.path("leaderworkersets", group=SETS), manifest)

    async def pods(self) -> dict[str, Object]:
        selector = {"labelSelector": "leaderworkerset.sigs.k8s.io/name=chat"}
        return {pod["metadata"]["name"]: pod for pod in await self.kube.list(self.path("pods"), selector)}

    async def ready(self, *names: str) -> dict[str, Object] | None:
        """These pods and no others are there, and all are ready."""
        pods = await self.pods()
        return pods if pods.keys() == set(names) and all(is_ready(pod) for pod in pods.values()) else None

    async def until_ready(self, *names: str) -> dict[str, Object]:
        return await eventually(
            lambda: self.ready(*names), 90, lambda: f"{names} are ready; see {self.sandbox.directory}"
        )

    async def pool(self, pod: Object) -> str:
        node = await self.kube.get(f"/api/v1/nodes/{pod['spec']['nodeName']}") or {}
        return str(node["metadata"]["labels"][POOL_LABEL])

    async def give_tpus(self) -> None:
        """The simulated hosts have none: LeaderWorkerSet only asks what the pods ask for."""
        chips = {"google.com/tpu": "4"}
        for node in await self.kube.list("/api/v1/nodes"):
            if node["metadata"]["labels"].get(POOL_LABEL) in POOLS:
                path = f"/api/v1/nodes/{node['metadata']['name']}/status"
                await self.kube.merge_patch(path, {"status": {"capacity": chips, "allocatable": chips}})


def is_ready(pod: Object) -> bool:
    conditions = pod.get("status", {}).get("conditions") or []
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def environment(pod: Object) -> dict[str, str]:
    return {entry["name"]: entry.get("value", "") for entry in pod["spec"]["containers"][0]["env"]}


def uid(pod: Object) -> str:
    return str(pod["metadata"]["uid"])


@pytest.fixture
async def ground(sandbox: SandboxFactory, tmp_path: Path) -> AsyncIterator[Ground]:
    scenario = tmp_path / "scenario.yaml"
    pools = [{"name": name, "nodes": 2, "zones": ["us-central1-a"]} for name in sorted(POOLS)]
    scenario.write_text(yaml.safe_dump({"foreign_pools": pools}))
    running = await sandbox(scenario=scenario, crds=None, neighbours=["lws"])
    async with AsyncExitStack() as stack:
        kube = await stack.enter_async_context(Kube(running.kubeconfig))
        ground = Ground(running, kube, await stack.enter_async_context(new_namespace(kube)))
        await ground.give_tpus()
        yield ground


async def test_a_group_serves_from_one_pool_when_its_workers_have_joined(ground: Ground) -> None:
    await ground.create(chat(worker_env=[GATE]))
    await ground.kube.create(ground.path("services"), SERVICE)

    async def leaders_wait() -> dict[str, Object] | None:
        """Both leaders run, and both workers can't."""
        pods = await ground.pods()
        states = {name: pod["status"]["containerStatuses"][0]["state"] for name, pod in pods.items()}
        running = {name for name, state in states.items() if "running" in state}
        waiting = {n for n, s in states.items() if s.get("waiting", {}).get("reason") == "CreateContainerConfigError"}
        return pods if (running, waiting) == ({"chat-0", "chat-1"}, {"chat-0-1", "chat-1-1"}) else None

    await eventually(leaders_wait, 60, "leaders that wait for their workers")
    for leader in ("chat-0", "chat-1"):
        log = next(ground.sandbox.directory.glob(f"pods/{ground.namespace}_{leader}_*/vllm.log"))
        await eventually(lambda log=log: "1/2 is active" in log.read_text(), 20, f"{leader} counts its workers")
        assert "serving" not in log.read_text()
    assert not any(is_ready(pod) for pod in (await ground.pods()).values())

    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "gate"}, "stringData": {"open": "yes"}}
    await ground.kube.create(ground.path("secrets"), secret)
    pods = await ground.until_ready(*NAMES)

    assert {await ground.pool(pods["chat-0"]), await ground.pool(pods["chat-1"])} == POOLS
    for group in ("0", "1"):
        leader, worker = pods[f"chat-{group}"], pods[f"chat-{group}-1"]
        assert await ground.pool(worker) == await ground.pool(leader)
        assert worker["spec"]["nodeName"] != leader["spec"]["nodeName"]
        for index, pod in (("0", leader), ("1", worker)):
            values = environment(pod)
            assert values["LWS_LEADER_ADDRESS"] == f"chat-{group}.chat.{ground.namespace}"
            assert (values["LWS_GROUP_SIZE"], values["LWS_WORKER_INDEX"]) == ("2", index)
            assert values["TPU_WORKER_HOSTNAMES"] == f"chat-{group}.chat,chat-{group}-1.chat"
            assert values["TPU_WORKER_ID"] == index
            for host in values["TPU_WORKER_HOSTNAMES"].split(","):
                found = find_host(ground.sandbox.directory / "hosts", host, ground.namespace)
                assert found == listening_address(pods[host.split(".")[0]]["status"]["podIP"])
    await _answers(ground)


async def _answers(ground: Ground) -> None:
    question = {"model": "mistralai/Chat", "messages": [{"role": "user", "content": "Who are you?"}]}
    url = f"{ground.sandbox.front_url}/{ground.namespace}/answers/v1/chat/completions"
    async with aiohttp.ClientSession() as session:

        async def answer() -> str | None:
            async with session.post(url, json=question) as response:
                return await response.text() if response.status == 200 else None

        assert "stand-in" in await eventually(answer, 20, "an answer through the Service")


async def test_a_lost_worker_takes_its_group_along_and_no_other(ground: Ground) -> None:
    await ground.create(chat())
    first = await ground.until_ready(*NAMES)
    worker_process(ground, "chat-0").kill()
    second = await until_recreated(ground, first, group="chat-0", other="chat-1")
    (log,) = ground.sandbox.directory.glob(f"pods/{ground.namespace}_chat-0_{uid(first['chat-0'])[:8]}/vllm.log")
    assert "a Ray worker died unexpectedly" in log.read_text()

    await ground.kube.delete(ground.path("pods", "chat-1-1"))
    third = await until_recreated(ground, second, group="chat-1", other="chat-0")

    scale = ground.path("leaderworkersets", "chat/scale", SETS)
    await ground.kube.merge_patch(scale, {"spec": {"replicas": 1}})
    left = await ground.until_ready("chat-0", "chat-0-1")
    assert all(uid(left[name]) == uid(third[name]) for name in left)
    sets = await ground.kube.list(ground.path("statefulsets", group="apis/apps/v1"))
    assert {item["metadata"]["name"] for item in sets} == {"chat", "chat-0"}
    await ground.kube.delete(ground.path("leaderworkersets", "chat", SETS))
    await eventually(lambda: _nothing_left(ground), 60, "the set's pods are gone")


async def until_recreated(ground: Ground, before: dict[str, Object], *, group: str, other: str) -> dict[str, Object]:
    """The pods when both of the group are new and all serve; the other group must not have noticed."""

    async def recreated() -> dict[str, Object] | None:
        pods = await ground.ready(*NAMES)
        new = pods and all(uid(pods[name]) != uid(before[name]) for name in (group, f"{group}-1"))
        return pods if new else None

    after = await eventually(recreated, 90, lambda: f"{group} is there again; see {ground.sandbox.directory}")
    for name in (other, f"{other}-1"):
        assert uid(after[name]) == uid(before[name])
        assert after[name]["status"]["containerStatuses"][0]["restartCount"] == 0
    assert await ground.pool(after[group]) == await ground.pool(after[f"{group}-1"])
    return after


def worker_process(ground: Ground, leader: str) -> psutil.Process:
    """The process of the worker that has joined this leader."""
    address = f"{leader}.chat.{ground.namespace}"
    processes = psutil.Process(ground.sandbox.process.popen.pid).children(recursive=True)
    (found,) = [process for process in processes if f"--ray_address={address}" in process.cmdline()]
    return found


async def _nothing_left(ground: Ground) -> bool:
    return not await ground.pods()


async def test_the_controller_ends_with_a_killed_sandbox(sandbox: SandboxFactory) -> None:
    running = await sandbox(crds=None, neighbours=["lws"])
    controller = controller_process(running)
    running.process.send(signal.SIGKILL)
    await eventually(lambda: not controller.is_running() or controller.status() == psutil.STATUS_ZOMBIE, 10)


async def test_a_sandbox_whose_controller_has_ended_ends_and_says_so(sandbox: SandboxFactory) -> None:
    running = await sandbox(crds=None, neighbours=["lws"])
    controller_process(running).kill()
    assert await running.process.wait(20) == 1
    assert "lws ended with -9:" in running.process.log.read_text()


def controller_process(sandbox: RunningSandbox) -> psutil.Process:
    processes = psutil.Process(sandbox.process.popen.pid).children(recursive=True)
    (found,) = [process for process in processes if process.name() == "lws"]
    return found
