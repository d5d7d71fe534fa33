"""The checks of one served model: names, an answer that is known, tools, a long prompt, many requests at once."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from mistral_operator.cli.verification.client import Endpoint
from mistral_operator.cli.verification.load import Measured, Workload, measure
from mistral_operator.cli.verification.prompts import count_prompt_tokens, fit_words, write_prompt
from mistral_operator.cli.verification.reading import CheckError

STAND_IN: Final = "stand-in"
"""Every stand-in says in its answers that it is one."""
QUESTION: Final = "What is the capital of France? Answer with the name of the city only."
KNOWN_ANSWER: Final = "paris"
LONG_SHARE: Final = 0.9
"""Of the planned context that the long prompt fills."""
LEAST_SHARE: Final = 0.75
LONGEST_ANSWER: Final = 1024
"""Tokens: a model that reasons does so before it answers."""
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
class Results:
    """Everything that was found out."""

    checks: tuple[Check, ...]
    stand_in: bool
    measured: Measured | None


async def run_checks(
    endpoint: Endpoint, served_name: str, context_length: int, workload: Workload, *, tools: bool
) -> Results:
    """Run all checks, one after the other; one that fails doesn't keep the others from running."""
    room = min(LONGEST_ANSWER, context_length // 2)
    spoken: list[str] = []
    measured: list[Measured] = []

    async def answer() -> str:
        message = await endpoint.chat(QUESTION, max_tokens=room)
        text = str(message.get("content") or "")
        spoken.append(text)
        if STAND_IN in text.lower():
            return "a stand-in answered: its words prove nothing"
        if KNOWN_ANSWER not in text.lower():
            raise CheckError(f"asked for the capital of France, it says: {text[:200]}")
        return f"it says: {text[:100]}"

    async def load() -> str:
        measured.append(await measure(endpoint, workload))
        found = measured[0]
        return f"{found.output_tokens_per_s:.0f} output tokens/s with {found.concurrency} at once"

    checks = [
        await _check("models", lambda: _check_names(endpoint, served_name)),
        await _check("answer", answer),
    ]
    stand_in = any(STAND_IN in text.lower() for text in spoken)
    if tools and not stand_in:
        checks.append(await _check("tools", lambda: _check_tools(endpoint, room)))
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


async def _check_tools(endpoint: Endpoint, room: int) -> str:
    message = await endpoint.chat("What is the weather in Paris? Use the tool.", tools=[TOOL], max_tokens=room)
    calls = message.get("tool_calls")
    if not isinstance(calls, list) or not calls:
        raise CheckError(f"it calls no tool, but says: {str(message.get('content'))[:200]}")
    if not _asks_for_paris(calls[0]):
        raise CheckError(f"it calls no get_weather for Paris: {str(calls[0])[:200]}")
    return "it calls get_weather for Paris"


def _asks_for_paris(call: Any) -> bool:
    """Whether a parser of tool calls has found the name, and arguments that are JSON."""
    try:
        function = call["function"]
        city = json.loads(function["arguments"])["city"]
    except (KeyError, TypeError, ValueError):
        return False
    return bool(function.get("name") == "get_weather" and "paris" in str(city).lower())


async def _check_long(endpoint: Endpoint, context_length: int) -> str:
    words = await fit_words(endpoint, int(context_length * LONG_SHARE) - 64)
    tokens = count_prompt_tokens(await endpoint.chat(write_prompt(words), max_tokens=16))
    if tokens < context_length * LEAST_SHARE:
        raise CheckError(f"a prompt of {tokens:,} tokens, too few for a context of {context_length:,}")
    return f"a prompt of {tokens:,} tokens in a context of {context_length:,}"
