"""A sandbox and the operator as processes, and what a test asks of them: models, conditions, pools, answers."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import openai
import yaml
from tests.support.operator_account import become_operator
from tests.support.polling import eventually
from tests.support.running_sandbox import REPOSITORY, Place, running_sandbox

from mistral_operator.sandbox.kube import APPLY_PATCH, Kube, KubeError
from mistral_operator.sandbox.processes import Process, ProcessGroup

Json = dict[str, Any]
MODELS = "/apis/serving.mistral-operator.dev/v1alpha1/namespaces/{namespace}/mistralmodels"
CLAIMS = "/apis/serving.mistral-operator.dev/v1alpha1/nodepoolclaims"
CHILDREN = {
    "Deployment": "/apis/apps/v1/namespaces/{namespace}/deployments",
    "ControllerRevision": "/apis/apps/v1/namespaces/{namespace}/controllerrevisions",
    "Service": "/api/v1/namespaces/{namespace}/services",
    "PodDisruptionBudget": "/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets",
    "LeaderWorkerSet": "/apis/leaderworkerset.x-k8s.io/v1/namespaces/{namespace}/leaderworkersets",
    "HorizontalPodAutoscaler": "/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers",
    "Job": "/apis/batch/v1/namespaces/{namespace}/jobs",
    "Pod": "/api/v1/namespaces/{namespace}/pods",
}
TENANT_LABEL = "mistral-operator-tenant"
READY_S = 90
GONE_S = 60


class Operator:
    """The operator's process: started, killed, started again. `kubeconfig` is its ServiceAccount's."""

    def __init__(self, sandbox: Place, processes: ProcessGroup, kubeconfig: Path) -> None:
        self.sandbox = sandbox
        """What it is told of the cluster; a test may tell it something else."""
        self._processes = processes
        self.kubeconfig = kubeconfig
        self.module = "mistral_operator"
        """What is run with `python -m`; a test may run a changed operator."""
        self.args: Sequence[str] = ()
        """What it is told first, as a Deployment would; the sandbox's own options come after and win."""
        self.env: Mapping[str, str] = {}
        self.process: Process | None = None

    def start(self) -> None:
        """Start it; readiness shows in what it does."""
        box = self.sandbox
        args = [sys.executable, "-m", self.module, "run", *self.args, "--kubeconfig", self.kubeconfig]
        args += ["--container-api", box.container_api, "--compute-api", box.compute_api, "--no-live-checks"]
        args += ["--project", box.project]
        args += ["--location", box.location, "--cluster", box.cluster, "--health-port", "0"]
        args += ["--cloud-backoff-scale", "0.02"]  # the simulated cloud is that much faster, too
        args += ["--image", "gateway=mistral-operator:sandbox"]
        env = {"PYTHONPATH": os.pathsep.join((str(REPOSITORY / "operator"), str(REPOSITORY))), **self.env}
        self.process = self._processes.spawn("operator", args, box.directory / "operator.log", env=env)

    async def kill(self) -> None:
        """SIGKILL, at whatever line it is."""
        if self.process is not None:
            self.process.send(signal.SIGKILL)
            await self.process.wait(10)

    async def stop(self) -> None:
        """SIGTERM, as Kubernetes does."""
        if self.process is not None:
            await self.process.stop(15)

    @property
    def running(self) -> bool:
        """True while the process lives."""
        return self.process is not None and self.process.running

    def log(self, lines: int = 40) -> str:
        """The end of its log."""
        return self.process.log_tail(lines) if self.process else "never started"


