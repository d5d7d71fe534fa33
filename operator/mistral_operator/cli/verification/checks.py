"""The checks of one served model: names, an answer that is known, tools, a long prompt, many requests at once."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from statistics import mean, median
from typing import Any, Final

from mistral_operator.cli.verification.client import CheckError, Endpoint, Timing

STAND_IN: Final = "stand-in"
"""Every stand-in says in its answers that it is one."""
QUESTION: Final = "What is the capital of France? Answer with the name of the city only."
KNOWN_ANSWER: Final = "paris"
LONG_SHARE: Final = 0.9
"""Of the planned context that the long prompt fills."""
LEAST_SHARE: Final = 0.75
SAMPLE_WORDS: Final = 400
TOOL: Final = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city now.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@dataclass(frozen=True, slots=True)
class Check:
    """One check with its result."""

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Workload:
    """What the plan's estimate is stated for."""

    input_tokens: int
    output_tokens: int
    concurrency: int


@dataclass(frozen=True, slots=True)
class Measured:
    """All requests at once, as they went."""

    concurrency: int
    output_tokens_per_s: float
    time_to_first_token_ms: float
    inter_token_latency_ms: float


@dataclass(frozen=True, slots=True)
class Results:
    """Everything that was found out."""

    checks: tuple[Check, ...]
    stand_in: bool
    measured: Measured | None


async def run_checks(
    endpoint: Endpoint, served_name: str, context_length: int, workload: Workload, *, tools: bool
) -> Results:
    """Run all checks, one after the other; one that fails doesn't keep the others from running."""
    spoken: list[str] = []
    measured: list[Measured] = []

    async def answer() -> str:
        message = await endpoint.chat(QUESTION, max_tokens=64)
        text = str(message.get("content") or "")
        spoken.append(text)
        if STAND_IN in text.lower():
            return "a stand-in answered: its words prove nothing"
        if KNOWN_ANSWER not in text.lower():
            raise CheckError(f"asked for the capital of France, it says: {text[:200]}")
        return f"it says: {text[:100]}"

    async def load() -> str:
        words = await _words_for(endpoint, workload.input_tokens)
        measured.append(await _measure(endpoint, words, workload))
        found = measured[0]
        return f"{found.output_tokens_per_s:.0f} output tokens/s with {found.concurrency} at once"

    checks = [
        await _check("models", lambda: _check_names(endpoint, served_name)),
        await _check("answer", answer),
    ]
    stand_in = any(STAND_IN in text.lower() for text in spoken)
    if tools and not stand_in:
        checks.append(await _check("tools", lambda: _check_tools(endpoint)))
    checks.append(await _check("long prompt", lambda: _check_long(endpoint, context_length)))
    checks.append(await _check("load", load))
    return Results(tuple(checks), stand_in, measured[0] if measured else None)


async def _check(name: str, run: Callable[[], Awaitable[str]]) -> Check:
    try:
        return Check(name, passed=True, detail=await run())
    except CheckError as error:
        return Check(name, passed=False, detail=str(error))


async def _check_names(endpoint: Endpoint, served_name: str) -> str:
    names = await endpoint.models()
    if served_name not in names:
        raise CheckError(f"{served_name} is not among {', '.join(names) or 'none'}")
    return f"serves {served_name}"


async def _check_tools(endpoint: Endpoint) -> str:
    message = await endpoint.chat("What is the weather in Paris? Use the tool.", tools=[TOOL], max_tokens=128)
    calls = message.get("tool_calls")
    if not isinstance(calls, list) or not calls:
        raise CheckError(f"it calls no tool, but says: {str(message.get('content'))[:200]}")
    return f"it calls {_name_of(calls[0])}"


def _name_of(call: Any) -> str:
    function = call.get("function") if isinstance(call, Mapping) else None
    return str(function.get("name")) if isinstance(function, Mapping) else "something without a name"


async def _check_long(endpoint: Endpoint, context_length: int) -> str:
    words = await _words_for(endpoint, int(context_length * LONG_SHARE) - 64)
    message = await endpoint.chat(_prompt(words), max_tokens=16)
    tokens = _prompt_tokens(message)
    if tokens < context_length * LEAST_SHARE:
        raise CheckError(f"a prompt of {tokens:,} tokens, too few for a context of {context_length:,}")
    return f"a prompt of {tokens:,} tokens in a context of {context_length:,}"


async def _words_for(endpoint: Endpoint, tokens: int) -> int:
    """Words that make about so many tokens, after what a sample takes."""
    sample = _prompt_tokens(await endpoint.chat(_prompt(SAMPLE_WORDS), max_tokens=1))
    return max(1, int(tokens * SAMPLE_WORDS / max(1, sample)))


def _prompt(words: int) -> str:
    return "Count the words: " + " ".join(["word"] * words)


def _prompt_tokens(message: Mapping[str, Any]) -> int:
    tokens = message["usage"].get("prompt_tokens")
    if not isinstance(tokens, int):
        raise CheckError("an answer without usage.prompt_tokens")
    return tokens


async def _measure(endpoint: Endpoint, words: int, workload: Workload) -> Measured:
    """Each request twice, so that the second half runs among others that started at other times."""
    results = await asyncio.gather(
        *(_twice(endpoint, words, workload.output_tokens) for _ in range(workload.concurrency))
    )
    timings = [timing for pair in results for timing in pair]
    longest = max(sum(timing.total_s for timing in pair) for pair in results)
    between = [(timing.total_s - timing.first_token_s) / max(1, timing.tokens - 1) for timing in timings]
    return Measured(
        concurrency=workload.concurrency,
        output_tokens_per_s=sum(timing.tokens for timing in timings) / longest,
        time_to_first_token_ms=1000 * median(timing.first_token_s for timing in timings),
        inter_token_latency_ms=1000 * mean(between),
    )


async def _twice(endpoint: Endpoint, words: int, tokens: int) -> tuple[Timing, Timing]:
    return await endpoint.stream(_prompt(words), tokens), await endpoint.stream(_prompt(words), tokens)
