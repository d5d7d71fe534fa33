"""One answer as it comes from the engine: where it ends, and what of it can be shown. Pure."""

from collections.abc import Sequence
from typing import Literal

from .tokens import Detokenizer

FinishReason = Literal["stop", "length"]


class Answer:
    """Feed it the engine's tokens in order, until `finish_reason` is set or the engine has ended; then `end` it."""

    def __init__(self, detokenizer: Detokenizer, eos_id: int, max_tokens: int) -> None:
        self._detokenizer = detokenizer
        self._eos_id = eos_id
        self._max_tokens = max_tokens
        self.tokens = 0
        """How many were generated, without EOS, which JetStream doesn't send."""
        self.finish_reason: FinishReason | None = None

    def feed(self, tokens: Sequence[int]) -> str:
        """The text that these tokens complete; none once the answer is over. Raises KeyError for an unknown token."""
        if self.finish_reason:
            return ""
        taken = list(tokens)
        if self._eos_id in taken:
            taken = taken[: taken.index(self._eos_id)]
            self.finish_reason = "stop"
        room = self._max_tokens - self.tokens
        # JetStream's count may begin after the first token, and then it sends one more than it was asked for.
        if len(taken) > room or (len(taken) == room and not self.finish_reason):
            taken = taken[:room]
            self.finish_reason = "length"
        self.tokens += len(taken)
        return self._detokenizer.feed(taken)

    def end(self) -> FinishReason:
        """The engine's stream is over, or nobody needs the rest of it: why the answer ends."""
        self.finish_reason = self.finish_reason or "stop"
        return self.finish_reason