class Stack:
    """One sandbox with the operator; namespaced calls go to `namespace`."""

    def __init__(
        self,
        sandbox: Place,
        kube: Kube,
        operator: Operator,
        http: aiohttp.ClientSession,
        namespace: str = "team-a",
    ) -> None:
        self.sandbox = sandbox
        self.kube = kube
        self.operator = operator
        self.namespace = namespace
        self._http = http

    async def apply(self, name: str, **spec: Any) -> Json:
        """Apply a MistralModel by server-side apply, as a GitOps tool does."""
        body = {
            "apiVersion": "serving.mistral-operator.dev/v1alpha1",
            "kind": "MistralModel",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": spec,
        }
        params = {"fieldManager": "test", "force": "true", "fieldValidation": "Strict"}
        return await self.kube.request("PATCH", f"{self._models()}/{name}", body, APPLY_PATCH, params)

    async def apply_example(self, example: str) -> str:
        """Apply a file of examples/; answers the model's name."""
        stored = yaml.safe_load((REPOSITORY / "examples" / f"{example}.yaml").read_text())
        await self.apply(stored["metadata"]["name"], **stored["spec"])
        return str(stored["metadata"]["name"])

    async def scale(self, name: str, replicas: int) -> None:
        """What `kubectl scale` does."""
        body = {"spec": {"replicas": replicas}}
        path = f"{self._models()}/{name}/scale"
        await self.kube.request("PATCH", path, body, "application/merge-patch+json")

    async def delete(self, name: str) -> None:
        """Delete a model without waiting."""
        await self.kube.request("DELETE", f"{self._models()}/{name}")

    async def get(self, name: str) -> Json:
        """The live model."""
        return await self.kube.request("GET", f"{self._models()}/{name}")

    async def condition(self, name: str, kind: str) -> Json:
        """One condition of a model; LookupError while it isn't there."""
        conditions = (await self.get(name)).get("status", {}).get("conditions", ())
        return next((condition for condition in conditions if condition["type"] == kind), {})

    async def expect(
        self, name: str, kind: str, status: str, reason: str | None = None, *, timeout_s: float = READY_S
    ) -> Json:
        """Wait until a condition has this status (and reason) for the present generation."""

        async def as_wanted() -> Json | None:
            model = await self.get(name)
            found = await self.condition(name, kind)
            current = found.get("observedGeneration") == model["metadata"]["generation"]
            matches = found.get("status") == status and reason in (None, found.get("reason"))
            return found if current and matches else None

        return await eventually(as_wanted, timeout_s, lambda: f"{name}: {kind}={status} {reason}\n{self.story()}")

    async def expect_ready(self, name: str, replicas: int = 1, *, timeout_s: float = READY_S) -> None:
        """Wait until all replicas answer and nothing moves any more."""

        async def settled() -> bool:
            status = (await self.get(name)).get("status", {})
            conditions = {c["type"]: c["status"] for c in status.get("conditions", ())}
            wanted = {"Ready": "True", "Reconciling": "False"}
            return status.get("readyReplicas") == replicas and wanted.items() <= conditions.items()

        await eventually(settled, timeout_s, lambda: f"{name} is ready\n{self.story()}")

    async def children(self, kind: str) -> list[Json]:
        """The model objects' children of one kind, other than Kubernetes' own."""
        try:
            listed = await self.kube.request("GET", CHILDREN[kind].format(namespace=self.namespace))
        except KubeError as error:
            if kind != "LeaderWorkerSet" or error.status != 404:
                raise
            return []  # Its controller isn't in this cluster.
        return [{"kind": kind, **item} for item in listed["items"] if "labels" in item["metadata"]]

    async def claims(self) -> list[Json]:
        """The NodePoolClaims of the namespace's models."""
        items: list[Json] = (await self.kube.request("GET", CLAIMS))["items"]
        return [claim for claim in items if claim["spec"]["tenant"] == self.namespace]

    async def gke(self) -> Json:
        """What the simulated GKE says of itself."""
        async with self._http.get(f"{self.sandbox.control_url}/state") as answer:
            state: Json = await answer.json()
        return state

    async def change_gke(self, what: str, **change: Any) -> None:
        """Change stock, quota or faults of the simulated GKE."""
        async with self._http.post(f"{self.sandbox.control_url}/{what}", json=change) as answer:
            assert answer.status == 200, await answer.text()

    async def heal_gke(self) -> None:
        """Remove all faults of the simulated GKE."""
        async with self._http.delete(f"{self.sandbox.control_url}/faults") as answer:
            assert answer.status == 200

    async def pools(self) -> list[Json]:
        """The node pools that the operator made for the namespace's models."""
        pools = (await self.gke())["pools"]
        return [pool for pool in pools if _resource_labels(pool).get(TENANT_LABEL) == self.namespace]

    async def expect_one_pool_per_claim(self) -> None:
        """Wait until each claim has just its own pool, and no other pool of ours is there."""

        async def matched() -> bool:
            wanted = sorted(f"mm-{claim['metadata']['name']}" for claim in await self.claims())
            return wanted == sorted(pool["name"] for pool in await self.pools())

        await eventually(matched, GONE_S, lambda: f"one pool per claim\n{self.story()}")

    async def expect_no_trace(self) -> None:
        """Wait until no object and no pool of any model is left."""

        async def left() -> list[str]:
            found = [f"{kind} {c['metadata']['name']}" for kind in CHILDREN for c in await self.children(kind)]
            found += [f"claim {claim['metadata']['name']}" for claim in await self.claims()]
            return found + [f"pool {pool['name']}" for pool in await self.pools()]

        async def nothing_left() -> bool:
            found = await left()
            assert not found, f"left: {found}"
            return True

        await eventually(nothing_left, GONE_S, lambda: f"no trace is left\n{self.story()}")

    async def ask(self, name: str, question: str, model: str) -> str:
        """One chat completion through the stand-in for kube-proxy."""
        url = f"{self.sandbox.front_url}/{self.namespace}/{name}/v1/chat/completions"
        body = {"model": model, "messages": [{"role": "user", "content": question}], "max_tokens": 64}
        async with self._http.post(url, json=body) as answer:
            assert answer.status == 200, await answer.text()
            return str((await answer.json())["choices"][0]["message"]["content"])

    def client(self, name: str) -> openai.AsyncOpenAI:
        """OpenAI's own client for a model's endpoint."""
        url = f"{self.sandbox.front_url}/{self.namespace}/{name}/v1"
        return openai.AsyncOpenAI(base_url=url, api_key="unused", max_retries=0, timeout=30)

    def story(self) -> str:
        """What helps to understand a failure."""
        return f"operator (running: {self.operator.running}):\n{self.operator.log()}"

    def _models(self) -> str:
        return MODELS.format(namespace=self.namespace)


