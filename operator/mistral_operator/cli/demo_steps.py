"""The steps of the demo. Each says what it saw, or raises DemoError with what it waited for."""

import asyncio
import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

import aiohttp

from mistral_operator.api.model import MistralModel
from mistral_operator.cli.documents import in_namespace
from mistral_operator.cli.follow import Change, Follower, shorten
from mistral_operator.cli.local import POLL_S, LocalStack, SandboxInfo
from mistral_operator.cli.narrator import Narrator
from mistral_operator.cli.observe import Belongings, list_served, read_belongings
from mistral_operator.cli.output import Style, count, facts, table, wrap
from mistral_operator.cli.plan_view import tell_plan_in_short
from mistral_operator.cli.story import find_condition, word_cost
from mistral_operator.cluster.client import ApiClient
from mistral_operator.cluster.kinds import CHILDREN, CLAIM, MODEL, NAMESPACE, POD, REVISION, Kind
from mistral_operator.planning.serialize import plan_from_dict

STEP_S: Final = 180
"""The longest that one step may take before the demo gives up."""
_MANAGER: Final = "mistral-operator-demo"
_LEFTOVERS: Final = (
    MODEL, CLAIM, *CHILDREN, POD,
    Kind("apps/v1", "ReplicaSet", "replicasets"),
    Kind("discovery.k8s.io/v1", "EndpointSlice", "endpointslices"),
)  # fmt: skip


_POOLS: Final = "node pools in the cloud"


class DemoError(RuntimeError):
    """A step did not do what it should."""


