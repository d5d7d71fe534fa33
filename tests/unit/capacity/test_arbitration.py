"""The line for what there isn't enough of: never above the limit, nobody overtaken, nobody forgotten."""

from dataclasses import replace
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from mistral_operator.capacity.arbitration import Account, Budget, Contender, Share, find_place, share_budget

_Line = dict[str, Account]


def _account(name: str, priority: int, held: int, wanted: int) -> Account:
    who = Contender("team", name, priority, f"2026-11-0{1 + len(name) % 9}T00:00:00Z")
    return Account(who, Decimal(held), Decimal(max(held, wanted)))


@st.composite
def lines(draw: st.DrawFn) -> _Line:
    """Models by name, with what they hold and want."""
    numbers = st.integers(0, 12)
    names = draw(st.lists(st.text("abc", min_size=1, max_size=4), min_size=1, max_size=6, unique=True))
    return {name: _account(name, draw(st.integers(-2, 2)), draw(numbers), draw(numbers)) for name in names}


def see(line: _Line, name: str) -> Budget:
    """What one of them may know."""
    others = [each for other, each in line.items() if other != name]
    waiting = sorted((each for each in others if each.waits), key=lambda each: each.who.rank)
    return Budget(sum((each.held for each in others), Decimal(0)), tuple(waiting))


def ask(line: _Line, name: str, limit: Decimal) -> Share:
    return share_budget(limit, line[name], see(line, name))


def serve(line: _Line, name: str, limit: Decimal) -> _Line:
    return line | {name: replace(line[name], held=ask(line, name, limit).granted)}


def hold(line: _Line) -> Decimal:
    return sum((each.held for each in line.values()), Decimal(0))


limits = st.integers(0, 30).map(Decimal)


@given(lines(), limits, st.data())
def test_the_limit_holds_and_what_stands_is_kept(line: _Line, limit: Decimal, data: st.DataObject) -> None:
    most = max(limit, hold(line))
    for name in data.draw(st.lists(st.sampled_from(sorted(line)), max_size=12)):
        after = serve(line, name, limit)
        assert line[name].held <= after[name].held <= line[name].wanted
        assert hold(after) <= most
        line = after


@given(lines(), limits, st.data())
def test_all_get_the_same_in_whatever_order_they_are_looked_at(
    line: _Line, limit: Decimal, data: st.DataObject
) -> None:
    def settle(order: list[str]) -> _Line:
        settled = line
        for _ in line:
            for name in order:
                settled = serve(settled, name, limit)
        return settled

    names = sorted(line)
    assert settle(names) == settle(data.draw(st.permutations(names)))


@given(lines(), limits)
def test_nobody_gets_more_while_a_better_one_lacks_what_it_could_have(line: _Line, limit: Decimal) -> None:
    for name, mine in line.items():
        if ask(line, name, limit).granted > mine.held:
            after = serve(line, name, limit)
            ahead = [other for other, each in line.items() if each.who.rank < mine.who.rank and each.waits]
            for other in ahead:
                granted = ask(after, other, limit).granted
                assert granted == ask(line, other, limit).granted
                assert granted >= min(line[other].wanted, limit)


@given(lines(), limits)
def test_everybody_whose_need_is_within_the_limit_is_served_when_others_go(line: _Line, limit: Decimal) -> None:
    wanting = {name for name, each in line.items() if each.wanted <= limit}
    while line:
        for _ in range(len(line)):
            for name in line:
                line = serve(line, name, limit)
        done = [name for name, each in line.items() if not each.waits or name not in wanting]
        assert done or hold(line) > 0
        gone = done or [max(line, key=lambda name: line[name].held)]
        if not done:
            first = min((each for each in line.values() if each.waits), key=lambda each: each.who.rank)
            others = [name for name, each in line.items() if each is not first and each.held]
            assert others, f"{first} waits for nobody"
            gone = others
        line = {name: each for name, each in line.items() if name not in gone}


@given(lines(), limits)
def test_what_is_spare_is_wanted_by_nobody(line: _Line, limit: Decimal) -> None:
    for name in line:
        spare = ask(line, name, limit).spare
        if spare > 0:
            after = serve(line, name, limit)
            taken = after | {name: replace(after[name], held=after[name].held + spare)}
            for other in line.keys() - {name}:
                before, now = ask(after, other, limit).granted, ask(taken, other, limit).granted
                assert now == before


def test_before_all_accounts_are_known_nobody_gets_more() -> None:
    mine = _account("a", 0, 1, 5)
    share = share_budget(Decimal(100), mine, Budget(complete=False))
    assert (share.granted, share.spare) == (1, 0)


def test_a_model_that_wants_more_than_the_limit_is_not_waited_for() -> None:
    line = {"a": _account("a", 9, 4, 50), "b": _account("b", 0, 0, 3)}
    assert ask(line, "b", Decimal(4)).granted == 0
    assert ask(line, "b", Decimal(10)).granted == 0, "a may still have all of it"
    line = serve(line, "a", Decimal(10))
    assert line["a"].held == 10
    full = {"a": _account("a", 9, 12, 50), "b": _account("b", 0, 0, 3)}
    assert ask(full, "b", Decimal(11)).granted == 0
    over = {"a": _account("a", 9, 0, 50), "c": _account("c", 1, 0, 2), "b": _account("b", 0, 0, 3)}
    assert ask(over | {"a": _account("a", 9, 5, 5)}, "b", Decimal(10)).granted == 3


def test_a_place_names_models_of_the_readers_namespace_and_counts_the_others() -> None:
    who = Contender("team-a", "late", 0, "2026-11-03T00:00:00Z")
    first = Contender("team-a", "chat", 10, "2026-11-09T00:00:00Z")
    stranger = Contender("team-b", "secret", 0, "2026-11-01T00:00:00Z")
    younger = Contender("team-a", "young", 0, "2026-11-04T00:00:00Z")
    place = find_place(who, (younger, stranger, first), "reservation team-gpus")
    assert (place.position, place.of) == (3, 4)
    told = place.tell("team-a")
    assert told == (
        "3rd of 4 in line for reservation team-gpus, behind chat (priority 10) and 1 model of other namespaces"
    )
    assert "secret" in place.tell("team-b")
    alone = find_place(who, (), "reservation team-gpus")
    assert alone.tell("team-a") == "1st of 1 in line for reservation team-gpus"
    crowd = [Contender("team-a", f"m{number}", 1) for number in range(11)]
    assert find_place(who, crowd, "x").tell("team-a") == (
        "12th of 12 in line for x, behind m0 (priority 1), m1 (priority 1), m10 (priority 1) and 8 more"
    )
