"""What must hold all the time, looked at several times a second: spend within its limit, and a replica that serves."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from tests.chaos.story import CLASS, CLASS_LIMIT, Story
from tests.support.stack import CLAIMS

from mistral_operator.catalogue.load import load_catalogue
from mistral_operator.sandbox.kube import Kube, KubeError

Json = dict[str, Any]
SHAPE: Final = "serving.mistral-operator.dev/shape"
WORKER_INDEX: Final = "leaderworkerset.sigs.k8s.io/worker-index"
EVERY_S: Final = 0.2
_CATALOGUE: Final = load_catalogue()


@dataclass(slots=True)
class Watcher:
    """Samples the pods of all stories; `violations` collects what was wrong, once for each story and rule."""

    kube: Kube
    stories: Mapping[str, Story]
    """Namespace → its story."""
    violations: dict[tuple[str, str], str] = field(default_factory=dict)
    samples: int = 0
    most_shared: Decimal = Decimal(0)
    """US dollars an hour that the models of the class had together at most."""
    _served: set[str] = field(default_factory=set)
    _prices: dict[str, Decimal] = field(default_factory=dict)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            with contextlib.suppress(KubeError):  # The next look is soon.
                await self.look()
            await asyncio.sleep(EVERY_S)

    async def look(self) -> None:
        """Look once."""
        for claim in (await self.kube.request("GET", CLAIMS))["items"]:
            self._prices.setdefault(claim["metadata"]["name"], _price(claim))
        pods = (await self.kube.request("GET", "/api/v1/pods"))["items"]
        for namespace in self.stories:
            own = [pod for pod in pods if pod["metadata"]["namespace"] == namespace]
            self._check_spend(namespace, own)
            self._check_service(namespace, own)
        self._check_budget(pods)
        self.samples += 1

    def _check_spend(self, namespace: str, pods: Sequence[Json]) -> None:
        story = self.stories[namespace]
        if story.limit is None:
            return
        claims, spent = self._count_spend(pods)
        if spent > Decimal(story.limit):
            self._note(namespace, "spend", f"{spent} US dollars an hour for {claims}, above {story.limit}")

    def _check_budget(self, pods: Sequence[Json]) -> None:
        """What all models of the class have together; a violation is told with the first of them."""
        sharing = [namespace for namespace, story in self.stories.items() if story.shares_budget]
        claims, spent = self._count_spend([pod for pod in pods if pod["metadata"]["namespace"] in sharing])
        self.most_shared = max(self.most_shared, spent)
        if spent > Decimal(CLASS_LIMIT):
            self._note(sharing[0], "budget", f"{spent} US dollars an hour for {claims}, above {CLASS_LIMIT} of {CLASS}")

    def _count_spend(self, pods: Sequence[Json]) -> tuple[list[str], Decimal]:
        """The claims that the pods with machines are on, and US dollars an hour; a pod on its way out isn't counted."""
        standing = [pod for pod in pods if pod["spec"].get("nodeName") and not pod["metadata"].get("deletionTimestamp")]
        claims = [pod["spec"]["nodeSelector"].get(SHAPE, "") for pod in standing if _runs(pod)]
        return claims, sum((self._prices[name] for name in claims if name in self._prices), Decimal(0))

    def _check_service(self, namespace: str, pods: Sequence[Json]) -> None:
        """Also a pod that is on its way out answers until it is gone, but nothing new is sent to it."""
        ready = [pod for pod in pods if _answers(pod) and not pod["metadata"].get("deletionTimestamp")]
        if ready:
            self._served.add(namespace)
        elif namespace in self._served and not self.stories[namespace].interrupted:
            self._note(namespace, "service", "no replica answers any more, and nothing took it away")

    def _note(self, namespace: str, rule: str, words: str) -> None:
        self.violations.setdefault((namespace, rule), f"{rule}: {words}")


def _price(claim: Json) -> Decimal:
    found = _CATALOGUE.machine(claim["spec"]["shape"]["machineType"])
    assert found is not None
    price = found[1].prices.get(claim["spec"]["consumption"])
    assert price is not None, f"no price for {claim['spec']}"
    return price


def _runs(pod: Json) -> bool:
    return pod.get("status", {}).get("phase") not in ("Succeeded", "Failed")


def _answers(pod: Json) -> bool:
    """Of a group on a slice only the leader does."""
    conditions = pod.get("status", {}).get("conditions") or ()
    leads = (pod["metadata"].get("labels") or {}).get(WORKER_INDEX, "0") == "0"
    return leads and any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
