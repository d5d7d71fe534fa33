"""Which answers of the API server mean what."""

import json

import pytest

from mistral_operator.cluster.errors import (
    AlreadyExists,
    ApiError,
    Conflict,
    Expired,
    Forbidden,
    Invalid,
    NamespaceTerminating,
    NotFound,
    Throttled,
    Unavailable,
    error_of,
    error_of_event,
)


def answer(message: str = "because", reason: str = "", **details: object) -> bytes:
    return json.dumps({"kind": "Status", "message": message, "reason": reason, "details": details}).encode()


@pytest.mark.parametrize(
    ("status", "expected", "permanent"),
    [
        (400, Invalid, True),
        (403, Forbidden, False),
        (404, NotFound, False),
        (409, Conflict, False),
        (410, Expired, False),
        (422, Invalid, True),
        (429, Throttled, False),
        (500, Unavailable, False),
        (503, Unavailable, False),
        (504, Unavailable, False),
        (418, ApiError, False),
    ],
)
def test_status_decides_class(status: int, expected: type[ApiError], permanent: bool) -> None:
    error = error_of(status, answer(), {})
    assert type(error) is expected
    assert error.permanent is permanent


def test_schema_error_of_server_side_apply_is_permanent_though_it_comes_as_500() -> None:
    message = (
        "failed to create typed patch object (ns/x; apps/v1, Kind=Deployment): .spec.nope: field not declared in schema"
    )
    error = error_of(500, answer(message), {})
    assert isinstance(error, Invalid)
    assert error.permanent
    assert ".spec.nope" in str(error)


def test_terminating_namespace_is_told_from_a_missing_right() -> None:
    message = (
        "deployments.apps x is forbidden: unable to create new content in namespace a because it is being terminated"
    )
    assert isinstance(error_of(403, answer(message, "Forbidden"), {}), NamespaceTerminating)
    assert type(error_of(403, answer("no right", "Forbidden"), {})) is Forbidden


def test_already_exists_is_told_from_a_conflict() -> None:
    assert isinstance(error_of(409, answer(reason="AlreadyExists"), {}), AlreadyExists)
    assert type(error_of(409, answer(reason="Conflict"), {})) is Conflict


def test_retry_after_comes_from_the_header_or_the_details() -> None:
    assert error_of(429, answer(), {"Retry-After": "7"}).retry_after_s == 7
    assert error_of(429, answer(retryAfterSeconds=3), {}).retry_after_s == 3
    assert error_of(429, answer(), {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}).retry_after_s is None
    assert error_of(500, answer(), {}).retry_after_s is None


def test_plain_text_of_a_proxy_becomes_the_message() -> None:
    error = error_of(502, b"upstream went away\n", {})
    assert isinstance(error, Unavailable)
    assert error.message == "upstream went away"


def test_error_event_of_a_watch() -> None:
    assert isinstance(error_of_event({"code": 410, "reason": "Expired", "message": "too old"}), Expired)
    assert isinstance(error_of_event({"message": "no code"}), Unavailable)
