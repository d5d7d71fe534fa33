"""What the stand-in says, and where it stops. Pure: text in, pieces out."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

INTRODUCTION = "This is a stand-in for vLLM: no model is loaded."
LONGEST_QUOTE = 2000


@dataclass(frozen=True, slots=True)
class Answer:
    """One choice: its pieces in order (one piece is one token), and why it ends."""

    pieces: tuple[str, ...]
    finish_reason: str
    """`stop` or `length`"""
    stop_reason: str | None = None
    """The stop string that was met."""

    @property
    def text(self) -> str:
        return "".join(self.pieces)


def pieces_of(text: str) -> list[str]:
    """Cut a text in the stand-in's tokens: words with the blanks before them."""
    return re.findall(r"\s*\S+|\s+$", text)


def compose(question: str, max_tokens: int, stop: Sequence[str], *, ignore_eos: bool) -> Answer:
    """Answer plainly. With `ignore_eos` (as load generators ask) the text is repeated up to `max_tokens`."""
    quote = question if len(question) <= LONGEST_QUOTE else question[:LONGEST_QUOTE] + "…"
    text = f"{INTRODUCTION} You asked: {quote}"
    pieces = pieces_of(text)
    if ignore_eos:
        repeated = [" " + piece.lstrip() for piece in pieces]
        while len(pieces) < max_tokens:
            pieces = pieces + repeated
    met, pieces = _cut_at_stop(pieces, stop)
    if len(pieces) > max_tokens:
        return Answer(tuple(pieces[:max_tokens]), "length")
    if met is None and ignore_eos:
        return Answer(tuple(pieces), "length")
    return Answer(tuple(pieces), "stop", met)


def _cut_at_stop(pieces: list[str], stop: Sequence[str]) -> tuple[str | None, list[str]]:
    text = "".join(pieces)
    found = [(text.index(word), word) for word in stop if word and word in text]
    if not found:
        return None, pieces
    position, word = min(found)
    return word, pieces_of(text[:position])
