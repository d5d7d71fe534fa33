"""YAML of others is read as plain data, or refused with a sentence; it never takes memory, time or the process."""

import re
from datetime import date

import pytest

from mistral_operator.catalogue.bounded_yaml import read_yaml

LAUGHS = "a: &a [x, x]\n" + "".join(f"{new}: &{new} [*{old}, *{old}]\n" for old, new in zip("abcdef", "bcdefg"))  # noqa: B905


def test_plain_data_is_read() -> None:
    text = "a: {b: ['1', 2]}\nc: 2026-11-01\n"
    assert read_yaml(text) == {"a": {"b": ["1", 2]}, "c": date(2026, 11, 1)}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (LAUGHS, "line 2: anchors are not read"),
        ("<<: &a {b: 1}\nc: {<<: *a}", "line 2: anchors are not read"),
        ("[" * 100_000, "line 1: nested more than 32 levels deep"),
        ("{a: [" * 20 + "]}" * 20, "line 1: nested more than 32 levels deep"),
        ("!!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("2026-13-45", "month must be in 1..12"),
        ("!!bool x", "a value that isn't of its tag"),
        ("!!int ''", "a value that isn't of its tag"),
        ("!!timestamp x", "a value that isn't of its tag"),
        ("9" * 5000, "limit"),
        ("a: [", "line 2: while parsing a flow node, did not find expected node content"),
        ("? {}\n: 1", "line 1: while constructing a mapping, found unhashable key"),
        ("a\n---\nb", "line 2: expected a single document in the stream, but found another document"),
    ],
)
def test_all_else_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        read_yaml(text)
