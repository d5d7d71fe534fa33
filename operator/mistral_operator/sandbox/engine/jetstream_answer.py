"""What the stand-in of JetStream says, as token ids. Pure.

It has no tokenizer: the sentence that says what answers was tokenised before (tools/stand_in_tokens.py), and the rest
is the prompt's own tokens.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import yaml

from .jetstream_settings import Vocabulary

SENTENCE_FILE = Path(__file__).with_name("jetstream_sentence.yaml")


@cache
def sentence(vocabulary: Vocabulary) -> tuple[int, ...]:
    """The token ids of the sentence that every answer begins with."""
    document = yaml.safe_load(SENTENCE_FILE.read_text(encoding="utf-8"))
    return tuple(document["tokens"][vocabulary])


def compose(prompt: Sequence[int], max_tokens: int, vocabulary: Vocabulary) -> tuple[int, ...]:
    """The answer's tokens, without EOS, which JetStream doesn't send."""
    return (*sentence(vocabulary), *prompt)[:max_tokens]
