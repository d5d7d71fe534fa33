"""JSON that anybody may have written is read, however deep it goes."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mistral_operator.cluster.parse import parse_json, prune

JSON = st.recursive(
    st.none() | st.integers() | st.text() | st.text('\\"[]{}', max_size=4),
    lambda inner: st.lists(inner) | st.dictionaries(st.text('a"\\{]', max_size=3), inner),
)


@given(JSON, st.booleans())
def test_what_is_not_deep_is_left_as_it_is(value: Any, escaped: bool) -> None:
    text = json.dumps(value, ensure_ascii=escaped).encode()
    assert prune(text) == text
    assert parse_json(text) == value


@pytest.mark.parametrize("levels", [5_000, 9_990])
@pytest.mark.parametrize(("opened", "closed"), [('{"a":', "}"), ("[", "]"), ('[{"]}":', "}]")])
def test_what_is_deep_is_cut_and_what_stands_beside_it_is_kept(opened: str, closed: str, levels: int) -> None:
    deep = opened * levels + "1" + closed * levels
    found = parse_json(f'{{"before": {deep}, "kept": ["}}", {{}}], "again": [{deep}], "last": 2}}'.encode())
    assert (found["kept"], found["last"]) == (["}", {}], 2)
    depth, inner = 1, found["before"]
    while inner:
        depth, inner = depth + 1, next(iter(inner.values() if isinstance(inner, dict) else inner))
    assert depth == 200


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (rb'["\ud800", "\udc00\ud83d"]', ["?", "??"]),
        (rb'{"\uD800": 1, "b": "\\ud"}', {"?": 1, "b": r"\ud"}),
        (rb'"\ud83d\ude00"', "\U0001f600"),
        (b'["\xff\xfe", "\xed\xa0\x80"]', ["\ufffd\ufffd", "\ufffd\ufffd\ufffd"]),
    ],
)
def test_what_is_no_character_is_marked(text: bytes, value: object) -> None:
    assert parse_json(text) == value


@given(st.binary() | st.text(st.sampled_from(list('"\\udD8[]{}:,1'))).map(str.encode))
def test_any_bytes_are_no_json_or_can_be_written_again(text: bytes) -> None:
    try:
        value = parse_json(text)
    except ValueError:
        return
    written = json.dumps(value, ensure_ascii=False).encode()
    assert parse_json(written) == value


def test_what_is_no_json_is_told() -> None:
    for text in (b"", b'{"a": ', b"<html>", b"[" * 5_000):
        with pytest.raises(ValueError):
            parse_json(text)
