"""A watch's lines are found in chunks that end anywhere."""

from collections.abc import AsyncIterator

from hypothesis import given
from hypothesis import strategies as st

from mistral_operator.cluster.client import split_lines


async def _cut(stream: bytes, sizes: list[int]) -> AsyncIterator[bytes]:
    for size in sizes:
        yield stream[:size]
        stream = stream[size:]
    yield stream


@given(st.lists(st.binary(max_size=20).filter(lambda line: b"\n" not in line)), st.lists(st.integers(0, 30)))
async def test_lines_come_whole_wherever_the_stream_is_cut(lines: list[bytes], sizes: list[int]) -> None:
    stream = b"".join(line + b"\n" for line in lines)
    assert [line async for line in split_lines(_cut(stream, sizes))] == lines


async def test_a_line_that_was_cut_off_comes_as_it_is() -> None:
    assert [line async for line in split_lines(_cut(b'{"a": 1}\n{"b"', [3]))] == [b'{"a": 1}', b'{"b"']
