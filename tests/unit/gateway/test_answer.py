"""Where an answer ends, and what is counted."""

import hypothesis
import pytest
from hypothesis import strategies

from mistral_operator.gateway.answer import Answer
from mistral_operator.gateway.tokens import Detokenizer, Tokenizer

EOS = 2


def answer(tokenizer: Tokenizer, max_tokens: int) -> Answer:
    return Answer(Detokenizer(tokenizer, drop_blank=True), EOS, max_tokens)


def test_an_answer_that_the_engine_ends(v1: Tokenizer) -> None:
    one = answer(v1, 10)
    tokens = v1.encode_text("Hello there")[1:]
    assert [one.feed([token]) for token in tokens] == ["Hello", " there"]
    # JetStream sends an empty message where EOS was.
    assert one.feed([]) == ""
    assert one.finish_reason is None
    assert (one.end(), one.tokens) == ("stop", 2)


def test_eos_ends_it_and_is_not_shown(v1: Tokenizer) -> None:
    one = answer(v1, 10)
    hello = v1.encode_text("Hello")[1:]
    assert one.feed([*hello, EOS, *hello]) == "Hello"
    assert (one.finish_reason, one.tokens) == ("stop", 1)
    assert one.feed(hello) == ""
    assert one.tokens == 1


@pytest.mark.parametrize("at_once", [True, False])
def test_it_has_no_more_tokens_than_asked_for(v1: Tokenizer, at_once: bool) -> None:
    one = answer(v1, 2)
    tokens = v1.encode_text("one two three four")[1:]
    text = one.feed(tokens) if at_once else "".join(one.feed([token]) for token in tokens)
    assert text == "one two"
    assert (one.end(), one.tokens) == ("length", 2)


def test_eos_right_after_the_last_token(v1: Tokenizer) -> None:
    one = answer(v1, 1)
    assert one.feed([*v1.encode_text("Hello")[1:], EOS]) == "Hello"
    assert one.end() == "stop"


def test_an_answer_of_nothing(v1: Tokenizer) -> None:
    one = answer(v1, 1)
    assert (one.end(), one.tokens) == ("stop", 0)


@hypothesis.given(
    batches=strategies.lists(strategies.lists(strategies.integers(0, 31_999), max_size=4), max_size=20),
    max_tokens=strategies.integers(1, 12),
)
def test_how_tokens_are_batched_makes_no_difference(batches: list[list[int]], max_tokens: int) -> None:
    tokens = [token for batch in batches for token in batch]
    together, apart = answer(TOKENIZER, max_tokens), answer(TOKENIZER, max_tokens)
    text = "".join(together.feed(batch) for batch in batches)
    assert text == "".join(apart.feed([token]) for token in tokens)
    assert (
        together.tokens
        == apart.tokens
        == min(max_tokens, len(tokens[: tokens.index(EOS)] if EOS in tokens else tokens))
    )


TOKENIZER = Tokenizer("v1")
