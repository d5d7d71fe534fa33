"""Compute Engine's resource policies of this project, as far as node pools use them: workload policies."""

import re
from collections.abc import Callable, Iterable
from dataclasses import replace

import grpc

from .errors import RpcError
from .machines import region_of
from .scenario import Scenario, WorkloadPolicy

PATH = re.compile(r"regions/(?P<region>[^/]+)/resourcePolicies/(?P<name>[^/]+)$")
Users = Callable[[str], Iterable[str]]
"""What uses the policy of this name: paths of instance groups."""


class Policies:
    """Made before the pools that use them, and not deleted while they do. Errors are RpcError."""

    def __init__(self, scenario: Scenario, users: Users) -> None:
        self._project = scenario.project
        self._region = region_of(scenario.zones[0])
        self._users = users
        self._known: dict[tuple[str, str], WorkloadPolicy] = {}
        for policy in scenario.workload_policies:
            self.create(policy)

    def all(self, region: str = "") -> list[WorkloadPolicy]:
        """Those of one region, or of all; each with its region."""
        return [policy for (place, _), policy in sorted(self._known.items()) if region in ("", place)]

    def find(self, name: str) -> WorkloadPolicy | None:
        """The one of the cluster's region with this name, path or address; those of other regions are not found."""
        path = PATH.search(name)
        region, short = (path["region"], path["name"]) if path else (self._region, name)
        return self._known.get((region, short)) if region == self._region else None

    def create(self, policy: WorkloadPolicy) -> WorkloadPolicy:
        """ALREADY_EXISTS when the region has one of that name."""
        key = (policy.region or self._region, policy.name)
        if key in self._known:
            raise RpcError(grpc.StatusCode.ALREADY_EXISTS, f"The resource '{self._path(*key)}' already exists")
        self._known[key] = replace(policy, region=key[0])
        return self._known[key]

    def delete(self, name: str, region: str = "") -> None:
        """NOT_FOUND, or FAILED_PRECONDITION while a node pool uses it."""
        key = (region or self._region, name)
        if key not in self._known:
            raise RpcError(grpc.StatusCode.NOT_FOUND, f"The resource '{self._path(*key)}' was not found")
        if users := sorted(self._users(name)):
            text = f"The resource_policy resource '{self._path(*key)}' is already being used by '{users[0]}'"
            raise RpcError(grpc.StatusCode.FAILED_PRECONDITION, text)
        del self._known[key]

    def _path(self, region: str, name: str) -> str:
        return f"projects/{self._project}/regions/{region}/resourcePolicies/{name}"
