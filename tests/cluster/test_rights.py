"""The operator serves a model with the rights of deploy/rbac.yaml: none is missing, and none is there for nothing."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from tests.support.kubectl import kubectl
from tests.support.light_stack import light_stack
from tests.support.polling import eventually
from tests.support.running_sandbox import REPOSITORY
from tests.support.stack import Stack

from mistral_operator.sandbox.control_plane import ControlPlane

pytestmark = pytest.mark.cluster

RBAC = REPOSITORY / "deploy" / "rbac.yaml"
SYSTEM, ACCOUNT = "mistral-operator-system", "mistral-operator"
MODEL = "mistral-7b-v0.3"


class Right(NamedTuple):
    """One verb on one resource; a subresource as in `mistralmodels/status`."""

    group: str
    resource: str
    verb: str


class Request(NamedTuple):
    """What the operator asked for, and the HTTP status of the answer."""

    right: Right
    code: int
    address: str


RARELY_USED = {
    # Read only where an object of that name is there already; of Services that is always asked first.
    Right("apps", "controllerrevisions", "get"),
    Right("autoscaling", "horizontalpodautoscalers", "get"),
    Right("policy", "poddisruptionbudgets", "get"),
    Right("serving.mistral-operator.dev", "nodepoolclaims", "get"),
    # Every model has one, which the garbage collector removes; the operator only removes what a spec no longer needs.
    Right("", "services", "delete"),
    Right("apps", "deployments", "delete"),
    Right("policy", "poddisruptionbudgets", "delete"),
}


async def test_a_model_is_served_with_just_these_rights(tmp_path: Path) -> None:
    async with light_stack(tmp_path / "sandbox") as (stack, plane):
        applied = await kubectl(plane, "apply", "-f", RBAC)
        assert (applied.code, applied.errors) == (0, "")
        stack.operator.kubeconfig = await plane.service_account_kubeconfig(SYSTEM, ACCOUNT, tmp_path / "kubeconfig")
        stack.operator.env = {**stack.operator.env, "MISTRAL_OPERATOR_RUN_LEADER_ELECT": "true"}
        stack.operator.start()
        await live_a_life(stack, plane)
        await stack.operator.stop()
        requests = list(read_requests(plane.audit_log))
        log = stack.operator.log(1000)
    assert [request for request in requests if request.code in (401, 403)] == []
    assert "forbidden" not in log.lower()
    used = {request.right for request in requests if request.right.resource}
    used |= {right._replace(verb="create") for right, code, _ in requests if right.verb == "patch" and code == 201}
    granted = {right for role in read_roles() for right in read_rights(role)}
    assert used <= granted
    assert granted - used == RARELY_USED


async def live_a_life(stack: Stack, plane: ControlPlane) -> None:
    """Serve, scale, roll out, put right what somebody broke, meet a taken name, and go."""
    await stack.apply("chat", model=MODEL, scaling={"maxReplicas": 2})
    await stack.expect_ready("chat")
    assert await stack.children("HorizontalPodAutoscaler")
    (first,) = await stack.children("ControllerRevision")
    await stack.scale("chat", 2)
    await stack.expect_ready("chat", replicas=2)
    await stack.apply("chat", model=MODEL, engine={"contextLength": 8192})

    async def rolled_out() -> bool:
        names = [revision["metadata"]["name"] for revision in await stack.children("ControllerRevision")]
        scalers = await stack.children("HorizontalPodAutoscaler")
        return len(names) == 1 and first["metadata"]["name"] not in names and not scalers

    await eventually(rolled_out, 60, stack.story)
    await stack.expect_ready("chat", replicas=2)
    removed = await kubectl(plane, "delete", "service", "chat", "-n", stack.namespace)
    assert removed.code == 0, removed.errors
    await eventually(lambda: stack.children("Service"), 60, stack.story)
    made = await kubectl(plane, "create", "deployment", "taken", "--image=i", "--replicas=0", "-n", stack.namespace)
    assert made.code == 0, made.errors
    await stack.apply("taken", model=MODEL)
    await stack.expect("taken", "Stalled", "True", "NameTaken")
    removed = await kubectl(plane, "delete", "deployment", "taken", "-n", stack.namespace)
    assert removed.code == 0, removed.errors
    for name in ("chat", "taken"):
        await stack.delete(name)
    await stack.expect_no_trace()


def read_requests(audit_log: Path) -> Iterator[Request]:
    """The operator's requests, as the API server noted them."""
    for line in audit_log.read_text().splitlines():
        event = json.loads(line)
        if event["user"]["username"] != f"system:serviceaccount:{SYSTEM}:{ACCOUNT}":
            continue
        about = event.get("objectRef") or {}
        resource = "/".join(filter(None, (about.get("resource", ""), about.get("subresource", ""))))
        right = Right(about.get("apiGroup", ""), resource, event["verb"])
        yield Request(right, (event.get("responseStatus") or {}).get("code", 0), event["requestURI"])


def read_roles() -> list[dict[str, Any]]:
    """The roles of the manifest."""
    return [item for item in yaml.safe_load_all(RBAC.read_text()) if item["kind"] in ("ClusterRole", "Role")]


def read_rights(role: Mapping[str, Any]) -> Iterator[Right]:
    """Every right that a role's rules give."""
    for rule in role["rules"]:
        assert set(rule) <= {"apiGroups", "resources", "resourceNames", "verbs"}
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                yield from (Right(group, resource, verb) for verb in rule["verbs"])