def _resource_labels(pool: Json) -> Json:
    labels: Json = pool["message"].get("config", {}).get("resource_labels", {})
    return labels


@asynccontextmanager
async def running_stack(
    directory: Path, *, scenario: Path | None = None, speed: float = 50, neighbours: Sequence[str] = ()
) -> AsyncIterator[Stack]:
    """Start a sandbox and get an operator ready to be started."""
    running = running_sandbox(directory, scenario, speed, neighbours=neighbours)
    async with running as sandbox, stack_on(sandbox) as stack:
        yield stack


@asynccontextmanager
async def stack_on(sandbox: Place) -> AsyncIterator[Stack]:
    """Get an operator ready to be started in a sandbox that runs."""
    async with Kube(sandbox.kubeconfig) as kube, aiohttp.ClientSession() as http:
        with ProcessGroup() as processes:
            operator = Operator(sandbox, processes, await become_operator(sandbox.kubeconfig, sandbox.directory))
            stack = Stack(sandbox, kube, operator, http)
            await make_namespace(kube, stack.namespace)
            yield stack
            await operator.stop()


async def make_namespace(kube: Kube, name: str) -> None:
    """Create a namespace if it isn't there."""
    try:
        await kube.create("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    except KubeError as error:
        if error.status != 409:
            raise


async def command(*args: object) -> str:
    """Run `mistral-operator ARGS`; what it printed. AssertionError with its errors when it fails."""
    words = [sys.executable, "-m", "mistral_operator", *map(str, args)]
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY / "operator"), "NO_COLOR": "1"}
    process = await asyncio.create_subprocess_exec(
        *words, env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, errors = await process.communicate()
    assert process.returncode == 0, f"{words} ended with {process.returncode}:\n{errors.decode()}"
    return output.decode()
