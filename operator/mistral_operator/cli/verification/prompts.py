"""Prompts of a length in tokens, for an engine whose tokenizer isn't at hand."""

import secrets
from collections.abc import Mapping
from typing import Any, Final

from mistral_operator.cli.verification.client import Endpoint
from mistral_operator.cli.verification.reading import CheckError

SHORT_WORDS: Final = 50
LONG_WORDS: Final = 450


def write_prompt(words: int) -> str:
    """So many words, behind a beginning that no other prompt has: an engine's prefix cache would answer for it."""
    return f"{secrets.token_hex(4)}: count the words: " + " ".join(["word"] * words)


async def fit_words(endpoint: Endpoint, tokens: int) -> int:
    """Words that make a prompt of about so many tokens. Two samples: a chat template adds tokens of its own."""
    short, long = [
        count_prompt_tokens(await endpoint.chat(write_prompt(words), max_tokens=1))
        for words in (SHORT_WORDS, LONG_WORDS)
    ]
    per_word = max(1, long - short) / (LONG_WORDS - SHORT_WORDS)
    return max(1, int(SHORT_WORDS + (tokens - short) / per_word))


def count_prompt_tokens(message: Mapping[str, Any]) -> int:
    """Tokens of the prompt as the engine counted them; raise CheckError where it didn't."""
    tokens = message["usage"].get("prompt_tokens")
    if not isinstance(tokens, int):
        raise CheckError("an answer without usage.prompt_tokens")
    return tokens
