"""Workload policies through the Compute Engine API, by plain requests (decision 0015)."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final, Self

from mistral_operator.capacity.errors import CloudError, NotFoundError, UnavailableError, classify
from mistral_operator.capacity.policies import HIGH_THROUGHPUT, PolicySpec, PolicyState, PolicyView
from mistral_operator.capacity.provisioners.google_rest import DEADLINE_S, GoogleRest, Json

SETTLE_S: Final = 45.0
"""Longest wait for one operation, which takes seconds."""
_POLL_S: Final = 1.0


class ComputePolicies:
    """Implements `capacity.policies.WorkloadPolicies` for one region. An async context manager."""

    def __init__(
        self,
        project: str,
        region: str,
        endpoint: str = "",
        *,
        deadline_s: float = DEADLINE_S,
        settle_s: float = SETTLE_S,
        poll_s: float = _POLL_S,
    ) -> None:
        """`endpoint` empty is Google; `http://host:port` is a simulated one. Logs in when it is first used."""
        self._rest = GoogleRest(endpoint, deadline_s)
        self._region = f"{self._rest.base()}/compute/v1/projects/{project}/regions/{region}"
        self._settle_s = settle_s
        self._poll_s = poll_s

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def list_policies(self) -> tuple[PolicyView, ...]:
        """All resource policies of the region, ours and others'."""
        found: list[PolicyView] = []
        query: dict[str, str] = {}
        while True:
            answer = await self._rest.send("GET", f"{self._region}/resourcePolicies", params=query)
            found += [_policy_view(item) for item in answer.get("items", ())]
            if not answer.get("nextPageToken"):
                return tuple(found)
            query["pageToken"] = answer["nextPageToken"]

    async def find_policy(self, name: str) -> PolicyView | None:
        """The one of that name, whosever it is."""
        try:
            return _policy_view(await self._rest.send("GET", f"{self._region}/resourcePolicies/{name}"))
        except NotFoundError:
            return None

    async def create_policy(self, spec: PolicySpec) -> None:
        """Create one and wait for it, some seconds; `AlreadyExistsError` when the name is taken, by whomever."""
        await self._settle(await self._rest.send("POST", f"{self._region}/resourcePolicies", json=policy_body(spec)))

    async def delete_policy(self, name: str) -> None:
        """Delete one and wait for it; `NotFoundError` when it is gone, `InUseError` while something is placed by it."""
        await self._settle(await self._rest.send("DELETE", f"{self._region}/resourcePolicies/{name}"))

    async def close(self) -> None:
        """Let go of connections."""
        await self._rest.close()

    async def _settle(self, operation: Json) -> None:
        """Wait for the operation's end: what refuses a request late stands in it, and nowhere else."""
        name = str(operation.get("name", ""))
        try:
            async with asyncio.timeout(self._settle_s):
                while operation.get("status") != "DONE":
                    await asyncio.sleep(self._poll_s)
                    operation = await self._rest.send("GET", f"{self._region}/operations/{name}")
        except TimeoutError as error:
            words = f"operation {name} of Compute Engine was not done after {self._settle_s:g} s"
            raise UnavailableError(words, verbatim=False) from error
        errors = (operation.get("error") or {}).get("errors", ())
        if errors:
            raise _operation_error(errors[0])


def policy_body(spec: PolicySpec) -> Json:
    """What `resourcePolicies.insert` is sent."""
    workload = {"type": HIGH_THROUGHPUT, "acceleratorTopology": spec.topology}
    return {"name": spec.name, "description": spec.description, "workloadPolicy": workload}


def _policy_view(item: Mapping[str, Any]) -> PolicyView:
    workload = item.get("workloadPolicy") or {}
    status = str(item.get("status", ""))
    return PolicyView(
        name=str(item.get("name", "")),
        state=PolicyState(status) if status in set(PolicyState) else PolicyState.READY,
        type=str(workload.get("type", "")),
        topology=str(workload.get("acceleratorTopology", "")),
        description=str(item.get("description", "")),
    )


def _operation_error(error: Mapping[str, Any]) -> CloudError:
    """Compute Engine has no canonical codes there, only words of its own such as `QUOTA_EXCEEDED`."""
    code, text = str(error.get("code", "")), str(error.get("message", ""))
    return classify("", text if not code or code in text else f"[{code}] {text}")
