# ruff: noqa: N818 - these are answers, named as the API server names them
"""What the API server can answer instead of the object: one class per way to go on."""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

_SCHEMA_ERRORS: Final = (
    "failed to create typed patch object",
    "failed to create typed live object",
    "failed to create manager for",
)
"""Server-side apply reports a field that its schema doesn't know as a 500 without a reason; only the text tells."""

_UNDECLARED: Final = re.compile(r"(\.[^\s:]\S*): field not declared in schema")
"""One field that server-side apply doesn't know, as in `.status.conditions[type="Ready"].colour`."""
_ELEMENT: Final = re.compile(r"\[[^\]]*\]")

_TERMINATING: Final = "because it is being terminated"


class ApiError(Exception):
    """A request that the API server did not fulfil.

    `status` is the HTTP status, or 0 when no answer came. `reason` is the machine-readable reason of the Kubernetes
    Status object, and `message` its text, in the API server's own words. `permanent` means that the same request
    will fail the same way again.
    """

    permanent = False

    def __init__(self, status: int, reason: str, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(status, reason, message)
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return f"{self.message} ({self.status} {self.reason})" if self.status else self.message


class Unauthorized(ApiError):
    """401: the credentials are gone or expired."""


class Forbidden(ApiError):
    """403: the operator's role doesn't allow it, a quota is exceeded, or an admission plugin refused."""


class NamespaceTerminating(Forbidden):
    """403: nothing can be created in a namespace that is being deleted; there is nothing left to do in it."""


class NotFound(ApiError):
    """404: the object, its namespace or its kind isn't there."""


class Conflict(ApiError):
    """409: the object has changed since it was read, a precondition failed, or another manager owns a field."""


class AlreadyExists(Conflict):
    """409 on create."""


class Expired(ApiError):
    """410: the resource version to watch from, or a list's continuation, is too old. List again."""


class Throttled(ApiError):
    """429: too many requests; `retry_after_s` says when to come back, if the server did."""


class Invalid(ApiError):
    """The object is refused as it is (400, 413, 415, 422, and schema errors that come as 500)."""

    permanent = True


UPGRADE: Final = "Apply the CustomResourceDefinitions of this version"
"""What mends a definition that is older than the operator."""


class Undeclared(Invalid):
    """The cluster's definition of this kind lacks fields of the object: it is older than this operator."""

    @property
    def fields(self) -> frozenset[tuple[str, ...]]:
        """The fields that it lacks, each as the names that lead to it; elements of lists have no name."""
        found = _UNDECLARED.findall(self.message)
        return frozenset(tuple(_ELEMENT.sub("", path).strip(".").split(".")) for path in found)


class Unavailable(ApiError):
    """The API server has a trouble of its own (5xx)."""


class Unreachable(Unavailable):
    """No answer: connection refused or cut, or the time was up."""


_BY_STATUS: Final[Mapping[int, type[ApiError]]] = {
    400: Invalid,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    405: Invalid,
    409: Conflict,
    410: Expired,
    413: Invalid,
    415: Invalid,
    422: Invalid,
    429: Throttled,
}


def error_of(status: int, body: bytes | str, headers: Mapping[str, str]) -> ApiError:
    """The error that an HTTP answer of 400 or more means."""
    answer = _parse_status(body)
    reason = str(answer.get("reason") or "")
    message = str(answer.get("message") or f"the API server answered {status}")
    return _class_of(status, reason, message)(status, reason, message, retry_after_s=_retry_after_s(answer, headers))


def error_of_event(status: Mapping[str, Any]) -> ApiError:
    """The error that an ERROR event of a watch carries."""
    code = status.get("code")
    return error_of(code if isinstance(code, int) else 500, json.dumps(status), {})


def _class_of(status: int, reason: str, message: str) -> type[ApiError]:
    if status == 403 and _TERMINATING in message:
        return NamespaceTerminating
    if status == 409 and reason == "AlreadyExists":
        return AlreadyExists
    if status >= 500:
        return _class_of_failure(message)
    return _BY_STATUS.get(status, ApiError)


def _class_of_failure(message: str) -> type[ApiError]:
    if not any(text in message for text in _SCHEMA_ERRORS):
        return Unavailable
    return Undeclared if _UNDECLARED.search(message) else Invalid


def _parse_status(body: bytes | str) -> Mapping[str, Any]:
    """The Status object of an answer. Proxies and early failures answer with plain text: that is the message then."""
    try:
        answer = json.loads(body)
    except ValueError:
        text = body.decode(errors="replace") if isinstance(body, bytes) else body
        return {"message": text.strip()[:500]}
    return answer if isinstance(answer, dict) else {}


def _retry_after_s(answer: Mapping[str, Any], headers: Mapping[str, str]) -> float | None:
    details = answer.get("details")
    asked = headers.get("Retry-After") or (details.get("retryAfterSeconds") if isinstance(details, dict) else None)
    try:
        return max(0.0, float(asked)) if asked is not None else None
    except (TypeError, ValueError):
        return None  # Retry-After may also be a date, which the API server never sends.
