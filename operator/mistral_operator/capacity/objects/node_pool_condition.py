"""How a node pool stands by the Ready condition that Config Connector writes into its object. Pure.

`Updating` and `UpdateFailed` may be about the first making, too. Config Connector tries again by itself whatever went
wrong. So a refusal that goes away is a pool that is still being made, with the refusal told; one that doesn't, such as
a stock-out, is a failed pool, which the claim gives up.

Trying again may mean that Config Connector finds the pool that GKE left in status ERROR, takes it over as it is, and
calls it up to date (its issue 619). Its Events still say what happened.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from mistral_operator.capacity.errors import CONFIG_CONNECTOR, CloudFinding, classify
from mistral_operator.capacity.port import PoolStatus

SILENCE_S: Final = 60.0
"""Config Connector writes a first condition within seconds; after so long nobody seems to look at the object."""

_WRAPPING: Final = re.compile(
    r"^(Update|Delete) call failed: (error (applying desired state|deleting resource): )?(summary: )?(googleapi: )?"
    r"|, detail:\s*$"
)
_HTTP: Final = re.compile(r"\bError (?P<status>\d{3}): ")
_REST_REASON: Final = re.compile(r", [a-zA-Z]+$")
"""Google's REST client ends with a reason such as `rateLimitExceeded`, which goes with every HTTP status 429."""
_OPERATION_FAILED: Final = re.compile(r"Error waiting for creating|was created in the error state")
_IMMUTABLE: Final = re.compile(r"immutable field|would require recreation")
_CODES: Final[Mapping[str, str]] = {
    "400": "INVALID_ARGUMENT",
    "401": "UNAUTHENTICATED",
    "403": "PERMISSION_DENIED",
    "404": "NOT_FOUND",
    "409": "FAILED_PRECONDITION",
    "429": "RESOURCE_EXHAUSTED",
}
"""gRPC's code for the HTTP status that Google's REST calls answer with; the text is asked first."""

_WAITS: Final = frozenset({
    "Unmanaged", "DependencyNotReady", "DependencyNotFound", "DependencyInvalid", "ManagementConflict",
    "PreActuationTransformFailed",
})  # fmt: skip
"""Config Connector's own reasons why nothing happens: a person has to mend them, and then it goes on."""


def read_status(
    body: Mapping[str, Any], *, age_s: float, failure_told: str = ""
) -> tuple[PoolStatus, tuple[CloudFinding, ...]]:
    """The pool's status as GKE would say it, and what stands in its way.

    `age_s` is the object's; `failure_told` what an Event said of its making, see `node_pool_events`.
    """
    ready, deleting = ready_condition(body), bool(body["metadata"].get("deletionTimestamp"))
    reason, message = str(ready.get("reason", "")), str(ready.get("message", ""))
    if deleting:
        if reason == "DeleteFailed" and _is_final(failure := _classify(message), message):
            return PoolStatus.ERROR, (failure,)
        return PoolStatus.STOPPING, (_classify(message),) if reason == "DeleteFailed" else ()
    if not ready:
        return PoolStatus.PROVISIONING, (_SILENT,) if age_s > SILENCE_S else ()
    made = _was_made(body)
    usable = PoolStatus.RUNNING_WITH_ERROR if made else PoolStatus.PROVISIONING
    if reason in _WAITS:
        return usable, (_quote(reason, message),)
    if reason in ("CreateFailed", "UpdateFailed"):
        failure = _classify(message)
        return PoolStatus.ERROR if not made and _is_final(failure, message) else usable, (failure,)
    if ready.get("status") == "True":
        if failure_told:
            return PoolStatus.ERROR, (_classify(failure_told),)
        return PoolStatus.RUNNING if is_observed(body) else PoolStatus.RECONCILING, ()
    if reason in ("Creating", "Updating"):
        return PoolStatus.RECONCILING if made else PoolStatus.PROVISIONING, ()
    return PoolStatus.UNKNOWN, (_quote(reason, message),)


def is_stuck(body: Mapping[str, Any], *, age_s: float) -> bool:
    """Whether Config Connector does nothing about the object before a person has mended something."""
    ready = ready_condition(body)
    return ready.get("reason") in _WAITS if ready else age_s > SILENCE_S


def is_observed(body: Mapping[str, Any]) -> bool:
    """Whether the condition is about the spec as it is now."""
    seen = (body.get("status") or {}).get("observedGeneration")
    return seen is None or int(seen) >= int(body["metadata"].get("generation") or 0)


def find_update_failure(body: Mapping[str, Any]) -> CloudFinding | None:
    """Why the last change of the spec was refused for good; None while it is tried."""
    ready = ready_condition(body)
    message = str(ready.get("message", ""))
    if ready.get("reason") != "UpdateFailed" or not is_observed(body):
        return None
    failure = _classify(message)
    return failure if _is_final(failure, message) else None


def is_failed_operation(message: str) -> bool:
    """Whether GKE began to make the pool, and couldn't."""
    return bool(_OPERATION_FAILED.search(message))


def since(body: Mapping[str, Any]) -> str:
    """When the Ready condition last changed (RFC 3339); empty when there is none."""
    return str(ready_condition(body).get("lastTransitionTime", ""))


_SILENT: Final = CloudFinding(
    "ConfigConnectorSilent",
    "Config Connector hasn't looked at the ContainerNodePool: no condition has been written",
    retryable=True,
    verbatim=False,
)


def ready_condition(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """What Config Connector says of the object; empty before it says anything."""
    conditions = (body.get("status") or {}).get("conditions") or ()
    return next((found for found in conditions if found.get("type") == "Ready"), {})


def _quote(reason: str, message: str) -> CloudFinding:
    """What Config Connector says for itself."""
    return CloudFinding(reason, message, retryable=True, speaker=CONFIG_CONNECTOR)


def _was_made(body: Mapping[str, Any]) -> bool:
    """GKE has named the pool's instance groups."""
    return bool((body.get("status") or {}).get("instanceGroupUrls"))


def _classify(message: str) -> CloudFinding:
    """Google's own words out of Config Connector's, and what they mean."""
    text = _WRAPPING.sub("", message)
    found = _HTTP.search(text)
    code = _CODES.get(found["status"], "UNAVAILABLE") if found else ""
    if _IMMUTABLE.search(text):
        code = "INVALID_ARGUMENT"
    said = _REST_REASON.sub("", text) if found else text
    return replace(classify(code, said).finding, text=text, speaker=CONFIG_CONNECTOR)


def _is_final(finding: CloudFinding, message: str) -> bool:
    """An operation that failed has left a failed pool behind, whatever it says."""
    return not finding.retryable or is_failed_operation(message)
