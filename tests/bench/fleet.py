"""The models that the benchmark makes, and the objects that they lead to."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from tests.bench.site import SCENARIO

from mistral_operator.planning.types import ClusterProfile
from mistral_operator.sandbox.kube import Kube

Json = dict[str, Any]
T = TypeVar("T")

API = "/apis/serving.mistral-operator.dev/v1alpha1"
PROFILE = ClusterProfile(
    provider="GKE",
    project=SCENARIO.project,
    location=SCENARIO.location,
    cluster=SCENARIO.cluster,
    zones=SCENARIO.zones,
    version=SCENARIO.version,
)
MIXTURE = ("mistral-7b-v0.3", "mistral-nemo-12b-2407", "mistral-small-3.2-24b-2506")
AT_ONCE = 32
"""Requests of the benchmark's clients that are under way at once; more made none of them faster."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """`size` models, spread evenly over tenants: namespaces whose names begin with `prefix`.

    They ask for no replicas, so that the control plane isn't busy with thousands of pods that nobody runs.
    """

    prefix: str
    size: int
    tenants: int

    @property
    def namespaces(self) -> list[str]:
        """The tenants."""
        return [f"{self.prefix}-{number}" for number in range(self.tenants)]

    def models(self) -> list[Json]:
        """The MistralModels to be created."""
        return [
            model_body(f"model-{number}", self.namespaces[number % self.tenants], MIXTURE[number % len(MIXTURE)], 0)
            for number in range(self.size)
        ]


def model_body(name: str, namespace: str, model: str, replicas: int = 1) -> Json:
    """A small MistralModel."""
    return {
        "apiVersion": "serving.mistral-operator.dev/v1alpha1",
        "kind": "MistralModel",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"model": model, "replicas": replicas},
    }


async def create_models(kube: Kube, bodies: Iterable[Json]) -> None:
    """Create them, as fast as the API server takes them."""
    await all_at_once(bodies, lambda body: kube.create(f"{API}/{_folder(body)}mistralmodels", body))


async def all_at_once(items: Iterable[T], work: Callable[[T], Awaitable[object]]) -> None:
    """Do the work on each item, so many at once as helps."""
    waiting = iter(items)

    async def worker() -> None:
        for item in waiting:
            await work(item)

    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))


def _folder(body: Json) -> str:
    return f"namespaces/{body['metadata']['namespace']}/"
