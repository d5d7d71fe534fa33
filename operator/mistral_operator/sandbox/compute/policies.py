"""`resourcePolicies` of a region, and the operations by which they come and go, as Compute Engine's JSON has them."""

import itertools
from typing import Any

from mistral_operator.sandbox.gke.errors import RpcError
from mistral_operator.sandbox.gke.faults import Faults
from mistral_operator.sandbox.gke.plain_data import ScenarioError
from mistral_operator.sandbox.gke.policies import Policies
from mistral_operator.sandbox.gke.scenario import Fault, WorkloadPolicy, parse_policy

Json = dict[str, Any]
KEYS = {
    "type": "type",
    "acceleratorTopology": "accelerator_topology",
    "acceleratorTopologyMode": "accelerator_topology_mode",
    "maxTopologyDistance": "max_topology_distance",
}
"""Field of a workload policy in the API → in a scenario."""


class RefusedError(Exception):
    """A call that Compute Engine refuses; `code` is the name of a canonical code."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class ResourcePolicies:
    """Each change is an operation that has not ended when its call is answered, and has when it is next looked at.

    A fault `in_operation` lets the call succeed and its operation end with an error; with `lost_response` the call
    takes effect though its caller is refused.
    """

    def __init__(self, project: str, policies: Policies, faults: Faults) -> None:
        self._project = project
        self._policies = policies
        self._faults = faults
        self._operations: dict[str, Json] = {}
        self._numbers = itertools.count(1)

    def list(self, region: str) -> list[Json]:
        """Those of a region, by name."""
        self._strike("list")
        return [self._describe(policy) for policy in self._policies.all(region)]

    def get(self, region: str, name: str) -> Json:
        """Raises RefusedError NOT_FOUND."""
        self._strike("get")
        known = next((policy for policy in self._policies.all(region) if policy.name == name), None)
        if known is None:
            raise RefusedError("NOT_FOUND", f"The resource '{self._path(region, name)}' was not found")
        return self._describe(known)

    def insert(self, region: str, body: Any) -> Json:
        """Raises RefusedError for a body that makes no sense, and ALREADY_EXISTS."""
        policy = _parse(region, body)
        fault = self._strike("insert")
        if fault is None or not fault.in_operation:
            _do(lambda: self._policies.create(policy))
        return self._answer("insert", region, policy.name, fault)

    def delete(self, region: str, name: str) -> Json:
        """Raises RefusedError NOT_FOUND, and while something is placed by it."""
        fault = self._strike("delete")
        if fault is None or not fault.in_operation:
            _do(lambda: self._policies.delete(name, region))
        return self._answer("delete", region, name, fault)

    def operation(self, region: str, name: str) -> Json:
        """An operation, which has ended by now. Raises RefusedError NOT_FOUND."""
        if name not in self._operations:
            path = f"projects/{self._project}/regions/{region}/operations/{name}"
            raise RefusedError("NOT_FOUND", f"The resource '{path}' was not found")
        return {**self._operations[name], "status": "DONE", "progress": 100}

    def _strike(self, call: str) -> Fault | None:
        """The fault of a call that is to begin all the same; RefusedError for any other."""
        fault = self._faults.hit(f"compute.resourcePolicies.{call}")
        if fault is None or not fault.code:
            return None
        if not (fault.in_operation or fault.lost_response):
            raise RefusedError(fault.code, fault.message)
        return fault

    def _answer(self, kind: str, region: str, name: str, fault: Fault | None) -> Json:
        number = next(self._numbers)
        operation: Json = {
            "kind": "compute#operation",
            "id": str(number),
            "name": f"operation-{number}",
            "operationType": kind,
            "targetLink": f"https://www.googleapis.com/compute/v1/{self._path(region, name)}",
            "status": "RUNNING",
            "progress": 0,
        }
        if fault is not None and fault.lost_response:
            raise RefusedError(fault.code, fault.message)
        late = fault is not None and {"error": {"errors": [{"code": fault.code, "message": fault.message}]}}
        self._operations[operation["name"]] = operation | (late or {})
        return operation

    def _describe(self, policy: WorkloadPolicy) -> Json:
        workload = {field: getattr(policy, key) for field, key in KEYS.items() if getattr(policy, key)}
        return {
            "kind": "compute#resourcePolicy",
            "name": policy.name,
            "region": f"https://www.googleapis.com/compute/v1/projects/{self._project}/regions/{policy.region}",
            "status": "READY",
            **({"description": policy.description} if policy.description else {}),
            "workloadPolicy": workload,
        }

    def _path(self, region: str, name: str) -> str:
        return f"projects/{self._project}/regions/{region}/resourcePolicies/{name}"


def _parse(region: str, body: Any) -> WorkloadPolicy:
    workload = body.get("workloadPolicy") if isinstance(body, dict) else None
    if not isinstance(workload, dict) or not set(workload) <= set(KEYS):
        raise RefusedError(
            "INVALID_ARGUMENT", "Invalid value for field 'resource': only workload policies are made here."
        )
    document = {KEYS[field]: value for field, value in workload.items()}
    try:
        return parse_policy(
            {**document, "name": body.get("name", ""), "description": body.get("description", ""), "region": region}
        )
    except ScenarioError as error:
        raise RefusedError("INVALID_ARGUMENT", f"Invalid value for field 'resource.workloadPolicy': {error}") from error


def _do(change: Any) -> None:
    try:
        change()
    except RpcError as error:
        raise RefusedError(error.code.name, error.message) from error
