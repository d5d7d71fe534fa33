"""Many requests at once, measured as the estimate is stated."""

import asyncio
from dataclasses import dataclass
from statistics import mean, median

from mistral_operator.cli.verification.client import Endpoint, Timing
from mistral_operator.cli.verification.prompts import fit_words, write_prompt


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


async def measure(endpoint: Endpoint, workload: Workload) -> Measured:
    """Each request twice, so that the second half runs among others that started at other times."""
    words = await fit_words(endpoint, workload.input_tokens)
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
    return await endpoint.stream(write_prompt(words), tokens), await endpoint.stream(write_prompt(words), tokens)
