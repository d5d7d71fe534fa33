"""The front finds a ready endpoint by Service and port, in turns."""

from typing import Any

import pytest

from mistral_operator.sandbox.front import Endpoints, NoEndpointError

PORTS = [{"name": "http", "port": 80}, {"name": "metrics", "port": 9090}]


def service() -> dict[str, Any]:
    return {"metadata": {"namespace": "team", "name": "chat"}, "spec": {"ports": PORTS}}


def endpoint_slice(name: str, *addresses: str, ready: bool | None = True, port: int = 8000) -> dict[str, Any]:
    conditions = {} if ready is None else {"ready": ready}
    return {
        "metadata": {"namespace": "team", "name": name, "labels": {"kubernetes.io/service-name": "chat"}},
        "ports": [{"name": "http", "port": port}, {"name": "metrics", "port": 9400}],
        "endpoints": [{"addresses": [address], "conditions": conditions} for address in addresses],
    }


@pytest.fixture
def endpoints() -> Endpoints:
    found = Endpoints()
    found.see_service("ADDED", service())
    return found


def test_endpoints_take_turns(endpoints: Endpoints) -> None:
    endpoints.see_slice("ADDED", endpoint_slice("a", "10.64.0.1", "10.64.0.2"))
    endpoints.see_slice("ADDED", endpoint_slice("b", "10.64.0.3", ready=None))
    chosen = [endpoints.choose("team", "chat", None)[0] for _ in range(6)]
    assert chosen == ["10.64.0.1", "10.64.0.2", "10.64.0.3"] * 2


@pytest.mark.parametrize(("port", "expected"), [(None, 8000), ("80", 8000), ("http", 8000), ("metrics", 9400)])
def test_ports_by_name_and_number(endpoints: Endpoints, port: str | None, expected: int) -> None:
    endpoints.see_slice("ADDED", endpoint_slice("a", "10.64.0.1"))
    assert endpoints.choose("team", "chat", port) == ("10.64.0.1", expected)


def test_what_is_not_there_is_named(endpoints: Endpoints) -> None:
    with pytest.raises(NoEndpointError, match="no Service other in namespace team"):
        endpoints.choose("team", "other", None)
    with pytest.raises(NoEndpointError, match="no ready endpoint"):
        endpoints.choose("team", "chat", None)
    with pytest.raises(NoEndpointError, match="no port 81; its ports: http, metrics"):
        endpoints.choose("team", "chat", "81")


def test_unready_and_deleted_endpoints_get_nothing(endpoints: Endpoints) -> None:
    endpoints.see_slice("ADDED", endpoint_slice("a", "10.64.0.1", ready=False))
    assert endpoints.services()[0]["ready"] == 0
    endpoints.see_slice("MODIFIED", endpoint_slice("a", "10.64.0.1"))
    assert endpoints.services()[0]["ready"] == 1
    endpoints.see_slice("DELETED", endpoint_slice("a", "10.64.0.1"))
    assert endpoints.services()[0]["ready"] == 0
