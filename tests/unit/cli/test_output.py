"""Text for people: aligned whatever is styled, plain without a terminal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mistral_operator.cli.output import Cell, Style, bar, count, facts, paint, seconds, table, wants_color, wrap


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=5).filter(any), st.integers(10, 100))
def test_bar_has_exactly_its_width_and_loses_no_part(sizes: list[int], width: int) -> None:
    signs = "abcde"
    drawn = bar(list(zip(sizes, signs, strict=False)), width)
    assert len(drawn) == width
    assert [sign for sign, size in zip(signs, sizes, strict=False) if size] == sorted(set(drawn))


def test_bar_of_nothing_is_empty() -> None:
    assert bar([(0, "a")], 4) == "    "


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 s"),
        (59.6, "1 min"),
        (59, "59 s"),
        (380, "6 min 20 s"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
        (270000, "3 d 3 h"),
    ],
)
def test_seconds_for_people(value: float, text: str) -> None:
    assert seconds(value) == text


def test_columns_align_whatever_is_styled() -> None:
    lines = table(
        [[Cell("a", Style.GOOD), Cell("1", right=True), "x"], ["long", Cell("22", Style.BAD, right=True), ""]]
    )
    assert [plain(line) for line in lines] == ["  a      1  x", "  long  22"]


def test_header_is_aligned_like_its_column() -> None:
    lines = [plain(line) for line in table([["one", Cell("1", right=True)]], ("name", "count"))]
    assert lines == ["  name  count", "  one       1"]


def test_facts_leave_out_what_is_not_known_and_wrap_below_themselves() -> None:
    lines = [plain(line) for line in facts([("cost", "$1"), ("nothing", ""), ("place", "word " * 40)])]
    assert lines[0] == "  cost   $1"
    assert all(line.startswith(" " * 9 + "word") for line in lines[2:])
    assert max(map(len, lines)) <= 100


def test_wrapping_keeps_the_texts_own_lines() -> None:
    assert wrap("first\nsecond", "  ", 40) == ["  first", "  second"]


def test_no_color_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert wants_color() is True
    monkeypatch.setenv("NO_COLOR", "1")
    assert wants_color() is False


def test_a_dumb_terminal_gets_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.setenv("TERM", "dumb")
    assert wants_color() is False


def test_one_is_not_many() -> None:
    assert [count(number, "node pool") for number in (0, 1, 2)] == ["0 node pools", "1 node pool", "2 node pools"]


def plain(text: str) -> str:
    """The text without styles."""
    for style in Style:
        for code in set(paint("|", style).split("|")) - {""}:
            text = text.replace(code, "")
    return text
