"""Rights: those that a role gives, and those that an API server's audit log saw the operator use.

With MISTRAL_OPERATOR_RIGHTS naming a folder, each sandbox leaves there, when it ends, what the operator used in it. So
all sandboxes of all workers of a test run can be compared with the roles afterwards: tests/rights.
"""

import json
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = "MISTRAL_OPERATOR_RIGHTS"


class Right(NamedTuple):
    """One verb on one resource; a subresource as in `mistralmodels/status`."""

    group: str
    resource: str
    verb: str

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}{f'.{self.group}' if self.group else ''}"


class Request(NamedTuple):
    """What the operator asked for, and what came of it."""

    right: Right
    path: str
    code: int
    """The HTTP status."""
    refused: bool
    """For want of a right: a 403 may also mean that a namespace is going, or a quota full."""


class Use(NamedTuple):
    """What the operator did in one sandbox."""

    sandbox: str
    used: frozenset[Right]
    refused: tuple[str, ...]


def read_requests(audit_log: Path) -> Iterator[Request]:
    """The operator's requests, as the API server noted them, whatever the release that its account belongs to."""
    for line in audit_log.read_text().splitlines():
        event = json.loads(line)
        user = event["user"]["username"]
        if not (user.startswith("system:serviceaccount:") and user.endswith("mistral-operator")):
            continue
        about = event.get("objectRef") or {}
        resource = "/".join(filter(None, (about.get("resource", ""), about.get("subresource", ""))))
        right = Right(about.get("apiGroup", ""), resource, event["verb"])
        code = (event.get("responseStatus") or {}).get("code", 0)
        refused = code == 401 or (event.get("annotations") or {}).get("authorization.k8s.io/decision") == "forbid"
        yield Request(right, event["requestURI"].partition("?")[0], code, refused)


def read_use(audit_log: Path, sandbox: str) -> Use:
    """The rights used. A patch that made an object needed the right to create it, too.

    An API server that has just started refuses what it allows a moment later, when it has read the roles: what it
    allowed at another time was not refused for want of a right.
    """
    requests = list(read_requests(audit_log))
    allowed = {(request.right, request.path) for request in requests if not request.refused}
    used = {right for right, _ in allowed if right.resource}
    used |= {r.right._replace(verb="create") for r in requests if r.right.verb == "patch" and r.code == 201}
    refused = {(request.right, request.path) for request in requests if request.refused} - allowed
    return Use(sandbox, frozenset(used), tuple(f"{right} at {path}" for right, path in sorted(refused)))


def read_rights(role: Mapping[str, Any]) -> Iterator[Right]:
    """Every right that a role's rules give."""
    for rule in role["rules"]:
        assert set(rule) <= {"apiGroups", "resources", "resourceNames", "verbs"}
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                yield from (Right(group, resource, verb) for verb in rule["verbs"])


@contextmanager
def recorded_use(audit_log: Path) -> Iterator[None]:
    """Leave behind what the operator used in this sandbox, if somebody wants to know."""
    folder = os.environ.get(FOLDER)
    begun_by = os.environ.get("PYTEST_CURRENT_TEST", "a session's fixture").rpartition(" (")[0]
    try:
        yield
    finally:
        if folder and audit_log.exists():
            use = read_use(audit_log, f"the sandbox begun by {begun_by}")
            Path(folder).mkdir(parents=True, exist_ok=True)
            Path(folder, f"{uuid.uuid4()}.json").write_text(json.dumps(use._replace(used=sorted(use.used))))


def read_recorded(folder: Path) -> list[Use]:
    """What all sandboxes have left."""
    found = (json.loads(file.read_text()) for file in folder.glob("*.json"))
    return [
        Use(sandbox, frozenset(Right(*right) for right in used), tuple(refused)) for sandbox, used, refused in found
    ]