class Demo:
    """One model in one namespace of a running sandbox."""

    def __init__(
        self,
        client: ApiClient,
        stack: LocalStack,
        sandbox: SandboxInfo,
        narrator: Narrator,
        manifest: Mapping[str, Any],
    ) -> None:
        self.client = client
        self.stack = stack
        self.sandbox = sandbox
        self.narrator = narrator
        self.manifest = manifest
        self.name = str(manifest["metadata"]["name"])
        self.namespace = str(manifest["metadata"]["namespace"])
        self.served_name = ""
        self._follower = Follower()

    @property
    def url(self) -> str:
        """Where this machine reaches the model, through the sandbox's stand-in for Services."""
        return f"{self.sandbox.front_url}/{self.namespace}/{self.name}/v1/chat/completions"

    def request(self, question: str) -> str:
        """A chat completion's body."""
        return json.dumps(
            {"model": self.served_name, "messages": [{"role": "user", "content": question}], "max_tokens": 60}
        )

    async def apply(self) -> None:
        """Create the namespace and the model, as `kubectl apply` would."""
        await self.client.apply(
            {"apiVersion": NAMESPACE.api_version, "kind": NAMESPACE.kind, "metadata": {"name": self.namespace}},
            manager=_MANAGER,
        )
        await self.client.apply(self.manifest, manager=_MANAGER)
        self.narrator.tell("you", f"kubectl -n {self.namespace} apply: MistralModel {self.name}", Style.NAME)

    async def show_plan(self) -> None:
        """Print the plan that the operator has pinned."""
        found = await self._follow(lambda b: _revision(b) is not None or _is(b, "Accepted", "False"), "the plan")
        revision = _revision(found)
        if revision is None:
            accepted = find_condition(found.model, "Accepted") or {}
            raise DemoError(f"the model is refused: {accepted.get('reason')}: {accepted.get('message')}")
        plan = plan_from_dict(revision["data"]["plan"])
        model = in_namespace(MistralModel.model_validate(found.model), self.namespace)
        self.narrator.show(tell_plan_in_short(model, plan))

    async def wait_ready(self, replicas: int) -> None:
        """Follow the model until that many replicas answer, no more and no fewer."""

        def settled(found: Belongings) -> bool:
            status = found.model.get("status") or {}
            return (
                status.get("observedGeneration") == found.model["metadata"]["generation"]
                and (status.get("readyReplicas"), status.get("replicas"), len(found.pods)) == (replicas,) * 3
                and _is(found, "Ready", "True")
                and _is_paid_for(status, replicas)
            )

        await self._follow(settled, f"{replicas} ready")

    async def show_endpoint(self) -> None:
        """Print where the model is reached and what it costs."""
        found = await self._read()
        status = found.model["status"]
        self.served_name = status["endpoint"]["servedName"]
        self.narrator.show(facts([
            ("endpoint", f"{status['endpoint']['url']} (OpenAI-compatible), model {self.served_name}"),
            ("cost", word_cost(status)),
        ]))  # fmt: skip

    async def ask(self, question: str) -> None:
        """Ask through the Service and print the answer."""
        self.narrator.tell("you", question, Style.NAME)
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session,
            session.post(self.url, data=self.request(question), headers={"Content-Type": "application/json"}) as answer,
        ):
            text = await answer.text()
            if answer.status != 200:
                raise DemoError(f"POST {self.url} answered {answer.status}: {text}")
        content = json.loads(text)["choices"][0]["message"]["content"]
        self.narrator.tell("stand-in", "answers (no model runs here, these are not Mistral's words):")
        for line in wrap(content.strip(), " " * 23):
            self.narrator.show_line(line)

    async def scale(self, replicas: int) -> None:
        """Set the replicas through the scale subresource and follow until they are there."""
        self.narrator.tell(
            "you", f"kubectl -n {self.namespace} scale mistralmodel/{self.name} --replicas={replicas}", Style.NAME
        )
        await self.client.merge_patch(
            MODEL, self.name, self.namespace, {"spec": {"replicas": replicas}}, subresource="scale"
        )
        await self.wait_ready(replicas)
        cost = word_cost((await self._read()).model["status"])
        self.narrator.tell("model", f"{replicas} of {replicas} replicas answer, {cost}", Style.GOOD)

    async def delete(self) -> None:
        """Delete the model."""
        self.narrator.tell("you", f"kubectl -n {self.namespace} delete mistralmodel/{self.name}", Style.NAME)
        await self.client.delete(MODEL, self.name, self.namespace)

    async def prove_nothing_left(self) -> None:
        """Wait until neither Kubernetes nor the cloud has anything of the model, and show the count."""
        left: dict[str, list[str]] = {}
        said = ""
        try:
            async with asyncio.timeout(STEP_S):
                while not said.startswith("nothing"):
                    self.stack.check()
                    left = await self._leftovers()
                    words = _count(left)
                    if words != said:
                        self.narrator.tell("left", words, Style.GOOD if words.startswith("nothing") else Style.PLAIN)
                    said = words
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise DemoError(f"{STEP_S} s after the deletion there is still: {left}") from None
        self.narrator.show(table([[kind, str(len(names))] for kind, names in left.items()]))

    async def _leftovers(self) -> dict[str, list[str]]:
        left = {}
        for kind in _LEFTOVERS:
            found = await list_served(self.client, kind, self.namespace if kind.namespaced else "")
            left[kind.plural] = [item["metadata"]["name"] for item in found]
        async with aiohttp.ClientSession() as session, session.get(f"{self.sandbox.control_url}/state") as answer:
            state = await answer.json()
        left[_POOLS] = [pool["name"] for pool in state["pools"] if pool["name"].startswith("mm-")]
        return left

    async def _read(self) -> Belongings:
        found = await read_belongings(self.client, self.name, self.namespace)
        if found is None:
            raise DemoError(f"MistralModel {self.name} is gone")
        return found

    async def _follow(self, reached: Callable[[Belongings], bool], awaited: str) -> Belongings:
        found = None
        try:
            async with asyncio.timeout(STEP_S):
                while True:
                    self.stack.check()
                    found = await self._read()
                    for change in self._follower.look(found):
                        self._tell(change)
                    if reached(found):
                        return found
                    self.narrator.await_(f"waiting for {awaited}: {_explain(found)}")
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            seen = _explain(found) if found else "nothing was seen"
            raise DemoError(f"waited {STEP_S} s for {awaited}; {seen}") from None

    def _tell(self, change: Change) -> None:
        self.narrator.tell(change.topic, change.text, change.style)


def _count(left: Mapping[str, list[str]]) -> str:
    pools = len(left[_POOLS])
    objects = sum(map(len, left.values())) - pools
    if not objects and not pools:
        return "nothing, neither in Kubernetes nor in the cloud"
    return f"{count(objects, 'object')} in Kubernetes, {count(pools, 'node pool')} in the cloud"


def _revision(found: Belongings) -> Mapping[str, Any] | None:
    return next((child for child in found.children if child["kind"] == REVISION.kind), None)


def _is(found: Belongings, kind: str, status: str) -> bool:
    condition = find_condition(found.model, kind)
    return condition is not None and condition["status"] == status


def _is_paid_for(status: Mapping[str, Any], replicas: int) -> bool:
    """The cost is that of these replicas, and of nodes without any: a pod on its way out is paid for until it is
    gone.
    """
    each, cost = status["plan"]["chosen"]["hourlyCost"], status["cost"]
    if "unknown" in (each, cost["hourly"]):
        return True
    busy = Decimal(cost["hourly"]) - Decimal(cost.get("idle", 0))
    return abs(Decimal(each) * replicas - busy) < Decimal("0.01")


def _explain(found: Belongings) -> str:
    ready = find_condition(found.model, "Ready")
    return f"{ready['reason']}: {shorten(ready['message'])}" if ready else "the operator has not looked at it yet"
