"""The dial map: unique pod addresses, and where their processes listen."""

import pytest

from mistral_operator.sandbox.dial import DialMap, NoFreeBlockError, listening_address


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
        for name in ("chat-0.chat", "chat-0.chat.team", "chat-0.chat.team.svc", "chat-0.chat.team.svc.cluster.local."):
            assert dial.dial(name) == listening_address(address)
        dial.release(address)
        assert dial.dial("chat-0.chat") == "chat-0.chat"


def test_other_hosts_are_dialled_as_they_are() -> None:
    with DialMap() as dial:
        assert dial.dial("localhost") == "localhost"
        assert dial.dial("10.99.0.4") == "127.99.0.4"
