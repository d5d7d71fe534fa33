"""Texts to tokens and back, by Mistral's own tokenizers and chat templates. The only module that knows mistral-common.

The tokenizer files come with the package: nothing is ever downloaded.
"""

import codecs
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any, Final

from mistral_common.exceptions import MistralCommonException
from mistral_common.protocol.instruct.chunk import TextChunk
from mistral_common.protocol.instruct.messages import AssistantMessage, SystemMessage, UserMessage
from mistral_common.protocol.instruct.request import ChatCompletionRequest
from mistral_common.tokens.tokenizers.mistral import MistralTokenizer
from mistral_common.tokens.tokenizers.sentencepiece import SentencePieceTokenizer
from pydantic import ValidationError

from .messages import Message
from .refusal import Refusal, invalid
from .settings import TokenizerVersion

BLANK: Final = "▁"
UNKNOWN: Final = " ⁇ "
"""As SentencePiece itself writes it."""


SLICE_CHARACTERS: Final = 8192
FAR: Final = 2
"""Texts that are cut into slices have a few more tokens than they have whole, and nowhere near twice as many."""


class Tokenizer:
    """One of Mistral's tokenizers, shared by all requests."""

    def __init__(self, version: TokenizerVersion) -> None:
        loaders = {"v1": MistralTokenizer.v1, "v2": MistralTokenizer.v2, "v3": MistralTokenizer.v3}
        self._templates: Any = (loaders | {"v7": MistralTokenizer.v7})[version]()
        base = self._templates.instruct_tokenizer.tokenizer
        if not isinstance(base, SentencePieceTokenizer):
            raise TypeError(f"{version}: this gateway detokenises SentencePiece's tokens, not {type(base).__name__}'s")
        self._base = base
        self.bos_id: int = base.bos_id
        self.eos_id: int = base.eos_id
        self.pieces = {token: self._piece(token) for token in range(base.n_words)}
        """What each token stands for, in UTF-8; a character's bytes may come from several tokens."""
        self._longest_bytes = max(map(len, self.pieces.values()))

    def least_tokens(self, texts: Iterable[str]) -> int:
        """How many tokens these texts have at least, by their mere length."""
        return sum(len(text.encode("utf-8", "replace")) for text in texts) // self._longest_bytes

    def far_exceeds(self, texts: Sequence[str], tokens: int) -> bool:
        """Whether long texts have more than twice so many tokens, without the work for those beyond that."""
        if sum(map(len, texts)) <= SLICE_CHARACTERS:
            return False
        slices = (text[at : at + SLICE_CHARACTERS] for text in texts for at in range(0, len(text), SLICE_CHARACTERS))
        counts = (len(self._base.encode(part, bos=False, eos=False)) for part in slices)
        return any(total > FAR * tokens for total in accumulate(counts))

    def encode_text(self, text: str) -> list[int]:
        """The tokens of a text, BOS first."""
        return self._base.encode(text, bos=True, eos=False)

    def encode_chat(self, messages: Sequence[Message]) -> list[int] | Refusal:
        """The tokens of a conversation in the model's template, BOS first."""
        try:
            request: Any = ChatCompletionRequest(messages=[_converted(message) for message in messages])
            tokens: list[int] = self._templates.encode_chat_completion(request).tokens
        except ValidationError as error:
            return invalid("messages", "; ".join(problem["msg"] for problem in error.errors()))
        except MistralCommonException as error:
            return invalid("messages", error.message)
        return tokens

    def _piece(self, token: int) -> bytes:
        if self._base.is_special(token):
            return b""
        piece = self._base.id_to_piece(token)
        if token == self._base.unk_id:
            return UNKNOWN.encode()
        if len(piece) == len("<0x00>") and piece.startswith("<0x") and piece.endswith(">"):
            return bytes.fromhex(piece[3:5])
        return piece.replace(BLANK, " ").encode()


class Detokenizer:
    """One answer's tokens to text, as they come: whole characters only, each as soon as it is complete."""

    def __init__(self, tokenizer: Tokenizer, *, drop_blank: bool) -> None:
        """`drop_blank`: without the blank that SentencePiece puts before the first word of a text."""
        self._pieces = tokenizer.pieces
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._drop_blank = drop_blank

    def feed(self, tokens: Iterable[int]) -> str:
        """What can be shown now. Raises KeyError for a token that the vocabulary doesn't have."""
        data = b"".join([self._pieces[token] for token in tokens])
        if self._drop_blank and data:
            self._drop_blank = False
            data = data.removeprefix(b" ")
        return self._decoder.decode(data)


def _converted(message: Message) -> UserMessage | AssistantMessage | SystemMessage:
    """One text as it is, parts as parts: how those are joined is the template's matter."""
    content: Any = message.texts[0] if len(message.texts) == 1 else [TextChunk(text=text) for text in message.texts]
    if message.role == "user":
        return UserMessage(content=content)
    if message.role == "system":
        return SystemMessage(content=content)
    return AssistantMessage(content=content, prefix=message.prefix)
