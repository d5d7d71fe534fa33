"""How audit logs are read: a comparison that overlooks a refusal would be worth nothing."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.rights import FOLDER, Right, read_recorded, read_use, recorded_use

SERVICES = "/api/v1/namespaces/a/services/chat?fieldManager=mistral-operator"
ACCOUNT = "system:serviceaccount:mistral-operator-system:mistral-operator"


def _event(verb: str, code: int = 200, *, decision: str = "allow", user: str = ACCOUNT, uri: str = SERVICES) -> str:
    event: dict[str, Any] = {
        "user": {"username": user},
        "verb": verb,
        "requestURI": uri,
        "objectRef": {"resource": "services", "apiVersion": "v1"},
        "responseStatus": {"code": code},
        "annotations": {"authorization.k8s.io/decision": decision},
    }
    return json.dumps(event)


def _log(directory: Path, *events: str) -> Path:
    file = directory / "audit.log"
    file.write_text("".join(f"{event}\n" for event in events))
    return file


def test_a_patch_that_made_something_needed_two_rights(tmp_path: Path) -> None:
    use = read_use(_log(tmp_path, _event("patch", 201)), "here")
    assert use.used == {Right("", "services", "patch"), Right("", "services", "create")}
    assert read_use(_log(tmp_path, _event("patch", 200)), "here").used == {Right("", "services", "patch")}


def test_a_refusal_is_no_use(tmp_path: Path) -> None:
    use = read_use(_log(tmp_path, _event("delete", 403, decision="forbid")), "here")
    assert use.used == frozenset()
    assert use.refused == ("delete services at /api/v1/namespaces/a/services/chat",)


def test_an_account_that_is_not_known_is_refused(tmp_path: Path) -> None:
    event = json.loads(_event("get", 401))
    del event["annotations"]
    assert read_use(_log(tmp_path, json.dumps(event)), "here").refused


@pytest.mark.parametrize(
    "events",
    [
        # The namespace is going, or a quota is full.
        [_event("patch", 403)],
        # The API server has just started, and hasn't read the roles yet.
        [_event("patch", 403, decision="forbid"), _event("patch")],
    ],
)
def test_what_is_no_want_of_a_right_is_not_taken_for_one(tmp_path: Path, events: list[str]) -> None:
    assert read_use(_log(tmp_path, *events), "here").refused == ()


def test_another_objects_permission_does_not_excuse_a_refusal(tmp_path: Path) -> None:
    allowed = _event("patch", uri="/api/v1/namespaces/a/services/other")
    assert read_use(_log(tmp_path, allowed, _event("patch", 403, decision="forbid")), "here").refused


@pytest.mark.parametrize(
    ("user", "counts"),
    [
        ("system:serviceaccount:inference:chat-models-mistral-operator", True),
        ("mistral-sandbox-admin", False),
        ("system:serviceaccount:kube-system:deployment-controller", False),
    ],
)
def test_only_the_operators_accounts_count(tmp_path: Path, user: str, counts: bool) -> None:
    assert bool(read_use(_log(tmp_path, _event("get", user=user)), "here").used) is counts


def test_a_sandbox_leaves_what_was_used_also_after_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER, str(tmp_path / "used"))
    log = _log(tmp_path, _event("get"), _event("delete", 403, decision="forbid"))

    def fail() -> None:
        with recorded_use(log):
            raise RuntimeError("a test that fails")

    with pytest.raises(RuntimeError):
        fail()
    (use,) = read_recorded(tmp_path / "used")
    assert use.used == {Right("", "services", "get")}
    assert len(use.refused) == 1
    assert "test_a_sandbox_leaves_what_was_used_also_after_a_failure" in use.sandbox
