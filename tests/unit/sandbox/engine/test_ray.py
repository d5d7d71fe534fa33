"""When a group of hosts is complete, and when it is lost."""

from mistral_operator.sandbox.engine.ray import Membership


def test_a_group_is_formed_when_all_are_there() -> None:
    group = Membership(3)
    group.join("one")
    assert (group.active, group.formed.is_set()) == (2, False)
    group.join("two")
    assert (group.active, group.formed.is_set(), group.broken.is_set()) == (3, True, False)


def test_one_host_is_a_group() -> None:
    assert Membership(1).formed.is_set()


def test_who_goes_before_may_come_again() -> None:
    group = Membership(3)
    group.join("one")
    group.leave("one")
    assert (group.active, group.broken.is_set()) == (1, False)
    group.join("two")
    assert not group.formed.is_set()
    group.join("one again")
    assert group.formed.is_set()


def test_who_goes_later_breaks_it_for_good() -> None:
    group = Membership(2)
    group.join("one")
    group.leave("one")
    assert group.broken.is_set()
    group.join("another")
    assert group.broken.is_set()


def test_a_late_extra_worker_is_no_member() -> None:
    group = Membership(2)
    group.join("one")
    group.join("extra")
    group.leave("extra")
    assert not group.broken.is_set()
