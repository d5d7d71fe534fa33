"""The dial map: unique pod addresses, and where their processes listen."""

from pathlib import Path

import pytest

from mistral_operator.sandbox.dial import DialMap, NoFreeBlockError, listening_address
from mistral_operator.sandbox.names import find_host, write_hosts


def test_a_pod_listens_where_its_address_says() -> None:
    assert listening_address("10.64.3.7") == "127.64.3.7"


@pytest.mark.parametrize("address", ["192.168.0.1", "127.0.0.1", "11.0.0.1", "10.64.3", "chat"])
def test_other_addresses_have_no_listening_address(address: str) -> None:
    with pytest.raises(ValueError):
        listening_address(address)


def test_addresses_are_unique_and_come_back_late() -> None:
    with DialMap() as dial:
        first = dial.allocate()
        others = {dial.allocate() for _ in range(600)}
        assert first not in others
        assert len(others) == 600
        dial.release(first)
        assert dial.allocate() not in others | {first}


def test_an_adopted_address_is_not_given_out() -> None:
    with DialMap() as dial:
        taken = f"10.{dial.block}.0.1"
        dial.adopt(taken)
        assert dial.allocate() != taken


def test_two_sandboxes_have_different_blocks() -> None:
    with DialMap() as one, DialMap() as two:
        assert one.block != two.block
        with pytest.raises(NoFreeBlockError):
            DialMap([one.block, two.block])


def test_a_closed_map_gives_its_block_back() -> None:
    with DialMap() as one:
        block = one.block
    with DialMap([block]) as again:
        assert again.block == block


def test_names_lead_to_listening_addresses() -> None:
    with DialMap() as dial:
        address = dial.allocate()
        dial.name_pod("team", "chat-0", "chat", address)
        for name in ("chat-0.chat.team", "chat-0.chat.team.svc", "chat-0.chat.team.svc.cluster.local."):
            assert dial.dial(name) == listening_address(address)
        assert dial.dial("chat-0.chat", "team") == listening_address(address)
        assert dial.dial("chat-0.chat", "other") == dial.dial("chat-0.chat") == "chat-0.chat"
        dial.release(address)
        assert dial.dial("chat-0.chat.team") == "chat-0.chat.team"


def test_two_teams_may_use_the_same_name() -> None:
    with DialMap() as dial:
        one, two = dial.allocate(), dial.allocate()
        dial.name_pod("one", "chat-0", "chat", one)
        dial.name_pod("two", "chat-0", "chat", two)
        assert dial.dial("chat-0.chat", "one") == listening_address(one)
        assert dial.dial("chat-0.chat", "two") == listening_address(two)


def test_the_hosts_file_follows_the_pods(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    with DialMap(hosts=hosts) as dial:
        old, new = dial.allocate(), dial.allocate()
        dial.name_pod("team", "chat-0", "chat", old)
        assert find_host(hosts, "chat-0.chat", "team") == listening_address(old)
        dial.name_pod("team", "chat-0", "chat", new)
        # The pod before it goes later than its successor comes: the name stays the successor's.
        dial.release(old)
        assert find_host(hosts, "chat-0.chat", "team") == listening_address(new)
        dial.release(new)
        assert find_host(hosts, "chat-0.chat", "team") is None


@pytest.mark.parametrize(
    ("host", "namespace", "address"),
    [
        ("chat-0.chat", "team", "127.64.0.1"),
        ("chat-0.chat", "other", "127.64.0.2"),
        ("chat-0.chat", "third", None),
        ("chat-0.chat", None, None),
        ("chat-0.chat.team", "other", "127.64.0.1"),
        ("chat-0.chat.team.svc", None, "127.64.0.1"),
        ("chat-0.chat.team.svc.cluster.local.", "other", "127.64.0.1"),
        ("chat-0", "team", None),
    ],
)
def test_names_are_looked_up_as_a_pod_would(
    tmp_path: Path, host: str, namespace: str | None, address: str | None
) -> None:
    names = {"chat-0.chat.team.svc.cluster.local": "127.64.0.1", "chat-0.chat.other.svc.cluster.local": "127.64.0.2"}
    write_hosts(tmp_path / "hosts", names)
    assert find_host(tmp_path / "hosts", host, namespace) == address


def test_before_any_pod_has_a_name_nobody_is_found(tmp_path: Path) -> None:
    assert find_host(tmp_path / "hosts", "chat-0.chat", "team") is None


def test_other_hosts_are_dialled_as_they_are() -> None:
    with DialMap() as dial:
        assert dial.dial("localhost") == "localhost"
        assert dial.dial("10.99.0.4") == "127.99.0.4"
