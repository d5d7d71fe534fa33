"""What becomes of each parameter of OpenAI's requests: followed, without effect, or refused unless it asks for nothing.

JetStream's DecodeRequest carries tokens and a maximum, nothing else: no sampling, no stop strings, no tools. Pure.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from .refusal import UNKNOWN, Refusal, unsupported
from .settings import Sampling

FOLLOWED: Final = frozenset({"model", "max_tokens", "stream", "stream_options"})
FOLLOWED_CHAT: Final = FOLLOWED | {"messages", "max_completion_tokens"}
FOLLOWED_COMPLETIONS: Final = FOLLOWED | {"prompt"}

INERT: Final = frozenset(
    {
        *("metadata", "parallel_tool_calls", "prompt_cache_key", "prompt_cache_options"),
        *("prompt_cache_retention", "safety_identifier", "service_tier", "user"),
    }
)
"""They describe the caller, or something that isn't there: no answer changes by them."""

SERVER_SIDE: Final = "JetStream samples by the server's settings for all requests alike"


@dataclass(frozen=True, slots=True)
class Unsupported:
    """A parameter that only its neutral values are accepted for; null always is."""

    neutral: tuple[object, ...]
    advice: str


SAMPLING: Final[Mapping[str, Unsupported]] = {
    "frequency_penalty": Unsupported((0,), f"{SERVER_SIDE}, without penalties; leave it away or write 0"),
    "presence_penalty": Unsupported((0,), f"{SERVER_SIDE}, without penalties; leave it away or write 0"),
    "repetition_penalty": Unsupported((1,), f"{SERVER_SIDE}, without penalties; leave it away or write 1"),
    "logit_bias": Unsupported(({},), f"{SERVER_SIDE}; leave it away"),
    "min_p": Unsupported((0,), f"{SERVER_SIDE}; leave it away or write 0"),
    "seed": Unsupported((), f"{SERVER_SIDE}, and its seed is the server's; leave it away"),
    "top_k": Unsupported((0, -1), f"{SERVER_SIDE}; leave it away or write 0"),
}
"""Of these, `--ignore-unsupported` ignores any value; also of temperature and top_p."""

TOOLS: Final = "no model on JetStream calls tools; leave it away, or serve the model on vLLM"
ANSWERS: Final = "JetStream gives one answer; leave it away or write 1, and send the request several times"
LOGPROBS: Final = "JetStream tells no probabilities; leave it away, or serve the model on vLLM"
TEXT_ONLY: Final = "JetStream writes text only; leave it away"

CHAT: Final[Mapping[str, Unsupported]] = {
    "audio": Unsupported((), TEXT_ONLY),
    "function_call": Unsupported(("none",), TOOLS),
    "functions": Unsupported(([],), TOOLS),
    "logprobs": Unsupported((False,), LOGPROBS),
    "modalities": Unsupported((["text"],), 'JetStream writes text only; leave it away or write ["text"]'),
    "moderation": Unsupported((), "nothing is moderated here; leave it away"),
    "prediction": Unsupported((), "JetStream takes no predicted answers; leave it away"),
    "reasoning_effort": Unsupported(("none",), "no model on JetStream reasons; leave it away"),
    "tool_choice": Unsupported(("none",), 'no model on JetStream calls tools; leave it away or write "none"'),
    "tools": Unsupported(([],), TOOLS),
    "top_logprobs": Unsupported((0,), LOGPROBS),
    "verbosity": Unsupported((), "Mistral's templates have no such setting; leave it away and ask in a message"),
    "web_search_options": Unsupported((), TOOLS),
}
COMPLETIONS: Final[Mapping[str, Unsupported]] = {
    "best_of": Unsupported((1,), ANSWERS),
    "echo": Unsupported((False,), "only what is generated comes back; leave it away or write false"),
    "logprobs": Unsupported((), LOGPROBS),
    "suffix": Unsupported(("",), "JetStream doesn't fill in the middle; leave it away"),
}
BOTH: Final[Mapping[str, Unsupported]] = {
    "n": Unsupported((1,), ANSWERS),
    "response_format": Unsupported(
        ({"type": "text"},),
        'JetStream can\'t force a format; leave it away or write {"type": "text"}, and ask for it in the prompt',
    ),
    "stop": Unsupported(
        ([], ""), "JetStream knows no stop strings; leave it away and cut the answer where you read it"
    ),
    "store": Unsupported((False,), "nothing is stored; leave it away or write false"),
}

_CHAT: Final = {**BOTH, **CHAT}
_COMPLETIONS: Final = {**BOTH, **COMPLETIONS}


def check_parameters(
    body: Mapping[str, Any], sampling: Sampling, *, chat: bool, ignore: bool
) -> Refusal | tuple[str, ...]:
    """The first refusal in the order of the body, or the names of the sampling parameters that are ignored."""
    ignored = []
    for name, refusal in _refusals(body, sampling, chat=chat):
        if not (ignore and name in _sampling_table(sampling)):
            return refusal
        ignored.append(name)
    return tuple(ignored)


def _refusals(body: Mapping[str, Any], sampling: Sampling, *, chat: bool) -> Iterator[tuple[str, Refusal]]:
    followed = FOLLOWED_CHAT if chat else FOLLOWED_COMPLETIONS
    table = {**_sampling_table(sampling), **(_CHAT if chat else _COMPLETIONS)}
    for name, value in body.items():
        if name in followed or name in INERT or value is None:
            continue
        rule = table.get(name)
        if rule is None:
            reason = "this server doesn't know it; leave it away"
            yield name, unsupported(name, value, reason, UNKNOWN)
        elif not any(_same(value, neutral) for neutral in rule.neutral):
            yield name, unsupported(name, value, rule.advice)


def _sampling_table(sampling: Sampling) -> dict[str, Unsupported]:
    """With what is accepted for this server: its own value, and OpenAI's default, which asks for nothing special."""
    own = {"temperature": sampling.temperature, "top_p": sampling.top_p}
    fixed = {
        name: Unsupported((value, 1), f"{SERVER_SIDE}, {name} {value:g}; leave it away or write {value:g}")
        for name, value in own.items()
    }
    return {**SAMPLING, **fixed}


def _same(value: object, neutral: object) -> bool:
    """JSON's equality: true is not 1."""
    return isinstance(value, bool) == isinstance(neutral, bool) and value == neutral
