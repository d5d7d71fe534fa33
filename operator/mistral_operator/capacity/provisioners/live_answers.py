"""Asks Google all that a preflight wants to know, at once; what it refuses to tell stays a finding, not an error."""

import asyncio
from collections.abc import Awaitable, Iterable, Mapping
from typing import Protocol, TypeVar

from mistral_operator.capacity.advice import ClusterPlace
from mistral_operator.capacity.errors import CloudError, CloudFinding
from mistral_operator.capacity.port import ClusterView
from mistral_operator.capacity.preflight.facts import (
    LiveFacts,
    Questions,
    Quota,
    ReservationView,
    split_reservation,
)

Answer = TypeVar("Answer")


class Compute(Protocol):
    """What is needed of `capacity.compute_api.ComputeApi`. Each call raises CloudError."""

    @property
    def identity(self) -> str:
        """The service account that asks; empty for a person."""
        ...

    async def read_quotas(self, region: str) -> Mapping[str, Quota]:
        """The quotas of a region by metric."""
        ...

    async def read_project_quotas(self) -> Mapping[str, Quota]:
        """The quotas of the project in all regions together."""
        ...

    async def find_machine_zones(self, names: Iterable[str]) -> Mapping[str, frozenset[str]]:
        """The zones that list each machine type."""
        ...

    async def find_gpu_zones(self, names: Iterable[str]) -> Mapping[str, frozenset[str]]:
        """The zones that list each accelerator type."""
        ...

    async def find_reservations(self, project: str, name: str) -> tuple[ReservationView, ...]:
        """The reservations of that name."""
        ...

    async def test_permissions(self, names: Iterable[str]) -> frozenset[str]:
        """Those of the permissions that whoever asks has."""
        ...


async def ask_google(
    questions: Questions, place: ClusterPlace, cluster: ClusterView | CloudFinding, compute: Compute
) -> LiveFacts:
    """All answers. `cluster` is what GKE said of the cluster, which is asked before there is a plan."""
    async with asyncio.TaskGroup() as group:
        granted = group.create_task(_settle(compute.test_permissions(questions.permissions)))
        project = group.create_task(_settle(compute.read_project_quotas()))
        machines = group.create_task(_settle(compute.find_machine_zones(questions.machine_types)))
        gpus = group.create_task(_settle(_find_gpus(compute, questions.gpus)))
        quotas = {region: group.create_task(_settle(compute.read_quotas(region))) for region in questions.regions}
        reservations = {
            name: group.create_task(_settle(compute.find_reservations(*split_reservation(name, place.project))))
            for name in questions.reservations
        }
    return LiveFacts(
        place=place,
        identity=compute.identity,
        cluster=cluster,
        granted=granted.result(),
        quotas={region: task.result() for region, task in quotas.items()},
        project_quotas=project.result(),
        machine_zones=machines.result(),
        gpu_zones=gpus.result(),
        reservations={name: task.result() for name, task in reservations.items()},
    )


async def _find_gpus(compute: Compute, names: tuple[str, ...]) -> Mapping[str, frozenset[str]]:
    return await compute.find_gpu_zones(names) if names else {}


async def _settle(call: Awaitable[Answer]) -> Answer | CloudFinding:
    try:
        return await call
    except CloudError as error:
        return error.finding
